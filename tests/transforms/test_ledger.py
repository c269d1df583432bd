"""Ledgers: canonical bytes, a way back, and fingerprints that notice every change."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import StorageError
from transforms.ledger import (
    LEDGER_FORMAT,
    ItemRecord,
    PieceRecord,
    ShardLedger,
    SnrRecord,
    VariantRecord,
    WrittenFile,
    crc32c,
    fingerprint,
    ledger_path,
    read_ledger,
    read_part,
    write_ledger,
)
from transforms.plan import Mixture, Part, Shard, Source, Variant
from transforms.rejects import Reject
from transforms.storage import OutputTree

PART = Part("librimix", "Libri2Mix", "dev")
RECORD = VariantRecord(
    Variant(8000, "min"),
    801,
    {"s1": 7, "s2": 4_294_967_295, "mix_clean": 0},
    {"mix_clean": (0.5, -0.123456), "mix_both": (-100.0, 1e-06, 7.0)},
)
LEDGER = ShardLedger(
    shard="Libri2Mix-dev-000003",
    fingerprint="abc",
    sources={"wham:tt/ü.wav": "12-0000ffff", "librispeech:a.flac": "missing"},
    items=(ItemRecord("a_b", (RECORD, RECORD)), ItemRecord("c_d", ())),
    rejects=(Reject("e_f", "librispeech:a.flac", "read", 'has "0" samples,\nwanted more', "fetch it"),),
    files=(WrittenFile("Libri2Mix/webdataset/wav8k/min/dev-000003.tar", 10_240, 99, "ab" * 32),),
)


@pytest.fixture
def tree(tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path))


@pytest.mark.parametrize(
    ("data", "checksum"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
)
def test_checksums_are_castagnolis(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum
    assert crc32c(bytearray(data)) == checksum
    assert crc32c(memoryview(data)) == checksum


# --- JSON --------------------------------------------------------------------------------------


def test_a_scale_is_kept_where_there_is_one_and_else_not_written() -> None:
    scaled = dataclasses.replace(RECORD, scale=0.912345679)
    ledger = dataclasses.replace(LEDGER, items=(ItemRecord("a_b", (scaled, RECORD)),))
    written = ledger.to_json()
    assert written.count(b'"scale":0.912345679') == written.count(b'"scale"') == 1
    assert ShardLedger.from_json(written) == ledger
    assert b'"scale"' not in LEDGER.to_json()


def test_a_ledger_comes_back_whole() -> None:
    assert ShardLedger.from_json(LEDGER.to_json()) == LEDGER


def test_an_empty_ledger_comes_back() -> None:
    empty = ShardLedger("Libri2Mix-dev-000000", "abc")
    assert ShardLedger.from_json(empty.to_json()) == empty


def test_streams_keep_their_order() -> None:
    (record, _) = ShardLedger.from_json(LEDGER.to_json()).items[0].variants
    assert list(record.crc32c) == ["s1", "s2", "mix_clean"]
    assert list(record.snr_db) == ["mix_clean", "mix_both"]


_names = st.text(st.characters(exclude_categories=("Cs",)), max_size=6)
_sums = st.dictionaries(_names, st.integers(0, 2**32 - 1), max_size=3)
_snrs = st.dictionaries(_names, st.lists(st.floats(-200, 200), max_size=3).map(tuple), max_size=2)
_variants = st.builds(Variant, st.sampled_from([8000, 16000]), st.sampled_from(["min", "max"]))
_scalars = st.one_of(st.booleans(), st.integers(), st.floats(-200, 200), _names)
_places = st.dictionaries(_names, st.floats(-200, 200), max_size=3)
_records = st.builds(
    VariantRecord,
    *(_variants, st.integers(1, 10**9), _sums, _snrs, st.dictionaries(_names, _scalars, max_size=3)),
    *(_places, _places, _places),
)
_pieces = st.lists(st.builds(PieceRecord, st.integers(0), st.integers(0, 2**32 - 1)), max_size=3).map(tuple)
_items = st.builds(
    ItemRecord,
    *(_names, st.lists(_records, max_size=2).map(tuple), st.dictionaries(_names, _pieces, max_size=2)),
    st.dictionaries(_names, st.builds(SnrRecord, st.floats(-200, 200), st.floats(-200, 200)), max_size=2),
)
_rejects = st.builds(Reject, _names, _names, _names, _names, _names)


@given(
    st.builds(
        ShardLedger,
        shard=_names,
        fingerprint=_names,
        sources=st.dictionaries(_names, _names, max_size=3),
        items=st.lists(_items, max_size=3).map(tuple),
        rejects=st.lists(_rejects, max_size=2).map(tuple),
        files=st.lists(st.builds(WrittenFile, _names, st.integers(0), st.integers(0)), max_size=2).map(tuple),
    )
)
def test_any_ledger_comes_back(ledger: ShardLedger) -> None:
    data = ledger.to_json()
    assert ShardLedger.from_json(data) == ledger
    assert ShardLedger.from_json(data).to_json() == data
    assert len(json.loads(data)["items"]) == len(ledger.items)


def test_bytes_do_not_depend_on_the_order_of_reading_sources() -> None:
    turned = dataclasses.replace(LEDGER, sources=dict(reversed(LEDGER.sources.items())))
    assert turned.to_json() == LEDGER.to_json()


def test_bytes_are_canonical() -> None:
    head = (
        b'{"crc32c_of":"16-bit little-endian samples (items), bytes (files)","files":[],"fingerprint":"abc",'
        b'"format":2,"rejects":[],"shard":"s","sources":{},"items":[\n'
    )
    item = (
        b'{"id":"a_b","variants":[{"rate_hz":8000,"mode":"min","samples":801,'
        b'"crc32c":{"s1":7,"s2":4294967295,"mix_clean":0},'
        b'"snr_db":{"mix_clean":[0.5,-0.123456],"mix_both":[-100.0,1e-06,7.0]}}]}'
    )
    ledger = ShardLedger("s", "abc", items=(ItemRecord("a_b", (RECORD,)), ItemRecord("a_b", (RECORD,))))
    assert ledger.to_json() == head + item + b",\n" + item + b"\n]}\n"


def test_what_only_some_recipes_know_is_left_out_where_it_is_not_known() -> None:
    record = dataclasses.replace(RECORD, facts={"norm": 0.5}, gains={"s1": 1.0}, ends_s={"s1": 0.1})
    item = ItemRecord("a_b", (record,), {"video": (PieceRecord(9, 7),)}, {"s1": SnrRecord(3.0, 2.9999985)})
    fields = json.loads(ShardLedger("s", "abc", items=(item,)).to_json())["items"][0]
    assert fields["variants"][0].keys() == {
        *("rate_hz", "mode", "samples", "crc32c", "snr_db"),
        *("facts", "gains", "ends_s"),
    }
    assert fields["attachments"] == {"video": [[9, 7]]}
    assert fields["planned_snr_db"] == {"s1": {"planned": 3.0, "measured": 2.9999985, "deviation": -2e-06}}


# --- on disk -----------------------------------------------------------------------------------


def test_ledgers_are_written_and_read(tree: OutputTree) -> None:
    write_ledger(tree, LEDGER)
    assert tree.size("_mixtape/ledger/shard-Libri2Mix-dev-000003.json") == len(LEDGER.to_json())
    assert read_ledger(tree, LEDGER.shard) == LEDGER


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(LEDGER.to_json()) | fields).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no JSON",
        b"\xff\xfe",
        b"[]",
        b"17",
        b"{}",
        LEDGER.to_json()[:-40],
        changed(format=LEDGER_FORMAT + 1),
        changed(format=None),
        changed(items=[{"id": "a"}]),
        changed(items=17),
        changed(rejects=[{"item": "a"}]),
        changed(files=[{"path": "a", "size_bytes": 1, "crc32c": 2, "more": 3}]),
    ],
)
def test_a_ledger_that_cannot_be_understood_counts_as_none(tree: OutputTree, data: bytes) -> None:
    tree.write(ledger_path("x"), data)
    assert read_ledger(tree, "x") is None


def test_a_missing_ledger_counts_as_none(tree: OutputTree) -> None:
    assert read_ledger(tree, "x") is None


def part_ledgers(tree: OutputTree, count: int) -> list[ShardLedger]:
    ledgers = [ShardLedger(Shard(PART, index, count).name, str(index)) for index in range(count)]
    for ledger in reversed(ledgers):
        write_ledger(tree, ledger)
    return ledgers


def test_ledgers_of_a_part_come_in_order(tree: OutputTree) -> None:
    written = part_ledgers(tree, 12)
    assert list(read_part(tree, PART, 12)) == written
    assert list(read_part(tree, PART, 0)) == []


@pytest.mark.parametrize("root", ["memory://ledger-ahead", "local"])
@pytest.mark.parametrize("count", [31, 32, 33, 70])
def test_ledgers_read_ahead_come_in_order_too(tmp_path: Path, root: str, count: int) -> None:
    several = OutputTree(str(tmp_path) if root == "local" else f"{root}-{count}")
    written = part_ledgers(several, count)
    assert list(read_part(several, PART, count)) == written
    several.remove(ledger_path(f"Libri2Mix-dev-{count - 1:06d}"))
    reading = read_part(several, PART, count)
    assert [next(reading) for _ in range(count - 1)] == written[:-1]
    with pytest.raises(StorageError, match="no readable ledger"):
        next(reading)


def test_a_part_without_one_of_its_ledgers_is_named(tree: OutputTree) -> None:
    part_ledgers(tree, 3)
    tree.remove(ledger_path("Libri2Mix-dev-000001"))
    reading = read_part(tree, PART, 3)
    assert next(reading).fingerprint == "0"
    with pytest.raises(StorageError, match="no readable ledger; run the same command again") as caught:
        next(reading)
    assert caught.value.url == tree.url("_mixtape/ledger/shard-Libri2Mix-dev-000001.json")


# --- fingerprints ------------------------------------------------------------------------------

SOURCE = Source("s1", "librispeech", "a/1.flac", level=0.75, speaker="103", sex="F")
MIXTURES = [Mixture("a", (SOURCE, SOURCE)), Mixture("b", (SOURCE,))]


def test_a_fingerprint_is_the_digest_of_all_fields_in_order() -> None:
    facts: tuple[Any, ...] = ({"b": 1, "a": [2.5, None]}, "x")
    rows = [dataclasses.astuple(mixture) for mixture in MIXTURES]
    text = json.dumps([LEDGER_FORMAT, rows, facts], sort_keys=True, separators=(",", ":"))
    assert fingerprint(MIXTURES, *facts) == hashlib.sha256(text.encode()).hexdigest()


def test_fingerprints_are_stable() -> None:
    """Another digest here makes everybody render everything again."""
    digest = "ae646eba03e3c4fc77c0a49e5055a10e51d183e5ac039b667862ce17f207fec4"
    assert fingerprint([Mixture("a", ())], "librimix", {"rates_hz": (8000,), "level": 0.1}) == digest


def test_equal_rows_and_facts_have_equal_fingerprints() -> None:
    copies = [
        Mixture(one.id, tuple(dataclasses.replace(source) for source in one.sources)) for one in MIXTURES
    ]
    assert fingerprint(MIXTURES, {"a": 1, "b": 2}) == fingerprint(copies, {"b": 2, "a": 1})


def other(value: Any) -> Any:
    return value + 1 if isinstance(value, int | float) else f"{value}x"


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Source)])
def test_every_field_of_a_source_counts(name: str) -> None:
    source = dataclasses.replace(SOURCE, **{name: other(getattr(SOURCE, name))})
    assert fingerprint([Mixture("b", (source,))]) != fingerprint([Mixture("b", (SOURCE,))])


@pytest.mark.parametrize(
    "mixtures",
    [
        MIXTURES[::-1],
        MIXTURES[:1],
        [],
        [MIXTURES[0], Mixture("c", (SOURCE,))],
        [MIXTURES[0], Mixture("b", (SOURCE, SOURCE))],
        [Mixture("a", (SOURCE,)), Mixture("b", (SOURCE, SOURCE))],
    ],
)
def test_rows_and_their_order_count(mixtures: list[Mixture]) -> None:
    assert fingerprint(mixtures) != fingerprint(MIXTURES)


@pytest.mark.parametrize("facts", [(), ({"rate_hz": 8000},), ({"rate_hz": 16000}, 1), ({"rate": 16000},)])
def test_facts_count(facts: tuple[Mapping[str, int]]) -> None:
    assert fingerprint(MIXTURES, *facts) != fingerprint(MIXTURES, {"rate_hz": 16000})


def test_a_small_change_of_a_level_counts() -> None:
    higher = dataclasses.replace(SOURCE, level=0.7500000000000001)
    assert fingerprint([Mixture("b", (higher,))]) != fingerprint([Mixture("b", (SOURCE,))])
