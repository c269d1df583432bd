"""The published tree: one WAV file per stream, and the tables beside them."""

import contextlib
import sys
from collections.abc import Iterator, Sequence

from transforms.audio import WAV_HEADER_BYTES, wav_header
from transforms.ledger import ItemRecord
from transforms.plan import Part, Shard
from transforms.recipes import Recipe
from transforms.rendering import RenderedMixture
from transforms.sinks.base import NothingBeside, PartWriter, ShardWriter, Sink
from transforms.sinks.tables import TablesWriter
from transforms.storage import OutputTree


class _WavWriter(ShardWriter):
    def __init__(self, tree: OutputTree, recipe: Recipe, part: Part) -> None:
        self._tree = tree
        self._recipe = recipe
        self._part = part

    def add(self, item: RenderedMixture) -> None:
        for rendered in item.variants:
            variant = rendered.variant
            header = wav_header(rendered.samples, variant.rate_hz)
            for stream, pcm in rendered.pcm.items():
                path = self._recipe.wav_path(self._part, variant, stream, item.mixture.id)
                samples = pcm if sys.byteorder == "little" else pcm.astype("<i2")
                self._tree.write(path, header, samples.data)


class WavSink(Sink):
    """Writes mono 16-bit WAV files, each whole or not at all, in the recipe's published tree."""

    name = "wav"

    @contextlib.contextmanager
    def open_shard(self, shard: Shard) -> Iterator[ShardWriter]:
        """Opens a shard; each file stands as soon as its item was added."""
        yield _WavWriter(self.tree, self.recipe, shard.part)

    def open_part(self, part: Part, shard_count: int, roles: Sequence[str]) -> PartWriter:
        """Begins the tables of a part, if the recipe publishes any."""
        del shard_count
        if self.recipe.table_path is None:
            return NothingBeside()
        return TablesWriter(self.tree, self.recipe, self.options, part=part, roles=roles)

    def item_files(self, part: Part, item: ItemRecord) -> Iterator[tuple[str, int]]:
        """Yields place and size in bytes of every file of an item."""
        for record in item.variants:
            size = WAV_HEADER_BYTES + 2 * record.samples
            for stream in record.crc32c:
                yield self.recipe.wav_path(part, record.variant, stream, item.id), size

    def planned_files(self, part: Part, mixture_id: str, roles: tuple[str, ...]) -> Iterator[str]:
        """Yields the place of every file that an item would have."""
        for variant in self.options.variants:
            for stream in self.recipe.streams(roles, self.options.types):
                yield self.recipe.wav_path(part, variant, stream, mixture_id)

    def folders(self, part: Part) -> tuple[str, ...]:
        """Returns the stream folders of a part that may exist, whatever options made them."""
        rates = {folder for folder in self.tree.names(part.corpus) if folder.startswith("wav")}
        found = []
        for rate in sorted(rates):
            for mode in self.tree.names(f"{part.corpus}/{rate}"):
                base = f"{part.corpus}/{rate}/{mode}/{part.subset}"
                found += [f"{base}/{stream}" for stream in self.tree.names(base)]
        return tuple(found)

    def is_shard_file(self, part: Part, path: str) -> bool:
        """WAV files hold items, never shards."""
        del part, path
        return False
