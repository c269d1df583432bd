"""What is merged when all shards of a part stand: complete, remade when needed, and only then."""

import csv
import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trees import ALL_FORMATS, PART, SMALL, Corpus, contents, files, make_corpus, mixture, render
from transforms import ledger as ledgers
from transforms.errors import StorageError
from transforms.finishing import (
    RUN_PATH,
    PartSummary,
    finish_part,
    is_finished,
    read_summary,
    stored_summaries,
    summary_names,
    trusted_summary,
)
from transforms.inventory import FileRecord, NotedTree, take_inventory
from transforms.plan import Part, Shard
from transforms.rejects import Reject
from transforms.sharding import store_plan, summary_path
from transforms.statistics import PartStatistics
from transforms.storage import OutputTree

TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"
METRICS = "Libri2Mix/wav8k/max/metadata/metrics_train-100_mix_clean.csv"
WIDS = "Libri2Mix/webdataset/wav8k/min/train-100.json"
SPLIT = "_mixtape/Libri2Mix/tfrecord/libri2mix_wav8k_max/1.0.0/train-100.json"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return make_corpus(tmp_path / "corpora")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_tables_indices_and_counts_agree_with_the_ledgers(corpus: Corpus, out: Path) -> None:
    corpus.utterance(4).unlink()
    summary = render(corpus.job(out), corpus.mixtures).summary
    assert (summary.part, summary.shards, summary.planned, summary.written) == (PART, 3, 5, 3)
    assert [(one.item, one.source) for one in summary.rejects] == [
        (item, "librispeech:train-clean-100/104/1/104-1-0000.flac") for item in ("m0003", "m0004")
    ]
    assert [row["mixture_ID"] for row in rows(out / TABLE)] == ["m0000", "m0001", "m0002"]
    assert [row["mixture_ID"] for row in rows(out / METRICS)] == ["m0000", "m0001", "m0002"]
    assert [one["nsamples"] for one in json.loads((out / WIDS).read_bytes())["shardlist"]] == [2, 1]
    split = json.loads((out / SPLIT).read_bytes())["split"]
    assert split["shardLengths"] == ["2", "1", "0"]
    records = (out / "Libri2Mix/tfrecord/libri2mix_wav8k_max/1.0.0").glob("*.tfrecord-*")
    assert int(split["numBytes"]) == sum(path.stat().st_size for path in records)


def test_a_shard_without_items_counts_nothing_in_any_index(corpus: Corpus, out: Path) -> None:
    corpus.utterance(1).unlink()
    render(corpus.job(out), corpus.mixtures)
    shards = json.loads((out / WIDS).read_bytes())["shardlist"]
    assert [(one["url"], one["nsamples"]) for one in shards] == [
        ("train-100-000001.tar", 2), ("train-100-000002.tar", 1)
    ]  # fmt: skip
    assert json.loads((out / SPLIT).read_bytes())["split"]["shardLengths"] == ["0", "2", "1"]


def test_a_part_of_rejects_only_has_neither_tables_nor_indices(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    for index in range(6):
        corpus.utterance(index).unlink()
    summary = render(corpus.job(out), corpus.mixtures).summary
    assert (summary.written, len(summary.rejects), summary.files) == (0, 5, {})
    assert {name.split("/")[0] for name in files(out)} == {"_mixtape"}


def test_the_summary_names_every_file_beside_the_shards_with_its_size(corpus: Corpus, out: Path) -> None:
    summary = render(corpus.job(out), corpus.mixtures).summary
    tables = [
        f"Libri2Mix/wav8k/{mode}/metadata/{kind}_train-100_{name}.csv"
        for mode in ("min", "max")
        for kind in ("mixture", "metrics")
        for name in ("mix_clean", "mix_both")
    ]
    indices = [WIDS, WIDS.replace("/min/", "/max/"), SPLIT, SPLIT.replace("_max/", "_min/")]
    indices.append("_mixtape/checksums/Libri2Mix-train-100.sha256")
    assert sorted(summary.files) == sorted(tables + indices)
    for name, record in summary.files.items():
        data = (out / name).read_bytes()
        assert record == FileRecord(len(data), ledgers.crc32c(data))


def test_the_summary_knows_the_ledgers_it_was_merged_from(corpus: Corpus, out: Path) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    places = [out / ledgers.ledger_path(rendering.shard(index).name) for index in range(3)]
    assert rendering.summary.ledgers == tuple(ledgers.crc32c(place.read_bytes()) for place in places)


def test_statistics_count_what_is_on_disk(corpus: Corpus, out: Path) -> None:
    statistics = render(corpus.job(out), corpus.mixtures).summary.statistics
    sizes: dict[str, int] = dict.fromkeys(ALL_FORMATS, 0)
    for path in (path for path in out.rglob("*") if path.is_file() and "_mixtape" not in str(path)):
        kind = "tfrecord" if ".tfrecord-" in path.name else "wav" if path.suffix == ".wav" else "webdataset"
        if kind != "webdataset" or path.suffix in (".tar", ".idx"):
            sizes[kind] += path.stat().st_size
    assert statistics.bytes_of == sizes
    assert statistics.items == 5
    assert statistics.speakers == ["100", "101", "102", "103", "104", "105"]
    samples = sum(path.stat().st_size - 44 for path in out.glob("Libri2Mix/wav8k/max/train-100/s1/*.wav")) / 2
    assert statistics.seconds["8000/max"] == pytest.approx(samples / 8000)


def test_the_summary_comes_back_from_its_file(corpus: Corpus, out: Path) -> None:
    corpus.utterance(0).unlink()
    summary = render(corpus.job(out), corpus.mixtures).summary
    tree = OutputTree(str(out))
    assert read_summary(tree, PART.name) == summary
    assert stored_summaries(tree) == [summary]
    assert PartSummary.from_json(summary.to_json()) == summary


def test_summaries_of_all_parts_by_name(corpus: Corpus, out: Path) -> None:
    first = render(corpus.job(out), corpus.mixtures).summary
    other = Part("librimix", "Libri2Mix", "dev")
    second = dataclasses.replace(first, part=other)
    tree = OutputTree(str(out))
    tree.write(summary_path(other.name), second.to_json())
    tree.write(summary_path("Libri2Mix-broken"), b"{")
    assert stored_summaries(tree) == [second, first]
    assert summary_names(tree) == ["Libri2Mix-broken", other.name, PART.name]


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"[]",
        b"7",
        b"\xff",
        b'{"part": 1}',
        b'{"part": {"recipe": "r", "corpus": "c", "subset": "s"}}',
        b'{"part": {"recipe": "r", "corpus": "c", "subset": "s"}, "shards": 1, "table_paths": "relative",'
        b' "written": 1, "rejects": [], "files": {}, "statistics": {"histograms": []}}',
        b'{"part": {"recipe": "r", "corpus": "c", "subset": "s"}, "shards": 1, "table_paths": "relative",'
        b' "written": 1, "rejects": [{}], "files": {}, "statistics": {}}',
    ],
    ids=repr,
)
def test_what_is_no_summary_is_none(tmp_path: Path, data: bytes | None) -> None:
    tree = OutputTree(str(tmp_path))
    if data is not None:
        tree.write(summary_path(PART.name), data)
    assert read_summary(tree, PART.name) is None
    assert stored_summaries(tree) == []


class TestIsFinished:
    """Whether a part needs no merging again."""

    def test_a_summary_of_the_form_that_knew_sizes_alone_is_none(self, corpus: Corpus, out: Path) -> None:
        summary = render(corpus.job(out), corpus.mixtures).summary
        fields = json.loads(summary.to_json())
        fields["files"] = {path: record["size_bytes"] for path, record in fields["files"].items()}
        del fields["ledgers"]
        (out / summary_path(PART.name)).write_text(json.dumps(fields))
        assert read_summary(OutputTree(str(out)), PART.name) is None
        assert not is_finished(corpus.job(out), PART.name, 3)
        assert finish_part(corpus.job(out), PART.name) == summary

    def test_a_finished_part_is(self, corpus: Corpus, out: Path) -> None:
        assert not is_finished(corpus.job(out), PART.name, 3)
        render(corpus.job(out), corpus.mixtures)
        assert is_finished(corpus.job(out), PART.name, 3)

    def test_a_summary_is_trusted_by_its_bytes_where_they_are_known(self, corpus: Corpus, out: Path) -> None:
        summary = render(corpus.job(out), corpus.mixtures).summary
        tree, place = NotedTree(str(out)), out / summary_path(PART.name)
        data = place.read_bytes()
        changed = data.replace(b'"written": 5', b'"written": 4')
        place.write_bytes(changed)
        assert trusted_summary(tree, PART.name) == dataclasses.replace(summary, written=4)
        assert is_finished(corpus.job(out), PART.name, 3)
        tree.note(summary_path(PART.name), data)
        take_inventory(tree)
        assert trusted_summary(tree, PART.name) is None
        assert not is_finished(corpus.job(out), PART.name, 3)
        place.write_bytes(data)
        assert trusted_summary(tree, PART.name) == summary
        assert is_finished(corpus.job(out), PART.name, 3)
        place.unlink()
        assert trusted_summary(tree, PART.name) is None

    def test_other_shards_or_paths_in_tables_need_merging(self, corpus: Corpus, out: Path) -> None:
        render(corpus.job(out), corpus.mixtures)
        assert not is_finished(corpus.job(out), PART.name, 2)
        absolute = dataclasses.replace(SMALL, table_paths="absolute")
        assert not is_finished(corpus.job(out, absolute), PART.name, 3)

    @pytest.mark.parametrize("name", [TABLE, METRICS, WIDS, SPLIT])
    @pytest.mark.parametrize("damage", [os.unlink, lambda path: os.truncate(path, 9)])
    def test_a_damaged_file_is_made_again(
        self, corpus: Corpus, out: Path, name: str, damage: Callable[[Path], None]
    ) -> None:
        render(corpus.job(out), corpus.mixtures)
        held = contents(out)
        damage(out / name)
        assert not is_finished(corpus.job(out), PART.name, 3)
        finish_part(corpus.job(out), PART.name)
        assert contents(out) == held
        assert is_finished(corpus.job(out), PART.name, 3)


@pytest.mark.parametrize("data", [None, b"{"])
def test_a_part_with_a_missing_ledger_cannot_be_merged(corpus: Corpus, out: Path, data: bytes | None) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    held = contents(out)
    path = ledgers.ledger_path(rendering.shard(1).name)
    (out / path).unlink() if data is None else (out / path).write_bytes(data)
    with pytest.raises(StorageError, match=rf"{path}: no readable ledger; run the same command again"):
        finish_part(corpus.job(out), PART.name)
    assert {name for name in files(out) if name.endswith((".csv", ".tar"))} <= held.keys()


def test_merging_forgets_the_record_of_the_run_before(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    (out / RUN_PATH).write_text("{}")
    finish_part(corpus.job(out), PART.name)
    assert not (out / RUN_PATH).exists()


LEFT = [
    "Libri2Mix/webdataset/wav8k/min/train-100-000009.tar",
    "Libri2Mix/webdataset/wav8k/min/train-100-000009.idx",
    "Libri2Mix/webdataset/wav16k/max/train-100-000000.tar",
    "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-train-100.tfrecord-00000-of-00004",
]
NOT_OURS = [
    "Libri2Mix/webdataset/wav8k/min/train-360-000000.tar",
    "Libri2Mix/webdataset/wav8k/min/notes.txt",
    "Libri2Mix/webdataset/wav8k/min/train-100-best.tar",
    "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/libri2mix_wav8k_min-dev.tfrecord-00000-of-00001",
    "Libri3Mix/webdataset/wav8k/min/train-100-000000.tar",
    "Libri2Mix/wav8k/min/train-100/s1/other.wav",
]


def test_shard_files_that_no_ledger_knows_are_removed_and_nothing_else(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    held = files(out)
    for name in LEFT + NOT_OURS:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("left")
    finish_part(corpus.job(out), PART.name)
    assert set(files(out)) - set(held) == set(NOT_OURS)


def test_shard_files_of_formats_that_are_not_asked_for_stay(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    (out / LEFT[0]).write_text("left")
    wav = dataclasses.replace(SMALL, formats=("wav",))
    finish_part(corpus.job(out, wav), PART.name)
    assert (out / LEFT[0]).exists()


def test_an_empty_part_is_finished_too(corpus: Corpus, out: Path) -> None:
    summary = render(corpus.job(out), []).summary
    assert (summary.shards, summary.planned, summary.files) == (0, 0, {})
    assert is_finished(corpus.job(out), PART.name, 0)


def test_a_part_of_many_shards_is_merged_in_plan_order(corpus: Corpus, out: Path) -> None:
    one_each = dataclasses.replace(SMALL, shard_size=1)
    repeated = [dataclasses.replace(mixture(k % 5), id=f"x{k:02d}") for k in range(12)]
    render(corpus.job(out, one_each), repeated)
    assert [row["mixture_ID"] for row in rows(out / TABLE)] == [one.id for one in repeated]


def test_planned_is_written_and_rejected() -> None:
    reject = Reject("m", "librispeech:a", "read", "is gone", "restore it")
    summary = PartSummary(PART, 1, "absolute", 3, (reject, reject), {}, PartStatistics())
    assert summary.planned == 5


def test_parts_do_not_touch_each_other(corpus: Corpus, out: Path) -> None:
    summary = render(corpus.job(out), corpus.mixtures).summary
    held = contents(out)
    other = Part("librimix", "Libri2Mix", "dev")
    store_plan(corpus.job(out), other, [])
    finish_part(corpus.job(out), other.name)
    assert stored_summaries(OutputTree(str(out)))[1] == summary
    found = contents(out)
    assert {name: found[name] for name in held} == held
    assert ledgers.read_ledger(OutputTree(str(out)), Shard(other, 0, 1).name) is None
