"""What a listing was made from: every file of a corpus folder, with its stamp.

A record stands beside each listing, in ``_mixtape/listed/<listing>.parquet``. By it a later run tells, by
one look into the folder, whether anything was added, changed or removed, and reads the headers of those
files only. A listing that is not as its record says is somebody else's.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transforms import storage
from transforms.corpora import Layout
from transforms.errors import StorageError, UsageError
from transforms.ledger import crc32c
from transforms.listing import AudioFile, NoiseClip, Utterance, read_audio_files, read_noises, read_utterances
from transforms.storage import OWN_FOLDER, FileEntry, FileStamp, OutputTree

_RULES_VERSION = 1
_READERS: Mapping[type[Any], Callable[[str], Sequence[Any]]] = {
    Utterance: read_utterances,
    NoiseClip: read_noises,
    AudioFile: read_audio_files,
}
_FACTS = b"mixtape"


@dataclass(frozen=True)
class ListedFolder:
    """What a folder held when its listing was made, and what listing that gave.

    Attributes:
        layout: digest of the layout, as ``layout_digest`` returns it.
        listing: content of the listing, as ``listing_content`` returns it.
        stamps: of every file that was found, usable or not, by path relative to the corpus root.
    """

    layout: str
    listing: str
    stamps: Mapping[str, FileStamp]

    def holds(self, layout: str, entries: Iterable[FileEntry]) -> bool:
        """Tells whether a listing made now, of these files, would be the same.

        Args:
            layout: digest of the layout.
            entries: the files of the folder now, by path relative to the corpus root.
        """
        now = {entry.path: entry.stamp for entry in entries}
        known = all(stamp.version or not stamp.size_bytes for stamp in now.values())
        return known and layout == self.layout and now == self.stamps


def layout_digest(layout: Layout[Any]) -> str:
    """Returns a digest of all that rows follow from beside headers: speaker table, pattern, rules."""
    return hashlib.sha256(f"{_RULES_VERSION} {layout!r}".encode()).hexdigest()


def listing_content(tree: OutputTree, name: str) -> str:
    """Returns length and checksum of a listing; empty where there is none. Raises StorageError."""
    if not tree.exists(name):
        return ""
    data = tree.read(name)
    return f"{len(data)}-{crc32c(data):08x}"


def record_path(name: str) -> str:
    """Returns the place of the record of a listing, given that listing's file name."""
    return f"{OWN_FOLDER}/listed/{name.removesuffix('.csv')}.parquet"


def write_record(tree: OutputTree, name: str, record: ListedFolder) -> None:
    """Writes the record of a listing. Raises StorageError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "path": list(record.stamps),
        "size_bytes": [stamp.size_bytes for stamp in record.stamps.values()],
        "version": [stamp.version for stamp in record.stamps.values()],
    }
    types = pa.schema([("path", pa.string()), ("size_bytes", pa.int64()), ("version", pa.string())])
    facts = {_FACTS: f"{record.layout} {record.listing}".encode()}
    data = io.BytesIO()
    pq.write_table(pa.table(columns, types.with_metadata(facts)), data)
    tree.write(record_path(name), data.getbuffer())


def read_record(tree: OutputTree, name: str) -> ListedFolder | None:
    """Reads the record of a listing; None without one, or where the listing is not as it says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(tree.read(record_path(name))))
        layout, listing = table.schema.metadata[_FACTS].decode().split(" ")
        columns = (table.column(column).to_pylist() for column in ("path", "size_bytes", "version"))
        stamps = {path: FileStamp(size, version) for path, size, version in zip(*columns, strict=True)}
        return ListedFolder(layout, listing, stamps) if listing == listing_content(tree, name) else None
    except (StorageError, pa.ArrowInvalid, KeyError, ValueError, TypeError):
        return None


def unchanged_rows(
    tree: OutputTree, name: str, layout: Layout[Any], entries: Iterable[FileEntry]
) -> Mapping[str, Any]:
    """Reads from a listing the rows of the files that are as they were when it was made.

    Files that were too short for the listing have no row there and none here.

    Args:
        tree: holds the listing.
        name: file name of the listing.
        layout: how the corpus is laid out now; where it was another, no row is taken over.
        entries: the files of the folder now, by path relative to the corpus root.
    """
    record = read_record(tree, name)
    if record is None or record.layout != layout_digest(layout):
        return {}
    same = {entry.path for entry in entries if entry.version and record.stamps.get(entry.path) == entry.stamp}
    try:
        rows = _READERS[layout.row_type](tree.url(name))
    except UsageError:
        return {}
    return {row.path: row for row in rows if row.path in same}


def entries_below(root: str, folder: str, suffixes: tuple[str, ...] = ()) -> list[FileEntry]:
    """Lists the files of one folder of a corpus, sorted, their paths relative to the corpus root.

    Args:
        root: URL of the corpus.
        folder: folder directly below it; ``""`` is the whole corpus.
        suffixes: endings of names, in lower case; all files if empty.

    Raises:
        StorageError: the folder cannot be listed.
    """
    url = storage.join(root, folder) if folder else root
    start = f"{folder}/" if folder else ""
    found = storage.find(url, suffixes=suffixes)
    return [FileEntry(start + entry.path, entry.size_bytes, entry.version) for entry in found]


def entry_of(root: str, path: str) -> FileEntry:
    """Asks the store for a file that a manifest names; one that is not there has no bytes.

    Raises:
        StorageError: the store cannot say.
    """
    stamp = storage.stamp(storage.join(root, path))
    return (
        FileEntry(path, 0, storage.MISSING)
        if stamp is None
        else FileEntry(path, stamp.size_bytes, stamp.version)
    )
