"""``mixtape metadata lrs3`` and ``mixtape maskers avse``: from videos to lists and long recordings."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests import trees
from tests.clips import write_clip
from tests.pipelines.conftest import Mixtape

LENGTHS = {
    "pretrain/ann/00001.mp4": 9000,
    "trainval/ann/50002.mp4": 9100,
    "trainval/bob/50001.mp4": 9200,
    "pretrain/bob/00001.mp4": 9300,
    "pretrain/joe/00001.mp4": 9400,
}
DURATIONS = "ann 600\nbob 400\nc 401\nd 402\ne 403\n"


def sound(path: str) -> Any:
    return np.random.default_rng(LENGTHS[path]).integers(-3000, 3000, LENGTHS[path], dtype=np.int16)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three speakers with five videos, and files that are none."""
    root = tmp_path / "LRS3"
    for path in LENGTHS:
        write_clip(root / path, sound(path), pictures=2)
    (root / "pretrain/ann/00001.txt").write_text("Text: HELLO\n")
    (root / "test").mkdir()
    return root


@pytest.fixture
def durations(tmp_path: Path) -> Path:
    path = tmp_path / "durations.txt"
    path.write_text(DURATIONS)
    return path


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / name).read_bytes())
    return rows


def rejects(out: Path) -> dict[str, str]:
    with (out / "_mixtape/rejects.csv").open(newline="") as file:
        return {row["item"]: row["reason"] for row in csv.DictReader(file)}


# --- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_lists_of_a_corpus(
    mixtape: Mixtape, corpus: Path, durations: Path, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    words = ["metadata", "lrs3", "--corpus", corpus, "--out", out, "--speaker-durations", durations]
    outcome = mixtape(*words, workers=workers)
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("listed 2 targets and 1 speech masker from 4 videos, rejected 0, in ")
    assert read(out, "target_speech_list.json") == [
        {
            "wavfile": "pretrain/ann/00001",
            "speaker": "ann",
            "dataset": "train",
            "nsamples": 9000,
            "fs": 16000,
        },
        {
            "wavfile": "trainval/ann/50002",
            "speaker": "ann",
            "dataset": "train",
            "nsamples": 9100,
            "fs": 16000,
        },
    ]
    assert read(out, "masker_speech_list.json") == [
        {"speaker": "bob", "dataset": "train", "nsamples": 18_500, "fs": 16000, "type": "speech"}
    ]
    assert (out / "speakers.csv").read_text().splitlines()[1:] == [
        "600.0,ann,long,target,train",
        "400.0,bob,mid,masker,train",
    ]


def test_durations_are_measured_unless_given(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    outcome = mixtape("metadata", "lrs3", "--corpus", corpus, "--out", tmp_path / "out")
    assert outcome.status == 0
    assert outcome.out.startswith("listed 0 targets and 0 speech maskers from 5 videos, rejected 0")
    assert "; no speaker has enough talk (300 s), in " in outcome.out
    assert read(tmp_path / "out", "target_speech_list.json") == []


def test_what_cannot_be_listed_is_rejected(
    mixtape: Mixtape, corpus: Path, durations: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    durations.write_text(DURATIONS + "zoe 900\n")
    (corpus / "trainval/ann/50002.mp4").write_bytes(b"no video")
    words = ["metadata", "lrs3", "--corpus", corpus, "--out", out, "--speaker-durations", durations]
    outcome = mixtape(*words)
    assert outcome.only_rejected
    assert len(read(out, "target_speech_list.json")) == 1
    found = rejects(out)
    assert found.keys() == {"trainval/ann/50002.mp4", "zoe"}
    assert found["zoe"] == "the target speaker has no video that can be decoded"
    assert mixtape(*words, "--force", "--max-rejects", "2").status == 0


def test_lists_that_are_there_stay(mixtape: Mixtape, corpus: Path, durations: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["metadata", "lrs3", "--corpus", corpus, "--out", out, "--speaker-durations", durations]
    assert mixtape(*words).status == 0
    before = trees.identities(out)
    outcome = mixtape(*words)
    assert outcome.out == f"nothing to do: all lists are in {out} already (--force makes them anew)\n"
    assert trees.changed(before, out) == set()


def test_a_dry_run_of_lists(mixtape: Mixtape, corpus: Path, durations: Path, tmp_path: Path) -> None:
    words = ["metadata", "lrs3", "--corpus", corpus, "--out", tmp_path / "out", "--dry-run"]
    assert mixtape(*words).out == "5 videos to measure\ndry run: nothing was written\n"
    outcome = mixtape(*words, "--speaker-durations", durations)
    assert outcome.out == "4 videos to measure\ndry run: nothing was written\n"
    assert not (tmp_path / "out").exists()


def test_what_listing_refuses(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    flags = ["--out", tmp_path / "out"]
    outcome = mixtape("metadata", "lrs3", "--corpus", corpus / "pretrain", *flags)
    assert outcome.status == 2
    assert outcome.problems[0].startswith(f"{corpus}/pretrain: is not LRS3: looked for folders pretrain")
    durations = tmp_path / "other.txt"
    durations.write_text("nobody 900\n")
    outcome = mixtape("metadata", "lrs3", "--corpus", corpus, *flags, "--speaker-durations", durations)
    wanted = f"{corpus}: holds no video of a wanted speaker (looked for <set>/<speaker>/*.mp4)"
    assert (outcome.status, outcome.problems) == (2, [wanted])
    durations.write_text("nobody\n")
    outcome = mixtape("metadata", "lrs3", *flags, "--speaker-durations", durations)
    assert outcome.status == 2
    assert outcome.problems == [
        "--corpus is needed; see mixtape metadata lrs3 --help",
        f"{durations}, line 1: 'nobody'; wanted a speaker and seconds",
    ]


# --- maskers -----------------------------------------------------------------------------------


def write_list(folder: Path, **lengths: int) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [{"speaker": name, "dataset": "train", "nsamples": length} for name, length in lengths.items()]
    (folder / "masker_speech_list.json").write_text(json.dumps(rows))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_maskers_are_sorted_by_path(mixtape: Mixtape, corpus: Path, tmp_path: Path, workers: int) -> None:
    lists, out = write_list(tmp_path / "lists", bob=18_500, joe=9_400), tmp_path / "out"
    outcome = mixtape("maskers", "avse", "--lrs3", corpus, "--metadata", lists, "--out", out, workers=workers)
    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith("wrote 2 maskers, rejected 0, in ")
    assert [name for name in trees.files(out) if name.endswith(".wav")] == ["bob.wav", "joe.wav"]
    samples, rate_hz = soundfile.read(out / "bob.wav", dtype="int16")
    assert rate_hz == 16000
    pieces = [sound("pretrain/bob/00001.mp4"), sound("trainval/bob/50001.mp4")]
    assert np.array_equal(samples, np.concatenate(pieces))
    assert soundfile.info(out / "bob.wav").subtype == "PCM_16"


@pytest.mark.golden
def test_the_published_maskers(mixtape: Mixtape, shared_golden: Path, tmp_path: Path) -> None:
    inputs = shared_golden / "avse/inputs"
    words = ["maskers", "avse", "--lrs3", inputs / "LRS3", "--metadata", inputs / "metadata"]
    assert mixtape(*words, "--out", tmp_path).status == 0
    for path in (inputs / "maskers_speech").iterdir():
        found, expected = (soundfile.read(one, dtype="int16")[0] for one in (tmp_path / path.name, path))
        assert len(found) == len(expected)
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_only_what_is_missing_is_made(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    lists, out = write_list(tmp_path / "lists", bob=18_500, joe=9_400), tmp_path / "out"
    words = ["maskers", "avse", "--lrs3", corpus, "--metadata", lists, "--out", out]
    assert mixtape(*words).status == 0
    before = trees.identities(out)
    nothing = f"nothing to do: all maskers are in {out} already (--force makes them anew)\n"
    assert mixtape(*words).out == nothing
    with (out / "joe.wav").open("r+b") as file:
        file.truncate(500)
    assert mixtape(*words).out.startswith("wrote 1 masker, rejected 0")
    assert (out / "joe.wav").stat().st_size == 44 + 2 * 9_400
    assert {name for name in trees.changed(before, out) if name.endswith(".wav")} == {"joe.wav"}
    assert mixtape(*words, "--force").out.startswith("wrote 2 maskers, rejected 0")


def test_maskers_that_cannot_be_made_are_rejected(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    lists, out = write_list(tmp_path / "lists", bob=18_501, joe=9_400, zoe=10), tmp_path / "out"
    outcome = mixtape("maskers", "avse", "--lrs3", corpus, "--metadata", lists, "--out", out)
    assert outcome.only_rejected
    assert rejects(out) == {
        "bob": "the 2 videos have 18500 samples, masker_speech_list.json says 18501",
        "zoe": "the 0 videos have 0 samples, masker_speech_list.json says 10",
    }
    assert [name for name in trees.files(out) if name.endswith(".wav")] == ["joe.wav"]


def test_a_dry_run_of_maskers(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    lists, out = write_list(tmp_path / "lists", bob=18_500), tmp_path / "out"
    outcome = mixtape("maskers", "avse", "--lrs3", corpus, "--metadata", lists, "--out", out, "--dry-run")
    assert outcome.out == f"1 masker to make in {out}\ndry run: nothing was written\n"
    assert not out.exists()


def test_what_making_maskers_refuses(mixtape: Mixtape, corpus: Path, tmp_path: Path) -> None:
    outcome = mixtape("maskers", "avse")
    assert outcome.status == 2
    assert outcome.problems == [
        f"--{name} is needed; see mixtape maskers avse --help" for name in ("lrs3", "metadata", "out")
    ]
    flags = ["--lrs3", corpus, "--out", tmp_path / "out"]
    (tmp_path / "empty").mkdir()
    outcome = mixtape("maskers", "avse", *flags, "--metadata", tmp_path / "empty")
    assert outcome.problems == [
        f"{tmp_path}/empty/masker_speech_list.json: no such file or folder; check the path"
    ]
    lists = write_list(tmp_path / "lists")
    outcome = mixtape("maskers", "avse", *flags, "--metadata", lists)
    assert outcome.problems[0].startswith("masker_speech_list.json: names no speaker")
    lists = write_list(tmp_path / "lists", **{"../x": 5, "a/b": 6})
    outcome = mixtape("maskers", "avse", *flags, "--metadata", lists)
    assert outcome.status == 2
    assert [problem.split("; ")[0].split(" cannot")[0] for problem in outcome.problems] == [
        "masker_speech_list.json: the speaker '../x'",
        "masker_speech_list.json: the speaker 'a/b'",
    ]
