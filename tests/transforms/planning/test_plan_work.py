"""What a planning job's workers are told by files, so that the job itself stays small."""

import dataclasses
import math
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trees import files
from transforms.errors import StorageError
from transforms.listing import NoiseClip, Utterance
from transforms.planning import plan_work
from transforms.planning.librimix import PlannedMixture, PlannedSubset
from transforms.planning.plan_files import PlanFiles
from transforms.planning.plan_work import (
    ROWS_PER_FILE,
    PlanRow,
    read_rows,
    store_facts,
    store_rows,
    with_facts,
)
from transforms.storage import OutputTree


def planned(number: int, speakers: int = 2) -> PlannedMixture:
    utterances = tuple(
        Utterance(str(100 + k), "F", "train", 1000 + number, f"train/{number}-{k}.flac")
        for k in range(speakers)
    )
    noise = NoiseClip("n.wav", "tr", 2000, False, "tr/n.wav")
    return PlannedMixture(utterances, noise, (*(-25.1 - 0.1 * k for k in range(speakers)), -33.3))


@pytest.fixture
def tree(tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path / "out"))


@pytest.fixture
def plan_files(tree: OutputTree) -> PlanFiles:
    """Of two listings without audio, the second one empty."""
    subsets = [PlannedSubset("train", (planned(1), planned(2))), PlannedSubset("dev", ())]
    return PlanFiles(tree, 2, 4, {}).for_subsets(subsets)


@pytest.mark.parametrize("count", [0, 1, ROWS_PER_FILE, ROWS_PER_FILE + 1, 2 * ROWS_PER_FILE + 7])
def test_rows_come_back_in_files_of_some_hundred(tree: OutputTree, count: int) -> None:
    rows = [PlanRow("train" if n % 2 else "dev", 3 * n, planned(n, 2 + n % 2)) for n in range(count)]
    names = store_rows(tree, iter(rows))
    assert len(names) == math.ceil(count / ROWS_PER_FILE)
    found = [row for name in names for row in read_rows(name, tree)]
    assert found == rows


@given(
    targets=st.lists(st.floats(-40, -20), min_size=3, max_size=3).map(tuple),
    text=st.text(max_size=20),
    number=st.integers(0, 10**7),
)
def test_every_digit_comes_back(targets: tuple[float, ...], text: str, number: int) -> None:
    tree = OutputTree("memory://plan-work")
    one = planned(number)
    utterance = dataclasses.replace(one.utterances[0], speaker=text, path=text)
    row = PlanRow(text, number, PlannedMixture((utterance, one.utterances[1]), one.noise, targets))
    (name,) = store_rows(tree, [row])
    assert read_rows(name, tree) == [row]


def test_facts_travel_by_file(plan_files: PlanFiles) -> None:
    told = store_facts(plan_files, ["train", "dev"])
    assert (told.digests, told.rows) == ({}, {})
    for listing in ("train", "dev"):
        found = with_facts(pickle.loads(pickle.dumps(told)), listing)
        assert found.digests == {listing: plan_files.digests[listing]}
        assert found.rows == {listing: plan_files.rows[listing]}


def test_what_goes_along_does_not_grow_with_the_plan(tree: OutputTree) -> None:
    sizes = []
    for count in (10, 1000):
        subset = PlannedSubset("train", tuple(planned(n) for n in range(count)))
        told = store_facts(PlanFiles(tree, 2, 4, {}).for_subsets([subset]), ["train"])
        sizes.append(len(pickle.dumps(told)))
    assert sizes[0] == sizes[1]


def test_files_that_know_a_listing_are_asked_first(plan_files: PlanFiles) -> None:
    assert with_facts(plan_files, "train") is plan_files


def test_what_is_gone_is_said_to_be(plan_files: PlanFiles) -> None:
    names = store_rows(plan_files.tree, [PlanRow("train", 0, planned(1))])
    told = store_facts(plan_files, ["train"])
    assert len(files(Path(plan_files.tree.root))) == 2
    plan_work.clear(plan_files.tree)
    assert files(Path(plan_files.tree.root)) == []
    gone = "no such file.*; give the same command again, or make the template again"
    with pytest.raises(StorageError, match=f"facts-train.json.*{gone}"):
        with_facts(told, "train")
    with pytest.raises(StorageError, match=f"rows-000000.json.*{gone}"):
        read_rows(names[0], plan_files.tree)


def test_a_file_is_read_without_a_question_before(
    plan_files: PlanFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = store_facts(plan_files, ["train"])
    monkeypatch.delattr(OutputTree, "exists")
    assert with_facts(told, "train").rows == {"train": plan_files.rows["train"]}


@pytest.mark.parametrize("found", [b"", b'[{"listing": "tr', b"\xff\xfe\xff"])
def test_what_is_no_json_is_said_to_be(plan_files: PlanFiles, found: bytes) -> None:
    (name,) = store_rows(plan_files.tree, [PlanRow("train", 0, planned(1))])
    plan_files.tree.write(name, found)
    with pytest.raises(StorageError, match=r"rows-000000\.json: holds no JSON .*; it is stored for one job"):
        read_rows(name, plan_files.tree)


def test_clearing_where_nothing_is(tree: OutputTree) -> None:
    plan_work.clear(tree)
    assert not Path(tree.root).exists()
