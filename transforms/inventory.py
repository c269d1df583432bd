"""Size and CRC-32C of what a run writes beside its shards: known as it is written, compared later.

Ledgers know the files of shards and items. The summary of a part knows the tables, indices and records
that are merged from its shards, and its ledgers; ``_mixtape/files.json`` knows plans, the summaries
themselves, and what speaks of the whole output. Nobody knows that file itself, nor what people state
(licences, how tables name files), what only hastens the next run (stamps), findings, exports and the history.
"""

import contextlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, cast

import google_crc32c

from transforms import storage
from transforms.errors import StorageError
from transforms.storage import OWN_FOLDER, Buffer, Listings, OutputTree

INVENTORY_PATH = f"{OWN_FOLDER}/files.json"
IS_MISSING = "is missing; render again"
_REQUEST_BYTES, _PIECE_BYTES = 1 << 21, 1 << 20
OTHER_BYTES = "its bytes are not those that were written"
REMOVE = "remove it and render again"


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of an output: its size, and the CRC-32C of its bytes."""

    size_bytes: int
    crc32c: int

    @classmethod
    def of(cls, data: bytes) -> "FileRecord":
        """Returns the record of a file that holds these bytes."""
        return cls(len(data), int(google_crc32c.value(data)))


class _Noting(io.RawIOBase):
    """Hands bytes on to a file, and knows how many they are and their CRC-32C."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size_bytes = 0
        self._crc32c = 0

    @property
    def record(self) -> FileRecord:
        return FileRecord(self._size_bytes, self._crc32c)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size_bytes

    def write(self, data: Buffer) -> int:  # type: ignore[override]
        self._file.write(data)
        self._crc32c = google_crc32c.extend(self._crc32c, bytes(data))
        self._size_bytes += len(data)
        return len(data)


class NotedTree(OutputTree):
    """An output that notes what is written, kept equal or removed through it.

    Attributes:
        noted: size and CRC-32C of each file by path, None for one that was removed or is not ours.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.noted: dict[str, FileRecord | None] = {}

    @contextlib.contextmanager
    def open(self, path: str, *, keep_equal: bool = False) -> Iterator[BinaryIO]:
        """As ``OutputTree.open``."""
        with super().open(path, keep_equal=keep_equal) as file:
            noting = _Noting(file)
            yield cast(BinaryIO, noting)
        self.noted[path] = noting.record

    def write(self, path: str, *pieces: Buffer) -> None:
        """As ``OutputTree.write``."""
        super().write(path, *pieces)
        self.note(path, b"".join(pieces))

    def write_if_changed(self, path: str, data: bytes) -> bool:
        """As ``OutputTree.write_if_changed``."""
        wrote = super().write_if_changed(path, data)
        self.note(path, data)
        return wrote

    def remove(self, path: str) -> None:
        """As ``OutputTree.remove``."""
        super().remove(path)
        self.forget(path)

    def forget(self, path: str) -> None:
        """Notes that nothing is known of a file: it is gone, or a person's own."""
        self.noted[path] = None

    def note(self, path: str, data: bytes) -> None:
        """Notes a file that holds these bytes."""
        self.noted[path] = FileRecord.of(data)


def read_inventory(tree: OutputTree) -> dict[str, FileRecord]:
    """Reads what ``_mixtape/files.json`` knows, by path; nothing where it cannot be understood."""
    try:
        fields = json.loads(tree.read(INVENTORY_PATH))
        return {path: FileRecord(*record) for path, record in fields.items()}
    except (StorageError, ValueError, TypeError, AttributeError):
        return {}


def take_inventory(tree: NotedTree) -> dict[str, FileRecord]:
    """Brings ``_mixtape/files.json`` up to date with what was noted, and returns it. Raises StorageError."""
    before = read_inventory(tree)
    merged: dict[str, FileRecord | None] = {**before, **tree.noted}
    known = {path: record for path, record in sorted(merged.items()) if record is not None}
    if known != before:
        lines = (
            f"{json.dumps(path)}: [{record.size_bytes}, {record.crc32c}]" for path, record in known.items()
        )
        OutputTree(tree.root).write(INVENTORY_PATH, ("{" + ",\n".join(lines) + "}\n").encode())
    return known


def forget_missing(tree: OutputTree) -> None:
    """Strikes from ``_mixtape/files.json`` what is not there any more. Raises StorageError."""
    noted = NotedTree(tree.root)
    for path in read_inventory(tree):
        if not tree.exists(path):
            noted.forget(path)
    take_inventory(noted)


def stands(tree: OutputTree, files: Mapping[str, FileRecord]) -> bool:
    """Tells whether all files are there with the sizes that are known of them; reads none of them."""
    listings = Listings()
    return all(listings.size(tree.url(path)) == record.size_bytes for path, record in files.items())


def file_problem(tree: OutputTree, path: str, record: FileRecord, *, listings: Listings) -> str:
    """Reads a file, and says what is wrong with it; nothing of one that is as it was written."""
    return size_problem(tree, path, record.size_bytes, listings=listings) or crc_problem(
        tree, path, record.crc32c, remedy=REMOVE
    )


def size_problem(tree: OutputTree, path: str, size_bytes: int, *, listings: Listings) -> str:
    """Says what is wrong with a file that is missing or not as long as it should be; nothing of others."""
    try:
        found = listings.size(tree.url(path))
    except StorageError as error:
        return error.problem
    if found is None:
        return IS_MISSING
    return "" if found == size_bytes else f"has {found} bytes instead of {size_bytes}; render again"


def crc_problem(tree: OutputTree, path: str, crc32c: int, *, remedy: str) -> str:
    """Says what is wrong with a file whose bytes cannot be read or are others than those written.

    Args:
        tree: the output.
        path: the file, of which a few MiB are held at once: many may be read at the same time.
        crc32c: CRC-32C that its bytes should have.
        remedy: what to do about other bytes.
    """
    found = 0
    try:
        with storage.open_ranges(tree.url(path), block_bytes=_REQUEST_BYTES) as file:
            while piece := file.read(_PIECE_BYTES):
                found = google_crc32c.extend(found, piece)
    except StorageError as error:
        return error.problem
    return "" if found == crc32c else f"{OTHER_BYTES}; {remedy}"
