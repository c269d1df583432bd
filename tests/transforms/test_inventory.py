"""What is known of files as they are written: the same as of those on disk, and no more than there is."""

import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import StorageError
from transforms.inventory import (
    INVENTORY_PATH,
    IS_MISSING,
    FileRecord,
    NotedTree,
    crc_problem,
    file_problem,
    forget_missing,
    read_inventory,
    stands,
    take_inventory,
)
from transforms.ledger import crc32c
from transforms.storage import Listings, OutputTree

OTHER = "its bytes are not those that were written; remove it and render again"


def record(data: bytes) -> FileRecord:
    return FileRecord(len(data), crc32c(data))


@pytest.fixture(params=["disk", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> NotedTree:
    """An empty output on a disk, and in a store."""
    return NotedTree(str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}")


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=40), max_size=6))
def test_what_is_noted_is_what_was_written(pieces: list[bytes]) -> None:
    tree = NotedTree("memory://noted")
    tree.write("whole", *pieces)
    with tree.open("opened") as file:
        for piece in pieces:
            assert file.write(piece) == len(piece)
    tree.write_if_changed("compared", b"".join(pieces))
    wanted = record(b"".join(pieces))
    assert tree.noted == dict.fromkeys(("whole", "opened", "compared"), wanted)
    assert all(tree.read(path) == b"".join(pieces) for path in tree.noted)


def test_a_file_that_was_kept_equal_is_noted_too(tree: NotedTree) -> None:
    tree.write("a", b"one")
    again = NotedTree(tree.root)
    assert not again.write_if_changed("a", b"one")
    with again.open("a", keep_equal=True) as file:
        file.write(b"one")
    assert again.noted == {"a": record(b"one")}


def test_parquet_goes_through_it(tree: NotedTree) -> None:
    table = pa.table({"x": list(range(1000))})
    with tree.open("x.parquet") as file, pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
    assert tree.noted == {"x.parquet": record(tree.read("x.parquet"))}


def test_a_file_that_did_not_come_to_be_is_not_noted(tree: NotedTree) -> None:
    def write_half() -> None:
        with tree.open("a") as file:
            file.write(b"one")
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_half()
    assert tree.noted == {}
    assert not tree.exists("a")


def test_a_write_that_failed_is_not_noted(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tree = NotedTree(str(tmp_path / "file"))
    with pytest.raises(StorageError, match="a file stands"):
        tree.write("a", b"one")
    assert tree.noted == {}


def test_the_record_is_brought_up_to_date(tree: NotedTree) -> None:
    assert read_inventory(tree) == {}
    tree.write("b", b"two")
    tree.write("a", b"one")
    take_inventory(tree)
    assert list(read_inventory(tree)) == ["a", "b"]
    later = NotedTree(tree.root)
    later.write("a", b"changed")
    later.remove("b")
    later.write("c", b"three")
    take_inventory(later)
    assert read_inventory(tree) == {"a": record(b"changed"), "c": record(b"three")}


def test_a_record_that_stays_is_not_written_again(tmp_path: Path) -> None:
    tree = NotedTree(str(tmp_path))
    tree.write("a", b"one")
    take_inventory(tree)
    before = (tmp_path / INVENTORY_PATH).stat().st_ino
    take_inventory(tree)
    take_inventory(NotedTree(str(tmp_path)))
    assert (tmp_path / INVENTORY_PATH).stat().st_ino == before
    assert INVENTORY_PATH not in read_inventory(tree)


def test_paths_of_any_kind_come_back(tmp_path: Path) -> None:
    tree = NotedTree(str(tmp_path))
    names = ['with "quotes"', "with blank", "äöü", "a/b/c"]
    for name in names:
        tree.write(name, name.encode())
    take_inventory(tree)
    assert set(read_inventory(tree)) == set(names)
    assert json.loads((tmp_path / INVENTORY_PATH).read_bytes()).keys() == set(names)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'{"a": 1}', b'{"a": [1]}', b"\xff"])
def test_a_record_that_cannot_be_understood_is_empty(tmp_path: Path, data: bytes) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write(INVENTORY_PATH, data)
    assert read_inventory(tree) == {}


def test_what_is_not_there_any_more_can_be_struck_out(tree: NotedTree) -> None:
    tree.write("a", b"one")
    tree.write("b", b"two")
    take_inventory(tree)
    OutputTree(tree.root).remove("a")
    forget_missing(OutputTree(tree.root))
    assert read_inventory(tree) == {"b": record(b"two")}


def test_a_file_that_is_not_ours_any_more_is_not_known(tree: NotedTree) -> None:
    tree.write("a", b"one")
    tree.write("b", b"two")
    take_inventory(tree)
    later = NotedTree(tree.root)
    later.forget("a")
    assert take_inventory(later) == read_inventory(tree) == {"b": record(b"two")}
    assert tree.read("a") == b"one"


def test_sizes_alone_tell_whether_files_stand(tree: NotedTree) -> None:
    tree.write("a", b"one")
    known = {"a": record(b"one")}
    assert stands(tree, {})
    assert stands(tree, known)
    tree.write("a", b"two")
    assert stands(tree, known)
    tree.write("a", b"three")
    assert not stands(tree, known)
    tree.remove("a")
    assert not stands(tree, known)


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (b"one", ""),
        (b"two", OTHER),
        (b"three", "has 5 bytes instead of 3; render again"),
        (b"", "has 0 bytes instead of 3; render again"),
        (None, IS_MISSING),
    ],
)
def test_what_is_wrong_with_a_file(tree: NotedTree, now: bytes | None, problem: str) -> None:
    if now is not None:
        tree.write("a", now)
    assert file_problem(tree, "a", record(b"one"), listings=Listings()) == problem


def test_an_empty_file_can_be_as_it_should_be(tree: NotedTree) -> None:
    tree.write("a", b"")
    assert file_problem(tree, "a", record(b""), listings=Listings()) == ""


def test_large_files_are_read_in_pieces(tmp_path: Path) -> None:
    tree, data = OutputTree(str(tmp_path)), bytes(range(256)) * 12_345
    tree.write("a", data)
    assert crc_problem(tree, "a", crc32c(data), remedy="mend it") == ""
    tree.write("a", data[:-1] + b"\0")
    assert crc_problem(tree, "a", crc32c(data), remedy="mend it").endswith("were written; mend it")


def test_a_large_file_is_never_held_whole(tmp_path: Path) -> None:
    tree, data = OutputTree(str(tmp_path)), bytes(1 << 25)
    tree.write("a", data)
    wanted = crc32c(data)
    del data
    tracemalloc.start()
    try:
        assert crc_problem(tree, "a", wanted, remedy="") == ""
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_file_that_is_gone_has_no_bytes(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    assert crc_problem(tree, "a", 0, remedy="") == "no such file or folder; check the path"
