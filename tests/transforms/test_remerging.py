"""Parts of earlier runs with summaries that cannot be relied on: merged as they were made, or left out."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trees import PART, SMALL, Corpus, contents, make_corpus, render
from transforms import ledger as ledgers
from transforms.finishing import PartSummary, read_summary
from transforms.inventory import NotedTree, take_inventory
from transforms.plan import Shard
from transforms.remerging import merge_earlier_parts
from transforms.sharding import RenderJob, plan_path, summary_path

WAVS = dataclasses.replace(SMALL, formats=("wav",), types=("mix_clean",))
PATH = summary_path(PART.name)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path / "corpora")


@pytest.fixture
def job(corpus: Corpus, tmp_path: Path) -> RenderJob:
    """An output of five mixtures in shards of two, of which the record of files knows the summary."""
    made = corpus.job(tmp_path / "out")
    render(made, corpus.mixtures)
    tree = NotedTree(made.out)
    tree.note(PATH, tree.read(PATH))
    take_inventory(tree)
    return made


def other_run(job: RenderJob) -> RenderJob:
    """A later run of the same output, with other options."""
    return dataclasses.replace(job, options=WAVS, settings={})


def merge(job: RenderJob) -> list[str]:
    tree = NotedTree(job.out)
    found = merge_earlier_parts(tree, job, {"Libri2Mix-dev"})
    assert (tree.noted.get(PATH, "as before") is None) == bool(found)
    return found


def rewrite(job: RenderJob, change: Callable[[dict[str, object]], object]) -> None:
    fields = json.loads(job.tree.read(PATH))
    change(fields)
    job.tree.write(PATH, (json.dumps(fields, indent=1) + "\n").encode())


def summary_of(job: RenderJob) -> PartSummary:
    found = read_summary(job.tree, PART.name)
    assert found is not None
    return found


CHANGES = {
    "another count": lambda fields: fields.update(written=4),
    "without ledgers": lambda fields: fields.pop("ledgers"),
    "sizes alone": lambda fields: fields.update(files=dict.fromkeys(fields["files"], 1)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_part_is_merged_with_the_options_it_was_made_with(
    job: RenderJob, change: Callable[[dict[str, object]], object]
) -> None:
    held, before = contents(Path(job.out)), summary_of(job)
    rewrite(job, change)
    assert merge(other_run(job)) == []
    assert summary_of(job) == before
    assert contents(Path(job.out)) == held


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"options": 7}', b'{"options": {"rates_hz": [8000]}}'])
def test_where_the_summary_tells_nothing_true_the_options_of_the_run_may_do(
    job: RenderJob, data: bytes
) -> None:
    before = summary_of(job)
    job.tree.write(PATH, data)
    assert merge(job) == []
    assert summary_of(job) == before


def test_a_summary_that_is_as_it_was_written_is_left_alone(job: RenderJob) -> None:
    place = Path(job.out) / PATH
    before = os.stat(place)
    assert merge(other_run(job)) == []
    assert os.stat(place) == before


def test_parts_of_the_run_are_its_own(job: RenderJob) -> None:
    job.tree.write(PATH, b"{")
    assert merge_earlier_parts(NotedTree(job.out), job, {PART.name}) == []
    assert job.tree.read(PATH) == b"{"


def remove_ledger(job: RenderJob) -> None:
    job.tree.remove(ledgers.ledger_path(Shard(PART, 1, 3).name))


def remove_plan(job: RenderJob) -> None:
    job.tree.remove(plan_path(PART.name))


def damage_plan(job: RenderJob) -> None:
    job.tree.write(plan_path(PART.name), b"PAR1")


@pytest.mark.parametrize("harm", [remove_ledger, remove_plan, damage_plan])
def test_a_part_that_cannot_be_merged_is_named_once(
    job: RenderJob, harm: Callable[[RenderJob], None]
) -> None:
    rewrite(job, CHANGES["another count"])
    harm(job)
    (line,) = merge(job)
    assert line.startswith(
        f"{PART.name}: its summary is damaged or of an earlier version, and cannot be made"
    )
    assert line.endswith("leave it out: render it again")
    assert not job.tree.exists(PATH)
    assert merge(job) == []


def test_a_part_made_in_a_way_that_nobody_knows_is_left_out(job: RenderJob) -> None:
    job.tree.write(PATH, b"{")
    assert len(merge(other_run(job))) == 1
    assert not job.tree.exists(PATH)
