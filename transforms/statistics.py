"""What a person wants to know about a part at a glance, gathered in constant memory."""

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from transforms.audio import WAV_HEADER_BYTES
from transforms.ledger import ItemRecord, ShardLedger
from transforms.plan import Mixture, Source
from transforms.recipes import Recipe


@dataclass
class Histogram:
    """Counts of a quantity in bins of equal width; bin k holds k*width <= x < (k+1)*width.

    Attributes:
        unit: unit of the quantity.
        width: width of a bin.
        counts: count by bin number; empty bins are left out.
    """

    unit: str
    width: float
    counts: dict[int, int] = field(default_factory=dict)

    def add(self, value: float) -> None:
        """Counts one finite value; infinite ones are left out."""
        if math.isfinite(value):
            bin_number = math.floor(value / self.width)
            self.counts[bin_number] = self.counts.get(bin_number, 0) + 1

    def bars(self) -> tuple[list[float], list[int]]:
        """Returns left edges and counts of all bins from the lowest to the highest."""
        if not self.counts:
            return [], []
        numbers = range(min(self.counts), max(self.counts) + 1)
        return [number * self.width for number in numbers], [self.counts.get(n, 0) for n in numbers]


@dataclass
class PartStatistics:
    """Totals and distributions of one part.

    Attributes:
        seconds: playing time of the mixtures by variant (``8000/min``).
        bytes_of: bytes written by format.
        items: items counted.
        speakers: distinct talkers.
        histograms: ``length_s <mode>``; ``gain_db <role>`` or, where levels are planned otherwise,
            ``level_db <role>``; ``snr_db <type> <role>``.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    bytes_of: dict[str, int] = field(default_factory=dict)
    items: int = 0
    speakers: list[str] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PartStatistics":
        """Reads the fields of ``dataclasses.asdict`` after a way through JSON."""
        histograms = {
            name: Histogram(one["unit"], one["width"], {int(k): n for k, n in one["counts"].items()})
            for name, one in fields["histograms"].items()
        }
        return cls(**{**fields, "histograms": histograms})

    def _count(self, name: str, width: float, value: float) -> None:
        unit = "dB" if "_db" in name else "s"
        self.histograms.setdefault(name, Histogram(unit, width)).add(value)

    def add(
        self, ledger: ShardLedger, mixtures: Sequence[Mixture], *, recipe: Recipe, formats: Sequence[str]
    ) -> None:
        """Counts one shard, given its ledger, its plan rows, and how it was made."""
        by_id = {mixture.id: mixture for mixture in mixtures}
        for item in ledger.items:
            self._add_item(item, by_id[item.id], recipe, formats)
        speech = (source for item in ledger.items for source in by_id[item.id].speech)
        self.speakers = _merged(self.speakers, {source.speaker for source in speech})
        for file in ledger.files:
            form = "webdataset" if "/webdataset/" in file.path else "tfrecord"
            self.bytes_of[form] = self.bytes_of.get(form, 0) + file.size_bytes

    def _add_item(self, item: ItemRecord, mixture: Mixture, recipe: Recipe, formats: Sequence[str]) -> None:
        self.items += 1
        streams = {stream for record in item.variants for stream in record.crc32c}
        sources = [source for source in mixture.sources if source.role in streams]
        for source in sources:
            self._count_level(source)
        if "wav" in formats:
            attached = sum(piece.size_bytes for pieces in item.attachments.values() for piece in pieces)
            self.bytes_of["wav"] = self.bytes_of.get("wav", 0) + attached
        for record in item.variants:
            key = f"{record.variant.rate_hz}/{record.variant.mode}"
            seconds = record.samples / record.variant.rate_hz
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds
            if "wav" in formats:
                size = len(record.crc32c) * (WAV_HEADER_BYTES + 2 * record.samples)
                self.bytes_of["wav"] = self.bytes_of.get("wav", 0) + size
        self._count_once(item, [source.role for source in sources], recipe)

    def _count_level(self, source: Source) -> None:
        """Counts a gain in dB; a silenced source has none. Other levels are in dB already."""
        if source.level_kind != "gain":
            self._count(f"level_db {source.role}", 1.0, source.level)
        elif source.level != 0:
            self._count(f"gain_db {source.role}", 1.0, 20 * math.log10(abs(source.level)))

    def _count_once(self, item: ItemRecord, roles: Sequence[str], recipe: Recipe) -> None:
        """Counts what does not depend on the rate, from the first variant of each mode."""
        seen: set[str] = set()
        for record in item.variants:
            mode = record.variant.mode
            if mode in seen:
                continue
            seen.add(mode)
            self._count(f"length_s {mode}", 0.5, record.samples / record.variant.rate_hz)
            for mix_type, snrs in record.snr_db.items():
                for role, snr in zip(recipe.types[mix_type](roles), snrs, strict=True):
                    self._count(f"snr_db {mix_type} {role}", 1.0, snr)


def _merged(known: list[str], more: Set[str]) -> list[str]:
    missing = more - {*known, ""}
    return sorted([*known, *missing]) if missing else known
