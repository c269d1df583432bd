"""Every file access of the project: local paths and all URLs that fsspec knows, through one module.

Inputs are read with plain functions that take a URL. Outputs go through an ``OutputTree``, which
makes each file appear whole or not at all: on a local disk by a temporary file below
``_mixtape/tmp`` and a rename, on an object store by a single put of a file that is complete.
"""

import contextlib
import errno
import fcntl
import functools
import itertools
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.core import url_to_fs

from transforms.errors import MixtapeError, StorageError, UsageError

Buffer = bytes | bytearray | memoryview

OWN_FOLDER = "_mixtape"
MISSING = "missing"
_TEMPORARY_FOLDER = f"{OWN_FOLDER}/tmp"
_LOCK = f"{OWN_FOLDER}/lock"
_UNSAFE_PARTS = frozenset({"", ".", ".."})
_ARCHIVES = frozenset({"zip", "tar"})
_VERSION_MARKS = (
    "generation", "ETag", "etag", "CRC", "crc32c", "mtime", "LastModified", "Last-Modified", "created"
)  # fmt: skip
_BLOCK_BYTES = 1 << 20
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder, as a listing of that folder tells of it.

    Attributes:
        path: relative to that folder, ``/`` between parts.
        size_bytes: length of the file.
        version: as in ``FileStamp``; empty where the listing does not say.
    """

    path: str
    size_bytes: int
    version: str = field(default="", compare=False)

    @property
    def stamp(self) -> "FileStamp":
        """What ``stamp`` says of the file."""
        return FileStamp(self.size_bytes, self.version)


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a store tells about a file without reading it; equal stamps mean an unchanged file.

    Attributes:
        size_bytes: length of the file.
        version: modification time in ns on a local disk, else generation, ETag or checksum.
    """

    size_bytes: int
    version: str


def local_path(url: str) -> str | None:
    """Returns the path of a file on a local disk, or None for every other store."""
    if url.startswith("file://"):
        return url.removeprefix("file://")
    return None if "://" in url or "::" in url else url


def join(root: str, *parts: str) -> str:
    """Appends relative parts to a URL; of a chained URL, to the first link that has a path.

    >>> join("zip://::gs://bucket/wham.zip", "tr/a.wav")
    'zip://tr/a.wav::gs://bucket/wham.zip'
    >>> join("simplecache::gs://bucket/wham", "tr/a.wav")
    'simplecache::gs://bucket/wham/tr/a.wav'
    """
    first, chain, rest = root.partition("::")
    if chain and "://" not in first:
        return first + chain + join(rest, *parts)
    base = first if first.endswith("://") else first.rstrip("/") + "/"
    return base + "/".join(parts) + chain + rest


def is_safe_relative(path: str) -> bool:
    """Tells whether a path from a plan or listing stays below the root it is joined to."""
    if not path or any(mark in path for mark in ("\\", "\0", "\n", "\r", "::", "://")):
        return False
    return not any(part in _UNSAFE_PARTS for part in path.split("/"))


def absolute(url: str) -> str:
    """Returns a local path as an absolute one and any other URL unchanged."""
    path = local_path(url)
    return url if path is None else os.path.abspath(path)


def _explain(error: BaseException) -> str:
    """Says in a person's words what an I/O error means."""
    match error:
        case FileNotFoundError():
            return "no such file or folder; check the path"
        case PermissionError():
            return "permission denied; check who owns it and its mode"
        case NotADirectoryError() | FileExistsError():
            return "a file stands where a folder is needed; choose another path"
        case IsADirectoryError():
            return "a folder stands where a file is needed; choose another path"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return "no space left on the device; free some, then run the same command again"
        case _:
            return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turns any failure of a file system into a ``StorageError`` that names the URL.

    The errors of stores' clients and of archives have no common base, hence the wide net; so a
    block holds calls of a file system and nothing else.
    """
    try:
        yield
    except MixtapeError:
        raise
    except Exception as error:
        raise StorageError(url, _explain(error)) from error


@functools.cache
def _file_system(prefix: str, process: int) -> Any:
    """One file system object per prefix and process: clients do not survive a fork."""
    del process
    return url_to_fs(prefix, use_listings_cache=False)[0]


@functools.lru_cache(maxsize=16)
def _archive(url: str, version: FileStamp | None, process: int, thread: int) -> Any:
    """One opened archive per process and thread: reading a table of contents takes long.

    The thread counts because fsspec's tar file system mixes up threads that share it.
    """
    del version, process, thread
    return url_to_fs(url)[0]


def forget_file_systems() -> None:
    """Forgets file systems made so far; later ones see the environment as it is then."""
    _file_system.cache_clear()
    _archive.cache_clear()


def _resolve(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL and the path in it."""
    path = local_path(url)
    if path is not None:
        return _file_system("/", os.getpid()), os.path.abspath(path)
    first, chain, rest = url.partition("::")
    protocol, _, inner = first.partition("://")
    if not chain:
        prefix = f"{protocol}://{inner.split('/', 1)[0]}/"
        stripped = fsspec.get_filesystem_class(protocol)._strip_protocol(url)
        return _file_system(prefix, os.getpid()), cast(str, stripped)
    if protocol in _ARCHIVES:
        whole = f"{protocol}://::{rest}"
        return _archive(whole, stamp(rest), os.getpid(), threading.get_ident()), inner.strip("/")
    return cast(tuple[Any, str], url_to_fs(url))


def read_bytes(url: str) -> bytes:
    """Reads a whole file in one request. Raises StorageError."""
    with _explained(url):
        path = local_path(url)
        if path is not None:
            with open(path, "rb") as file:
                return file.read()
        system, inner = _resolve(url)
        return cast(bytes, system.cat_file(inner))


def read_text(url: str) -> str:
    """Reads a whole UTF-8 file. Raises StorageError, also when it is not text."""
    data = read_bytes(url)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(url, f"is not UTF-8 text ({error.reason})") from error


def open_header(url: str) -> str | BinaryIO:
    """Returns a local file's path, or a handle that reads a remote file by ranges."""
    path = local_path(url)
    if path is not None:
        return path
    with _explained(url):
        system, inner = _resolve(url)
        return cast(BinaryIO, system.open(inner, "rb", block_size=1 << 16))


def stamp(url: str) -> FileStamp | None:
    """Returns what tells a changed file from an unchanged one; None where there is no such file.

    Raises:
        StorageError: the store cannot say.
    """
    with _explained(url), contextlib.suppress(FileNotFoundError, NotADirectoryError):
        path = local_path(url)
        if path is not None:
            status = os.stat(path)
            found = FileStamp(status.st_size, str(status.st_mtime_ns))
            return None if stat.S_ISDIR(status.st_mode) else found
        system, inner = _resolve(url)
        info = system.info(inner)
        return None if info["type"] == "directory" else FileStamp(int(info["size"] or 0), _version(info))
    return None


def _version(info: Mapping[str, Any]) -> str:
    """Returns what a store tells of a file that changes whenever the file does; empty if nothing."""
    mark = next((info[mark] for mark in _VERSION_MARKS if info.get(mark)), "")
    return str(mark.timestamp() if isinstance(mark, datetime) else mark)


def exists(url: str) -> bool:
    """Tells whether a file or folder is there. Raises StorageError when the store cannot say."""
    with _explained(url):
        system, inner = _resolve(url)
        return bool(system.exists(inner))


def is_folder(url: str) -> bool:
    """Tells whether a URL is an existing folder (of an object store: a prefix with objects)."""
    with _explained(url):
        path = local_path(url)
        if path is not None:
            return os.path.isdir(path)
        system, inner = _resolve(url)
        return bool(system.isdir(inner))


def find(url: str, *, suffixes: Sequence[str] = ()) -> list[FileEntry]:
    """Lists the files below a folder at any depth, sorted by path; links are followed.

    Args:
        url: the folder.
        suffixes: keep only names with one of these endings (compared in lower case); all if empty.

    Raises:
        StorageError: the folder is missing or cannot be listed.
    """
    if not is_folder(url):
        raise StorageError(url, "no such folder; check the path")
    wanted = tuple(suffix.lower() for suffix in suffixes) or ("",)
    with _explained(url):
        path = local_path(url)
        entries = _walk_remote(url) if path is None else _walk(path, "", frozenset())
        kept = [entry for entry in entries if entry.path.lower().endswith(wanted)]
    return sorted(kept, key=lambda entry: entry.path)


def _walk_remote(url: str) -> Iterator[FileEntry]:
    system, inner = _resolve(url)
    start = inner.rstrip("/") + "/" if inner.strip("/") else inner
    for path, info in system.find(inner, detail=True).items():
        yield FileEntry(path.removeprefix(start).lstrip("/"), int(info["size"] or 0), _version(info))


def _walk(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[FileEntry]:
    """Yields the files below a local folder; a link to a folder that it is in leads nowhere new."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {here})
            else:
                yield _entry(prefix + entry.name, entry)


def _entry(path: str, found: os.DirEntry[str]) -> FileEntry:
    """Returns the entry of a local file; a link that leads nowhere has no bytes."""
    try:
        status = found.stat()
    except FileNotFoundError:
        return FileEntry(path, 0)
    return FileEntry(path, status.st_size, str(status.st_mtime_ns))


def list_folder(url: str) -> list[str]:
    """Lists the names directly in a folder, sorted; empty where there is no such folder."""
    with _explained(url):
        system, inner = _resolve(url)
        try:
            names = system.ls(inner, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
    own = inner.rstrip("/")
    return sorted({name.rstrip("/").rsplit("/", 1)[-1] for name in names if name.rstrip("/") != own})


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
        probe = f"{_TEMPORARY_FOLDER}/probe-{os.getpid()}"
        self.write(probe, b"")
        self.remove(probe)

    @contextlib.contextmanager
    def open(self, path: str, *, keep_equal: bool = False) -> Iterator[BinaryIO]:
        """Opens a file for writing that appears when the block ends well, and else never.

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
            raise StorageError(self.url(path), _explain(error)) from error

    @contextlib.contextmanager
    def _sending(self, path: str, keep_equal: bool) -> Iterator[str]:
        """Yields a temporary name for a file that is sent, in one put, if the block ends well."""
        with tempfile.NamedTemporaryFile(prefix="mixtape-") as file:
            yield file.name
            with _explained(self.url(path)):
                if not (keep_equal and self._holds(path, file.name)):
                    system, inner = _resolve(self.url(path))
                    system.put_file(file.name, inner)

    @contextlib.contextmanager
    def _replacing(self, path: str, keep_equal: bool = False) -> Iterator[str]:
        """Yields a temporary name for a local file that takes its place if the block ends well."""
        temporary, final = self._temporary(), self._final(path)
        try:
            yield temporary
            if not (keep_equal and self._holds(path, temporary)):
                os.replace(temporary, final)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _holds(self, path: str, other: str) -> bool:
        """Tells whether a file has the very bytes of another, local one, reading both in pieces."""
        if self.size(path) != os.path.getsize(other):
            return False
        system, inner = _resolve(self.url(path))
        with system.open(inner, "rb") as old, open(other, "rb") as new:
            pieces = iter(functools.partial(new.read, _BLOCK_BYTES), b"")
            return all(old.read(len(piece)) == piece for piece in pieces)

    def write(self, path: str, *pieces: Buffer) -> None:
        """Writes a file from pieces that follow one another. Raises StorageError."""
        with _explained(self.url(path)):
            if self._local is None:
                system, inner = _resolve(self.url(path))
                system.pipe_file(inner, b"".join(pieces))
                return
            with self._replacing(path) as temporary:
                _write_new(temporary, pieces)

    def write_if_changed(self, path: str, data: bytes) -> bool:
        """Writes a file unless it holds these bytes already; tells whether it wrote."""
        if self.size(path) == len(data) and self.read(path) == data:
            return False
        self.write(path, data)
        return True

    def _temporary(self) -> str:
        folder = self._folder(f"{_TEMPORARY_FOLDER}/{_writer(os.getpid())}")
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
        with _explained(self.url(path)), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            system, inner = _resolve(self.url(path))
            system.rm_file(inner)

    def remove_folder_if_empty(self, path: str) -> None:
        """Removes a folder of a local disk that holds nothing; object stores have no folders."""
        if self._local is not None:
            self._known_folders.discard(f"{self._local}/{path}")
            with contextlib.suppress(OSError):
                os.rmdir(f"{self._local}/{path}")

    def remove_temporary(self) -> None:
        """Removes what killed runs left unfinished, and our own folder if nothing is in it."""
        if self._local is None:
            return
        shutil.rmtree(f"{self._local}/{_TEMPORARY_FOLDER}", ignore_errors=True)
        self._known_folders.clear()
        with contextlib.suppress(OSError):
            os.rmdir(f"{self._local}/{OWN_FOLDER}")


@contextlib.contextmanager
def only_run(tree: OutputTree) -> Iterator[None]:
    """Holds an output on a local disk for one run and removes what killed runs left unfinished.

    Raises:
        UsageError: another run is writing to the same output.
        StorageError: the output cannot be held.
    """
    if local_path(tree.root) is None:
        yield
        return
    path = tree.url(_LOCK)
    with _explained(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        descriptor = _lock(path)
    try:
        with _explained(path):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        tree.remove_temporary()
        yield
        tree.remove_temporary()
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
            os.rmdir(os.path.dirname(path))
        os.close(descriptor)


def _lock(path: str) -> int:
    """Opens and locks a file that is still the one of that name once the lock is ours."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode() or "unknown"
            os.close(descriptor)
            problem = f"another run (process {holder}) is writing here; wait for it or end it"
            raise UsageError(f"{os.path.dirname(os.path.dirname(path))}: {problem}") from error
        os.close(descriptor)


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
