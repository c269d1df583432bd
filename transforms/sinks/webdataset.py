"""WebDataset: tar shards of ``<key>.<stream>.wav`` and ``<key>.json``, with wids and DALI indices.

Attached files stand between these two, as ``<key>.<extension>`` or ``<key>.<number>.<extension>``.
The archives are plain USTAR with fixed times and owners, so equal items make equal bytes, and no
reader meets an extended header. Formats: POSIX.1-1988 (ustar), wids-shard-index-v1, DALI index v1.2.
"""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

from transforms.audio import wav_header
from transforms.ledger import ShardLedger, WrittenFile, crc32c
from transforms.plan import Mixture, Part, Shard, Variant
from transforms.rendering import RenderedMixture, RenderedVariant
from transforms.sinks.base import PartWriter, ShardWriter, Sink
from transforms.sinks.description import (
    PackedFile,
    PackedFiles,
    Piece,
    describe_json,
    item_key,
    sample_bytes,
)
from transforms.storage import OutputTree

_BLOCK_BYTES = 512
_LONGEST_NAME = 100
_MODE_AND_OWNER = b"0000644\0" + 2 * b"0000000\0"
_TIME = b"00000000000\0"
_BLANK_CHECKSUM = b" " * 8
_TAIL = (b"0" + bytes(100) + b"ustar\x0000").ljust(_BLOCK_BYTES - 156, b"\0")
_FIXED_SUM = sum(_MODE_AND_OWNER + _TIME + _BLANK_CHECKSUM + _TAIL)
END_OF_ARCHIVE = bytes(2 * _BLOCK_BYTES)


def tar_header(name: str, size_bytes: int) -> bytes:
    """Returns the 512-byte USTAR header of a regular file: mode 0644, owner and time 0.

    Args:
        name: ASCII, at most 100 characters.
        size_bytes: below 8 GiB.

    Raises:
        ValueError: the name is longer, or not ASCII.
    """
    encoded = name.encode("ascii")
    if len(encoded) > _LONGEST_NAME:
        raise ValueError(f"member name {name!r} has {len(encoded)} characters, at most {_LONGEST_NAME} fit")
    size = b"%011o\0" % size_bytes
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(encoded) + sum(size))
    return encoded.ljust(_LONGEST_NAME, b"\0") + _MODE_AND_OWNER + size + _TIME + checksum + _TAIL


class _Tar:
    """One tar archive in the making, and the lines of its DALI index."""

    def __init__(self, file: PackedFile) -> None:
        self._file = file
        self._lines: list[str] = []

    def add(self, part: Part, item: RenderedMixture, rendered: RenderedVariant) -> None:
        key = item_key(item.mixture.id)
        header = wav_header(rendered.samples, rendered.variant.rate_hz)
        members = [
            self._member(key, f"{stream}.wav", header, sample_bytes(pcm))
            for stream, pcm in rendered.pcm.items()
        ]
        for one in item.attachments:
            endings = one.type.endings(len(one.pieces))
            members += [
                self._member(key, ending, piece) for ending, piece in zip(endings, one.pieces, strict=True)
            ]
        members.append(self._member(key, "json", describe_json(part, item.mixture, rendered)))
        self._lines.append(" ".join(members))

    def _member(self, key: str, extension: str, *pieces: Piece) -> str:
        """Writes a member and returns its entry in the index."""
        name = f"{key}.{extension}"
        size = sum(map(len, pieces))
        start = self._file.size_bytes + _BLOCK_BYTES
        self._file.append(tar_header(name, size), *pieces, bytes(-size % _BLOCK_BYTES))
        return f"{extension} {start} {size} {name}"

    def finish(self) -> None:
        self._file.append(END_OF_ARCHIVE)

    def write_index(self, tree: OutputTree) -> WrittenFile:
        """Writes the index beside the archive."""
        path = index_path(self._file.path)
        data = "\n".join([f"v1.2 {len(self._lines)}", *self._lines, ""]).encode("ascii")
        tree.write(path, data)
        return WrittenFile(path, len(data), crc32c(data), hashlib.sha256(data).hexdigest())


class _TarShardWriter(ShardWriter):
    def __init__(self, part: Part, files: PackedFiles) -> None:
        self._part = part
        self._files = files
        self._tars: dict[Variant, _Tar] = {}

    def add(self, item: RenderedMixture) -> None:
        for rendered in item.variants:
            if rendered.variant not in self._tars:
                self._tars[rendered.variant] = _Tar(self._files.of(rendered.variant))
            self._tars[rendered.variant].add(self._part, item, rendered)

    def finish(self) -> None:
        """Ends the archives, while they are open."""
        for tar in self._tars.values():
            tar.finish()

    def write_indices(self, tree: OutputTree) -> None:
        """Writes the indices, once the archives are there, and says what was written."""
        indices = tuple(tar.write_index(tree) for tar in self._tars.values())
        self.files = self._files.written + indices


class _WidsWriter(PartWriter):
    """Collects the archives of a part into one wids index per variant."""

    def __init__(self, sink: "WebDatasetSink", part: Part) -> None:
        self._tree = sink.tree
        self._subset = part.subset
        self._shards: dict[str, list[tuple[str, int, int]]] = {folder: [] for folder in sink.folders(part)}

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        del mixtures
        for file in ledger.files:
            folder, _, name = file.path.rpartition("/")
            if folder in self._shards and name.endswith(".tar"):
                self._shards[folder].append((name, len(ledger.items), file.size_bytes))

    def close(self) -> None:
        """Writes the indices, and removes that of a variant without archives."""
        for folder, shards in self._shards.items():
            stem = f"{folder}/{self._subset}"
            if shards:
                self._tree.write_if_changed(f"{stem}.json", _wids_index(stem, shards))
                self.files += (f"{stem}.json",)
            else:
                self._tree.remove(f"{stem}.json")


def _wids_index(name: str, shards: Sequence[tuple[str, int, int]]) -> bytes:
    """Returns the index of archives, each given by name, items and size in bytes."""
    listed = [dict(zip(("url", "nsamples", "filesize"), shard, strict=True)) for shard in shards]
    index = {"__kind__": "wids-shard-index-v1", "wids_version": 1, "name": name, "shardlist": listed}
    return (json.dumps(index, indent=1) + "\n").encode()


def archive_path(shard: Shard, variant: Variant) -> str:
    """Returns the place of a shard's archive of one rate and mode."""
    folder = f"{shard.part.corpus}/{WebDatasetSink.name}/{variant.folder}/{variant.mode}"
    return f"{folder}/{shard.part.subset}-{shard.index:06d}.tar"


def index_path(archive: str) -> str:
    """Returns the place of an archive's DALI index."""
    return archive.removesuffix(".tar") + ".idx"


class WebDatasetSink(Sink):
    """Tar shards ``<corpus>/webdataset/<rate>/<mode>/<subset>-<six digits>.tar``.

    Beside each its DALI index ``.idx``; beside those of a part the wids index ``<subset>.json``. A
    shard whose items were all rejected has no archive and is in no index.
    """

    name: ClassVar[str] = "webdataset"

    @contextlib.contextmanager
    def open_shard(self, shard: Shard) -> Iterator[ShardWriter]:
        """Opens the archives of a shard, one per rate and mode. Raises StorageError."""
        with PackedFiles(self.tree, functools.partial(archive_path, shard)) as files:
            writer = _TarShardWriter(shard.part, files)
            yield writer
            writer.finish()
        writer.write_indices(self.tree)

    def open_part(self, part: Part, shard_count: int, roles: Sequence[str]) -> PartWriter:
        """Begins the wids indices of a part; a part may have any number of shards."""
        del shard_count, roles
        return _WidsWriter(self, part)

    def is_shard_file(self, part: Part, path: str) -> bool:
        """Tells whether a path is named like an archive or DALI index of this part."""
        corpus, subset = re.escape(part.corpus), re.escape(part.subset)
        pattern = rf"{corpus}/{self.name}/[^/]+/[^/]+/{subset}-\d{{6,}}\.(tar|idx)"
        return re.fullmatch(pattern, path) is not None

    def folders(self, part: Part) -> tuple[str, ...]:
        """Returns the folder of each rate and mode that there is, whatever options made it."""
        base = f"{part.corpus}/{self.name}"
        rates = self.tree.names(base)
        return tuple(f"{base}/{rate}/{mode}" for rate in rates for mode in self.tree.names(f"{base}/{rate}"))
