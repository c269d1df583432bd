"""What a person wants to know about a part at a glance, gathered in constant memory."""

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from transforms.audio import WAV_HEADER_BYTES
from transforms.ledger import ItemRecord, ShardLedger, VariantRecord
from transforms.plan import Mixture, Source, is_noise
from transforms.recipes import Recipe
from transforms.video.aligned import charted


@dataclass
class Histogram:
    """Counts of a quantity in bins of equal width; bin k holds k*width <= x < (k+1)*width.

    Attributes:
        unit: unit of the quantity.
        width: width of a bin.
        counts: count by bin number; empty bins are left out.
        lowest, highest: the extreme values counted, where they are known.
    """

    unit: str
    width: float
    counts: dict[int, int] = field(default_factory=dict)
    lowest: float | None = field(default=None, compare=False)
    highest: float | None = field(default=None, compare=False)

    def add(self, value: float) -> None:
        """Counts one finite value; infinite ones are left out."""
        if math.isfinite(value):
            bin_number = math.floor(value / self.width)
            self.counts[bin_number] = self.counts.get(bin_number, 0) + 1
            self.lowest = value if self.lowest is None else min(self.lowest, value)
            self.highest = value if self.highest is None else max(self.highest, value)

    def bars(self) -> tuple[list[float], list[int]]:
        """Returns left edges and counts of all bins from the lowest to the highest."""
        if not self.counts:
            return [], []
        numbers = range(min(self.counts), max(self.counts) + 1)
        return [number * self.width for number in numbers], [self.counts.get(n, 0) for n in numbers]


BINS: Mapping[str, tuple[str, float]] = {
    "length_s": ("s", 0.5),
    "talkers": ("", 1.0),
    "overlap_percent": ("%", 5.0),
    "gain_db": ("dB", 1.0),
    "gain_applied_db": ("dB", 1.0),
    "scale_db": ("dB", 0.5),
    "level_lufs": ("LUFS", 1.0),
    "level_rms_db": ("dB", 1.0),
    "level_active_db": ("dB", 1.0),
    "snr_planned_db": ("dB", 1.0),
    "snr_deviation_db": ("dB", 0.05),
    "av_offset_ms": ("ms", 10.0),
    "source_fps": ("", 1.0),
    "snr_db": ("dB", 1.0),
    "uses": ("", 1.0),
    "utterances": ("", 1.0),
    "mixtures": ("", 1.0),
}


@dataclass(frozen=True, slots=True)
class SpeakerUse:
    """How many speakers of a part are used alike.

    Attributes:
        utterances: distinct utterances that are used of each of these speakers.
        tenths: in how many mixtures each of these utterances is on average, in tenths, rounded down.
        speakers: count of these speakers.
    """

    utterances: int
    tenths: int
    speakers: int


@dataclass
class PartStatistics:
    """Totals and distributions of one part.

    Attributes:
        seconds: playing time of the mixtures by variant (``8000/min``).
        bytes_of: bytes written by format.
        items: items counted.
        speakers: distinct talkers.
        roots: names of the corpora that the sources are from.
        streams: all streams that any item has, in the order in which they came.
        histograms: by quantity, and what it is of. Of every mode ``length_s``; of every source
            ``gain_db`` as planned, or what is planned instead of it: ``level_lufs``,
            ``level_rms_db``, ``level_active_db`` or ``snr_planned_db``, and ``snr_deviation_db``;
            ``gain_applied_db`` where ledgers tell it; ``scale_db`` of every variant where a peak rule
            scales; ``snr_db`` of mixture type and source;
            ``talkers`` per mixture; ``overlap_percent`` of the time in which anybody talks;
            ``uses`` of each utterance, and of each speaker ``utterances`` and ``mixtures``;
            ``av_offset_ms`` and ``source_fps`` of each video file.
        speaker_use: speakers by utterances and their mean use, in this order.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    bytes_of: dict[str, int] = field(default_factory=dict)
    items: int = 0
    speakers: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)
    histograms: dict[str, Histogram] = field(default_factory=dict)
    speaker_use: list[SpeakerUse] = field(default_factory=list)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "PartStatistics":
        """Reads the fields of ``dataclasses.asdict`` after a way through JSON."""
        histograms = {
            name: Histogram(**{**one, "counts": {int(k): n for k, n in one["counts"].items()}})
            for name, one in fields["histograms"].items()
        }
        speaker_use = [SpeakerUse(**one) for one in fields.get("speaker_use", [])]
        return cls(**{**fields, "histograms": histograms, "speaker_use": speaker_use})

    def _count(self, name: str, value: float) -> None:
        unit, width = BINS[name.split(" ")[0]]
        self.histograms.setdefault(name, Histogram(unit, width)).add(value)

    def add(
        self, ledger: ShardLedger, mixtures: Sequence[Mixture], *, recipe: Recipe, formats: Sequence[str]
    ) -> None:
        """Counts one shard, given its ledger, its plan rows, and how it was made."""
        by_id = {mixture.id: mixture for mixture in mixtures}
        for item in ledger.items:
            sources = _written_sources(item, by_id[item.id])
            self._add_item(item, sources, recipe)
            self.streams = list(dict.fromkeys([*self.streams, *_streams_of(item)]))
            if "wav" in formats:
                self.bytes_of["wav"] = self.bytes_of.get("wav", 0) + _wav_bytes(item)
            self.roots = _merged(self.roots, {root for source in sources for root in _roots_of(source)})
        if any(item.attachments for item in ledger.items):
            # What is attached may come from files that no source names.
            self.roots = _merged(self.roots, {name.partition(":")[0] for name in ledger.sources})
        speech = (source for item in ledger.items for source in by_id[item.id].speech)
        self.speakers = _merged(self.speakers, {source.speaker for source in speech})
        for file in ledger.files:
            form = "webdataset" if "/webdataset/" in file.path else "tfrecord"
            self.bytes_of[form] = self.bytes_of.get(form, 0) + file.size_bytes

    def add_uses(self, uses: "Uses") -> None:
        """Counts how often utterances and speakers were used, once all shards are known."""
        for count in uses.of_utterance.values():
            self._count("uses utterance", count)
        for speaker, count in sorted(uses.of_speaker.items()):
            self._count("mixtures speaker", count)
            self._count("utterances speaker", uses.utterances_by[speaker])
        self.speaker_use = uses.of_speakers()

    def _add_item(self, item: ItemRecord, sources: Sequence[Source], recipe: Recipe) -> None:
        self.items += 1
        speech = [source.role for source in sources if not is_noise(source.role)]
        self._count("talkers mixture", len(speech))
        for source in sources:
            self._count_level(source)
        for quantity, value in charted(item.variants[0].facts if item.variants else {}).items():
            self._count(f"{quantity} file", value)
        for role, snr in item.planned_snr_db.items():
            self._count(f"snr_deviation_db {role}", snr.deviation)
        for record in item.variants:
            key = f"{record.variant.rate_hz}/{record.variant.mode}"
            seconds = record.samples / record.variant.rate_hz
            self.seconds[key] = self.seconds.get(key, 0.0) + seconds
            if record.scale is not None:
                self._count(f"scale_db {key}", _in_db(record.scale))
        for role, gain in (item.variants[0].gains if item.variants else {}).items():
            if gain:
                self._count(f"gain_applied_db {role}", _in_db(gain))
        overlap = overlap_share(item, speech)
        if overlap is not None:
            self._count("overlap_percent speech", 100 * overlap)
        self._count_modes(item, [source.role for source in sources], recipe)

    def _count_level(self, source: Source) -> None:
        """Counts a level under what it is a level of; the gain of a silenced source is none."""
        match source.level_kind:
            case "gain":
                if source.level:
                    self._count(f"gain_db {source.role}", _in_db(source.level))
            case "snr":
                self._count(f"snr_planned_db {source.role}", source.level)
            case "active_level":
                self._count(f"level_active_db {source.role}", source.level)
            case _:
                measure = "lufs" if source.measure == "lufs" else f"{source.measure}_db"
                self._count(f"level_{measure} {source.role}", source.level)

    def _count_modes(self, item: ItemRecord, roles: Sequence[str], recipe: Recipe) -> None:
        """Counts what does not depend on the rate, from the first variant of each mode."""
        for mode, record in _first_of_modes(item).items():
            self._count(f"length_s {mode}", record.samples / record.variant.rate_hz)
            for mix_type, snrs in record.snr_db.items():
                for role, snr in zip(recipe.types[mix_type](roles), snrs, strict=True):
                    self._count(f"snr_db {mix_type} {role}", snr)


@dataclass
class Uses:
    """How often utterances and speakers are used in a part.

    It holds every utterance of the part, which sources are far fewer than mixtures may be.

    Attributes:
        of_utterance: mixtures by source name.
        of_speaker: mixtures by speaker; speakers that are not known are left out.
        utterances_by: distinct utterances by speaker.
        uses_by: mixtures summed over these utterances, by speaker.
    """

    of_utterance: Counter[str] = field(default_factory=Counter)
    of_speaker: Counter[str] = field(default_factory=Counter)
    utterances_by: Counter[str] = field(default_factory=Counter)
    uses_by: Counter[str] = field(default_factory=Counter)

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        """Counts the written items of one shard."""
        written = {item.id for item in ledger.items}
        for mixture in mixtures:
            if mixture.id in written:
                self._add_mixture(mixture)

    def of_speakers(self) -> list[SpeakerUse]:
        """Returns how many speakers are used alike, by rising use."""
        alike = Counter(
            (count, 10 * self.uses_by[speaker] // count)
            for speaker, count in self.utterances_by.items()
            if count
        )
        return [SpeakerUse(*use, speakers) for use, speakers in sorted(alike.items())]

    def _add_mixture(self, mixture: Mixture) -> None:
        self.of_speaker.update({source.speaker for source in mixture.speech} - {""})
        for source in mixture.speech:
            if source.speaker:
                self.utterances_by[source.speaker] += source.name not in self.of_utterance
                self.uses_by[source.speaker] += 1
            self.of_utterance[source.name] += 1


def overlap_share(item: ItemRecord, speech: Sequence[str]) -> float | None:
    """Returns in how much of the time in which anybody talks two or more do, 0..1.

    Where the ledger tells starts and ends they decide. Sources of other recipes begin together, and
    the lengths of both length modes tell of two talkers when the shorter ends.

    Returns:
        None for one talker, and where it is not known.
    """
    modes = _first_of_modes(item)
    record = modes.get("max") or next(iter(modes.values()), None)
    if len(speech) < 2 or record is None:
        return None
    if record.ends_s:
        return _overlap([(record.starts_s[role], record.ends_s[role]) for role in speech])
    if len(speech) == 2 and len(modes) == 2:
        shorter, longer = (modes[mode].samples / modes[mode].variant.rate_hz for mode in ("min", "max"))
        return shorter / longer
    return None


def _overlap(spans: Sequence[tuple[float, float]]) -> float:
    edges = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    talking = together = 0.0
    count = 0
    for (time, change), (following, _) in itertools.pairwise(edges):
        count += change
        talking += (following - time) * (count > 0)
        together += (following - time) * (count > 1)
    return together / talking if talking else 0.0


def _first_of_modes(item: ItemRecord) -> dict[str, VariantRecord]:
    found: dict[str, VariantRecord] = {}
    for record in item.variants:
        found.setdefault(record.variant.mode, record)
    return found


def _written_sources(item: ItemRecord, mixture: Mixture) -> list[Source]:
    streams = _streams_of(item)
    return [source for source in mixture.sources if source.role in streams]


def _streams_of(item: ItemRecord) -> dict[str, None]:
    return dict.fromkeys(stream for record in item.variants for stream in record.crc32c)


def _roots_of(source: Source) -> Iterator[str]:
    yield source.root
    if source.rir:
        yield "rir"


def _wav_bytes(item: ItemRecord) -> int:
    attached = sum(piece.size_bytes for pieces in item.attachments.values() for piece in pieces)
    wavs = (len(one.crc32c) * (WAV_HEADER_BYTES + 2 * one.samples) for one in item.variants)
    return attached + sum(wavs)


def _in_db(gain: float) -> float:
    return 20 * math.log10(abs(gain))


def _merged(known: list[str], more: Set[str]) -> list[str]:
    missing = more - {*known, ""}
    return sorted([*known, *missing]) if missing else known
