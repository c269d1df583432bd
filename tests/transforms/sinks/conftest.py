"""Builders shared by the tests of the output formats: items, shards and ledgers made by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from transforms import storage
from transforms.ledger import ItemRecord, ShardLedger, VariantRecord, crc32c
from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, Variant
from transforms.recipes import LIBRIMIX
from transforms.rendering import RenderedMixture, RenderedVariant
from transforms.sinks.base import Sink
from transforms.storage import OutputTree

STREAMS = ("s1", "s2", "noise", "mix_clean", "mix_both")
MakeItem = Callable[..., RenderedMixture]
Shards = Sequence[Sequence[RenderedMixture]]


@pytest.fixture
def part() -> Part:
    return Part("librimix", "Libri2Mix", "train-100")


@pytest.fixture
def options() -> RenderOptions:
    """Two variants: 8 kHz and 16 kHz, both ``min``."""
    return RenderOptions(
        rates_hz=(8000, 16000),
        modes=("min",),
        types=("mix_clean", "mix_both"),
        formats=("webdataset", "tfrecord"),
    )


@pytest.fixture(params=["local", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OutputTree:
    """An empty output: on a local disk, and in an object store kept in memory."""
    folder = tmp_path_factory.mktemp("out")
    return OutputTree(str(folder) if request.param == "local" else f"memory:/{folder}")


@pytest.fixture
def local_tree(tmp_path_factory: pytest.TempPathFactory) -> OutputTree:
    return OutputTree(str(tmp_path_factory.mktemp("out")))


@pytest.fixture
def make_item(options: RenderOptions) -> MakeItem:
    """Returns ``make_item(id, samples=..., streams=...)``: random 16-bit samples seeded by the id."""

    def make(
        mixture_id: str, *, samples: int = 801, streams: Sequence[str] = STREAMS, level: float = 1.0
    ) -> RenderedMixture:
        draw = np.random.default_rng(list(mixture_id.encode()))
        sources = (
            Source("s1", "librispeech", "a/1.flac", level=level, speaker="103", sex="F", text="a word"),
            Source("s2", "librispeech", "b/2.flac", level=0.25, speaker="26", sex="M", speed=1.1),
            Source("noise", "wham", "tr/n.wav", level=2, fit="loop"),
        )
        variants = []
        for variant in options.variants:
            length = samples * variant.rate_hz // 8000
            pcm = {name: draw.integers(-32768, 32768, length).astype(np.int16) for name in streams}
            snr = {"mix_clean": (0.5, -0.5), "mix_both": (-1.0, -2.25, 7.0)}
            gains = {source.role: source.level / 2 for source in sources if source.role in pcm}
            starts_s = dict.fromkeys(gains, 0.0) | {"s2": 0.25}
            ends_s = dict.fromkeys(gains, length / variant.rate_hz)
            variants.append(RenderedVariant(variant, pcm, snr, gains, starts_s, ends_s))
        return RenderedMixture(Mixture(mixture_id, sources), tuple(variants))

    return make


@dataclass
class Corpus:
    """Writes whole parts with one sink, as a run does: shards, then the part, then the corpus."""

    sink: Sink

    def write_shard(self, shard: Shard, items: Sequence[RenderedMixture]) -> ShardLedger:
        with self.sink.open_shard(shard) as writer:
            for item in items:
                writer.add(item)
        records = tuple(
            ItemRecord(
                item.mixture.id,
                tuple(
                    VariantRecord(
                        one.variant,
                        one.samples,
                        {name: crc32c(pcm.tobytes()) for name, pcm in one.pcm.items()},
                        one.snr_db,
                        gains=one.gains,
                        starts_s=one.starts_s,
                        ends_s=one.ends_s,
                    )
                    for one in item.variants
                ),
            )
            for item in items
        )
        return ShardLedger(shard.name, "fingerprint", items=records, files=writer.files)

    def crash(self, shard: Shard, item: RenderedMixture) -> None:
        """Writes an item of a shard, then fails."""
        with self.sink.open_shard(shard) as writer:
            writer.add(item)
            raise RuntimeError("boom")

    def write_part(self, part: Part, shards: Shards) -> tuple[str, ...]:
        """Writes a part and returns the places of what stands beside its shards."""
        ledgers = [
            self.write_shard(Shard(part, index, len(shards)), items) for index, items in enumerate(shards)
        ]
        planned = [[item.mixture for item in items] for items in shards]
        writer = self.sink.open_part(part, len(shards), ("s1", "s2", "noise"))
        for ledger, mixtures in zip(ledgers, planned, strict=True):
            writer.add(ledger, mixtures)
        writer.close()
        return writer.files


@pytest.fixture
def corpus_of(options: RenderOptions) -> Callable[..., Corpus]:
    """Returns ``corpus_of(sink class, tree)``, with any option changed by keyword."""

    def make(sink_class: type[Sink], tree: OutputTree, **changes: object) -> Corpus:
        return Corpus(sink_class(tree, LIBRIMIX, replace(options, **changes)))  # type: ignore[arg-type]

    return make


@pytest.fixture
def contents() -> Callable[[OutputTree], dict[str, bytes]]:
    """Returns ``contents(tree)``: the bytes of every file of an output, temporary ones too."""

    def read(tree: OutputTree) -> dict[str, bytes]:
        entries = storage.find(tree.url()) if storage.is_folder(tree.url()) else []
        return {entry.path: tree.read(entry.path) for entry in entries}

    return read


@pytest.fixture
def narrow() -> Variant:
    return Variant(8000, "min")
