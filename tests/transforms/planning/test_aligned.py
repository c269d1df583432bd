"""What was found out about video files, and the plan of their segments."""

import dataclasses
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flashes import GOLDEN
from transforms import storage
from transforms.errors import StorageError
from transforms.plan import Mixture, Source, id_problem
from transforms.planning.aligned import (
    PROBES_PATH,
    AlignPlan,
    ProbedFile,
    listed_files,
    probed,
    read_probes,
    stems_of,
    write_probes,
)
from transforms.storage import OutputTree
from transforms.video.aligned import AlignOptions
from transforms.video.containers import SUFFIXES


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three files that can serve, three that cannot, and one that is none of ours."""
    root = tmp_path / "videos"
    (root / "s1").mkdir(parents=True)
    for name in ("cfr25_pcm16k.mov", "vfr_aac16k.mp4", "truncated_moov_first.mp4"):
        shutil.copy(GOLDEN / name, root / "s1" / name)
    shutil.copy(GOLDEN / "extra" / "no_audio.mp4", root / "no_audio.mp4")
    (root / "empty.mpg").touch()
    (root / "notes.MP4").write_text("not a video")
    (root / "readme.txt").write_text("neither")
    return root


def looked_at(root: Path) -> list[ProbedFile]:
    return [probed(str(root), file) for file in listed_files(str(root), SUFFIXES, {})]


def test_the_video_files_of_a_folder(corpus: Path) -> None:
    files = listed_files(str(corpus), SUFFIXES, {})
    assert [file.path for file in files] == [
        "empty.mpg",
        "no_audio.mp4",
        "notes.MP4",
        "s1/cfr25_pcm16k.mov",
        "s1/truncated_moov_first.mp4",
        "s1/vfr_aac16k.mp4",
    ]
    assert {file.found for file in files} == {""}
    stamp = storage.stamp(str(corpus / "s1/cfr25_pcm16k.mov"))
    assert stamp is not None
    assert (files[3].size_bytes, files[3].version) == (stamp.size_bytes, stamp.version)


def test_records_and_rejects(corpus: Path) -> None:
    files = {file.path: file for file in looked_at(corpus)}
    record = files["s1/vfr_aac16k.mp4"].record
    assert record is not None
    assert (record.pictures_end, record.is_vfr, record.flags) == (
        Fraction(392, 125),
        True,
        ("variable_rate",),
    )
    assert files["s1/vfr_aac16k.mp4"].reject is None
    for path, reason in {
        "empty.mpg": "the file is empty (0 bytes)",
        "no_audio.mp4": "has no sound (its streams: video)",
        "notes.MP4": "is not a video file or is damaged (Invalid data found when processing input)",
    }.items():
        reject = files[path].reject
        assert reject is not None
        assert (reject.source, reject.stage, reject.reason) == (f"video:{path}", "open", reason)
        assert files[path].record is None


def test_a_file_that_vanished(corpus: Path) -> None:
    (file, *_) = listed_files(str(corpus), SUFFIXES, {})
    (corpus / file.path).unlink()
    reject = probed(str(corpus), file).reject
    assert reject is not None
    assert "No such file" in reject.reason or "no such file" in reject.reason


def test_what_is_known_is_not_looked_at_again(corpus: Path) -> None:
    known = {file.path: file for file in looked_at(corpus)}
    assert listed_files(str(corpus), SUFFIXES, known) == list(known.values())
    changed = corpus / "s1/cfr25_pcm16k.mov"
    changed.write_bytes(changed.read_bytes()[:1000])
    again = listed_files(str(corpus), SUFFIXES, known)
    assert [file.path for file in again if not file.found] == ["s1/cfr25_pcm16k.mov"]
    file = dataclasses.replace(again[0], found="anything")
    assert probed("/nowhere", file) is file


def test_a_store_that_stamps_nothing_is_looked_at_every_time(corpus: Path) -> None:
    known = {file.path: dataclasses.replace(file, version="") for file in looked_at(corpus)}
    assert not any(file.found for file in listed_files(str(corpus), SUFFIXES, known))


def test_other_stores() -> None:
    OutputTree("memory://videos").write("a.mov", (GOLDEN / "cfr25_pcm16k.mov").read_bytes())
    (file,) = listed_files("memory://videos", SUFFIXES, {})
    record = probed("memory://videos", file).record
    assert record is not None
    assert record.pictures_found == 75


def test_stored_and_read_again(corpus: Path, tmp_path: Path) -> None:
    tree, files = OutputTree(str(tmp_path / "out")), looked_at(corpus)
    assert write_probes(tree, str(corpus), reversed(files)) == 6
    assert list(read_probes(tree, str(corpus))) == files
    before = storage.stamp(tree.url(PROBES_PATH))
    write_probes(tree, str(corpus), files)
    assert storage.stamp(tree.url(PROBES_PATH)) == before


def test_what_is_stored_of_another_corpus_does_not_count(corpus: Path, tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path / "out"))
    assert not list(read_probes(tree, str(corpus)))
    write_probes(tree, "elsewhere", looked_at(corpus))
    assert not list(read_probes(tree, str(corpus)))


def test_an_empty_corpus(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    assert write_probes(tree, "x", []) == 0
    assert not list(read_probes(tree, "x"))


def test_what_is_stored_may_be_damaged(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write(PROBES_PATH, b"nothing of ours")
    with pytest.raises(StorageError, match=r"is damaged .*remove it, and run again"):
        list(read_probes(tree, "x"))


# Ids.


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a.mp4", "a"),
        ("pretrain/x1/00001.mp4", "pretrain_x1_00001"),
        ("s-1/b_c+d,e=f@g.mov", "s-1_b_c+d,e=f@g"),
    ],
)
def test_stems_are_paths(path: str, stem: str) -> None:
    assert stems_of([path]) == {path: stem}


@pytest.mark.parametrize(
    ("path", "beginning"),
    [
        ("-abc.mp4", "abc-"),
        ("ä b.mp4", "b-"),
        ("a b.mp4", "a_b-"),
        ("….mp4", "clip-"),
        ("x" * 300 + ".mp4", "xxx"),
    ],
)
def test_names_that_are_not_safe_get_digits(path: str, beginning: str) -> None:
    (stem,) = stems_of([path]).values()
    assert stem.startswith(beginning)
    assert id_problem(f"{stem}_000000") is None


def test_files_that_would_share_a_name_are_told_apart() -> None:
    stems = stems_of(["a/b.mp4", "a_b.mp4", "a/b.avi", "c.mp4"])
    assert len(set(stems.values())) == 4
    assert stems["c.mp4"] == "c"
    assert all(stem.startswith("a_b-") for path, stem in stems.items() if path != "c.mp4")


@given(st.lists(st.text("ab/._- ä", min_size=1, max_size=8), unique=True, max_size=12))
def test_stems_are_safe_and_different(names: list[str]) -> None:
    paths = [f"{name}.mp4" for name in names]
    stems = stems_of(paths)
    assert len(set(stems.values())) == len(paths)
    assert not any(id_problem(f"{stem}_0000") for stem in stems.values())


# Segments.


def planned(root: Path, frames_per_segment: int = 0, **options: Any) -> list[Mixture]:
    files = looked_at(root)
    plan = AlignPlan(AlignOptions(**options), frames_per_segment)
    return list(plan.mixtures(files, stems_of(file.path for file in files)))


def test_whole_files(corpus: Path) -> None:
    mixtures = planned(corpus)
    assert [mixture.id for mixture in mixtures] == [
        "s1_cfr25_pcm16k",
        "s1_truncated_moov_first",
        "s1_vfr_aac16k",
    ]
    (source,) = mixtures[0].sources
    assert source == Source("audio", "video", "s1/cfr25_pcm16k.mov", offset_samples=0, length_samples=48000)
    assert [mixture.sources[0].length_samples // 640 for mixture in mixtures] == [75, 38, 79]


def test_segments_follow_one_another(corpus: Path) -> None:
    mixtures = [mixture for mixture in planned(corpus, 30) if "cfr25" in mixture.id]
    assert [mixture.id for mixture in mixtures] == [f"s1_cfr25_pcm16k_{number:04d}" for number in range(3)]
    ranges = [(one.sources[0].offset_samples, one.sources[0].length_samples) for one in mixtures]
    assert ranges == [(0, 19200), (19200, 19200), (38400, 9600)]


def test_rejects_have_the_ids_of_what_they_would_have_been(corpus: Path) -> None:
    files = looked_at(corpus)
    stems = stems_of(file.path for file in files)
    rejects = list(AlignPlan(AlignOptions()).rejects(files, stems))
    assert [(reject.item, reject.source) for reject in rejects] == [
        ("empty", "video:empty.mpg"),
        ("no_audio", "video:no_audio.mp4"),
        ("notes", "video:notes.MP4"),
    ]


def test_rejects_are_never_named_like_a_segment_of_another_file(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "cfr25_pcm16k.mov", tmp_path / "a.mov")
    (tmp_path / "a_0000.mov").write_text("not a video")
    files = looked_at(tmp_path)
    stems = stems_of(file.path for file in files)
    plan = AlignPlan(AlignOptions(), frames_per_segment=50)
    assert [mixture.id for mixture in plan.mixtures(files, stems)] == ["a_0000", "a_0001"]
    assert [reject.item for reject in plan.rejects(files, stems)] == ["a_0000_0000"]


def test_files_that_are_too_short(corpus: Path) -> None:
    files = looked_at(corpus)
    stems = stems_of(file.path for file in files)
    slow = AlignPlan(AlignOptions(fps=Fraction(1, 10)))
    assert not list(slow.mixtures(files, stems))
    reject = next(one for one in slow.rejects(files, stems) if "vfr" in one.item)
    assert (reject.stage, reject.source) == ("plan", "video:s1/vfr_aac16k.mp4")
    assert reject.reason == (
        "gives no whole frame: its pictures end at 3.136 s, and there are 50608 samples of sound"
    )
    assert "--tail pad" in reject.remedy
