"""``mixtape align`` from the command line: what it writes, keeps, rejects and refuses."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipelines import cli
from tests.clips import write_clip
from tests.flashes import GOLDEN, clicks, counter, is_flash
from tests.pipelines.conftest import Mixtape, Outcome
from tests.transforms.video.test_decoding import damaged
from tests.trees import UNEQUAL, changed, contents, files, identities
from transforms import report, storage
from transforms.ledger import ShardLedger
from transforms.planning.aligned import PROBES_PATH

FLAGS = ("--segment", "1", "--shard-size", "4", "--max-rejects", "2")
ALL = ("--formats", "wav", "webdataset", "tfrecord")
AUDIO = "aligned/wav16k/max/all/audio"
FRAMES = "aligned/frames/all"
SYNC = "aligned/sync_all.csv"
PATIENCE_S = 60.0

Align = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def short_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a line in place of the report, which takes most of the time of a small run."""
    monkeypatch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")


def make_corpus(root: Path) -> Path:
    """Writes four clips that can serve and two that cannot."""
    (root / "s1").mkdir(parents=True)
    for name in ("cfr25_pcm16k.mov", "vfr_aac16k.mp4", "audio_delayed_500ms.mp4", "truncated_moov_first.mp4"):
        shutil.copy(GOLDEN / name, root / "s1" / name)
    shutil.copy(GOLDEN / "extra" / "no_audio.mp4", root)
    (root / "broken.mp4").write_text("not a video")
    return root


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus that a test may change."""
    return make_corpus(tmp_path / "videos")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker makes in memory of the corpus, in every format; tests must not change it."""
    folder = tmp_path_factory.mktemp("made")
    words = [
        "align",
        "--corpus",
        str(make_corpus(folder / "videos")),
        "--out",
        str(folder / "out"),
        *FLAGS,
        *ALL,
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        assert cli.main([*words, "--workers", "1", "--quiet"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def expected(made: Path) -> dict[str, bytes]:
    """All of it that must be the same however it is made."""
    return contents(made)


@pytest.fixture
def align(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> Align:
    """Returns ``align(*flags, out="out")``: aligns the corpus, in segments of a second."""

    def run(*flags: str | Path, out: str = "out", **options: Any) -> Outcome:
        return mixtape(
            *("align", "--corpus", corpus, "--out", tmp_path / out, *FLAGS, *flags),
            **options,
        )

    return run


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open() as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_segments_with_their_frames(made: Path) -> None:
    names = sorted(path.stem for path in (made / AUDIO).iterdir())
    assert names == [
        *(f"s1_audio_delayed_500ms_{k:04d}" for k in range(3)),
        *(f"s1_cfr25_pcm16k_{k:04d}" for k in range(3)),
        *(f"s1_truncated_moov_first_{k:04d}" for k in range(2)),
        *(f"s1_vfr_aac16k_{k:04d}" for k in range(4)),
    ]
    for name in names:
        info = soundfile.info(made / AUDIO / f"{name}.wav")
        frames = sorted((made / FRAMES / name).iterdir())
        assert (info.samplerate, info.frames) == (16000, 640 * len(frames))
        assert [path.name for path in frames] == [f"{k:04d}.jpg" for k in range(len(frames))]


def test_flash_and_click_meet_in_the_segment(made: Path) -> None:
    for second in range(3):
        name = f"s1_cfr25_pcm16k_{second:04d}"
        samples, _ = soundfile.read(made / AUDIO / f"{name}.wav", dtype="float32")
        assert clicks(samples, 16000) == [7681]
        pictures = [
            np.asarray(Image.open(path).convert("L")) for path in sorted((made / FRAMES / name).iterdir())
        ]
        assert [k for k, luma in enumerate(pictures) if is_flash(luma)] == [12]
        assert [counter(luma) for luma in pictures] == list(range(25 * second, 25 * second + 25))


def test_archives_hold_sound_frames_and_the_map(made: Path) -> None:
    folder = made / "aligned/webdataset/wav16k/max"
    with tarfile.open(folder / "all-000000.tar") as archive:
        members = {member.name: archive.extractfile(member) for member in archive}
        key = "s1_audio_delayed_500ms_0002"
        facts = json.loads(members[f"{key}.json"].read())  # type: ignore[union-attr]
        pictures = [members[f"{key}.{k:04d}.jpg"].read() for k in range(25)]  # type: ignore[union-attr]
    assert facts["frame_sources"] == list(range(50, 75))
    assert facts["frame_times_s"] == pytest.approx([k / 25 for k in range(50, 75)])
    assert (facts["fps"], facts["frame_start"], facts["sample_start"]) == ("25", 50, 32000)
    assert (facts["av_start_offset_s"], facts["flags"]) == (0.436, "offset")
    shown = [counter(np.asarray(Image.open(BytesIO(data)).convert("L"))) for data in pictures]
    assert shown == facts["frame_sources"]


def test_arrays_in_all_formats(align: Align, tmp_path: Path) -> None:
    outcome = align(*ALL, "--frames", "npy", "--crop", "64x64", "--size", "16x12")
    assert outcome.status == 0, outcome.err
    found = np.load(tmp_path / "out" / FRAMES / "s1_cfr25_pcm16k_0001/frames.npy")
    assert (found.shape, found.dtype) == ((25, 12, 16, 3), np.uint8)
    with tarfile.open(tmp_path / "out/aligned/webdataset/wav16k/max/all-000000.tar") as archive:
        assert "s1_audio_delayed_500ms_0000.npy" in archive.getnames()
    features = json.loads(
        (tmp_path / "out/aligned/tfrecord/aligned_wav16k_max/1.0.0/features.json").read_text()
    )
    assert {"frames", "frame_sources", "frame_times_s"} <= features["featuresDict"]["features"].keys()


def test_the_sync_record_of_every_file(align: Align, tmp_path: Path) -> None:
    outcome = align()
    assert outcome.status == 0, outcome.err
    assert "planned 14 = written 12 + rejected 2" in outcome.out
    assert f"sync record of every file: {tmp_path / 'out' / SYNC}" in outcome.out
    found = rows(tmp_path / "out" / SYNC)
    assert list(found) == [
        "broken.mp4",
        "no_audio.mp4",
        *(
            f"s1/{name}"
            for name in (
                "audio_delayed_500ms.mp4",
                "cfr25_pcm16k.mov",
                "truncated_moov_first.mp4",
                "vfr_aac16k.mp4",
            )
        ),
    ]
    assert found["no_audio.mp4"]["problem"] == "has no sound (its streams: video)"
    columns = ("pictures_promised", "pictures_found", "pictures_decoded", "segments_written", "flags")
    assert [found["s1/truncated_moov_first.mp4"][name] for name in columns] == [
        "75",
        "41",
        "41",
        "2",
        "truncated damaged",
    ]
    assert [found["s1/vfr_aac16k.mp4"][name] for name in columns] == ["60", "60", "60", "4", "variable_rate"]
    delayed = found["s1/audio_delayed_500ms.mp4"]
    assert (delayed["av_start_offset_s"], delayed["gap_samples"], delayed["fps"]) == (
        "0.436000",
        "6976",
        "25",
    )
    assert "offset: s1/audio_delayed_500ms.mp4: its sound begins +436 ms after its pictures" in outcome.err


def test_files_that_cannot_serve_are_rejected_with_reasons(align: Align, tmp_path: Path) -> None:
    outcome = align("--max-rejects", "0")
    assert outcome.status == 1
    assert "2 of 14 items rejected" in outcome.err
    text = (tmp_path / "out/_mixtape/rejects.csv").read_text()
    assert (
        "no_audio_0000,video:no_audio.mp4,open,has no sound (its streams: video),name files with sound only"
        in text
    )
    assert "broken_0000,video:broken.mp4,open,is not a video file or is damaged (Invalid data found" in text


def damage(corpus: Path) -> Path:
    """Makes one packet of pictures of a clip undecodable, which its index does not show."""
    path = corpus / "s1/cfr25_pcm16k.mov"
    path.write_bytes(damaged(path, stream="video", number=40))
    return path


def test_a_damaged_segment_is_rejected_and_the_others_are_not(
    align: Align, corpus: Path, tmp_path: Path
) -> None:
    damage(corpus)
    outcome = align("--max-rejects", "4")
    assert "planned 14 = written 10 + rejected 4" in outcome.out
    left = sorted(path.stem for path in (tmp_path / "out" / AUDIO).glob("*cfr25*"))
    assert left == ["s1_cfr25_pcm16k_0000"]
    assert not (tmp_path / "out" / FRAMES / "s1_cfr25_pcm16k_0001").exists()
    assert "11 of 25 frames cannot be made" in (tmp_path / "out/_mixtape/rejects.csv").read_text()


def test_or_its_good_beginning_is_kept(align: Align, corpus: Path, tmp_path: Path) -> None:
    damage(corpus)
    assert "written 11 + rejected 3" in align("--max-rejects", "3", "--damaged", "prefix").out
    assert soundfile.info(tmp_path / "out" / AUDIO / "s1_cfr25_pcm16k_0001.wav").frames == 14 * 640
    assert len(list((tmp_path / "out" / FRAMES / "s1_cfr25_pcm16k_0001").iterdir())) == 14


def test_a_clip_that_became_damaged_loses_its_files(align: Align, corpus: Path, tmp_path: Path) -> None:
    align()
    assert (tmp_path / "out" / FRAMES / "s1_cfr25_pcm16k_0001").exists()
    damage(corpus)
    align("--max-rejects", "4")
    assert not (tmp_path / "out" / FRAMES / "s1_cfr25_pcm16k_0001").exists()
    assert not (tmp_path / "out" / AUDIO / "s1_cfr25_pcm16k_0001.wav").exists()


def test_counting_equals_timestamps_on_clean_clips(mixtape: Mixtape, tmp_path: Path) -> None:
    root = tmp_path / "clean"
    root.mkdir()
    shutil.copy(GOLDEN / "cfr25_pcm16k.mov", root)
    for k in range(2):
        noise = np.random.default_rng(k).integers(-9000, 9000, 32000, dtype=np.int16)
        write_clip(root / f"made{k}.mov", noise, pictures=50, seed=k)
    for out, flags in (("timed", ()), ("counted", ("--ignore-timestamps",))):
        assert mixtape("align", "--corpus", root, "--out", tmp_path / out, *ALL, *flags).status == 0
    timed, counted = (contents(tmp_path / out) for out in ("timed", "counted"))
    assert {name for name in timed if timed[name] != counted.get(name)} == {
        "_mixtape/ledger/shard-aligned-all-000000.json",
        "_mixtape/parts/aligned-all.json",
        "_mixtape/plan/aligned-all.parquet",
    }
    assert timed.keys() == counted.keys()


# The same bytes, kept and resumed.


def test_running_modes(
    align: Align, expected: dict[str, bytes], tmp_path: Path, beam_mode: list[str]
) -> None:
    flags = [flag for flag in beam_mode if not flag.startswith("--runner")]
    assert align(*ALL, *flags).status == 0
    assert contents(tmp_path / "out") == expected


def test_another_copy_of_the_corpus(
    align: Align, mixtape: Mixtape, expected: dict[str, bytes], corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "copy", copy_function=shutil.copyfile)
    mixtape("align", "--corpus", tmp_path / "copy", "--out", tmp_path / "out", *ALL, *FLAGS)
    assert contents(tmp_path / "out") == expected


def test_the_same_command_again_does_nothing(align: Align, tmp_path: Path) -> None:
    align(*ALL)
    before = identities(tmp_path / "out")
    assert "nothing to do" in align(*ALL).out
    assert changed(before, tmp_path / "out") == set()


def test_only_the_shard_of_a_changed_clip_is_made_anew(
    align: Align, corpus: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    align(*ALL)
    before = identities(tmp_path / "out")
    shutil.copy(corpus / "s1/vfr_aac16k.mp4", corpus / "s1/cfr25_pcm16k.mov")
    assert "1 shard made" in align(*ALL).out
    touched = {name for name in changed(before, tmp_path / "out") if name.startswith("_mixtape/ledger/")}
    assert touched == {"_mixtape/ledger/shard-aligned-all-000001.json"}
    shutil.copy(GOLDEN / "cfr25_pcm16k.mov", corpus / "s1/cfr25_pcm16k.mov")
    align(*ALL, "--prune")
    assert contents(tmp_path / "out") == expected


def test_segments_of_a_file_share_a_shard(made: Path) -> None:
    folder = made / "_mixtape/ledger"
    ledgers = [ShardLedger.from_json(path.read_bytes()) for path in sorted(folder.iterdir())]
    assert [len(ledger.items) for ledger in ledgers] == [3, 3, 2, 4]
    assert [list(ledger.sources) for ledger in ledgers] == [
        [f"video:s1/{name}"]
        for name in (
            "audio_delayed_500ms.mp4",
            "cfr25_pcm16k.mov",
            "truncated_moov_first.mp4",
            "vfr_aac16k.mp4",
        )
    ]


def test_other_options_make_all_anew(align: Align, tmp_path: Path) -> None:
    align()
    assert "4 shards made" in align("--rule", "nearest").out
    assert "4 shards made" in align("--rule", "nearest", "--size", "8x8").out
    assert "nothing to do" in align("--rule", "nearest", "--size", "8x8").out


def test_a_killed_run_is_gone_on_with(
    made: Path, align: Align, corpus: Path, tmp_path: Path, repository: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "align",
        "--corpus",
        str(corpus),
        "--out",
        str(tmp_path / "out"),
    ]
    flags = [*FLAGS, *ALL, "--workers", "1", "--quiet"]
    process = subprocess.Popen([*command, *flags], cwd=repository, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    ledgers = tmp_path / "out/_mixtape/ledger"
    while not (ledgers.is_dir() and any(ledgers.iterdir())):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.003)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / SYNC).exists()
    assert align(*ALL).status == 0
    assert contents(tmp_path / "out") == contents(made)
    assert files(tmp_path / "out") == files(made)


def test_verify(align: Align, mixtape: Mixtape, tmp_path: Path) -> None:
    align(*ALL)
    outcome = mixtape("verify", tmp_path / "out", "--all")
    assert (outcome.status, "12 items" in outcome.out, "0 mismatches" in outcome.out) == (0, True, True)
    picture = tmp_path / "out" / FRAMES / "s1_vfr_aac16k_0002/0007.jpg"
    data = bytearray(picture.read_bytes())
    data[-3] ^= 1
    picture.write_bytes(data)
    outcome = mixtape("verify", tmp_path / "out", "--all")
    assert (outcome.status, "s1_vfr_aac16k_0002" in outcome.out) == (1, True)


def test_other_stores(mixtape: Mixtape, corpus: Path) -> None:
    tree = storage.OutputTree("memory://align-videos")
    for name in files(corpus):
        tree.write(name, (corpus / name).read_bytes())
    flags = ("--segment", "1", "--max-rejects", "2")
    outcome = mixtape("align", "--corpus", tree.root, "--out", "memory://align-out", *flags)
    assert outcome.status == 0, outcome.err
    made = storage.OutputTree("memory://align-out")
    assert len(made.names(AUDIO)) == 12
    assert made.exists(SYNC)
    assert (
        "nothing to do" in mixtape("align", "--corpus", tree.root, "--out", "memory://align-out", *flags).out
    )


def test_what_is_known_of_the_files_is_of_one_copy_only() -> None:
    assert PROBES_PATH.startswith(UNEQUAL)


# Bad usage.


def test_all_problems_at_once(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape(
        *("align", "--corpus", tmp_path / "none", "--rate", "16k", "--fps", "0", "--rule", "last"),
        *("--tail", "cut", "--frames", "png", "--size", "96", "--segment", "0.01", "--formats", "mp4"),
    )
    assert outcome.status == 2
    starts = [problem.split(":")[0].split(" ")[0] for problem in outcome.problems]
    assert sorted(starts) == sorted(
        [
            "--corpus",
            "--out",
            "--rate",
            "--fps",
            "--rule",
            "--tail",
            "--frames",
            "--size",
            "--segment",
            "--formats",
        ]
    )


@pytest.mark.parametrize("segment", ["x", "-1", "0", "0.03", "1/0"])
def test_segments_of_no_length(mixtape: Mixtape, corpus: Path, tmp_path: Path, segment: str) -> None:
    outcome = mixtape("align", "--corpus", corpus, "--out", tmp_path / "out", f"--segment={segment}")
    (problem,) = outcome.problems
    assert problem == f"--segment {segment}: wanted seconds, at least one frame (0.04 s)"


def test_a_folder_without_videos(mixtape: Mixtape, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for words in ([], ["--dry-run"]):
        outcome = mixtape("align", "--corpus", tmp_path / "videos", "--out", tmp_path / "out", *words)
        assert outcome.status == 2
        assert "holds no video file (looked for .mp4" in outcome.err
        assert not (tmp_path / "out").exists()


def test_files_that_are_known_are_not_looked_at_again(align: Align, corpus: Path) -> None:
    first = align().out
    assert "looking at the files" in first
    assert "  aligned-all: 12 segments" in first
    assert "looking at the files" not in align().out
    assert "looking at the files" in align("--force").out
    (corpus / "broken.mp4").unlink()
    outcome = align()
    assert "looking at the files" in outcome.out
    assert "rejected 1" in outcome.out
    (corpus / "broken.mp4").write_text("still not a video")
    assert "looking at the files" in align().out


def test_the_corpus_is_not_written_into(mixtape: Mixtape, corpus: Path) -> None:
    outcome = mixtape("align", "--corpus", corpus, "--out", corpus)
    assert (outcome.status, "is the corpus root video itself" in outcome.err) == (2, True)


def test_a_dry_run_writes_nothing(align: Align, tmp_path: Path) -> None:
    outcome = align("--dry-run")
    assert outcome.status == 0
    assert "6 files, " in outcome.out
    assert "about 12 segments, by 6 files looked at" in outcome.out
    assert "would reject: video:no_audio.mp4 has no sound" in outcome.out
    assert not (tmp_path / "out").exists()


def test_help_states_defaults(mixtape: Mixtape) -> None:
    text = " ".join(mixtape("align", "--help", workers=None).out.split())
    for default in ("(default: 16000)", "(default: 25)", "(default: hold)", "(default: whole files)"):
        assert default in text
    assert "(default: )" not in text


def test_the_licence_of_the_videos_can_be_stated(align: Align, tmp_path: Path) -> None:
    align("--licence", "video=CC BY 4.0")
    assert "license: cc-by-4.0" in (tmp_path / "out" / "README.md").read_text()
    outcome = align("--licence", "videos=CC BY 4.0")
    assert (outcome.status, "--licence videos=CC BY 4.0: wanted ROOT=TEXT" in outcome.err) == (2, True)
