"""Records beside the tables: JSON lines that archives hold too, RTTM and STM, empty files left out."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from transforms.ledger import ShardLedger, VariantRecord
from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, Variant
from transforms.recipes import LIBRIMIX, MIXTURES, published_record_path
from transforms.rendering import RenderedMixture
from transforms.sinks.base import PartWriter
from transforms.sinks.description import describe_json
from transforms.sinks.records import (
    RecordsWriter,
    rttm_lines,
    segments,
    speaker_label,
    stm_lines,
)
from transforms.sinks.webdataset import WebDatasetSink
from transforms.storage import OutputTree

SPEECH = (
    Source("s1", "speech", "a.wav", speaker="ann", text="HELLO  there\n"),
    Source("s2", "speech", "b.wav", speaker="bob lee"),
    Source("s3", "speech", "c.wav", text="¿qué?"),
    Source("noise", "noise", "n.wav", fit="loop"),
)
MIXTURE = Mixture("train-0000001", SPEECH)
STEM = "Libri2Mix/wav8k/min/metadata/items_train-100"
Contents = Callable[[OutputTree], dict[str, bytes]]


def record(**changes: Any) -> VariantRecord:
    roles = [source.role for source in SPEECH]
    fields: dict[str, Any] = {
        "gains": dict.fromkeys(roles, 1.0),
        "starts_s": {"s1": 0.0, "s2": 1.25, "s3": 3.0, "noise": 0.0},
        "ends_s": {"s1": 1.5, "s2": 2.0, "s3": 2.5, "noise": 2.5},
    }
    return VariantRecord(Variant(8000, "min"), 20000, {}, {}, **{**fields, **changes})


def writer_of(tree: OutputTree, options: RenderOptions, part: Part) -> RecordsWriter:
    return RecordsWriter(tree, MIXTURES, options, part=part)


def write(writer: PartWriter, *shards: ShardLedger, items: list[RenderedMixture]) -> tuple[str, ...]:
    for ledger in shards:
        writer.add(ledger, [item.mixture for item in items])
    writer.close()
    return writer.files


def ledger_of(*items: RenderedMixture, corpus_of: Any, tree: OutputTree, part: Part) -> ShardLedger:
    made: ShardLedger = corpus_of(WebDatasetSink, tree).write_shard(Shard(part, 0, 1), items)
    return made


def test_segments_are_the_speech_that_this_length_mode_holds() -> None:
    found = [(source.role, start_s, end_s) for source, start_s, end_s in segments(MIXTURE, record())]
    assert found == [("s1", 0.0, 1.5), ("s2", 1.25, 2.0)]


def test_talkers_without_a_name_or_with_blanks_in_it() -> None:
    assert [speaker_label(source) for source in SPEECH[:3]] == ["ann", "bob_lee", "s3"]


def test_rttm_has_ten_fields_per_piece_of_speech() -> None:
    lines = rttm_lines(MIXTURE, record(ends_s={"s1": 1.5, "s2": 2.0, "s3": 3.5})).decode().splitlines()
    assert lines == [
        "SPEAKER train-0000001 1 0.000000 1.500000 <NA> <NA> ann <NA> <NA>",
        "SPEAKER train-0000001 1 1.250000 0.750000 <NA> <NA> bob_lee <NA> <NA>",
        "SPEAKER train-0000001 1 3.000000 0.500000 <NA> <NA> s3 <NA> <NA>",
    ]
    assert {len(line.split(" ")) for line in lines} == {10}


def test_stm_has_the_words_that_are_known_on_one_line() -> None:
    lines = stm_lines(MIXTURE, record(ends_s={"s1": 1.5, "s2": 2.0, "s3": 3.5})).decode()
    assert lines == (
        "train-0000001 1 ann 0.000000 1.500000 HELLO there\ntrain-0000001 1 s3 3.000000 3.500000 ¿qué?\n"
    )


def test_an_item_without_speech_in_this_mode_has_no_lines() -> None:
    silent = record(ends_s=dict.fromkeys(("s1", "s2", "s3"), 0.0))
    assert (rttm_lines(MIXTURE, silent), stm_lines(MIXTURE, silent)) == (b"", b"")


def test_places() -> None:
    part = Part("mixtures", "mixtures", "dev")
    path = "mixtures/wav16k/max/metadata/items_dev.stm"
    assert published_record_path(part, Variant(16000, "max"), "stm") == path


def test_lines_are_the_facts_in_archives_in_plan_order(
    tree: OutputTree, part: Part, options: RenderOptions, make_item: Callable[..., Any], corpus_of: Any
) -> None:
    items = [make_item("b"), make_item("a", samples=900)]
    ledger = ledger_of(*items, corpus_of=corpus_of, tree=tree, part=part)
    stored = ShardLedger.from_json(ledger.to_json())
    write(writer_of(tree, options, part), stored, items=items)
    wanted = [describe_json(part, item.mixture, item.variants[0]) for item in items]
    data = tree.read(f"{STEM}.jsonl")
    assert data.splitlines() == wanted
    assert data.endswith(b"\n")
    assert [json.loads(line)["id"] for line in data.splitlines()] == ["b", "a"]


def test_shards_follow_one_another_and_every_variant_has_its_own(
    tree: OutputTree, part: Part, options: RenderOptions, make_item: Callable[..., Any], corpus_of: Any
) -> None:
    items = [make_item("a", samples=4000), make_item("b", samples=4000)]
    ledgers = [ledger_of(item, corpus_of=corpus_of, tree=tree, part=part) for item in items]
    files = write(writer_of(tree, options, part), *ledgers, items=items)
    stems = [f"Libri2Mix/wav{rate}k/min/metadata/items_train-100" for rate in (8, 16)]
    assert sorted(files) == sorted(f"{stem}.{kind}" for stem in stems for kind in ("jsonl", "rttm", "stm"))
    for stem in stems:
        ids = [line.split()[1] for line in tree.read(f"{stem}.rttm").decode().splitlines()]
        assert ids == ["a", "a", "b", "b"]
        assert tree.read(f"{stem}.stm").decode().split()[5:7] == ["a", "word"]


def test_without_transcripts_there_is_no_stm_and_an_old_one_goes(
    tree: OutputTree, part: Part, options: RenderOptions, make_item: Callable[..., Any], corpus_of: Any
) -> None:
    tree.write(f"{STEM}.stm", b"old")
    item = make_item("a")
    silent = tuple(replace(source, text="") for source in item.mixture.sources)
    item = replace(item, mixture=replace(item.mixture, sources=silent))
    ledger = ledger_of(item, corpus_of=corpus_of, tree=tree, part=part)
    files = write(writer_of(tree, options, part), ledger, items=[item])
    assert f"{STEM}.rttm" in files
    assert f"{STEM}.stm" not in files
    assert not tree.exists(f"{STEM}.stm")


def test_records_of_a_part_without_items_are_removed(
    tree: OutputTree, part: Part, options: RenderOptions, contents: Contents
) -> None:
    for kind in ("jsonl", "rttm", "stm"):
        tree.write(f"{STEM}.{kind}", b"old")
    assert write(writer_of(tree, options, part), items=[]) == ()
    assert contents(tree) == {}


def test_records_appear_when_they_are_complete(
    tree: OutputTree, part: Part, options: RenderOptions, make_item: Callable[..., Any], corpus_of: Any
) -> None:
    item = make_item("a")
    ledger = ledger_of(item, corpus_of=corpus_of, tree=tree, part=part)
    writer = writer_of(tree, options, part)
    writer.add(ledger, [item.mixture])
    assert not tree.exists(f"{STEM}.jsonl")
    writer.close()
    assert tree.exists(f"{STEM}.jsonl")


def test_recipes_without_records_are_refused(tree: OutputTree, part: Part, options: RenderOptions) -> None:
    with pytest.raises(ValueError, match="recipe librimix publishes no records"):
        RecordsWriter(tree, LIBRIMIX, options, part=part)


def test_numbers_that_are_not_finite_are_refused(part: Part) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        describe_json(part, MIXTURE, record(gains={"s1": math.nan}))
