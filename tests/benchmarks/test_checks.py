"""That both sides made the same is really checked: one changed value, byte or file is found."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import published, start
from benchmarks.comparing import UnequalError
from benchmarks.corpora import checksums
from benchmarks.headers import check_lengths
from benchmarks.planning import check_gains, listings
from benchmarks.rebuild import check_unchanged, stamps
from benchmarks.rendering import check_equal, check_members
from tests.trees import make_corpus, render
from transforms.planning.librimix import pair

GAINS = [[0.5, 0.75, 1.25], [1.0, 2.0, 0.1]]


def test_gains_agree_to_twelve_digits() -> None:
    check_gains(GAINS, [[value * (1 + 5e-13) for value in row] for row in GAINS])
    with pytest.raises(UnequalError, match="the gains differ"):
        check_gains(GAINS, [[0.5, 0.75, 1.25], [1.0, 2.0, 0.1 * (1 + 5e-12)]])
    with pytest.raises(UnequalError, match="the gains differ"):
        check_gains(GAINS, GAINS[:1])


@pytest.mark.parametrize("theirs", [{"a": 1, "b": 3}, {"a": 1}, {}])
def test_lengths_of_all_files_agree(theirs: dict[str, int]) -> None:
    check_lengths({"a": 1, "b": 2}, {"a": 1, "b": 2})
    with pytest.raises(UnequalError, match="the lengths of the files differ"):
        check_lengths({"a": 1, "b": 2}, theirs)


def test_nothing_read_is_not_equal() -> None:
    with pytest.raises(UnequalError, match="the lengths"):
        check_lengths({}, {})


@pytest.mark.parametrize("speakers", [2, 3])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_ways_to_pair_draw_the_same(speakers: int, seed: int) -> None:
    speech, noises = listings(80)
    plain = published.pair(speech, noises, speakers=speakers, wanted=80, stream=random.Random(seed))
    ours = pair(speech, noises, speakers=speakers, dev_test_size=80, stream=random.Random(seed))
    assert plain == ours
    assert len(ours) == 80


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: touch(folder / "a.wav"),
        lambda folder: (folder / "a.wav").unlink(),
        lambda folder: (folder / "new.csv").write_bytes(b""),
        lambda folder: (folder / "below/b.json").write_bytes(b"{ }"),
    ],
)
def test_every_file_that_a_rebuild_touches_is_found(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "below").mkdir()
    for name in ("a.wav", "below/b.json", "history.jsonl"):
        (tmp_path / name).write_bytes(b"{}")
    before = stamps(tmp_path)
    (tmp_path / "history.jsonl").write_bytes(b"{}\n{}")
    check_unchanged(before, stamps(tmp_path))
    change(tmp_path)
    with pytest.raises(UnequalError, match="an unchanged corpus was changed"):
        check_unchanged(before, stamps(tmp_path))


def test_a_corpus_without_any_file_is_not_unchanged() -> None:
    with pytest.raises(UnequalError, match="it is empty"):
        check_unchanged({}, {})


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """An output of a run in all formats."""
    corpus = make_corpus(tmp_path / "corpora", mixtures=2)
    render(corpus.job(tmp_path / "out"), corpus.mixtures)
    return tmp_path / "out"


def spoil(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


def test_one_changed_byte_of_a_wav_file_is_found(made: Path, tmp_path: Path) -> None:
    check_equal(made, made)
    copy = tmp_path / "copy"
    for name in checksums(made):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((made / name).read_bytes())
    check_equal(made, copy)
    spoil(copy / min(checksums(copy)), -1)
    with pytest.raises(UnequalError, match="the WAV files of out and copy differ"):
        check_equal(made, copy)


def test_outputs_without_wav_files_are_not_equal(tmp_path: Path) -> None:
    with pytest.raises(UnequalError, match="the WAV files"):
        check_equal(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("pattern", "place", "message"),
    [
        ("*.tar", 1024 + 600, "the archives hold other samples"),
        ("*.wav", -1, "the archives hold other samples"),
        ("*.tfrecord-*", -1, "the records are others than the ledgers name"),
    ],
)
def test_archives_and_records_are_compared_with_the_wav_files(
    made: Path, pattern: str, place: int, message: str
) -> None:
    check_members(made)
    spoil(made / min(checksums(made, pattern)), place)
    with pytest.raises(UnequalError, match=message):
        check_members(made)


def test_the_help_imports_nothing_that_only_jobs_need(monkeypatch: pytest.MonkeyPatch) -> None:
    start.check_imports()
    monkeypatch.setattr(start, "HELP", (*start.HELP[:2], "benchmarks.start"))
    monkeypatch.setattr(start, "HEAVY", frozenset({"benchmarks.comparing"}))
    with pytest.raises(UnequalError, match=r"the help imports benchmarks\.comparing"):
        start.check_imports()
