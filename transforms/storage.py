"""Every file access of the project: local paths and all URLs that fsspec knows, through one module.

Inputs are read with plain functions that take a URL. Outputs go through an ``OutputTree``, which
makes each file appear whole or not at all: on a local disk by a temporary file below
``_mixtape/tmp`` and a rename, on an object store by a single put that is only completed on success.
"""

import contextlib
import fcntl
import functools
import io
import itertools
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import fsspec
from fsspec.core import url_to_fs

from transforms.errors import StorageError, UsageError

Buffer = bytes | bytearray | memoryview

OWN_FOLDER = "_mixtape"
MISSING = "missing"
_TEMPORARY_FOLDER = f"{OWN_FOLDER}/tmp"
_LOCK = f"{OWN_FOLDER}/lock"
_UNSAFE_PARTS = frozenset({"", ".", ".."})
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder: path relative to that folder (``/`` between parts) and size."""

    path: str
    size_bytes: int


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
    """Appends relative parts to a URL; of a chained URL, to its first link.

    >>> join("zip://::gs://bucket/wham.zip", "tr/a.wav")
    'zip://tr/a.wav::gs://bucket/wham.zip'
    """
    first, chain, rest = root.partition("::")
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
        case OSError(errno=28):
            return "no space left on the device; free some, then run the same command again"
        case _:
            return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turns any failure of a file system into a ``StorageError`` that names the URL."""
    try:
        yield
    except StorageError:
        raise
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(url, _explain(error)) from error


@functools.cache
def _file_system(prefix: str, process: int) -> Any:
    """One file system object per prefix and process: clients do not survive a fork."""
    del process
    return url_to_fs(prefix, use_listings_cache=False)[0]


def _resolve(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL and the path in it."""
    path = local_path(url)
    if path is not None:
        return _file_system("/", os.getpid()), os.path.abspath(path)
    if "::" in url:
        return cast(tuple[Any, str], url_to_fs(url))
    protocol, _, rest = url.partition("://")
    prefix = f"{protocol}://{rest.split('/', 1)[0]}/"
    return _file_system(prefix, os.getpid()), url_to_fs_path(url)


def url_to_fs_path(url: str) -> str:
    """Returns the path part of a URL as its file system wants it."""
    protocol = url.partition("://")[0]
    return cast(str, fsspec.get_filesystem_class(protocol)._strip_protocol(url))


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


def open_audio(url: str) -> str | BinaryIO:
    """Returns what an audio decoder should open: a local path, or a remote file's bytes.

    A remote file is fetched whole, in one request. Raises StorageError.
    """
    path = local_path(url)
    return io.BytesIO(read_bytes(url)) if path is None else path


def open_header(url: str) -> str | BinaryIO:
    """Like ``open_audio``, for a caller that reads a header only: remote files by ranges."""
    path = local_path(url)
    if path is not None:
        return path
    with _explained(url):
        system, inner = _resolve(url)
        return cast(BinaryIO, system.open(inner, "rb", block_size=1 << 16))


def stamp(url: str) -> FileStamp | None:
    """Returns what tells a changed file from an unchanged one; None where there is no such file."""
    path = local_path(url)
    try:
        if path is not None:
            status = os.stat(path)
            return FileStamp(status.st_size, str(status.st_mtime_ns))
        system, inner = _resolve(url)
        info = system.info(inner)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(url, _explain(error)) from error
    marks = ("generation", "ETag", "etag", "crc32c", "created", "mtime", "LastModified")
    version = next((str(info[mark]) for mark in marks if info.get(mark)), "")
    return FileStamp(int(info["size"] or 0), version)


def exists(url: str) -> bool:
    """Tells whether a file or folder is there. Raises StorageError when the store cannot say."""
    with _explained(url):
        path = local_path(url)
        if path is not None:
            return os.path.exists(path)
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
    """Lists the files below a folder at any depth, sorted by path.

    Args:
        url: the folder.
        suffixes: keep only names with one of these endings (compared in lower case); all if empty.

    Raises:
        StorageError: the folder is missing or cannot be listed.
    """
    if not is_folder(url):
        raise StorageError(url, "no such folder; check the path")
    with _explained(url):
        system, inner = _resolve(url)
        found = system.find(inner, detail=True)
    wanted = tuple(suffix.lower() for suffix in suffixes) or ("",)
    start = inner.rstrip("/") + "/" if inner.strip("/") else inner
    entries = (
        FileEntry(path.removeprefix(start).lstrip("/"), int(info["size"] or 0))
        for path, info in found.items()
        if path.lower().endswith(wanted)
    )
    return sorted(entries, key=lambda entry: entry.path)


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
        self.root = absolute(root).rstrip("/") if "::" not in root else root
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
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file for writing that appears when the block ends well, and else never.

        Args:
            path: place in the tree.

        Raises:
            StorageError: it cannot be written.
        """
        with _explained(self.url(path)):
            opened = self._open_remote(path) if self._local is None else self._open_local(path)
            with opened as file:
                yield file

    @contextlib.contextmanager
    def _open_local(self, path: str) -> Iterator[BinaryIO]:
        temporary, final = self._temporary(), self._final(path)
        try:
            with open(temporary, "wb", buffering=1 << 20) as file:
                yield file
            os.replace(temporary, final)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    @contextlib.contextmanager
    def _open_remote(self, path: str) -> Iterator[BinaryIO]:
        system, inner = _resolve(self.url(path))
        file = system.open(inner, "wb", autocommit=False)
        try:
            yield cast(BinaryIO, file)
        except BaseException:
            file.discard()
            file.closed = True
            raise
        file.close()
        file.commit()

    def write(self, path: str, *pieces: Buffer) -> None:
        """Writes a file from pieces that follow one another. Raises StorageError."""
        if self._local is None:
            system, inner = _resolve(self.url(path))
            with _explained(self.url(path)):
                system.pipe_file(inner, b"".join(pieces))
            return
        try:
            temporary, final = self._temporary(), self._final(path)
            _write_new(temporary, pieces)
            os.replace(temporary, final)
        except OSError as error:
            raise StorageError(self.url(path), _explain(error)) from error

    def write_if_changed(self, path: str, data: bytes) -> bool:
        """Writes a file unless it holds these bytes already; tells whether it wrote."""
        if self.size(path) == len(data) and self.read(path) == data:
            return False
        self.write(path, data)
        return True

    def _temporary(self) -> str:
        folder = self._folder(f"{_TEMPORARY_FOLDER}/{os.getpid()}")
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

    def make_folder(self, path: str) -> None:
        """Makes a folder on a local disk; object stores have none. Raises StorageError."""
        if self._local is not None:
            with _explained(self.url(path)):
                self._folder(path)

    def read(self, path: str) -> bytes:
        """Reads a whole file. Raises StorageError."""
        return read_bytes(self.url(path))

    def exists(self, path: str) -> bool:
        """Tells whether a file or folder is there."""
        return exists(self.url(path))

    def size(self, path: str) -> int | None:
        """Returns a file's size in bytes, or None where there is no such file."""
        if self._local is not None:
            try:
                return os.stat(f"{self._local}/{path}").st_size
            except (FileNotFoundError, NotADirectoryError):
                return None
        found = stamp(self.url(path))
        return None if found is None else found.size_bytes

    def names(self, folder: str) -> list[str]:
        """Lists the names directly in a folder, sorted; empty where there is none."""
        return list_folder(self.url(folder))

    def remove(self, path: str) -> None:
        """Removes a file; one that is not there is no error. Raises StorageError."""
        with _explained(self.url(path)), contextlib.suppress(FileNotFoundError):
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
    """Holds an output on a local disk for one run; the system frees it however the run ends.

    Raises:
        UsageError: another run is writing to the same output.
    """
    if local_path(tree.root) is None:
        yield
        return
    tree.make_folder(OWN_FOLDER)
    path = cast(str, local_path(tree.url(_LOCK)))
    descriptor = _lock(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
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
            folder = os.path.dirname(os.path.dirname(path))
            raise UsageError(
                f"{folder}: another run (process {holder}) is writing here; wait for it or end it"
            ) from error
        os.close(descriptor)


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
    except BaseException:
        os.close(descriptor)
        os.unlink(path)
        raise
    os.close(descriptor)
