"""Checking an output: nothing to say of a good one, one line for whatever is not as it was made."""

import csv
import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trees import PART, SMALL, Corpus, make_corpus, mixture, render, write_noise
from transforms import ledger as ledgers
from transforms.finishing import read_summary
from transforms.inventory import INVENTORY_PATH, FileRecord
from transforms.plan import Shard
from transforms.sharding import RenderJob, store_plan
from transforms.storage import OutputTree
from transforms.verification import (
    FINDINGS_PATH,
    CheckResult,
    Mismatch,
    ShardCheck,
    check_files,
    check_output,
    check_shard,
    write_findings,
)

IDS = ("m0000", "m0001")
WAV = "Libri2Mix/wav8k/min/train-100/mix_clean/m0001.wav"
TAR = "Libri2Mix/webdataset/wav8k/max/train-100-000000.tar"
RECORD = "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-train-100.tfrecord-00000-of-00003"
GONE = "no such file or folder; check the path"
MISSING = "is missing; render again"
OTHER_BYTES = "its bytes are not those that were written; render with --force"
OTHER_FILE = "its bytes are not those that were written; remove it and render again"
OTHER_SAMPLES = "its samples are not those that were written; render with --force"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path / "corpora")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def job(corpus: Corpus, out: Path) -> RenderJob:
    """A rendered output of five mixtures in shards of two."""
    made = corpus.job(out)
    render(made, corpus.mixtures)
    return made


def check(job: RenderJob, index: int = 0, ids: tuple[str, ...] = IDS) -> CheckResult:
    summary = read_summary(job.tree, PART.name)
    assert summary is not None
    return check_shard(job, ShardCheck(Shard(PART, index, 3), ids, summary.ledgers[index]))


def flip(path: Path, offset: int) -> None:
    """Changes one bit of a byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_good_shard(job: RenderJob) -> None:
    streams, shard_files, ledger = 2 * 5, 2 * 3, 1
    assert check(job) == CheckResult(2, 2 * streams + shard_files + ledger, ())
    assert check(job, ids=("m0001",)) == CheckResult(1, streams + shard_files + ledger, ())
    assert check(job, 1, ()) == CheckResult(0, ledger, ())


def test_items_of_other_shards_are_not_its_business(job: RenderJob) -> None:
    assert check(job, 1, IDS).items == 0


@pytest.mark.parametrize("offset", [44, -1])
def test_a_changed_sample(job: RenderJob, out: Path, offset: int) -> None:
    flip(out / WAV, offset)
    assert check(job).mismatches == (Mismatch("m0001", WAV, OTHER_SAMPLES),)


@pytest.mark.parametrize("name", [TAR, RECORD, TAR.replace(".tar", ".idx")])
@pytest.mark.parametrize("offset", [0, 100, -1])
def test_a_changed_byte(job: RenderJob, out: Path, name: str, offset: int) -> None:
    flip(out / name, offset)
    assert check(job).mismatches == (Mismatch("Libri2Mix-train-100-000000", name, OTHER_BYTES),)


@pytest.mark.parametrize("ids", [IDS, ()], ids=["contents", "sizes"])
def test_truncated_and_missing_files(job: RenderJob, out: Path, ids: tuple[str, ...]) -> None:
    sizes = [(out / name).stat().st_size for name in (TAR, WAV.replace("m0001", "m0000"))]
    os.truncate(out / TAR, 1000)
    (out / RECORD).unlink()
    (out / WAV).unlink()
    os.truncate(out / WAV.replace("m0001", "m0000"), 50)
    tar_bytes, wav_bytes = sizes
    assert set(check(job, ids=ids).mismatches) == {
        Mismatch("Libri2Mix-train-100-000000", TAR, f"has 1000 bytes instead of {tar_bytes}; render again"),
        Mismatch("Libri2Mix-train-100-000000", RECORD, MISSING),
        Mismatch("m0001", WAV, MISSING),
        Mismatch(
            "m0000", WAV.replace("m0001", "m0000"), f"has 50 bytes instead of {wav_bytes}; render again"
        ),
    }


@pytest.mark.parametrize("name", [WAV, TAR, RECORD])
def test_an_appended_byte(job: RenderJob, out: Path, name: str) -> None:
    with (out / name).open("ab") as file:
        file.write(b"\0")
    (found,) = check(job, ids=("m0000",)).mismatches
    assert found.what == name
    assert found.problem.endswith("; render again")


def test_a_file_that_is_no_audio(job: RenderJob, out: Path) -> None:
    (out / WAV).write_bytes(b"words".ljust((out / WAV).stat().st_size))
    (found,) = check(job).mismatches
    assert found.what == WAV
    assert found.problem.startswith("is not readable audio (")


def test_wavs_are_read_only_where_they_were_asked_for(corpus: Corpus, out: Path) -> None:
    job = corpus.job(out, dataclasses.replace(SMALL, formats=("webdataset",)))
    render(job, corpus.mixtures)
    assert check(job) == CheckResult(2, 4 + 1, ())


def test_changed_sources(job: RenderJob, corpus: Corpus) -> None:
    write_noise(corpus.utterance(2), 720, seed=99)
    found = check(job).mismatches
    changed = {"s2", "mix_clean", "mix_both"}
    assert set(found) == {
        Mismatch("m0001", f"8000/{mode} {stream}", "the sources give other samples now; render again")
        for mode in ("min", "max")
        for stream in changed
    }


def test_missing_sources(job: RenderJob, corpus: Corpus) -> None:
    corpus.utterance(0).unlink()
    name = f"librispeech:{corpus.utterance(0).relative_to(corpus.roots['librispeech'])}"
    assert check(job).mismatches == (Mismatch("m0000", name, f"cannot be rendered again: {GONE}"),)


@pytest.mark.parametrize("damage", [os.unlink, lambda path: path.write_bytes(b"{")])
def test_no_ledger(job: RenderJob, out: Path, damage: Callable[[Path], object]) -> None:
    path = ledgers.ledger_path("Libri2Mix-train-100-000000")
    damage(out / path)
    problem = Mismatch("Libri2Mix-train-100-000000", path, "has no readable ledger; render again")
    assert check(job) == CheckResult(0, 0, (problem,))


@pytest.mark.parametrize("ids", [IDS, ()], ids=["contents", "sizes"])
def test_a_ledger_that_says_something_else(job: RenderJob, out: Path, ids: tuple[str, ...]) -> None:
    path = ledgers.ledger_path("Libri2Mix-train-100-000000")
    text = (out / path).read_text()
    (out / path).write_text(re.sub(r'("snr_db":{"mix_clean":\[)-?', r"\g<1>9", text, count=1))
    assert check(job, ids=ids).mismatches == (Mismatch("Libri2Mix-train-100-000000", path, OTHER_FILE),)


def test_a_plan_that_was_replaced_since(job: RenderJob, corpus: Corpus) -> None:
    store_plan(job, PART, [dataclasses.replace(mixture(0), id="other"), mixture(1, gain=0.3)])
    found = check(job).mismatches
    assert found[0] == Mismatch("m0000", "plan", "the stored plan does not hold it; render again")
    assert {one.item for one in found[1:]} == {"m0001"}


def test_items_are_rendered_again_as_they_were_and_not_as_others(job: RenderJob) -> None:
    """Another part of the same output may have been made with other options since."""
    options = dataclasses.replace(SMALL, rates_hz=(16000,), modes=("max",), types=("mix_single",))
    assert check(dataclasses.replace(job, options=options)).mismatches == ()


def test_findings_are_sorted_and_go_when_there_are_none(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    write_findings(tree, [])
    assert tree.names("") == []
    write_findings(tree, [Mismatch("b", "file, two", "is gone"), Mismatch("a", "file", 'says "no"')])
    with (tmp_path / FINDINGS_PATH).open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["item", "what", "problem"],
            ["a", "file", 'says "no"'],
            ["b", "file, two", "is gone"],
        ]
    write_findings(tree, [])
    assert not (tmp_path / FINDINGS_PATH).exists()


def test_files_that_are_not_as_they_are_known(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    known = {}
    for name, data in (
        ("good", b"abc"),
        ("other", b"abc"),
        ("long", b"abc"),
        ("gone", b"abc"),
        ("none", b""),
    ):
        tree.write(name, data)
        known[name] = FileRecord(len(data), ledgers.crc32c(data))
    tree.write("other", b"abd")
    tree.write("long", b"abcd")
    tree.remove("gone")
    assert check_files(tree, "part", known) == CheckResult(
        0,
        5,
        (
            Mismatch("part", "other", OTHER_FILE),
            Mismatch("part", "long", "has 4 bytes instead of 3; render again"),
            Mismatch("part", "gone", MISSING),
        ),
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, MISSING),
        (b"{", "is not as it was written; render again"),
        (b'{"a": 1}', "is not as it was written; render again"),
        (b"{}", "is not as it was written; render again"),
    ],
)
def test_a_record_of_files_that_cannot_be_read(tmp_path: Path, data: bytes | None, problem: str) -> None:
    tree = OutputTree(str(tmp_path))
    if data is not None:
        tree.write(INVENTORY_PATH, data)
    (found,) = check_output(tree).mismatches
    assert found == Mismatch("output", INVENTORY_PATH, problem)
