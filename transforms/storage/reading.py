"""Reading: plain functions that take the URL of a file or folder, wherever it is."""

import os
import threading
from collections.abc import Iterator, Sequence
from typing import BinaryIO, cast

from transforms.errors import StorageError
from transforms.storage import clients
from transforms.storage.archives import Archive, archive_of, forget_archives
from transforms.storage.failures import attempt, explained
from transforms.storage.plain import HEADER_BLOCK_BYTES, RangeFile, open_ranges, read_span, stamp_of_file
from transforms.storage.urls import FileEntry, FileStamp, local_path, parent

_NO_FOLDER = "no such folder; check the path"


def forget_file_systems() -> None:
    """Forgets clients and archives opened so far; later ones see the environment as it is then."""
    clients.forget_clients()
    forget_archives()


def read_bytes(url: str) -> bytes:
    """Reads a whole file in one request. Raises StorageError."""
    return read_with_stamp(url)[0]


def read_with_stamp(url: str) -> tuple[bytes, FileStamp]:
    """Reads a whole file in one request, and tells the stamp of what was read. Raises StorageError."""
    if inside := archive_of(url):
        archive, path = inside
        return archive.read(path)
    return read_span(url)


def read_text(url: str) -> str:
    """Reads a whole UTF-8 file. Raises StorageError, also when it is not text."""
    data = read_bytes(url)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StorageError(url, f"is not UTF-8 text ({error.reason})") from error


def open_header(url: str) -> str | BinaryIO:
    """Returns a local file's path, or a handle through which libsndfile reads a remote file by ranges.

    That library swallows what reading raises, so to it a failure looks like the end of the file, and
    closing the handle raises it. Raises StorageError.
    """
    opened = open_ranged(url)
    if isinstance(opened, RangeFile):
        opened.silent = True
    return opened


def open_ranged(url: str, *, block_bytes: int = HEADER_BLOCK_BYTES) -> str | BinaryIO:
    """Returns a local file's path, or a handle that reads a remote file by ranges of so many bytes.

    Raises:
        StorageError: it cannot be opened.
    """
    path = local_path(url)
    if path is not None:
        return path
    if inside := archive_of(url):
        archive, member = inside
        return cast(BinaryIO, archive.open(member))
    return cast(BinaryIO, open_ranges(url, block_bytes=block_bytes))


def read_beginning(opened: str | BinaryIO, count: int) -> bytes:
    """Reads the first bytes of what ``open_header`` returned; a handle is at its start again then.

    Raises:
        StorageError: a local file cannot be read.
    """
    if not isinstance(opened, str):
        data = opened.read(count)
        opened.seek(0)
        return data
    with explained(opened), open(opened, "rb", buffering=0) as file:
        return file.read(count)


def stamp(url: str) -> FileStamp | None:
    """Returns what tells a changed file from an unchanged one; None where there is no such file.

    Raises:
        StorageError: the store cannot say.
    """
    inside = archive_of(url)
    if inside is None:
        return stamp_of_file(url)
    archive, path = inside
    member = archive.table.get(path)
    return None if member is None else member.stamp(archive.stamp)


def exists(url: str) -> bool:
    """Tells whether a file or folder is there. Raises StorageError when the store cannot say."""
    return _kind(url) != ""


def is_folder(url: str) -> bool:
    """Tells whether a URL is an existing folder (of an object store: a prefix with objects)."""
    return _kind(url) == "directory"


def _kind(url: str) -> str:
    """Returns ``file``, ``directory``, or nothing where nothing is."""
    if inside := archive_of(url):
        archive, path = inside
        return "directory" if path in archive.folders else "file" if path in archive.table else ""

    def ask() -> str:
        path = local_path(url)
        if path is not None:
            return "directory" if os.path.isdir(path) else "file" if os.path.lexists(path) else ""
        system, inner = clients.resolve(url)
        if clients.kind_of(system) == "http" and system.isdir(inner):
            return "directory"
        try:
            return str(system.info(inner)["type"])
        except (FileNotFoundError, NotADirectoryError):
            return ""

    return attempt(url, ask)


def find(url: str, *, suffixes: Sequence[str] = ()) -> list[FileEntry]:
    """Lists the files below a folder at any depth, sorted by path; links are followed.

    Args:
        url: the folder.
        suffixes: keep only names with one of these endings (compared in lower case); all if empty.

    Raises:
        StorageError: the folder is missing or cannot be listed.
    """
    wanted = tuple(suffix.lower() for suffix in suffixes) or ("",)
    if inside := archive_of(url):
        entries = _walk_archive(url, *inside)
    else:
        entries = attempt(url, lambda: _walk_store(url) if local_path(url) is None else _walk_local(url))
    kept = [entry for entry in entries if entry.path.lower().endswith(wanted)]
    return sorted(kept, key=lambda entry: entry.path)


def _walk_archive(url: str, archive: Archive, folder: str) -> list[FileEntry]:
    if folder not in archive.folders:
        raise StorageError(url, _NO_FOLDER)
    return [_entry(path, member.stamp(archive.stamp)) for path, member in archive.below(folder)]


def _entry(path: str, found: FileStamp) -> FileEntry:
    return FileEntry(path, found.size_bytes, found.version)


def _walk_store(url: str) -> list[FileEntry]:
    """Lists a remote folder; only where nothing is found it takes a second request to tell why."""
    system, inner = clients.resolve(url)
    start = inner.rstrip("/") + "/" if inner.strip("/") else inner
    try:
        found = system.find(inner, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        found = {}
    stamps = {
        path.removeprefix(start).lstrip("/"): clients.stamp_of(info)
        for path, info in found.items()
        if path.startswith(start) and not path.endswith("/")
    }
    entries = [_entry(path, stamp) for path, stamp in stamps.items() if stamp is not None]
    if not entries and not is_folder(url):
        raise StorageError(url, _NO_FOLDER)
    return entries


def _walk_local(url: str) -> list[FileEntry]:
    folder = cast(str, local_path(url))
    if not os.path.isdir(folder):
        raise StorageError(url, _NO_FOLDER)
    return list(_walk(folder, "", frozenset()))


def _walk(folder: str, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[FileEntry]:
    """Yields the files below a local folder; a link to a folder that it is in leads nowhere new."""
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {here})
            else:
                yield _local_entry(prefix + entry.name, entry)


def _local_entry(path: str, found: os.DirEntry[str]) -> FileEntry:
    """Returns the entry of a local file; a link that leads nowhere has no bytes."""
    try:
        status = found.stat()
    except OSError:
        return FileEntry(path, 0)
    return FileEntry(path, status.st_size, str(status.st_mtime_ns))


def list_folder(url: str) -> list[str]:
    """Lists the names directly in a folder, sorted; empty where there is no such folder."""
    if inside := archive_of(url):
        archive, folder = inside
        return sorted({path.split("/", 1)[0] for path, _ in archive.below(folder)})
    path = local_path(url)
    return sorted(_stamps_in(url)) if path is None else attempt(url, lambda: _local_names(path))


def _local_names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stamps_in(url: str) -> dict[str, FileStamp | None]:
    """Lists a folder in one go: stamps of its files by name, and None for each folder in it."""

    def ask() -> dict[str, FileStamp | None]:
        system, inner = clients.resolve(url)
        try:
            found = system.ls(inner, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        own = inner.rstrip("/")
        named = [(info["name"].rstrip("/"), info) for info in found]
        return {
            name.rsplit("/", 1)[-1]: clients.stamp_of(info)
            for name, info in named
            if name.startswith(f"{own}/" if own else "")
        }

    return attempt(url, ask)


class Listings:
    """Stamps of many files: of a store from one listing per folder, which is then kept.

    What is kept grows old. So it serves to find out, in one run, what the run before has left.
    """

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, FileStamp | None]] = {}
        self._listing = threading.Lock()

    def stamp(self, url: str) -> FileStamp | None:
        """Returns a file's stamp as ``storage.stamp`` does."""
        if local_path(url) is not None or archive_of(url) or url.startswith("http"):
            return stamp(url)
        folder, name = parent(url)
        with self._listing:
            if folder not in self._folders:
                self._folders[folder] = _stamps_in(folder)
        return self._folders[folder].get(name)

    def size(self, url: str) -> int | None:
        """Returns a file's size in bytes, or None where there is no such file."""
        found = self.stamp(url)
        return None if found is None else found.size_bytes
