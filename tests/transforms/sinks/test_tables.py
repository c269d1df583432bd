"""The tables of the published tree: rows, paths and SNRs as published, and no half tables."""

import csv
import dataclasses
import gc
import io
from collections.abc import Callable
from typing import Any

import pytest

from transforms.ledger import ItemRecord, ShardLedger, VariantRecord
from transforms.plan import Part, RenderOptions, Variant
from transforms.recipes import LIBRIMIX, WSJ0MIX
from transforms.rendering import render_mixture
from transforms.sharding import item_record
from transforms.sinks.tables import TABLE_KINDS, TablesWriter, column_stem, table_columns
from transforms.storage import OutputTree

Contents = Callable[[OutputTree], dict[str, bytes]]
ALL = RenderOptions(types=tuple(LIBRIMIX.types))
NARROW = RenderOptions(rates_hz=(8000,), modes=("min",), types=("mix_clean", "mix_both"))
ROLES = ("s1", "s2", "noise")
STREAMS = ("s1", "s2", "noise", "mix_clean", "mix_both")
FOLDER = "Libri2Mix/wav8k/min/metadata"
TABLES = sorted(
    f"{FOLDER}/{kind}_train-100_{mix_type}.csv"
    for kind in TABLE_KINDS
    for mix_type in ("mix_clean", "mix_both")
)


def ledger(*names: str) -> ShardLedger:
    snr_db = {"mix_clean": (0.5, -0.1), "mix_both": (-1.0, -100.0, 1e-06)}
    record = VariantRecord(Variant(8000, "min"), 801, dict.fromkeys(STREAMS, 0), snr_db)
    return ShardLedger("x", "f", items=tuple(ItemRecord(name, (record,)) for name in names))


def written(
    tree: OutputTree, part: Part, *ledgers: ShardLedger, options: RenderOptions = NARROW
) -> TablesWriter:
    writer = TablesWriter(tree, LIBRIMIX, options, part=part, roles=ROLES)
    for one in ledgers:
        writer.add(one)
    writer.close()
    return writer


def lines(tree: OutputTree, path: str) -> list[str]:
    return tree.read(path).decode().split("\n")


# --- columns and rows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "stem"),
    [
        ("s1", "source_1"),
        ("s12", "source_12"),
        ("noise", "noise"),
        ("s", "s"),
        ("sx", "sx"),
        ("target", "target"),
    ],
)
def test_column_names(role: str, stem: str) -> None:
    assert column_stem(role) == stem


def test_headers() -> None:
    assert table_columns("metrics", ("s1", "noise")) == ["mixture_ID", "source_1_SNR", "noise_SNR"]
    assert table_columns("mixture", ("s1", "s2")) == [
        "mixture_ID",
        "mixture_path",
        "source_1_path",
        "source_2_path",
        "length",
    ]


def test_rows(tree: OutputTree, part: Part) -> None:
    written(tree, part, ledger("b", "a"), options=dataclasses.replace(NARROW, table_paths="/data"))
    folder = "/data/Libri2Mix/wav8k/min/train-100"
    assert lines(tree, f"{FOLDER}/mixture_train-100_mix_both.csv") == [
        "mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length",
        f"b,{folder}/mix_both/b.wav,{folder}/s1/b.wav,{folder}/s2/b.wav,{folder}/noise/b.wav,801",
        f"a,{folder}/mix_both/a.wav,{folder}/s1/a.wav,{folder}/s2/a.wav,{folder}/noise/a.wav,801",
        "",
    ]
    assert lines(tree, f"{FOLDER}/metrics_train-100_mix_clean.csv") == [
        "mixture_ID,source_1_SNR,source_2_SNR",
        "b,0.5,-0.1",
        "a,0.5,-0.1",
        "",
    ]
    assert lines(tree, f"{FOLDER}/metrics_train-100_mix_both.csv")[1] == "b,-1.0,-100.0,1e-06"


def test_shards_follow_one_another(tree: OutputTree, part: Part) -> None:
    written(tree, part, ledger("c"), ledger(), ledger("a", "b"))
    rows = csv.DictReader(io.StringIO(tree.read(TABLES[0]).decode()))
    assert [row["mixture_ID"] for row in rows] == ["c", "a", "b"]


def test_places_of_all_tables_are_told(tree: OutputTree, part: Part, contents: Contents) -> None:
    writer = written(tree, part, ledger("a"))
    assert sorted(writer.files) == TABLES
    assert sorted(contents(tree)) == TABLES


def test_only_tables_of_the_wanted_types(tree: OutputTree, part: Part) -> None:
    writer = written(tree, part, ledger("a"), options=dataclasses.replace(NARROW, types=("mix_both",)))
    assert sorted(writer.files) == [path for path in TABLES if "mix_both" in path]


# --- how files are named -----------------------------------------------------------------------


def mixture_row(tree: OutputTree, part: Part, table_paths: str) -> dict[str, str]:
    written(tree, part, ledger("a"), options=dataclasses.replace(NARROW, table_paths=table_paths))
    (row,) = csv.DictReader(io.StringIO(tree.read(f"{FOLDER}/mixture_train-100_mix_clean.csv").decode()))
    return row


def test_absolute_paths_lead_to_the_output(tree: OutputTree, part: Part) -> None:
    row = mixture_row(tree, part, "absolute")
    assert row["mixture_path"] == f"{tree.root}/Libri2Mix/wav8k/min/train-100/mix_clean/a.wav"
    assert row["source_2_path"] == f"{tree.root}/Libri2Mix/wav8k/min/train-100/s2/a.wav"


def test_relative_paths_lead_on_from_the_table(tree: OutputTree, part: Part) -> None:
    row = mixture_row(tree, part, "relative")
    assert row["mixture_path"] == "../train-100/mix_clean/a.wav"
    assert row["source_1_path"] == "../train-100/s1/a.wav"


@pytest.mark.parametrize(
    ("table", "folder", "shown"),
    [
        ("t", "", "a.wav"),
        ("t", "wav", "wav/a.wav"),
        ("meta/t", "", "../a.wav"),
        ("meta/t", "meta", "a.wav"),
        ("a/meta/t", "a/b/c", "../b/c/a.wav"),
    ],
)
def test_tables_and_files_may_be_in_any_folder(
    tree: OutputTree, part: Part, table: str, folder: str, shown: str
) -> None:
    recipe = dataclasses.replace(
        LIBRIMIX,
        table_path=lambda part, variant, kind, mix_type: f"{table}_{kind}",
        wav_path=lambda part, variant, stream, item: f"{folder}/{item}.wav".lstrip("/"),
    )
    options = dataclasses.replace(NARROW, types=("mix_clean",), table_paths="relative")
    writer = TablesWriter(tree, recipe, options, part=part, roles=ROLES)
    writer.add(ledger("a"))
    writer.close()
    (row,) = csv.DictReader(io.StringIO(tree.read(f"{table}_mixture").decode()))
    assert row["mixture_path"] == shown


@pytest.mark.parametrize("prefix", ["/mnt/corpora/", "/mnt/corpora", "gs://bucket/corpora"])
def test_a_prefix_stands_for_the_output(tree: OutputTree, part: Part, prefix: str) -> None:
    row = mixture_row(tree, part, prefix)
    assert row["mixture_path"] == f"{prefix.rstrip('/')}/Libri2Mix/wav8k/min/train-100/mix_clean/a.wav"


# --- whole or not at all -----------------------------------------------------------------------


def test_tables_appear_when_they_are_complete(tree: OutputTree, part: Part, contents: Contents) -> None:
    writer = TablesWriter(tree, LIBRIMIX, NARROW, part=part, roles=ROLES)
    writer.add(ledger("a"))
    assert not [path for path in contents(tree) if path.endswith(".csv")]
    writer.close()
    assert sorted(contents(tree)) == TABLES


def test_an_error_half_way_leaves_the_tables_that_were_there(
    tree: OutputTree, part: Part, contents: Contents
) -> None:
    written(tree, part, ledger("old"))
    before = contents(tree)
    broken = ledger("a", "b")
    del broken.items[1].variants[0].snr_db["mix_both"]  # type: ignore[attr-defined]
    writer = TablesWriter(tree, LIBRIMIX, NARROW, part=part, roles=ROLES)
    with pytest.raises(KeyError):
        writer.add(broken)
    del writer
    gc.collect()
    assert contents(tree) == before


def test_tables_of_a_part_without_items_are_removed(tree: OutputTree, part: Part, contents: Contents) -> None:
    written(tree, part, ledger("a"))
    tree.write(f"{FOLDER}/mixture_train-360_mix_clean.csv", b"of another part")
    writer = written(tree, part, ledger())
    assert writer.files == ()
    assert list(contents(tree)) == [f"{FOLDER}/mixture_train-360_mix_clean.csv"]


def test_recipes_without_tables_are_refused(tree: OutputTree, part: Part) -> None:
    with pytest.raises(ValueError, match="recipe wsj0mix publishes no tables"):
        TablesWriter(tree, WSJ0MIX, NARROW, part=part, roles=ROLES)


# --- published tables --------------------------------------------------------------------------


def check_published(published: Any, tree: OutputTree) -> None:
    """Writes the tables of a plan and compares them: mixture tables exactly, SNRs to 1e-3 dB."""
    reader = published.reader()
    rendered = (render_mixture(mixture, LIBRIMIX, ALL, reader.read) for mixture in published.mixtures)
    items = tuple(item_record(item, LIBRIMIX) for item in rendered)
    writer = TablesWriter(
        tree,
        LIBRIMIX,
        ALL,
        part=published.part,
        roles=[source.role for source in published.mixtures[0].sources],
    )
    writer.add(ShardLedger("x", "f", items=items))
    writer.close()
    assert len(writer.files) == 24
    for path in writer.files:
        data = tree.read(path)
        if "/mixture_" in path:
            assert data.replace(f"{tree.root}/".encode(), b"") == (published.tables / path).read_bytes()
        else:
            check_metrics(data.decode(), published.table(path))


def check_metrics(text: str, wanted: list[dict[str, str]]) -> None:
    found = list(csv.DictReader(io.StringIO(text)))
    assert [list(row) for row in found] == [list(row) for row in wanted]
    for row, expected in zip(found, wanted, strict=True):
        assert row.pop("mixture_ID") == expected.pop("mixture_ID")
        snrs = [float(snr) for snr in expected.values()]
        assert [float(snr) for snr in row.values()] == pytest.approx(snrs, abs=1e-3)


def test_published_tables_are_equal(small_render: Any, tree: OutputTree) -> None:
    check_published(small_render, tree)


@pytest.mark.golden
def test_all_published_tables_are_equal(full_render: Any, local_tree: OutputTree) -> None:
    check_published(full_render, local_tree)
