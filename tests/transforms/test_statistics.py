"""Totals and distributions against counting by hand."""

import dataclasses
import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.ledger import ItemRecord, PieceRecord, ShardLedger, SnrRecord, VariantRecord, WrittenFile
from transforms.plan import Mixture, Mode, Source, Variant
from transforms.recipes import LIBRIMIX
from transforms.statistics import Histogram, PartStatistics, SpeakerUse, Uses, overlap_share

STREAMS = ("s1", "s2", "noise", "mix_clean", "mix_both")


def mixture(name: str, *gains: float, speakers: tuple[str, str] = ("103", "26")) -> Mixture:
    return Mixture(
        name,
        (
            Source("s1", "librispeech", "1.flac", level=gains[0], speaker=speakers[0]),
            Source("s2", "librispeech", "2.flac", level=gains[1], speaker=speakers[1]),
            Source("noise", "wham", "n.wav", level=gains[2], fit="loop", speaker=""),
        ),
    )


def variant(rate_hz: int, mode: Mode, samples: int) -> VariantRecord:
    snr_db = {"mix_clean": (0.5, -0.5), "mix_both": (-1.5, -2.25, 7.0)}
    return VariantRecord(Variant(rate_hz, mode), samples, dict.fromkeys(STREAMS, 0), snr_db)


def item(name: str, shortest: int, longest: int) -> ItemRecord:
    """An item at two rates; lengths at 8 kHz."""
    return ItemRecord(
        name,
        (
            variant(8000, "min", shortest),
            variant(8000, "max", longest),
            variant(16000, "min", 2 * shortest),
            variant(16000, "max", 2 * longest),
        ),
    )


def counted(
    *shards: ShardLedger, mixtures: list[Mixture], formats: tuple[str, ...] = ("wav",)
) -> PartStatistics:
    statistics = PartStatistics()
    for shard in shards:
        statistics.add(shard, mixtures, recipe=LIBRIMIX, formats=formats)
    return statistics


TWO = [mixture("a", 1.0, 0.5, 2.0), mixture("b", 0.1, 0.0, 1e-7, speakers=("26", "1034"))]
LEDGERS = (
    ShardLedger("x-0", "f", items=(item("a", 8000, 12_000),)),
    ShardLedger("x-1", "f", items=(item("b", 4000, 4000),)),
)

# --- histograms --------------------------------------------------------------------------------


def test_bins_begin_at_multiples_of_their_width() -> None:
    histogram = Histogram("s", 0.5)
    for value in (0, 0.49, 0.5, 0.99, 1.0, -0.01, -0.5, 7.25):
        histogram.add(value)
    assert histogram.counts == {0: 2, 1: 2, 2: 1, -1: 2, 14: 1}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_values_without_a_bin_are_left_out(value: float) -> None:
    histogram = Histogram("dB", 1.0)
    histogram.add(value)
    assert histogram.counts == {}
    assert histogram.bars() == ([], [])


def test_bars_run_from_the_lowest_to_the_highest_bin() -> None:
    assert Histogram("dB", 0.5, {3: 2, -1: 5}).bars() == ([-0.5, 0.0, 0.5, 1.0, 1.5], [5, 0, 0, 0, 2])


@given(st.lists(st.floats(-50, 50, allow_subnormal=False)), st.sampled_from([0.25, 0.5, 1.0, 3.0]))
def test_every_value_is_in_its_bar(values: list[float], width: float) -> None:
    histogram = Histogram("dB", width)
    for value in values:
        histogram.add(value)
    edges, counts = histogram.bars()
    assert sum(counts) == len(values)
    for edge, count in zip(edges, counts, strict=True):
        assert count == sum(edge <= value < edge + width for value in values)


# --- totals ------------------------------------------------------------------------------------


def test_items_and_speakers() -> None:
    statistics = counted(*LEDGERS, mixtures=TWO)
    assert statistics.items == 2
    assert statistics.speakers == ["103", "1034", "26"]
    assert statistics.streams == list(STREAMS)


def test_playing_time_of_every_variant() -> None:
    assert counted(*LEDGERS, mixtures=TWO).seconds == {
        "8000/min": 1.5,
        "8000/max": 2.0,
        "16000/min": 1.5,
        "16000/max": 2.0,
    }


def test_bytes_of_wav_files() -> None:
    files = [5 * (44 + 2 * samples) for samples in (8000, 12_000, 16_000, 24_000, 4000, 4000, 8000, 8000)]
    assert counted(*LEDGERS, mixtures=TWO).bytes_of == {"wav": sum(files)}
    assert counted(*LEDGERS, mixtures=TWO, formats=("tfrecord",)).bytes_of == {}


def test_bytes_of_shard_files() -> None:
    files = (
        WrittenFile("Libri2Mix/webdataset/wav8k/min/dev-000000.tar", 1000, 0, ""),
        WrittenFile("Libri2Mix/webdataset/wav8k/min/dev-000000.idx", 30, 0, ""),
        WrittenFile("Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/x.tfrecord-00000-of-00001", 500, 0, ""),
    )
    ledger = ShardLedger("x-0", "f", files=files)
    statistics = counted(ledger, ledger, mixtures=[], formats=("webdataset", "tfrecord"))
    assert statistics.bytes_of == {"webdataset": 2060, "tfrecord": 1000}


def test_lengths_are_counted_once_per_mode() -> None:
    histograms = counted(*LEDGERS, mixtures=TWO).histograms
    assert histograms["length_s min"] == Histogram("s", 0.5, {2: 1, 1: 1})
    assert histograms["length_s max"] == Histogram("s", 0.5, {3: 1, 1: 1})


def test_gains_are_in_db_and_silence_has_none() -> None:
    histograms = counted(*LEDGERS, mixtures=TWO).histograms
    assert histograms["gain_db s1"] == Histogram("dB", 1.0, {0: 1, -20: 1})
    assert histograms["gain_db s2"] == Histogram("dB", 1.0, {-7: 1})
    assert histograms["gain_db noise"] == Histogram("dB", 1.0, {6: 1, -140: 1})


def test_a_turned_signal_has_the_gain_of_its_size() -> None:
    turned = [mixture("a", -0.5, 1.0, 1.0)]
    assert counted(LEDGERS[0], mixtures=turned).histograms["gain_db s1"].counts == {-7: 1}


def test_levels_that_are_no_gains_are_counted_as_they_are() -> None:
    sources = tuple(
        dataclasses.replace(source, level_kind="active_level", level=-2.5) for source in TWO[0].sources
    )
    histograms = counted(LEDGERS[0], mixtures=[Mixture("a", sources)]).histograms
    assert histograms["level_active_db s1"] == Histogram("dB", 1.0, {-3: 1})
    assert not any(name.startswith("gain_db") for name in histograms)


@pytest.mark.parametrize(
    ("kind", "measure", "name", "unit"),
    [
        ("target", "lufs", "level_lufs s1", "LUFS"),
        ("target", "rms", "level_rms_db s1", "dB"),
        ("target", "active", "level_active_db s1", "dB"),
        ("snr", "lufs", "snr_planned_db s1", "dB"),
    ],
)
def test_kinds_of_levels_are_counted_apart(kind: Any, measure: Any, name: str, unit: str) -> None:
    changed = dataclasses.replace(TWO[0].sources[0], level_kind=kind, measure=measure, level=-25.5)
    histograms = counted(LEDGERS[0], mixtures=[Mixture("a", (changed, *TWO[0].sources[1:]))]).histograms
    assert histograms[name] == Histogram(unit, 1.0, {-26: 1})
    assert "gain_db s1" not in histograms


def test_what_ledgers_tell_of_levels() -> None:
    record = dataclasses.replace(variant(8000, "min", 80), gains={"s1": 0.5, "noise": 0.0})
    deviating = {"noise": SnrRecord(10.0, 10.26)}
    one = ItemRecord("a", (record,), planned_snr_db=deviating)
    histograms = counted(ShardLedger("x-0", "f", items=(one,)), mixtures=TWO).histograms
    assert histograms["gain_applied_db s1"].counts == {-7: 1}
    assert "gain_applied_db noise" not in histograms
    assert histograms["snr_deviation_db noise"] == Histogram("dB", 0.05, {5: 1})


def test_scales_are_counted_of_every_variant_that_has_one() -> None:
    records = (
        dataclasses.replace(variant(8000, "min", 80), scale=1.0),
        dataclasses.replace(variant(8000, "max", 80), scale=0.9),
        dataclasses.replace(variant(16000, "max", 160), scale=2.0),
    )
    ledger = ShardLedger("x-0", "f", items=(ItemRecord("a", records), *LEDGERS[1].items))
    histograms = counted(ledger, mixtures=TWO).histograms
    assert {name: one for name, one in histograms.items() if name.startswith("scale_db")} == {
        "scale_db 8000/min": Histogram("dB", 0.5, {0: 1}),
        "scale_db 8000/max": Histogram("dB", 0.5, {-2: 1}),
        "scale_db 16000/max": Histogram("dB", 0.5, {12: 1}),
    }


# --- who talks, and when -----------------------------------------------------------------------


def test_talkers_and_corpora() -> None:
    statistics = counted(*LEDGERS, mixtures=TWO)
    assert statistics.histograms["talkers mixture"] == Histogram("", 1.0, {2: 2})
    assert statistics.roots == ["librispeech", "wham"]
    in_room = dataclasses.replace(TWO[0].sources[0], rir="hall.wav")
    roomy = Mixture("a", (in_room, *TWO[0].sources[1:]))
    assert counted(LEDGERS[0], mixtures=[roomy]).roots == ["librispeech", "rir", "wham"]


@pytest.mark.parametrize(("attached", "roots"), [(True, ["faces"]), (False, [])])
def test_what_is_attached_comes_from_corpora_too(attached: bool, roots: list[str]) -> None:
    pieces = {"video": (PieceRecord(10, 1),)} if attached else {}
    one = dataclasses.replace(LEDGERS[0].items[0], attachments=pieces)
    ledger = dataclasses.replace(LEDGERS[0], items=(one,), sources={"faces:a/1.mp4": "10-0"})
    assert counted(ledger, mixtures=TWO).roots == sorted([*roots, "librispeech", "wham"])


def test_overlap_of_talkers_that_begin_together() -> None:
    assert overlap_share(item("a", 8000, 12_000), ["s1", "s2"]) == pytest.approx(2 / 3)
    assert overlap_share(item("a", 8000, 12_000), ["s1"]) is None
    assert overlap_share(item("a", 8000, 12_000), ["s1", "s2", "s3"]) is None
    one_mode = ItemRecord("a", (variant(8000, "max", 80),))
    assert overlap_share(one_mode, ["s1", "s2"]) is None
    assert counted(LEDGERS[0], mixtures=TWO).histograms["overlap_percent speech"].counts == {13: 1}


SPANS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=2, max_size=5)


@given(spans=SPANS)
def test_overlap_against_counting_tenths_of_seconds(spans: list[tuple[int, int]]) -> None:
    roles = [f"s{number}" for number in range(len(spans))]
    starts = {role: start / 10 for role, (start, _) in zip(roles, spans, strict=True)}
    ends = {role: (start + length) / 10 for role, (start, length) in zip(roles, spans, strict=True)}
    record = dataclasses.replace(variant(8000, "max", 80), starts_s=starts, ends_s=ends)
    talking = [sum(start <= tenth < start + length for start, length in spans) for tenth in range(100)]
    wanted = sum(count > 1 for count in talking) / sum(count > 0 for count in talking)
    assert overlap_share(ItemRecord("a", (record,)), roles) == pytest.approx(wanted, abs=1e-9)


def test_uses_of_utterances_and_speakers() -> None:
    again = mixture("c", 1.0, 1.0, 1.0, speakers=("103", ""))
    uses = Uses()
    for ledger in (*LEDGERS, ShardLedger("x-2", "f", items=(item("c", 80, 80),))):
        uses.add(ledger, [*TWO, again])
    assert uses.of_utterance == {"librispeech:1.flac": 3, "librispeech:2.flac": 3}
    assert uses.of_speaker == {"103": 2, "26": 2, "1034": 1}
    statistics = PartStatistics()
    statistics.add_uses(uses)
    assert statistics.histograms["uses utterance"].counts == {3: 2}
    assert statistics.histograms["mixtures speaker"].counts == {2: 2, 1: 1}
    assert sum(statistics.histograms["utterances speaker"].counts.values()) == 3

    assert sum(one.speakers for one in statistics.speaker_use) == 2


TALKS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=3), max_size=30
)


@given(TALKS)
def test_speakers_by_use_against_counting_by_hand(talks: list[list[tuple[int, int]]]) -> None:
    mixtures = [
        Mixture(
            str(number),
            tuple(
                Source(f"s{place}", "librispeech", f"{speaker}/{take}.flac", speaker=f"{speaker or ''}")
                for place, (speaker, take) in enumerate(spoken, start=1)
            ),
        )
        for number, spoken in enumerate(talks)
    ]
    uses = Uses()
    uses.add(ShardLedger("x-0", "f", items=tuple(ItemRecord(one.id, ()) for one in mixtures)), mixtures)
    spoken = [one for several in talks for one in several if one[0]]
    expected: Counter[tuple[int, int]] = Counter()
    for speaker in {speaker for speaker, _ in spoken}:
        takes = [take for who, take in spoken if who == speaker]
        expected[len(set(takes)), math.floor(10 * len(takes) / len(set(takes)) + 1e-9)] += 1
    found = uses.of_speakers()
    assert {(one.utterances, one.tenths): one.speakers for one in found} == expected
    assert found == sorted(found, key=lambda one: (one.utterances, one.tenths))


def test_rejected_items_use_nothing() -> None:
    uses = Uses()
    uses.add(LEDGERS[0], TWO)
    assert sum(uses.of_utterance.values()) == 2


def test_sources_that_were_not_rendered_are_not_counted() -> None:
    record = VariantRecord(
        Variant(8000, "min"), 80, {"s1": 0, "s2": 0, "mix_clean": 0}, {"mix_clean": (1, 2)}
    )
    ledger = ShardLedger("x-0", "f", items=(ItemRecord("a", (record,)),))
    assert set(counted(ledger, mixtures=TWO).histograms) == {
        "talkers mixture",
        "length_s min",
        "gain_db s1",
        "gain_db s2",
        "snr_db mix_clean s1",
        "snr_db mix_clean s2",
    }


def test_streams_beside_sources_and_mixtures_count_as_neither() -> None:
    streams = {"s1": 0, "s2": 0, "s1_dry": 0, "mix_clean": 0}
    record = VariantRecord(Variant(8000, "min"), 80, streams, {"mix_clean": (1, 2)})
    statistics = counted(ShardLedger("x-0", "f", items=(ItemRecord("a", (record,)),)), mixtures=TWO)
    assert statistics.histograms["snr_db mix_clean s2"].counts == {2: 1}
    assert statistics.bytes_of == {"wav": 4 * (44 + 160)}


def test_snrs_are_counted_for_every_type_and_role_in_every_mode() -> None:
    histograms = counted(*LEDGERS, mixtures=TWO).histograms
    found = {name: one.counts for name, one in histograms.items() if name.startswith("snr_db")}
    assert found == {
        "snr_db mix_clean s1": {0: 4},
        "snr_db mix_clean s2": {-1: 4},
        "snr_db mix_both s1": {-2: 4},
        "snr_db mix_both s2": {-3: 4},
        "snr_db mix_both noise": {7: 4},
    }


@given(st.lists(st.tuples(st.integers(1, 50_000), st.floats(1e-6, 100)), max_size=20), st.integers(1, 5))
def test_any_part_against_counting_by_hand(rows: list[tuple[int, float]], shard_size: int) -> None:
    mixtures = [mixture(str(number), gain, 1.0, 1.0) for number, (_, gain) in enumerate(rows)]
    items = [item(str(number), samples, 2 * samples) for number, (samples, _) in enumerate(rows)]
    statistics = PartStatistics()
    for first in range(0, len(items), shard_size):
        ledger = ShardLedger("x", "f", items=tuple(items[first : first + shard_size]))
        planned = mixtures[first : first + shard_size]
        statistics.add(ledger, planned, recipe=LIBRIMIX, formats=("wav",))
    assert statistics.items == len(rows)
    if rows:
        assert statistics.seconds["16000/max"] == pytest.approx(
            sum(2 * samples / 8000 for samples, _ in rows)
        )
        lengths = Counter(math.floor(samples / 8000 / 0.5) for samples, _ in rows)
        assert statistics.histograms["length_s min"].counts == dict(lengths)
        gains = Counter(math.floor(20 * math.log10(gain)) for _, gain in rows)
        assert statistics.histograms["gain_db s1"].counts == dict(gains)


# --- JSON --------------------------------------------------------------------------------------


def test_statistics_come_back_from_json() -> None:
    statistics = counted(*LEDGERS, mixtures=TWO)
    statistics.speaker_use = [SpeakerUse(3, 15, 2), SpeakerUse(4, 10, 1)]
    fields = json.loads(json.dumps(dataclasses.asdict(statistics)))
    assert PartStatistics.from_json(fields) == statistics


def test_empty_statistics_come_back_from_json() -> None:
    fields = json.loads(json.dumps(dataclasses.asdict(PartStatistics())))
    assert PartStatistics.from_json(fields) == PartStatistics()


def test_statistics_of_earlier_versions_know_no_use_of_speakers() -> None:
    fields = dataclasses.asdict(PartStatistics(items=3))
    del fields["speaker_use"]
    assert PartStatistics.from_json(fields) == PartStatistics(items=3)


def test_what_is_no_statistics_is_refused() -> None:
    for fields in ({}, {"histograms": {}, "unknown": 1}, {"histograms": {"a": {}}}):
        with pytest.raises((KeyError, TypeError)):
            PartStatistics.from_json(fields)
