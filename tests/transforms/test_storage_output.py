"""Writing through storage: files appear whole or not at all, and one run holds an output."""

import os
import pickle
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms import storage
from transforms.errors import SourceError, StorageError, StoreUnavailableError
from transforms.storage import OWN_FOLDER, FileEntry, OutputTree

WithoutPrivileges = Callable[[], AbstractContextManager[None]]


@pytest.fixture(params=["path", "file://", "memory://"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> OutputTree:
    prefix = {"path": "", "file://": "file://", "memory://": "memory:/"}[request.param]
    return OutputTree(f"{prefix}{tmp_path}/out")


def files_in(tree: OutputTree) -> list[str]:
    return [entry.path for entry in storage.find(tree.root)] if tree.exists("") else []


# --- whole or not at all -----------------------------------------------------------------------


def test_a_file_appears_when_its_block_ends(tree: OutputTree) -> None:
    with tree.open("a/b.tar") as file:
        file.write(b"12")
        file.write(b"345")
        file.flush()
        assert tree.size("a/b.tar") is None
    assert tree.read("a/b.tar") == b"12345"
    assert files_in(tree) == ["a/b.tar"]


def test_a_file_is_replaced_when_its_block_ends(tree: OutputTree) -> None:
    tree.write("a.tar", b"old")
    with tree.open("a.tar") as file:
        file.write(b"newer")
        assert tree.read("a.tar") == b"old"
    assert tree.read("a.tar") == b"newer"


def write_and_raise(tree: OutputTree, data: bytes, error: BaseException) -> None:
    with tree.open("a.tar") as file:
        file.write(data)
        raise error


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt(), SourceError("a", "b", "c", "d")])
def test_an_exception_leaves_nothing_and_stays_what_it_is(tree: OutputTree, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        write_and_raise(tree, bytes(3 << 20), error)
    assert caught.value is error
    assert files_in(tree) == []


def test_an_exception_leaves_the_file_that_was_there(tree: OutputTree) -> None:
    tree.write("a.tar", b"old")
    with pytest.raises(ValueError, match="boom"):
        write_and_raise(tree, b"new", ValueError("boom"))
    assert tree.read("a.tar") == b"old"


def test_a_block_that_is_forgotten_leaves_nothing(tree: OutputTree) -> None:
    opened = tree.open("a.tar")
    opened.__enter__().write(b"half")
    del opened
    assert files_in(tree) == []


def test_many_files_may_be_open_at_once(tree: OutputTree) -> None:
    with tree.open("a") as first, tree.open("b") as second:
        first.write(b"1")
        second.write(b"2")
        first.write(b"3")
    assert (tree.read("a"), tree.read("b")) == (b"13", b"2")


def test_an_equal_file_is_left_untouched_if_wanted(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    data = bytes(range(256)) * 9000
    (tmp_path / "a").write_bytes(data)
    os.utime(tmp_path / "a", ns=(1, 1))
    with tree.open("a", keep_equal=True) as file:
        file.write(data)
    assert (tmp_path / "a").stat().st_mtime_ns == 1
    with tree.open("a") as file:
        file.write(data)
    assert (tmp_path / "a").stat().st_mtime_ns > 1
    assert files_in(tree) == ["a"]


@pytest.mark.parametrize("data", [b"new", b"longer", b""])
def test_an_unequal_file_is_replaced(tree: OutputTree, data: bytes) -> None:
    tree.write("a", b"old")
    with tree.open("a", keep_equal=True) as file:
        file.write(data)
    assert tree.read("a") == data


def test_an_equal_remote_file_is_not_sent_again(tmp_path: Path) -> None:
    tree = OutputTree(f"memory:/{tmp_path}")
    tree.write("a", b"same")
    before = storage.stamp(tree.url("a"))
    with tree.open("a", keep_equal=True) as file:
        file.write(b"same")
    assert storage.stamp(tree.url("a")) == before


# --- writing pieces ----------------------------------------------------------------------------


def test_pieces_follow_one_another(tree: OutputTree) -> None:
    samples = np.array([1, -2, 300], dtype="<i2")
    tree.write("deep/er/a.wav", b"head", bytearray(b"er"), b"", samples.data, memoryview(b"!"))
    assert tree.read("deep/er/a.wav") == b"header" + samples.tobytes() + b"!"
    tree.write("empty")
    assert tree.read("empty") == b""


@pytest.mark.parametrize("count", [1023, 1024, 1025, 5000])
def test_thousands_of_pieces(tmp_path: Path, count: int) -> None:
    tree = OutputTree(str(tmp_path))
    pieces = [str(number).encode() for number in range(count)]
    tree.write("a", *pieces)
    assert tree.read("a") == b"".join(pieces)


@given(st.lists(st.binary(max_size=9), max_size=30), st.integers(1, 7))
def test_short_writes_lose_nothing(pieces: list[bytes], most: int) -> None:
    def short(descriptor: int, buffers: list[memoryview]) -> int:
        return os.write(descriptor, b"".join(buffers)[:most])

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr("transforms.storage.output_tree.os.writev", short)
        tree = OutputTree(folder)
        tree.write("a", *pieces)
        assert tree.read("a") == b"".join(pieces)


def test_write_if_changed(tree: OutputTree) -> None:
    assert tree.write_if_changed("a.json", b"1")
    before = storage.stamp(tree.url("a.json"))
    assert not tree.write_if_changed("a.json", b"1")
    assert storage.stamp(tree.url("a.json")) == before
    assert tree.write_if_changed("a.json", b"2")
    assert tree.write_if_changed("a.json", b"22")
    assert tree.read("a.json") == b"22"


# --- what a tree tells -------------------------------------------------------------------------


def test_sizes_names_and_existence(tree: OutputTree) -> None:
    tree.write("a/x", b"123")
    tree.write("a/b/y", b"")
    assert tree.size("a/x") == 3
    assert tree.size("a/b/y") == 0
    assert tree.size("a/z") is None
    assert tree.size("a/x/z") is None
    assert tree.size("a") is None
    assert tree.exists("a/b")
    assert not tree.exists("c")
    assert tree.names("a") == ["b", "x"]
    assert [name for name in tree.names("") if name != OWN_FOLDER] == ["a"]
    assert tree.names("c") == []


def test_files_are_removed_once_or_twice(tree: OutputTree) -> None:
    tree.write("a/x", b"1")
    tree.remove("a/x")
    assert tree.size("a/x") is None
    tree.remove("a/x")
    tree.remove("nowhere/x")


def test_removing_below_a_file_is_no_error(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write("a", b"1")
    tree.remove("a/x")
    assert tree.read("a") == b"1"


def test_empty_folders_are_removed_and_made_again(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write("a/b/x", b"1")
    tree.remove_folder_if_empty("a/b")
    assert (tmp_path / "a/b/x").exists()
    tree.remove("a/b/x")
    tree.remove_folder_if_empty("a/b")
    assert not (tmp_path / "a/b").exists()
    tree.write("a/b/x", b"2")
    assert tree.read("a/b/x") == b"2"


def test_leftovers_of_killed_runs_are_removed(tmp_path: Path) -> None:
    left = tmp_path / OWN_FOLDER / "tmp/123-abc/0"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    tree = OutputTree(str(tmp_path))
    tree.write("a", b"1")
    tree.remove_temporary()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]
    tree.write("b", b"2")
    assert tree.read("b") == b"2"


def test_our_folder_stays_while_something_is_in_it(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write(f"{OWN_FOLDER}/run.json", b"{}")
    tree.remove_temporary()
    assert storage.find(str(tmp_path)) == [FileEntry(f"{OWN_FOLDER}/run.json", 2)]


@pytest.mark.parametrize(
    ("root", "url"),
    [
        ("memory://", "memory://a/b"),
        ("memory://x/", "memory://x/a/b"),
        ("gs://bucket", "gs://bucket/a/b"),
        ("/data/out/", "/data/out/a/b"),
        ("file:///data/out", "/data/out/a/b"),
    ],
)
def test_urls_of_a_tree(root: str, url: str) -> None:
    assert OutputTree(root).url("a/b") == url


def test_a_tree_travels(tree: OutputTree) -> None:
    tree.write("a", b"1")
    copy = pickle.loads(pickle.dumps(tree))
    assert copy.root == tree.root
    assert repr(copy) == f"OutputTree({tree.root!r})"
    assert copy.read("a") == b"1"


def test_a_relative_root_stays_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = OutputTree("out")
    monkeypatch.chdir("/")
    tree.write("a", b"1")
    assert (tmp_path / "out/a").read_bytes() == b"1"


def test_the_root_of_a_store_is_no_local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OutputTree("memory://").write(f"{tmp_path}/a", b"1")
    assert list(tmp_path.iterdir()) == []
    assert fsspec.filesystem("memory").cat_file(f"{tmp_path}/a") == b"1"


# --- several writers ---------------------------------------------------------------------------

WRITER = """
import sys
from transforms.storage import OutputTree
tree = OutputTree(sys.argv[1])
for number in range(100):
    tree.write("same", sys.argv[2].encode() * 100_000)
    tree.write(f"own/{sys.argv[2]}-{number}", sys.argv[2].encode())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Runs code in a fresh interpreter, from the top of the checkout."""
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2])


def test_two_processes_write_one_output(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write("same", b"a" * 100_000)
    writers = [start(WRITER, str(tmp_path), letter) for letter in "ab"]
    while any(writer.poll() is None for writer in writers):
        data = tree.read("same")
        assert data in (b"a" * 100_000, b"b" * 100_000)
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
    assert len(tree.names("own")) == 200
    assert not [entry for entry in storage.find(str(tmp_path)) if "tmp" in entry.path]


def test_threads_write_one_output(tree: OutputTree) -> None:
    def work(number: int) -> None:
        for index in range(50):
            tree.write(f"{number}/{index}", f"{number} {index}".encode())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(tree.read(f"{n}/{i}") == f"{n} {i}".encode() for n in range(4) for i in range(50))


CONTAINED = """
import os, sys
os.getpid = lambda: 1  # as the first process of each of two containers
from transforms.storage import OutputTree
with OutputTree(sys.argv[1]).open("a") as file:
    print(file.name, flush=True)
    sys.stdin.readline()
"""


def test_processes_of_equal_number_do_not_share_a_temporary_name(tmp_path: Path) -> None:
    both = [start(CONTAINED, str(tmp_path)) for _ in range(2)]
    names = {process.stdout.readline() for process in both if process.stdout is not None}
    assert len(names) == 2
    assert [process.communicate("\n") and process.returncode for process in both] == [0, 0]


# --- refusals ----------------------------------------------------------------------------------


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB; skips where mounting is not permitted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


FULL = "no space left on the device; free some, then run the same command again"


def test_a_full_disk_is_named_and_left_clean(tiny_disk: Path) -> None:
    tree = OutputTree(str(tiny_disk))
    tree.write("small", b"1")
    with pytest.raises(StorageError, match=FULL) as caught:
        tree.write("large", bytes(50_000), bytes(50_000))
    assert caught.value.url == f"{tiny_disk}/large"
    with pytest.raises(StorageError, match=FULL), tree.open("large") as file:
        file.write(bytes(100_000))
    with pytest.raises(StorageError, match=FULL), tree.open("large") as file:
        file.write(bytes(3 << 20))
    assert files_in(tree) == ["small"]
    tree.write("other", bytes(20_000))
    assert tree.size("other") == 20_000


@pytest.fixture
def closed_tree(public_folder: Path) -> OutputTree:
    """An output that only its owner may read and nobody may write."""
    closed = public_folder / "out"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
    return OutputTree(str(closed))


DENIED = "permission denied; check who owns it and its mode"


def test_a_closed_folder_is_named(closed_tree: OutputTree, without_privileges: WithoutPrivileges) -> None:
    with without_privileges():
        with pytest.raises(StorageError, match=DENIED):
            closed_tree.check_writable()
        with pytest.raises(StorageError, match=DENIED) as caught:
            closed_tree.write("a/b", b"1")
        with pytest.raises(StorageError, match=DENIED), closed_tree.open("a/b"):
            pass
    assert caught.value.url == closed_tree.url("a/b")


def test_a_file_stands_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    tree = OutputTree(str(tmp_path / "out"))
    for refused in (tree.check_writable, lambda: tree.write("a", b""), lambda: tree.write("a/b", b"")):
        with pytest.raises(StorageError, match="a file stands where a folder is needed; choose another path"):
            refused()


def test_a_folder_stands_where_a_file_is_needed(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path))
    tree.write("a/b", b"")
    with pytest.raises(StorageError, match="a folder stands where a file is needed"):
        tree.write("a", b"1")
    with pytest.raises(StorageError, match="a folder stands where a file is needed"), tree.open("a") as file:
        file.write(b"1")
    assert files_in(tree) == ["a/b"]


def test_a_writable_tree_is_left_as_it_was(tree: OutputTree) -> None:
    tree.check_writable()
    assert files_in(tree) == []


@pytest.mark.parametrize("root", ["https://127.0.0.1:9/out", "zip://::/nowhere/absent.zip", "nosuch://out"])
def test_stores_that_take_nothing_are_named(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transforms.storage.failures.RETRY_S", 0.0)
    tree = OutputTree(root)
    with pytest.raises((StorageError, StoreUnavailableError)) as caught:
        tree.write("a", b"1")
    assert caught.value.url == tree.url("a")
    with pytest.raises((StorageError, StoreUnavailableError)) as caught, tree.open("a") as file:
        file.write(b"1")
    assert caught.value.url == tree.url("a")
