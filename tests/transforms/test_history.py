"""The history of an output: one line per run, added whole or not at all."""

import dataclasses
import json
from pathlib import Path

import pytest

from transforms import history
from transforms.errors import StorageError
from transforms.history import HISTORY_PATH, RunEntry
from transforms.storage import OutputTree

ENTRY = RunEntry(started="2026-11-20T02:00:00+00:00", seconds=1.5, outcome="made", status=0)


@pytest.fixture(params=["local", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path) if request.param == "local" else f"memory:/{tmp_path}")


def test_the_first_line_makes_the_file(tree: OutputTree) -> None:
    history.append(tree, ENTRY)
    assert tree.read(HISTORY_PATH) == ENTRY.to_line()


def test_lines_follow_one_another_in_the_order_of_the_runs(tree: OutputTree) -> None:
    for number in range(5):
        history.append(tree, dataclasses.replace(ENTRY, planned=number))
    lines = tree.read(HISTORY_PATH).decode().splitlines()
    assert [json.loads(line)["planned"] for line in lines] == [0, 1, 2, 3, 4]


def test_a_file_that_somebody_cut_short_gets_its_line_end_and_keeps_what_it_holds(tree: OutputTree) -> None:
    tree.write(HISTORY_PATH, b'{"started": "2026')
    history.append(tree, ENTRY)
    assert tree.read(HISTORY_PATH) == b'{"started": "2026\n' + ENTRY.to_line()


def test_a_line_is_one_line_whatever_the_problem_says() -> None:
    line = dataclasses.replace(ENTRY, problem="first\nsecond \u2028 é", command=("mixtape", "a\nb")).to_line()
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert json.loads(line)["problem"] == "first\nsecond \u2028 é"


def test_a_line_names_everything_that_is_known_of_a_run() -> None:
    entry = dataclasses.replace(ENTRY, parts={"a": {"planned": 2}}, steps={"plan": "made"}, command=("x",))
    fields = json.loads(entry.to_line())
    assert fields == {**dataclasses.asdict(entry), "command": ["x"]}


def test_a_history_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "_mixtape").write_text("a file where a folder belongs")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        history.append(OutputTree(str(tmp_path)), ENTRY)
