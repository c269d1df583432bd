"""The record of what exports left in a folder."""

import json

import pytest

from transforms.exports.written import note_written, record_path
from transforms.storage import OutputTree


def put(to: OutputTree, *paths: str) -> list[str]:
    for path in paths:
        to.write(path, b"x")
    return list(paths)


def test_what_is_not_made_any_more_goes(to: OutputTree) -> None:
    assert note_written(to, "espnet", "/corpus", put(to, "a/1", "a/2", "b/1")) == 0
    assert note_written(to, "espnet", "/corpus", put(to, "a/2")) == 2
    assert [to.exists(path) for path in ("a/1", "a/2", "b/1", "b")] == [False, True, False, False]
    assert json.loads(to.read(record_path("espnet"))) == {"/corpus": ["a/2"]}


def test_other_corpora_and_tools_keep_their_lists(to: OutputTree) -> None:
    note_written(to, "espnet", "/one", put(to, "a", "shared"))
    note_written(to, "espnet", "/two", put(to, "b", "shared"))
    note_written(to, "lhotse", "/one", put(to, "c"))
    assert note_written(to, "espnet", "/one", []) == 1
    assert [to.exists(path) for path in ("a", "b", "c", "shared")] == [False, True, True, True]


@pytest.mark.parametrize("record", [b"", b"[]", b'{"/corpus": 3}', b"{"])
def test_a_record_that_cannot_be_read_is_replaced(to: OutputTree, record: bytes) -> None:
    to.write(record_path("hf"), record)
    assert note_written(to, "hf", "/corpus", put(to, "a")) == 0
    assert json.loads(to.read(record_path("hf"))) == {"/corpus": ["a"]}


def test_a_record_cannot_remove_what_is_outside(to: OutputTree) -> None:
    outside = OutputTree(to.root.rpartition("/")[0])
    outside.write("precious", b"x")
    to.write(record_path("hf"), json.dumps({"/corpus": ["../precious"]}).encode())
    assert note_written(to, "hf", "/corpus", []) == 0
    assert outside.exists("precious")
