"""Tables that are written anew, and the records that go with them."""

import json
from pathlib import Path

import pytest

from tests import trees
from transforms.finishing import RUN_PATH, read_summary
from transforms.inventory import FileRecord, read_inventory
from transforms.ledger import crc32c
from transforms.rebasing import (
    REBASE_PATH,
    choose_paths,
    chosen_paths,
    has_tables,
    note_paths,
    rewrite_tables,
)
from transforms.sharding import RenderJob, summary_path
from transforms.storage import OutputTree

TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"
METRICS = TABLE.replace("mixture_train", "metrics_train")


@pytest.fixture
def job(tmp_path: Path) -> RenderJob:
    corpus = trees.make_corpus(tmp_path / "in")
    job = corpus.job(tmp_path / "out")
    trees.render(job, corpus.mixtures)
    return job


def test_tables_and_summary_change_together(job: RenderJob) -> None:
    before = read_summary(job.tree, "Libri2Mix-train-100")
    assert before is not None
    metrics = job.tree.read(METRICS)
    changed = rewrite_tables(job, before, "/moved/here")
    lines = job.tree.read(TABLE).decode().splitlines()
    assert lines[1].split(",")[1] == "/moved/here/Libri2Mix/wav8k/min/train-100/mix_both/m0000.wav"
    assert len(lines) == 6
    assert job.tree.read(METRICS) == metrics
    assert changed == read_summary(job.tree, "Libri2Mix-train-100")
    assert changed is not None
    assert changed.options.table_paths == "/moved/here"
    assert changed.files.keys() == before.files.keys()
    for path, known in changed.files.items():
        data = job.tree.read(path)
        assert known == FileRecord(len(data), crc32c(data))
    summary = job.tree.read(summary_path("Libri2Mix-train-100"))
    assert read_inventory(job.tree)[summary_path("Libri2Mix-train-100")].crc32c == crc32c(summary)


def test_what_a_part_without_tables_says_stays(tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "in", recipe="wsj0mix")
    options = trees.RenderOptions(rates_hz=(8000,), modes=("min",), types=("mix",))
    job = corpus.job(tmp_path / "out", options)
    summary = trees.render(job, corpus.mixtures).summary
    assert not has_tables(summary, job)
    assert rewrite_tables(job, summary, "relative") is None


def test_the_choice_is_kept(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    assert chosen_paths(tree) == "absolute"
    choose_paths(tree, "relative")
    assert chosen_paths(tree) == "relative"


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b"{"])
def test_a_choice_that_cannot_be_read_is_none(tmp_path: Path, record: bytes) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write(REBASE_PATH, record)
    assert chosen_paths(tree) == "absolute"


def test_the_record_of_the_last_run_keeps_all_else(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    facts = {"recipe": "librimix", "options": {"shard_size": 2, "table_paths": "absolute"}, "host": "x"}
    tree.write(RUN_PATH, json.dumps(facts).encode())
    note_paths(tree, "/p")
    assert json.loads(tree.read(RUN_PATH)) == {
        **facts, "options": {"shard_size": 2, "table_paths": "/p"}
    }  # fmt: skip
