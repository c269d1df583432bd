"""Writing: a folder into which files are written whole or not at all."""

import contextlib
import functools
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import BinaryIO

from transforms.errors import StorageError
from transforms.storage import clients
from transforms.storage.archives import PROTOCOLS
from transforms.storage.failures import attempt, explained, problem_of
from transforms.storage.plain import open_ranges
from transforms.storage.reading import exists, find, list_folder, read_bytes, stamp
from transforms.storage.urls import OWN_FOLDER, absolute, join, local_path

Buffer = bytes | bytearray | memoryview

TEMPORARY_FOLDER = f"{OWN_FOLDER}/tmp"
_BLOCK_BYTES = 1 << 20
_PUTS_AT_ONCE = 16
_WAITING_BYTES = 1 << 26
_serial = itertools.count()


class OutputTree:
    """A folder, local or remote, into which files are written whole or not at all.

    Holds nothing but its root, so it travels to workers; file systems are made where it is used.

    Args:
        root: the folder; made on the first write.
    """

    def __init__(self, root: str) -> None:
        bare = "::" in root or root.endswith("://")
        self.root = root if bare else absolute(root).rstrip("/")
        self._local = local_path(self.root)
        self._known_folders: set[str] = set()

    def __repr__(self) -> str:
        return f"OutputTree({self.root!r})"

    def __reduce__(self) -> tuple[type["OutputTree"], tuple[str]]:
        return type(self), (self.root,)

    def url(self, path: str = "") -> str:
        """Returns the URL of a path in the tree."""
        return join(self.root, path) if path else self.root

    def check_writable(self) -> None:
        """Raises StorageError unless a file can be made and removed in the tree."""
        probe = f"{TEMPORARY_FOLDER}/probe-{os.getpid()}"
        self.write(probe, b"")
        self.remove(probe)

    @contextlib.contextmanager
    def open(self, path: str, *, keep_equal: bool = False) -> Iterator[BinaryIO]:
        """Opens a file for writing that appears when the block ends well, and else never.

        A remote file is collected in the local folder for temporary files and sent in one upload.

        Args:
            path: place in the tree.
            keep_equal: leave a file untouched that holds the very same bytes already.

        Raises:
            StorageError: it cannot be written.
        """
        placing = self._sending if self._local is None else self._replacing
        try:
            with placing(path, keep_equal) as temporary, open(temporary, "wb", _BLOCK_BYTES) as file:
                yield file
        except OSError as error:
            place = self.url(path) if self._local is not None else tempfile.gettempdir()
            raise problem_of(place, error) from error

    @contextlib.contextmanager
    def _sending(self, path: str, keep_equal: bool) -> Iterator[str]:
        """Yields a temporary name for a file that is sent, in one upload, if the block ends well."""
        url = self.url(path)
        with tempfile.NamedTemporaryFile(prefix="mixtape-") as file:
            yield file.name
            if not (keep_equal and self._holds(path, file.name)):
                _put(url, lambda: clients.put_file(url, file.name))

    @contextlib.contextmanager
    def _replacing(self, path: str, keep_equal: bool = False) -> Iterator[str]:
        """Yields a temporary name for a local file that takes its place if the block ends well."""
        temporary, final = self._temporary(), self._final(path)
        try:
            yield temporary
            if keep_equal and self._holds(path, temporary):
                os.unlink(temporary)
            else:
                os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _holds(self, path: str, other: str) -> bool:
        """Tells whether a file has the very bytes of another, local one, reading both in pieces."""
        if self.size(path) != os.path.getsize(other):
            return False
        if not os.path.getsize(other):
            return True
        with open_ranges(self.url(path), block_bytes=_BLOCK_BYTES) as old, open(other, "rb") as new:
            pieces = iter(functools.partial(new.read, _BLOCK_BYTES), b"")
            return all(old.read(len(piece)) == piece for piece in pieces)

    def write(self, path: str, *pieces: Buffer) -> None:
        """Writes a file from pieces that follow one another. Raises StorageError."""
        url = self.url(path)
        if self._local is None:
            data = b"".join(pieces)
            _put(url, lambda: clients.put_bytes(url, data))
            return
        with explained(url), self._replacing(path) as temporary:
            _write_new(temporary, pieces)

    def write_if_changed(self, path: str, data: bytes) -> bool:
        """Writes a file unless it holds these bytes already; tells whether it wrote."""
        if self.size(path) == len(data) and self.read(path) == data:
            return False
        self.write(path, data)
        return True

    @contextlib.contextmanager
    def many_writes(self) -> Iterator["ManyWrites"]:
        """Yields what writes many small files: to a store several at once, and to a disk one by one.

        All files stand when the block ends well. Raises what the first failure raised.
        """
        with contextlib.ExitStack() as stack:
            pool = None
            if self._local is None:
                pool = ThreadPoolExecutor(_PUTS_AT_ONCE, thread_name_prefix="mixtape-put")
                stack.callback(pool.shutdown, cancel_futures=True)
            writes = ManyWrites(self, pool)
            yield writes
            writes.finish()

    def _temporary(self) -> str:
        folder = self._folder(f"{TEMPORARY_FOLDER}/{_writer(os.getpid())}")
        return f"{folder}/{next(_serial)}"

    def _final(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        return f"{self._folder(folder)}/{name}"

    def _folder(self, path: str) -> str:
        """Returns the local path of a folder of the tree, made if need be (once per process)."""
        folder = f"{self._local}/{path}" if path else str(self._local)
        if folder not in self._known_folders:
            os.makedirs(folder, exist_ok=True)
            self._known_folders.add(folder)
        return folder

    def read(self, path: str) -> bytes:
        """Reads a whole file. Raises StorageError."""
        return read_bytes(self.url(path))

    def exists(self, path: str) -> bool:
        """Tells whether a file or folder is there."""
        return exists(self.url(path))

    def size(self, path: str) -> int | None:
        """Returns a file's size in bytes, or None where there is no such file."""
        found = stamp(self.url(path))
        return None if found is None else found.size_bytes

    def names(self, folder: str) -> list[str]:
        """Lists the names directly in a folder, sorted; empty where there is none."""
        return list_folder(self.url(folder))

    def remove(self, path: str) -> None:
        """Removes a file; one that is not there is no error. Raises StorageError."""

        def work() -> None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                system, inner = clients.resolve(self.url(path))
                system.rm_file(inner)

        attempt(self.url(path), work)

    def remove_folder_if_empty(self, path: str) -> None:
        """Removes a folder of a local disk that holds nothing; object stores have no folders."""
        if self._local is not None:
            self._known_folders.discard(f"{self._local}/{path}")
            with contextlib.suppress(OSError):
                os.rmdir(f"{self._local}/{path}")

    def remove_temporary(self) -> None:
        """Removes what killed runs left unfinished, and our own folder if nothing is in it."""
        if self._local is None:
            attempt(self.root, lambda: clients.remove_unfinished_uploads(self.root))
            with contextlib.suppress(StorageError):
                for entry in find(self.url(TEMPORARY_FOLDER)):
                    self.remove(f"{TEMPORARY_FOLDER}/{entry.path}")
            return
        shutil.rmtree(f"{self._local}/{TEMPORARY_FOLDER}", ignore_errors=True)
        self._known_folders.clear()
        with contextlib.suppress(OSError):
            os.rmdir(f"{self._local}/{OWN_FOLDER}")


class ManyWrites:
    """Writes files into a tree, several at once if there is a pool; see ``OutputTree.many_writes``.

    What waits to be sent is limited to some 64 MiB: beyond that ``write`` waits too.
    """

    def __init__(self, tree: OutputTree, pool: ThreadPoolExecutor | None) -> None:
        self._tree = tree
        self._pool = pool
        self._waiting: dict[Future[None], int] = {}

    def write(self, path: str, *pieces: Buffer) -> None:
        """Writes a file from pieces, or begins to. Raises StorageError, maybe of an earlier file."""
        if self._pool is None:
            self._tree.write(path, *pieces)
            return
        data = b"".join(pieces)
        self._waiting[self._pool.submit(self._tree.write, path, data)] = len(data)
        while sum(self._waiting.values()) > _WAITING_BYTES:
            self._collect(*wait(self._waiting, return_when=FIRST_COMPLETED))

    def finish(self) -> None:
        """Waits for all files. Raises what the first failure raised."""
        self._collect(*wait(self._waiting))

    def _collect(self, done: set[Future[None]], rest: set[Future[None]]) -> None:
        self._waiting = {future: self._waiting[future] for future in rest}
        for future in done:
            future.result()


def _put(url: str, work: Callable[[], None]) -> None:
    """Sends a file; one that cannot be placed anywhere is a sign that its bucket is missing."""
    if url.startswith(tuple(f"{kind}://" for kind in PROTOCOLS)) and "::" in url:
        raise StorageError(url, "is in an archive, which can only be read; unpack it first")

    def place() -> None:
        try:
            work()
        except FileNotFoundError as error:
            raise StorageError(url, "no such bucket; make it first, or check its name") from error

    attempt(url, place)


@functools.cache
def _writer(process: int) -> str:
    """Names a process among all that may share an output: other machines have the same numbers."""
    return f"{process}-{secrets.token_hex(4)}"


def _write_new(path: str, pieces: Sequence[Buffer]) -> None:
    """Writes a new local file with as few system calls as there can be."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
        while rest:
            written = os.writev(descriptor, rest[:1024])
            while rest and written >= len(rest[0]):
                written -= len(rest.pop(0))
            if written:
                rest[0] = rest[0][written:]
    finally:
        os.close(descriptor)
