"""An item's files out of whatever holds them: files of their own, archives, or records."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import SEEK_CUR, RawIOBase

from transforms import storage
from transforms.audio import wav_header
from transforms.errors import StorageError
from transforms.ledger import ItemRecord, ShardLedger, VariantRecord
from transforms.plan import FORMATS, Format, Shard
from transforms.sharding import RenderJob
from transforms.sinks.description import item_key
from transforms.sinks.tfrecord import records_path
from transforms.sinks.wav import WavSink
from transforms.sinks.webdataset import archive_path, index_path

_RECORD_HEAD_BYTES = 12
_CRC_BYTES = 4
_DELIMITED = 2


@dataclass(frozen=True)
class Place:
    """Where an item is in an output.

    Attributes:
        job: how its part was made.
        shard: its shard.
        ledger: what the shard holds.
        item: what the ledger says of the item.
    """

    job: RenderJob
    shard: Shard
    ledger: ShardLedger
    item: ItemRecord

    @property
    def number(self) -> int:
        """Its number among the items that the shard holds, from 0."""
        return self.ledger.items.index(self.item)

    def holder(self, form: Format, record: VariantRecord) -> str:
        """Returns the file of a packed format that holds the item at one rate and mode."""
        path = archive_path if form == "webdataset" else records_path
        return path(self.shard, record.variant)


def files_of(place: Place, record: VariantRecord) -> dict[str, bytes]:
    """Reads the files of an item at one rate and mode from the first format that has them all.

    Returns:
        By name: ``<stream>.wav``, and what is attached as archives name it (``mp4``, ``0000.jpg``).

    Raises:
        StorageError: no format has them.
    """
    failure: StorageError | None = None
    for form in (form for form in FORMATS if form in place.job.options.formats):
        try:
            return _READERS[form](place, record)
        except StorageError as error:
            failure = failure or error
    raise failure or StorageError(place.job.out, "holds no format that items could be read from")


def _from_tree(place: Place, record: VariantRecord) -> dict[str, bytes]:
    tree, recipe, part = place.job.tree, place.job.rules, place.shard.part
    found = {
        f"{stream}.wav": tree.read(recipe.wav_path(part, record.variant, stream, place.item.id))
        for stream in record.crc32c
    }
    sink = WavSink(tree, recipe, place.job.options)
    paths = [path for path, _ in sink.attached_files(part, place.item)]
    return found | {name: tree.read(path) for name, path in zip(_attached(place), paths, strict=True)}


def _attached(place: Place) -> Iterator[str]:
    """Yields the names of the attached files, in the ledger's order."""
    for name, pieces in place.item.attachments.items():
        yield from place.job.rules.attachment_named(name).endings(len(pieces))


def _from_archive(place: Place, record: VariantRecord) -> dict[str, bytes]:
    """Reads the members of one sample, found by the archive's index."""
    archive = place.holder("webdataset", record)
    tree = place.job.tree
    key = item_key(place.item.id)
    for line in tree.read(index_path(archive)).decode("ascii").splitlines()[1:]:
        members = [one for one in _members(line.split()) if one.name == f"{key}.{one.extension}"]
        if members:
            with storage.open_ranges(tree.url(archive)) as file:
                return {one.extension: one.read(file) for one in members if one.extension != "json"}
    raise StorageError(tree.url(archive), f"holds no sample {key}; render with --force")


@dataclass(frozen=True)
class _Member:
    """A member of an archive, as its index tells of it."""

    extension: str
    start: int
    size_bytes: int
    name: str

    def read(self, file: RawIOBase) -> bytes:
        file.seek(self.start)
        return file.read(self.size_bytes) or b""


def _members(words: list[str]) -> Iterator[_Member]:
    for extension, start, size, name in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=True):
        yield _Member(extension, int(start), int(size), name)


def _from_records(place: Place, record: VariantRecord) -> dict[str, bytes]:
    """Reads one record: the streams are raw samples there, and get a header."""
    path = place.holder("tfrecord", record)
    features = parse_example(read_record(place.job.tree.url(path), place.number))
    header = wav_header(record.samples, record.variant.rate_hz)
    found = {f"{stream}.wav": header + features[stream][0] for stream in record.crc32c}
    pieces = [piece for name in place.item.attachments for piece in features[name]]
    return found | dict(zip(_attached(place), pieces, strict=True))


def read_record(url: str, number: int) -> bytes:
    """Reads the data of one TFRecord of a file, by its number from 0, passing over those before it.

    Raises:
        StorageError: the file cannot be read, or has fewer records.
    """
    with storage.open_ranges(url) as file:
        for _ in range(number):
            file.seek(_record_bytes(file, url, number) + _CRC_BYTES, SEEK_CUR)
        return file.read(_record_bytes(file, url, number)) or b""


def _record_bytes(file: RawIOBase, url: str, number: int) -> int:
    """Reads the head of the next record; returns the size of its data."""
    head = file.read(_RECORD_HEAD_BYTES) or b""
    if len(head) < _RECORD_HEAD_BYTES:
        raise StorageError(url, f"has no record {number}; render with --force")
    return int(struct.unpack_from("<Q", head)[0])


def parse_example(data: bytes) -> Mapping[str, list[bytes]]:
    """Parses a serialised ``tf.train.Example``.

    Returns:
        By feature, the values of its bytes list; of other kinds, the packed values.

    Raises:
        ValueError: the bytes are no such message.
    """
    found: dict[str, list[bytes]] = {}
    for features in _fields(data):
        for entry in _fields(features):
            name, feature = _fields(entry)
            lists = list(_fields(feature))
            found[name.decode()] = [value for one in lists for value in _fields(one)]
    return found


def _fields(message: bytes) -> Iterator[bytes]:
    """Yields the content of a message's length-delimited fields; it has no others."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        if tag & 7 != _DELIMITED:
            raise ValueError(f"field {tag >> 3} has wire type {tag & 7}, wanted {_DELIMITED}")
        size, place = _varint(message, place)
        if place + size > len(message):
            raise ValueError(f"field {tag >> 3} ends after its message")
        yield message[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Returns a number of seven bits per byte, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7


_READERS = {"wav": _from_tree, "webdataset": _from_archive, "tfrecord": _from_records}
