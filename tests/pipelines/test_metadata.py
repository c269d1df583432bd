"""The metadata job on small corpora, good and bad."""

import csv
import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline

from pipelines.metadata import MetadataOptions, build
from transforms import listing
from transforms.storage import OutputTree

SPEECH = ("train-clean-100", "train-clean-360", "dev-clean", "test-clean")
SPEAKERS = "; comment\n" * 11 + ";ID | SEX\n7 | F | dev-clean | 1 | A\n8 | M | dev-clean | 1 | B\n"


def write(path: Path, frames: int, rate_hz: int = 16000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(frames, dtype=np.int16), rate_hz)


def run(options: MetadataOptions, flags: list[str] | None = None) -> dict[str, int]:
    """Runs the job and returns its counters."""
    with test_pipeline.TestPipeline(options=PipelineOptions(flags or ["--runner=FnApiRunner"])) as pipeline:
        build(pipeline, options)
    found = pipeline.result.metrics().query()["counters"]
    return {
        counter.key.metric.name: counter.committed
        for counter in found
        if counter.key.metric.namespace == "metadata"
    }


def rejected(out: Path) -> dict[str, str]:
    with (out / "_mixtape" / "rejects.csv").open(newline="") as file:
        return {row["item"]: row["reason"] for row in csv.DictReader(file)}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden" / "listings"


@pytest.fixture
def librispeech(tmp_path: Path, golden: Path) -> Path:
    """A corpus with the lengths of the golden listings, and some files too short for them."""
    root = tmp_path / "LibriSpeech"
    for subset in SPEECH:
        for row in listing.read_utterances(str(golden / "LibriSpeech" / f"{subset}.csv")):
            write(root / row.path, row.length_samples)
    write(root / "train-clean-100/19/198/19-198-0100.flac", 47999)
    write(root / "dev-clean/84/1/84-1-0000.flac", 1)
    (root / "SPEAKERS.TXT").write_bytes((golden / "SPEAKERS.TXT").read_bytes())
    return root


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A corpus of the layout of LibriSpeech with two readers and three utterances."""
    root = tmp_path / "small"
    for name, frames in (("7/1/7-1-0.flac", 50000), ("8/1/8-1-1.flac", 49000), ("8/1/8-1-0.flac", 49000)):
        write(root / "dev-clean" / name, frames)
    (root / "SPEAKERS.TXT").write_text(SPEAKERS)
    return root


def test_librispeech_listings_equal_the_published_form(
    beam_mode: list[str], librispeech: Path, golden: Path, tmp_path: Path
) -> None:
    options = MetadataOptions("librispeech", str(librispeech), str(tmp_path / "out"))
    assert options.check() == []
    assert run(options, beam_mode) == {"listed": 27, "written": 25, "too_short": 2, "rejected": 0}
    assert files(tmp_path / "out") == sorted(f"{subset}.csv" for subset in SPEECH)
    for subset in SPEECH:
        made, expected = tmp_path / "out" / f"{subset}.csv", golden / "LibriSpeech" / f"{subset}.csv"
        assert made.read_bytes() == expected.read_bytes()


def test_wham_listings_equal_the_published_form(beam_mode: list[str], golden: Path, tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        for row in listing.read_noises(str(golden / "Wham_noise" / f"{name}.csv")):
            write(tmp_path / "wham" / row.path, row.length_samples)
    options = MetadataOptions("wham", str(tmp_path / "wham"), str(tmp_path / "out"))
    assert options.check() == []
    assert run(options, beam_mode) == {"listed": 22, "written": 22, "rejected": 0}
    for name in ("train", "dev", "test"):
        made, expected = tmp_path / "out" / f"{name}.csv", golden / "Wham_noise" / f"{name}.csv"
        assert made.read_bytes() == expected.read_bytes()


@pytest.mark.golden
@pytest.mark.parametrize(("kind", "corpus"), [("librispeech", "LibriSpeech"), ("wham", "wham_noise")])
def test_listings_of_the_full_golden_corpus(
    shared_golden: Path, tmp_path: Path, kind: Any, corpus: str
) -> None:
    folder = shared_golden / "librimix"
    options = MetadataOptions(kind, str(folder / "corpus" / corpus), str(tmp_path))
    assert options.check() == []
    run(options)
    expected = folder / "metadata" / {"wham": "Wham_noise"}.get(kind, corpus)
    assert files(tmp_path) == files(expected)
    for name in files(expected):
        assert (tmp_path / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.golden
def test_listings_of_the_golden_noises_before_augmentation(shared_golden: Path, tmp_path: Path) -> None:
    folder = shared_golden / "librimix"
    noises = folder / "corpus" / "wham_noise"
    for path in noises.rglob("*.wav"):
        if not path.stem.endswith(("sp08", "sp12")):
            target = tmp_path / "wham" / path.relative_to(noises)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)
    run(MetadataOptions("wham", str(tmp_path / "wham"), str(tmp_path / "out")))
    expected = folder / "metadata" / "Wham_noise_before_augmentation"
    assert files(tmp_path / "out") == files(expected)
    for name in files(expected):
        assert (tmp_path / "out" / name).read_bytes() == (expected / name).read_bytes()


def test_equal_lengths_are_sorted_by_path(small: Path, tmp_path: Path) -> None:
    run(MetadataOptions("librispeech", str(small), str(tmp_path / "out")))
    rows = listing.read_utterances(str(tmp_path / "out" / "dev-clean.csv"))
    assert [row.path[-10:] for row in rows] == ["8-1-0.flac", "8-1-1.flac", "7-1-0.flac"]
    assert [row.length_samples for row in rows] == [49000, 49000, 50000]


def test_listings_that_are_there_are_kept_unless_forced(librispeech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "dev-clean.csv").write_text("mine")
    options = MetadataOptions("librispeech", str(librispeech), str(out))
    assert options.work.listings == ("test-clean.csv", "train-clean-100.csv", "train-clean-360.csv")
    run(options)
    assert (out / "dev-clean.csv").read_text() == "mine"
    again = dataclasses.replace(options)
    assert again.work.listings == ()
    assert again.check() == []
    assert run(again) == {}
    forced = MetadataOptions("librispeech", str(librispeech), str(out), subsets=("dev-clean",), force=True)
    assert run(forced)["written"] == 2
    assert (out / "dev-clean.csv").read_text().startswith("speaker_ID,")


def test_only_the_subsets_asked_for_are_listed(librispeech: Path, tmp_path: Path) -> None:
    options = MetadataOptions("librispeech", str(librispeech), str(tmp_path / "out"), subsets=("test-clean",))
    run(options)
    assert files(tmp_path / "out") == ["test-clean.csv"]


def test_unusable_files_are_rejected_and_the_others_listed(
    beam_mode: list[str], small: Path, tmp_path: Path
) -> None:
    folder, out = small / "dev-clean" / "7" / "1", tmp_path / "out"
    write(folder / "7-1-1.flac", 50000, rate_hz=8000)
    (folder / "7-1-2.flac").write_text("words")
    (folder / "7-1-3.flac").touch()
    os.symlink(folder / "nowhere", folder / "7-1-4.flac")
    options = MetadataOptions("librispeech", str(small), str(out))
    assert options.check() == []
    counts = run(options, beam_mode)
    found = rejected(out)
    assert counts["listed"] == counts["written"] + counts["rejected"] == 3 + len(found)
    assert {path[-10:]: reason.partition(" (")[0] for path, reason in found.items()} == {
        "7-1-1.flac": "has 8000 Hz, wanted 16000 Hz",
        "7-1-2.flac": "is not decodable audio or is damaged",
        "7-1-3.flac": "the file is empty",
        "7-1-4.flac": "no such file",
    }
    assert len(listing.read_utterances(str(out / "dev-clean.csv"))) == 3


def test_rejects_vanish_when_a_forced_rerun_has_none(small: Path, tmp_path: Path) -> None:
    bad, out = small / "dev-clean" / "7-1-9.flac", tmp_path / "out"
    bad.touch()
    run(MetadataOptions("librispeech", str(small), str(out)))
    assert list(rejected(out)) == ["dev-clean/7-1-9.flac"]
    bad.unlink()
    run(MetadataOptions("librispeech", str(small), str(out)))
    assert list(rejected(out)) == ["dev-clean/7-1-9.flac"]
    run(MetadataOptions("librispeech", str(small), str(out), force=True))
    assert files(out) == ["dev-clean.csv"]


def test_a_listing_without_usable_files_has_its_header_line_only(tmp_path: Path) -> None:
    write(tmp_path / "wham" / "cv" / "a.wav", 47999)
    counts = run(MetadataOptions("wham", str(tmp_path / "wham"), str(tmp_path / "out")))
    assert counts["too_short"] == 1
    text = (tmp_path / "out" / "dev.csv").read_text()
    assert text == "noise_ID,subset,length,augmented,origin_path\n"


def test_any_folder_of_audio(beam_mode: list[str], tmp_path: Path) -> None:
    root = tmp_path / "any"
    write(root / "ann" / "b.wav", 8000, 8000)
    write(root / "bob" / "deep" / "a.ogg", 100)
    write(root / "x.wav", 5)
    options = MetadataOptions(
        "audio", str(root), str(tmp_path / "out"), speaker_pattern=r"^(?P<speaker>[^/]+)/"
    )
    assert options.check() == []
    assert run(options, beam_mode) == {"listed": 3, "written": 2, "rejected": 1}
    assert "finds no speaker in its path" in rejected(tmp_path / "out")["x.wav"]
    assert (tmp_path / "out" / "audio.csv").read_text() == (
        "path,rate_hz,channels,length_samples,duration_s,format,subtype,speaker\n"
        "ann/b.wav,8000,1,8000,1.0,WAV,PCM_16,ann\n"
        "bob/deep/a.ogg,16000,1,100,0.00625,OGG,VORBIS,bob\n"
    )


@pytest.mark.parametrize(("name", "head"), [("files.txt", ""), ("files.csv", "path\n")])
def test_a_manifest_of_audio(tmp_path: Path, name: str, head: str) -> None:
    root = tmp_path / "any"
    for audio in ("a.wav", "b/c.wav", "b/not-named.wav"):
        write(root / audio, 10)
    (root / name).write_text(f"{head}b/c.wav\na.wav\nb/none.wav\n")
    options = MetadataOptions("audio", str(root / name), str(tmp_path / "out"))
    assert options.check() == []
    assert run(options) == {"listed": 3, "written": 2, "rejected": 1}
    rows = listing.read_audio_files(str(tmp_path / "out" / "audio.csv"))
    assert [row.path for row in rows] == ["a.wav", "b/c.wav"]
    assert rejected(tmp_path / "out") == {"b/none.wav": "no such file"}


@pytest.mark.parametrize("source", ["manifest", "transcripts"])
def test_texts_come_into_the_listing_and_follow_their_source(
    tmp_path: Path, beam_mode: list[str], source: str
) -> None:
    root, out = tmp_path / "any", tmp_path / "out"
    for name in ("a", "b"):
        write(root / f"{name}.wav", 10)

    def say(second: str) -> None:
        (root / "x.trans.txt").write_text(f"a YES\nb {second}\n")
        (root / "files.csv").write_text(f"path,text\na.wav,YES\nb.wav,{second}\n")

    def options() -> MetadataOptions:
        table = source == "manifest"
        corpus = str(root / "files.csv") if table else str(root)
        return MetadataOptions("audio", corpus, str(out), transcripts=not table)

    for second in ("NO", "NEVER"):
        say(second)
        given = options()
        assert given.check() == []
        assert run(given, beam_mode)["written"] == 2
        rows = listing.read_audio_files(str(out / "audio.csv"))
        assert [row.text for row in rows] == ["YES", second]
        given.settle()
    assert options().outlook()[0].startswith("nothing to do")
    say("NO")
    assert options().outlook()[0].endswith("from 2 files")


@pytest.mark.parametrize(
    ("header", "flags", "problem"),
    [
        ("path,speaker", {"speaker_pattern": "(?P<speaker>.)"}, "--speaker-pattern: .* has a column speaker"),
        ("path,text", {"transcripts": True}, "--transcripts: .* has a column text"),
        ("path,licence", {"licence": "CC BY 4.0"}, "--licence: .* has a column licence"),
    ],
)
def test_what_is_told_twice_is_refused(
    tmp_path: Path, header: str, flags: dict[str, Any], problem: str
) -> None:
    (tmp_path / "files.csv").write_text(f"{header}\na.wav,x\n")
    (found,) = MetadataOptions("audio", str(tmp_path / "files.csv"), str(tmp_path / "out"), **flags).check()
    assert re.fullmatch(f"{problem}; leave one of them out", found)


def test_transcripts_of_corpora_whose_listings_hold_none(small: Path, tmp_path: Path) -> None:
    (found,) = MetadataOptions("librispeech", str(small), str(tmp_path / "out"), transcripts=True).check()
    assert found == "--transcripts: listings of librispeech hold no texts; leave it out"


def test_licences_of_corpora_that_have_known_ones(small: Path, tmp_path: Path) -> None:
    (found,) = MetadataOptions("librispeech", str(small), str(tmp_path / "out"), licence="MIT").check()
    assert found == "--licence: the licence of librispeech is known; leave it out"


def test_a_licence_comes_into_the_listing_and_another_makes_it_anew(tmp_path: Path) -> None:
    write(tmp_path / "any" / "a.wav", 10)
    for licence in ("CC BY 4.0", "CC BY-NC 4.0", ""):
        options = MetadataOptions("audio", str(tmp_path / "any"), str(tmp_path / "out"), licence=licence)
        assert options.check() == []
        assert run(options)["written"] == 1
        options.settle()
        (row,) = listing.read_audio_files(str(tmp_path / "out" / "audio.csv"))
        assert row.licence == licence
    assert "licence" not in (tmp_path / "out" / "audio.csv").read_text()


def test_transcripts_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "any" / "a.wav", 10)
    options = MetadataOptions("audio", str(tmp_path / "any"), str(tmp_path / "out"), transcripts=True)
    (found,) = options.check()
    assert "holds no transcripts; looked for *.trans.txt" in found


def test_a_corpus_and_listings_in_another_store(small: Path) -> None:
    tree = OutputTree("memory://metadata-job/corpus")
    for path in files(small):
        tree.write(path, (small / path).read_bytes())
    options = MetadataOptions("librispeech", "memory://metadata-job/corpus", "memory://metadata-job/out")
    assert options.check() == []
    assert run(options, ["--runner=FnApiRunner", "--direct_running_mode=in_memory"])["written"] == 3
    assert len(listing.read_utterances("memory://metadata-job/out/dev-clean.csv")) == 3


@pytest.mark.parametrize("kind", ["librispeech", "wham", "audio"])
def test_a_missing_corpus(tmp_path: Path, kind: Any) -> None:
    options = MetadataOptions(kind, str(tmp_path / "none"), str(tmp_path / "out"))
    assert options.check() == [f"{tmp_path / 'none'}: no such corpus; check the path"]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (
            "librispeech",
            "is not LibriSpeech: looked for the file SPEAKERS.TXT, found notes.txt; give the folder",
        ),
        ("wham", "is not WHAM: looked for a folder cv or tr or tt, found notes.txt; give the folder"),
        ("audio", "holds no audio; looked for .wav, .flac, .ogg, .mp3"),
    ],
)
def test_folders_that_are_not_the_corpus(tmp_path: Path, kind: Any, problem: str) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (found,) = MetadataOptions(kind, str(tmp_path), str(tmp_path / "out")).check()
    assert found.startswith(f"{tmp_path}: {problem}")


def test_an_empty_subset_is_a_problem(small: Path, tmp_path: Path) -> None:
    (small / "test-clean").mkdir()
    problems = MetadataOptions("librispeech", str(small), str(tmp_path / "out")).check()
    assert problems == [f"{small}/test-clean: holds no audio; looked for .flac at any depth"]


def test_unknown_readers_are_found_before_any_work(small: Path, tmp_path: Path) -> None:
    write(small / "dev-clean" / "9" / "9-1-0.flac", 50000)
    write(small / "dev-clean" / "x.flac", 50000)
    problems = MetadataOptions("librispeech", str(small), str(tmp_path / "out")).check()
    assert len(problems) == 2
    assert problems[0].startswith(
        "reader '9' of dev-clean/9/9-1-0.flac (1 files) is not in SPEAKERS.TXT; add"
    )
    assert not (tmp_path / "out").exists()


def test_a_malformed_speaker_table_is_named(small: Path, tmp_path: Path) -> None:
    (small / "SPEAKERS.TXT").write_text(SPEAKERS + "nine | F | dev-clean\n")
    (problem,) = MetadataOptions("librispeech", str(small), str(tmp_path / "out")).check()
    assert problem.startswith("SPEAKERS.TXT, line 15 ('nine | F | dev-clean'): wanted id")


@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("wham", {"subsets": ("tr",)}, "--subsets tr: only LibriSpeech has subsets; leave it out"),
        (
            "librispeech",
            {"subsets": ("dev", "dev-clean")},
            "--subsets: dev not known; known: dev-clean dev-other",
        ),
        ("librispeech", {"subsets": ("test-other",)}, "has no test-other; its subsets are dev-clean"),
        ("wham", {"speaker_pattern": "x"}, "--speaker-pattern: the paths of wham tell their speakers"),
        ("audio", {"speaker_pattern": "("}, "--speaker-pattern '(' is not a regular expression"),
        ("audio", {"speaker_pattern": "(x)"}, "--speaker-pattern '(x)' has no group named speaker"),
        (
            "audio",
            {"speaker_pattern": "(?P<speaker>Q)"},
            "speaker pattern '(?P<speaker>Q)' fits none of 3 paths",
        ),
    ],
)
def test_bad_options(small: Path, tmp_path: Path, kind: Any, options: Any, problem: str) -> None:
    (found,) = MetadataOptions(kind, str(small), str(tmp_path / "out"), **options).check()
    assert problem in found


def test_all_bad_options_are_named_together(small: Path, tmp_path: Path) -> None:
    options = MetadataOptions("wham", str(small), str(tmp_path), subsets=("tr",), speaker_pattern="x")
    assert len(options.check()) == 2


def test_a_file_is_not_a_corpus(small: Path, tmp_path: Path) -> None:
    url = str(small / "SPEAKERS.TXT")
    assert MetadataOptions("wham", url, str(tmp_path)).check() == [
        f"{url}: is a file; give the folder of the corpus"
    ]


def test_a_bad_manifest_is_found_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("../a.wav\n")
    (problem,) = MetadataOptions("audio", str(tmp_path / "m.txt"), str(tmp_path / "out")).check()
    assert "line 1: path '../a.wav' must be relative" in problem


def test_names_that_are_not_text_are_found_before_any_work(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/any"
    os.mkdir(folder)
    with open(folder + b"/\xff.wav", "wb"):
        pass
    (problem,) = MetadataOptions("audio", str(tmp_path / "any"), str(tmp_path / "out")).check()
    assert problem == r"'\udcff.wav': its name is not UTF-8; rename it"
