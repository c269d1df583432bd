"""Corpora in archives: what root to read them from, and packing of compressed ones into plain tar shards.

A tar archive that is compressed as a whole cannot be read at random. One pass over it gives shards of plain
tar, with the members' bytes unchanged, and a table of where each member is. The table is written last: a
folder without it is no packed corpus, so a pass that broke off leaves nothing that could be mistaken for one.
"""

import bz2
import contextlib
import csv
import dataclasses
import gzip
import io
import json
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, cast

import google_crc32c

from transforms import storage
from transforms.errors import StorageError, StoreUnavailableError, UsageError
from transforms.storage import OWN_FOLDER, OutputTree

RECORD_PATH = f"{OWN_FOLDER}/pack.json"
_COMPRESSED = re.compile(r"\.(tar\.[a-z0-9]+|tgz|tbz2?|txz|tzst)$", re.IGNORECASE)
_PLAIN = re.compile(r"\.(tar|zip)$", re.IGNORECASE)
_SHARD = re.compile(r"shard-\d{6,}\.tar")
_READ_BYTES = 1 << 23
_PIECE_BYTES = 1 << 20
_BLOCK_BYTES = 512
_END_OF_ARCHIVE = bytes(2 * _BLOCK_BYTES)
_MAGIC_BYTES = 6
_UNPACKERS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


def corpus_root(url: str, *, inner: str = "") -> str:
    """Returns the URL below which the paths of a corpus are found, given what a person named.

    Args:
        url: a folder; a plain tar or zip archive; a folder of packed shards; or a chained URL.
        inner: the folder that archives of this corpus are published with, for instance ``LibriSpeech``.

    Raises:
        UsageError: it is a compressed tar archive, which must be packed first.
        StorageError: it is an archive that is missing or damaged.
    """
    if _COMPRESSED.search(url):
        raise UsageError(f"{url}: is a compressed tar archive; {storage.PACK_ADVICE}")
    root = _opened(url)
    if root == url and not url.startswith(("tar://", "zip://", "packed://")):
        return url
    below = storage.join(root, inner)
    return below if inner and storage.is_folder(below) else root


def _opened(url: str) -> str:
    if "::" in url:
        return url
    if match := _PLAIN.search(url):
        kind = match[1].lower()
        return url if storage.is_folder(url) else f"{kind}://::{storage.absolute(url)}"
    try:
        packed = storage.stamp(storage.join(url, storage.PACK_TABLE)) is not None
    except StoreUnavailableError:
        return url  # whoever looks for the corpus there will say so
    return f"packed://::{storage.absolute(url)}" if packed else url


@dataclass(frozen=True)
class PackSummary:
    """What packing made.

    Attributes:
        members: files in the table.
        size_bytes: their sizes together.
        shards: number of shards.
        left_out: names of links and devices, which are not packed.
    """

    members: int
    size_bytes: int
    shards: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class PackRecord:
    """What packed shards were made from, to find that there is nothing to do.

    Attributes:
        archives: URL, size and version of each archive.
        shard_bytes: the limit to the size of a shard.
        summary: what came of it.
    """

    archives: "Archives"
    shard_bytes: int
    summary: PackSummary


Archives = tuple[tuple[str, int, str], ...]


def archives_now(urls: Sequence[str]) -> Archives:
    """Returns what tells archives from others and from earlier states. Raises UsageError for missing ones."""
    stamps = [storage.stamp(url) for url in urls]
    if missing := [
        f"{url}: no such file; check the path" for url, one in zip(urls, stamps, strict=True) if not one
    ]:
        raise UsageError(missing)
    found = zip(urls, stamps, strict=True)
    return tuple((storage.absolute(url), one.size_bytes, one.version) for url, one in found if one)


def read_record(tree: OutputTree) -> PackRecord | None:
    """Reads what a folder of packed shards was made from; None where there is none that is whole."""
    try:
        fields = json.loads(tree.read(RECORD_PATH))
        summary = fields["summary"]
        summary["left_out"] = tuple(summary["left_out"])
        archives = tuple((url, size, version) for url, size, version in fields["archives"])
        record = PackRecord(archives, fields["shard_bytes"], PackSummary(**summary))
    except (StorageError, ValueError, KeyError, TypeError):
        return None
    return record if tree.exists(storage.PACK_TABLE) else None


def pack(
    urls: Sequence[str], tree: OutputTree, *, shard_bytes: int, advance: Callable[[int], object]
) -> PackSummary:
    """Packs tar archives, compressed or not, into plain tar shards and a table of their members.

    Args:
        urls: the archives, in this order; a file that is in several must be the same in all of them.
        tree: where the shards go; those of an earlier pass go away.
        shard_bytes: how large a shard may be, unless one member alone is larger.
        advance: is called with the size of each member once it is packed.

    Raises:
        UsageError: files of one name differ, or a name would lead out of the corpus.
        StorageError: an archive cannot be read, or a shard not written.
    """
    archives = archives_now(urls)
    tree.remove(storage.PACK_TABLE)
    with ExitStack() as stack:
        packer = _Packer(tree, shard_bytes, stack)
        for url in urls:
            with _whole(url):
                for info, data in _members(url):
                    packer.add(url, info, data)
                    advance(info.size)
        packer.finish_shard()
    if archives_now(urls) != archives:
        raise StorageError(urls[0], "an archive changed while it was packed; run the same command again")
    for name in tree.names(""):
        if _SHARD.fullmatch(name) and name not in packer.shards:
            tree.remove(name)
    record = PackRecord(archives, shard_bytes, packer.summary)
    tree.write(RECORD_PATH, (json.dumps(dataclasses.asdict(record), indent=1) + "\n").encode())
    tree.write(storage.PACK_TABLE, packer.table())
    return packer.summary


class _Tail(io.RawIOBase):
    """Reads a stream on, and remembers its last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Reads as the stream does."""
        data = self._stream.read(size)
        self.last = (self.last + data[-_BLOCK_BYTES:])[-_BLOCK_BYTES:]
        return data


def _members(url: str) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """Yields the members of a tar archive in one pass: heads, and handles of those that are files.

    The stream is read to its very end, so that its checksum is compared and its end mark is seen: to
    ``tarfile`` an archive that is cut short between two members looks whole.
    """
    with (
        closing(io.BufferedReader(storage.open_ranges(url, block_bytes=_READ_BYTES), _PIECE_BYTES)) as file,
        _unpacked(file) as stream,
    ):
        tail = _Tail(stream)
        with tarfile.open(fileobj=cast(BinaryIO, tail), mode="r|") as archive:
            for info in archive:
                if not info.isdir():
                    yield info, archive.extractfile(info) if info.isreg() else None
        while tail.read(_PIECE_BYTES):
            pass
        if tail.last != bytes(_BLOCK_BYTES):
            raise EOFError("it has no end mark")


def _unpacked(file: Any) -> Any:
    """Returns the stream in a compressed file; of any other the file itself."""
    magic = file.peek(_MAGIC_BYTES)
    for start, unpack in _UNPACKERS.items():
        if magic.startswith(start):
            return unpack(file)
    return file


@contextlib.contextmanager
def _whole(url: str) -> Iterator[None]:
    """Says of an archive that cannot be read to its end what that means."""
    try:
        yield
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        problem = f"is no tar archive, or damaged or cut short ({error}); fetch it again"
        raise StorageError(url, problem) from error


@dataclass
class _Packer:
    """Shards in the making.

    Attributes:
        tree: where they go.
        shard_bytes: how large one may be.
        stack: closes the shard that is open.
        shards: names of the shards.
        rows: where members are, by path: shard, offset, size, CRC-32C.
    """

    tree: OutputTree
    shard_bytes: int
    stack: ExitStack
    shards: list[str] = field(default_factory=list)
    rows: dict[str, tuple[str, int, int, str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    file: BinaryIO | None = None
    place: int = 0

    def add(self, url: str, info: tarfile.TarInfo, data: IO[bytes] | None) -> None:
        """Appends a member to the shard that is open, or to a new one where it does not fit."""
        path = info.name.removeprefix("./").strip("/")
        if not storage.is_safe_relative(path):
            raise UsageError(f"{url}: holds a member named {info.name!r}, which leads out of the corpus")
        linked = self.rows.get(info.linkname.removeprefix("./")) if info.islnk() else None
        if linked is not None:
            self._enter(url, path, linked)
        elif data is None:
            self.left_out.append(path)
        else:
            self._enter(url, path, self._append(info, data))

    def _append(self, info: tarfile.TarInfo, data: IO[bytes]) -> tuple[str, int, int, str]:
        """Copies a file into a shard and returns its row."""
        head = info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
        padding = -info.size % _BLOCK_BYTES
        if self.file is not None and self.place + len(head) + info.size + padding > self.shard_bytes:
            self.finish_shard()
        if self.file is None:
            self.shards.append(f"shard-{len(self.shards):06d}.tar")
            self.file, self.place = self.stack.enter_context(self.tree.open(self.shards[-1])), 0
        self.file.write(head)
        start = self.place + len(head)
        checksum = 0
        while piece := data.read(_PIECE_BYTES):
            self.file.write(piece)
            checksum = google_crc32c.extend(checksum, piece)
        self.file.write(bytes(padding))
        self.place = start + info.size + padding
        return self.shards[-1], start, info.size, f"{checksum:08x}"

    def _enter(self, url: str, path: str, row: tuple[str, int, int, str]) -> None:
        known = self.rows.setdefault(path, row)
        if known[2:] != row[2:]:
            raise UsageError(f"{url}: holds {path}, which another file of that name before it differs from")

    def finish_shard(self) -> None:
        """Ends the shard that is open, which then appears."""
        if self.file is not None:
            self.file.write(_END_OF_ARCHIVE)
            self.file = None
            self.stack.close()

    def table(self) -> bytes:
        """Returns the table of all members, sorted by path."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(storage.PACK_COLUMNS)
        writer.writerows((path, *row) for path, row in sorted(self.rows.items()))
        return text.getvalue().encode(errors="surrogateescape")

    @property
    def summary(self) -> PackSummary:
        """What was packed."""
        size_bytes = sum(size for _, _, size, _ in self.rows.values())
        return PackSummary(len(self.rows), size_bytes, len(self.shards), tuple(self.left_out))
