"""The published tree: one WAV file per stream, what is attached, and the tables beside them."""

import contextlib
import fnmatch
import itertools
import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence

from transforms.audio import WAV_HEADER_BYTES, wav_header
from transforms.ledger import ItemRecord, PieceRecord
from transforms.plan import Part, Shard
from transforms.recipes import Recipe
from transforms.rendering import RenderedMixture
from transforms.sinks.base import Beside, PartWriter, ShardWriter, Sink
from transforms.sinks.records import RecordsWriter
from transforms.sinks.tables import TablesWriter
from transforms.storage import ManyWrites, OutputTree


class _WavWriter(ShardWriter):
    def __init__(self, tree: OutputTree, writes: ManyWrites, recipe: Recipe, part: Part) -> None:
        self._tree = tree
        self._writes = writes
        self._recipe = recipe
        self._part = part

    def add(self, item: RenderedMixture) -> None:
        for rendered in item.variants:
            variant = rendered.variant
            header = wav_header(rendered.samples, variant.rate_hz)
            for stream, pcm in rendered.pcm.items():
                path = self._recipe.wav_path(self._part, variant, stream, item.mixture.id)
                samples = pcm if sys.byteorder == "little" else pcm.astype("<i2")
                self._writes.write(path, header, samples.data)
        for attachment in item.attachments:
            for number, piece in enumerate(attachment.pieces):
                path = self._recipe.attachment_path(self._part, attachment.type, item.mixture.id, number)
                self._writes.write(path, piece)
        counts = {one.name: len(one.pieces) for one in item.attachments}
        remove_attachments(self._tree, self._recipe, self._part, item.mixture.id, kept=counts)


def remove_attachments(
    tree: OutputTree, recipe: Recipe, part: Part, mixture_id: str, *, kept: Mapping[str, int]
) -> None:
    """Removes what an earlier run attached to an item, but for so many first files of each kind.

    The last goes first, so that no number is missing among those that a killed run leaves.

    Raises:
        StorageError: one cannot be removed.
    """
    for kind in recipe.attachments:
        first = kept.get(kind.name, 0)
        numbers = itertools.count(first) if kind.numbered else range(first, 1)
        paths = (recipe.attachment_path(part, kind, mixture_id, number) for number in numbers)
        there = list(itertools.takewhile(tree.exists, paths))
        for path in reversed(there):
            tree.remove(path)
        if there and not first:
            tree.remove_folder_if_empty(posixpath.dirname(there[0]))


class WavSink(Sink):
    """Writes mono 16-bit WAV files, each whole or not at all, in the recipe's published tree."""

    name = "wav"

    @contextlib.contextmanager
    def open_shard(self, shard: Shard) -> Iterator[ShardWriter]:
        """Opens a shard; on a disk each file stands as soon as its item was added, in a store in the end."""
        with self.tree.many_writes() as writes:
            yield _WavWriter(self.tree, writes, self.recipe, shard.part)

    def open_part(self, part: Part, shard_count: int, roles: Sequence[str]) -> PartWriter:
        """Begins the tables and records of a part, if the recipe publishes any."""
        del shard_count
        writers: list[PartWriter] = []
        if self.recipe.table_path is not None:
            writers.append(TablesWriter(self.tree, self.recipe, self.options, part=part, roles=roles))
        if self.recipe.record_path is not None:
            writers.append(RecordsWriter(self.tree, self.recipe, self.options, part=part))
        return Beside(writers)

    def item_files(self, part: Part, item: ItemRecord) -> Iterator[tuple[str, int]]:
        """Yields place and size in bytes of every file of an item."""
        for record in item.variants:
            size = WAV_HEADER_BYTES + 2 * record.samples
            for stream in record.crc32c:
                yield self.recipe.wav_path(part, record.variant, stream, item.id), size
        for path, piece in self.attached_files(part, item):
            yield path, piece.size_bytes

    def attached_files(self, part: Part, item: ItemRecord) -> Iterator[tuple[str, PieceRecord]]:
        """Yields place and record of every attached file of an item."""
        for name, pieces in item.attachments.items():
            kind = self.recipe.attachment_named(name)
            for number, piece in enumerate(pieces):
                yield self.recipe.attachment_path(part, kind, item.id, number), piece

    def remove_attachments(self, part: Part, mixture_id: str) -> None:
        """Removes all that an earlier run attached to an item. Raises StorageError."""
        remove_attachments(self.tree, self.recipe, part, mixture_id, kept={})

    def planned_files(self, part: Part, mixture_id: str, roles: tuple[str, ...]) -> Iterator[str]:
        """Yields the place of every WAV file that an item would have."""
        for variant in self.options.variants:
            for stream in self.recipe.streams(roles, self.options.types):
                yield self.recipe.wav_path(part, variant, stream, mixture_id)

    def folders(self, part: Part) -> tuple[str, ...]:
        """Returns the folders of a part that hold items' files, whatever options made them."""
        patterns = (
            pattern.format(corpus=part.corpus, subset=part.subset) for pattern in self.recipe.item_folders
        )
        return tuple(folder for pattern in patterns for folder in _matching(self.tree, pattern))

    def is_shard_file(self, part: Part, path: str) -> bool:
        """WAV files hold items, never shards."""
        del part, path
        return False


def _matching(tree: OutputTree, pattern: str) -> list[str]:
    """Lists the folders that match a pattern, ``*`` standing for any name in one level."""
    above, _, last = pattern.rpartition("/")
    folders = _matching(tree, above) if above else [""]
    return [
        posixpath.join(folder, name)
        for folder in folders
        for name in tree.names(folder)
        if fnmatch.fnmatchcase(name, last)
    ]
