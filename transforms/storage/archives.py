"""Archives as folders: ``tar://``, ``zip://`` and ``packed://`` before the URL of what holds the members."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import google_crc32c

from transforms.errors import MixtapeError, StorageError, StoreUnavailableError
from transforms.storage import known_tables
from transforms.storage.failures import explained
from transforms.storage.members import (
    PACK_TABLE,
    Member,
    Table,
    folders_of,
    pack_table,
    tar_table,
    unzipped,
    zip_table,
)
from transforms.storage.plain import HEADER_BLOCK_BYTES, RangeFile, open_ranges, read_span, stamp_of_file
from transforms.storage.urls import FileStamp, join, local_path

_TRUSTED_S = 5.0
_HEADER_MARGIN_BYTES = 1 << 12
# Heads in a tar archive of speech are some 200 kB apart: reading on takes less time than asking anew.
_WALK_BLOCK_BYTES = 1 << 22
_TABLES: dict[str, Callable[[BinaryIO, str], Table]] = {"tar": tar_table, "zip": zip_table}
PROTOCOLS = frozenset({*_TABLES, "packed"})


@dataclass
class Archive:
    """An archive, with the table of its members, which any number of threads may use at once.

    Attributes:
        kind: ``tar``, ``zip`` or ``packed``.
        url: the archive; of packed shards their folder.
        table: where its members are, by path.
        stamp: of the archive; of packed shards of their table.
        folders: all folders that members are in.
        checked_s: when it was last seen unchanged, on the monotonic clock.
    """

    kind: str
    url: str
    table: Table
    stamp: FileStamp
    folders: frozenset[str]
    checked_s: float = field(default_factory=time.monotonic)

    def is_current(self) -> bool:
        """Tells whether the archive is still the one whose table this is; asks a store at most every 5 s."""
        holder = _holder_of_table(self.kind, self.url)
        if local_path(holder) is None and time.monotonic() - self.checked_s < _TRUSTED_S:
            return True
        self.checked_s = time.monotonic()
        return stamp_of_file(holder) == self.stamp

    def member(self, path: str) -> Member:
        """Returns a member. Raises StorageError."""
        with explained(self.url_of(path)):
            if path not in self.table:
                raise (IsADirectoryError if path in self.folders else FileNotFoundError)(path)
        return self.table[path]

    def url_of(self, path: str) -> str:
        """Returns the URL of a member."""
        return f"{self.kind}://{path}::{self.url}"

    def read(self, path: str) -> tuple[bytes, FileStamp]:
        """Reads a member, in one request, with its stamp. Raises as ``attempt`` does."""
        member = self.member(path)
        data = self._bytes(member, 0, member.end - member.start)
        if self.kind == "zip":
            data = self._unzipped(path, data)
        elif self.kind == "packed" and f"{google_crc32c.value(data):08x}" != member.version:
            problem = "is damaged in its shard: its checksum differs; pack the archive again"
            raise StorageError(self.url_of(path), problem)
        return data, member.stamp(self.stamp)

    def _unzipped(self, path: str, data: bytes, at_most_bytes: int = 0) -> bytes:
        try:
            return unzipped(data, self.table[path], at_most_bytes=at_most_bytes)
        except ValueError as error:
            raise StorageError(self.url_of(path), str(error)) from error

    def _bytes(self, member: Member, start: int, end: int) -> bytes:
        """Reads some of the bytes that the archive holds of a member."""
        if start >= end:
            return b""
        holder = join(self.url, member.shard) if member.shard else self.url
        data, found = read_span(holder, (member.start + start, member.start + end))
        if holder == self.url and found != self.stamp:
            _opened.clear()
            problem = "was replaced while it was in use; run the same command again"
            raise StoreUnavailableError(self.url, problem)
        if len(data) != end - start:
            raise StorageError(
                holder, "is shorter than the table of its members says; fetch or pack it again"
            )
        return data

    def open(self, path: str) -> RangeFile:
        """Returns a handle that reads a member by ranges. Raises as ``attempt`` does."""
        member = self.member(path)

        def fetch(start: int, end: int) -> tuple[bytes, FileStamp]:
            if self.kind != "zip":
                return self._bytes(member, start, end), member.stamp(self.stamp)
            if end > HEADER_BLOCK_BYTES:
                data, stamp = self.read(path)
                return data[start:end], stamp
            head = min(member.end - member.start, end + _HEADER_MARGIN_BYTES)
            return self._unzipped(path, self._bytes(member, 0, head), end)[start:], member.stamp(self.stamp)

        return RangeFile(self.url_of(path), fetch, size_bytes=member.size_bytes)

    def below(self, folder: str) -> Iterator[tuple[str, Member]]:
        """Yields the members below a folder at any depth, by their paths relative to it."""
        start = f"{folder}/" if folder else ""
        for path, member in self.table.items():
            if path.startswith(start):
                yield path.removeprefix(start), member


_opened: dict[tuple[str, str], Archive] = {}
_opening = threading.Lock()


def archive_of(url: str) -> tuple[Archive, str] | None:
    """Returns the archive that a URL leads into and the path in it; None for any other URL.

    The table is read once per process, and again when the archive has changed; that of a tar archive in a
    store once per machine.

    Raises:
        UsageError: it is an archive whose members cannot be read at random.
        StorageError: it is missing, or no archive of its kind.
    """
    first, chain, holder = url.partition("::")
    kind, mark, path = first.partition("://")
    if not (chain and mark and kind in PROTOCOLS):
        return None
    key = (kind, holder)
    with _opening:
        if key not in _opened or not _opened[key].is_current():
            _opened[key] = _read_archive(kind, holder)
        return _opened[key], path.strip("/")


def forget_archives() -> None:
    """Forgets the tables read so far."""
    _opened.clear()


def _holder_of_table(kind: str, url: str) -> str:
    return join(url, PACK_TABLE) if kind == "packed" else url


def _read_archive(kind: str, url: str) -> Archive:
    holder = _holder_of_table(kind, url)
    stamp = stamp_of_file(holder)
    if stamp is None:
        raise StorageError(holder, "no such file or folder; check the path")
    table = _table_of(kind, url, stamp)
    return Archive(kind, url, table, stamp, folders_of(table))


def _table_of(kind: str, url: str, stamp: FileStamp) -> Table:
    if kind == "packed":
        holder = _holder_of_table(kind, url)
        return pack_table(read_span(holder)[0], holder)
    if kind == "zip" or local_path(url) is not None:
        return _read_table(kind, open_ranges(url), url)
    known = known_tables.read_table(url, stamp)
    if known is not None:
        return known
    file = open_ranges(url, block_bytes=_WALK_BLOCK_BYTES)
    table = _read_table(kind, file, url)
    if file.stamp == stamp:
        known_tables.keep_table(url, stamp, table)
    return table


def _read_table(kind: str, file: RangeFile, url: str) -> Table:
    try:
        return _TABLES[kind](cast(BinaryIO, file), url)
    except MixtapeError:
        raise
    except Exception as error:
        problem = f"is not a {kind} archive, or damaged ({type(error).__name__}: {error}); fetch it again"
        raise StorageError(url, problem) from error
