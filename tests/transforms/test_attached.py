"""Attachments and facts of a small recipe: in all formats, through resume, rejects, prune and verify."""

import dataclasses
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import webdataset

from pipelines.prune import prune
from tests import trees
from tests.trees import SMALL, Corpus, changed, contents, files, identities, make_corpus, render, write_noise
from transforms import ledger as ledgers
from transforms.attachments import Attachment, AttachmentType, Facts
from transforms.audio import SourceReader
from transforms.errors import MixtapeError, SourceError
from transforms.finishing import read_summary
from transforms.ledger import crc32c
from transforms.plan import Mixture, Part, RenderOptions, Shard
from transforms.recipes import LIBRIMIX, RECIPES, Recipe
from transforms.rendering import render_item
from transforms.sharding import RenderJob, process_shard, shard_fingerprint
from transforms.sinks import sinks_for
from transforms.sinks.description import describe
from transforms.storage import OutputTree
from transforms.verification import Mismatch, ShardCheck, check_shard

PART = Part("annotated", "Annotated", "train")
NOTES = AttachmentType("notes", "txt")
FRAMES = AttachmentType("frames", "bin", numbered=True)
TREE = "Annotated"
EXACT = ("bytes", "short", "said", "sizes", "words")
TAR = "Annotated/webdataset/wav8k/min/train-000000.tar"
DATASET = "Annotated/tfrecord/annotated_wav8k_min/1.0.0"


def attach(
    mixture: Mixture, reader: SourceReader, options: RenderOptions
) -> tuple[Sequence[Attachment], Facts]:
    """Notes, frames and facts that follow from the first source; sources of odd size have no frames."""
    data = reader.fetch(mixture.sources[0])
    if data.endswith(b"mute"):
        raise SourceError(mixture.sources[0].name, "attach", "cannot be shown", "plan without it")
    notes = f"{mixture.id}: {len(data)} bytes for {options.rates_hz[0]} Hz\n".encode()
    frames = tuple(data[start : start + 10] for start in range(0, 10 * (len(data) % 4), 10))
    facts: Facts = {
        "bytes": -len(data),
        "ratio": len(data) / 3,
        "short": len(data) < 1000,
        "said": f"é{len(data)}",
        "times_s": [number / 30 for number in range(len(frames))],
        "sizes": list(map(len, frames)),
        "words": [mixture.id, ""],
    }
    return [Attachment("notes", "txt", (notes,)), Attachment("frames", "bin", frames, numbered=True)], facts


ANNOTATED = dataclasses.replace(
    LIBRIMIX,
    name="annotated",
    title="Annotated",
    attachments=(NOTES, FRAMES),
    facts={
        "bytes": "int",
        "ratio": "float",
        "short": "flag",
        "said": "text",
        "times_s": "floats",
        "sizes": "ints",
        "words": "texts",
    },
    attach=attach,
    item_folders=(*LIBRIMIX.item_folders, "{corpus}/notes/{subset}", "{corpus}/frames/{subset}/*"),
)


@pytest.fixture(autouse=True)
def annotated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the recipe known, to the registry and to the builders of tests."""
    monkeypatch.setitem(RECIPES, "annotated", ANNOTATED)
    monkeypatch.setitem(trees.KINDS, "annotated", dataclasses.replace(trees.LIBRIMIX, part=PART))


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Five mixtures in shards of two; sizes of the utterances differ, so the numbers of frames do."""
    made = make_corpus(tmp_path / "corpora", recipe="annotated")
    for index in range(6):
        with made.utterance(index).open("ab") as file:
            file.write(b"\0" * (index % 4 + (-file.tell()) % 4))
    return made


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def tree_files(out: Path) -> list[str]:
    """Lists the files of the published tree that belong to items."""
    places = tuple(f"{TREE}/{name}" for name in ("wav8k", "notes", "frames"))
    return [name for name in files(out) if name.startswith(places) and not name.endswith(".csv")]


def expected(corpus: Corpus, index: int) -> tuple[list[Attachment], Facts]:
    attachments, facts = attach(corpus.mixtures[index], SourceReader(corpus.roots, 16000), SMALL)
    return list(attachments), facts


def frames_of(corpus: Corpus, index: int) -> tuple[bytes, ...]:
    return expected(corpus, index)[0][1].pieces


def check(job: RenderJob, *ids: str) -> tuple[Mismatch, ...]:
    summary = read_summary(job.tree, PART.name)
    assert summary is not None
    return check_shard(job, ShardCheck(Shard(PART, 0, 3), ids, summary.ledgers[0])).mismatches


def test_the_corpus_has_sequences_of_all_lengths(corpus: Corpus) -> None:
    assert [len(frames_of(corpus, index)) for index in range(5)] == [0, 1, 2, 3, 0]


def test_an_item_has_what_its_recipe_makes(corpus: Corpus) -> None:
    item = render_item(corpus.mixtures[3], ANNOTATED, SMALL, SourceReader(corpus.roots, 16000))
    attachments, facts = expected(corpus, 3)
    assert list(item.attachments) == attachments
    assert item.facts == facts
    assert [list(variant.facts) for variant in item.variants] == [list(ANNOTATED.facts)] * 2
    assert item.variants[0].facts["ratio"] == float(f"{facts['ratio']:.9g}")


@pytest.mark.parametrize(
    "made",
    [
        [],
        [Attachment("notes", "txt", (b"",))],
        [Attachment("frames", "bin", (), numbered=True), Attachment("notes", "txt", (b"",))],
        [Attachment("notes", "txt", ()), Attachment("frames", "bin", (), numbered=True)],
        [Attachment("notes", "txt", (b"", b"")), Attachment("frames", "bin", (), numbered=True)],
    ],
)
def test_attachments_that_are_not_declared_are_a_defect_of_the_recipe(
    corpus: Corpus, made: list[Attachment]
) -> None:
    odd = dataclasses.replace(ANNOTATED, attach=lambda *_: (made, expected(corpus, 0)[1]))
    with pytest.raises(MixtapeError, match=r"item m0000: has the attachments .* its recipe declares"):
        render_item(corpus.mixtures[0], odd, SMALL, SourceReader(corpus.roots, 16000))


def test_facts_of_the_renderer_and_of_the_recipe_come_together(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {**expected(corpus, 0)[1]}
    renderer_own = {"bytes": facts.pop("bytes")}
    rendered = render_item(corpus.mixtures[0], LIBRIMIX, SMALL, SourceReader(corpus.roots, 16000))
    variants = tuple(dataclasses.replace(one, facts={"ratio": 7}) for one in rendered.variants)
    del facts["ratio"]
    found = dataclasses.replace(rendered, variants=variants, facts=renderer_own)
    monkeypatch.setattr("transforms.rendering.render_mixture", lambda *_: found)
    recipe = dataclasses.replace(ANNOTATED, attach=lambda *_: (expected(corpus, 0)[0], facts))
    item = render_item(corpus.mixtures[0], recipe, SMALL, SourceReader(corpus.roots, 16000))
    assert [variant.facts["ratio"] for variant in item.variants] == [7.0, 7.0]
    assert item.variants[1].facts["bytes"] == renderer_own["bytes"]
    assert item.facts == {**facts, **renderer_own}


def test_the_tree_holds_every_file(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    for index, mixture in enumerate(corpus.mixtures):
        notes, frames = expected(corpus, index)[0]
        assert (out / f"{TREE}/notes/train/{mixture.id}.txt").read_bytes() == notes.pieces[0]
        folder = out / f"{TREE}/frames/train/{mixture.id}"
        assert [(folder / f"{n:04d}.bin").read_bytes() for n in range(len(frames.pieces))] == [*frames.pieces]
    attached = [name for name in files(out) if name.startswith((f"{TREE}/notes", f"{TREE}/frames"))]
    assert len(attached) == 5 + 6


def test_archives_hold_every_file_before_the_facts(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    with tarfile.open(out / TAR.replace("000000", "000001")) as tar:
        names = [name.partition(".")[2] for name in tar.getnames() if name.startswith("m0002")]
        member = tar.extractfile("m0002.0001.bin")
        assert member is not None
        assert member.read() == frames_of(corpus, 2)[1]
    streams = ["s1.wav", "s2.wav", "noise.wav", "mix_clean.wav", "mix_both.wav"]
    assert names == [*streams, "txt", "0000.bin", "0001.bin", "json"]


def test_webdataset_reads_files_and_facts(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    samples = list(webdataset.WebDataset(str(out / TAR), shardshuffle=False))
    for index, sample in enumerate(samples):
        (notes, frames), facts = expected(corpus, index)
        assert sample["txt"] == notes.pieces[0]
        assert [sample[f"{n:04d}.bin"] for n in range(len(frames.pieces))] == [*frames.pieces]
        told = json.loads(sample["json"])
        assert told["times_s"] == pytest.approx(facts["times_s"], abs=1e-9)
        assert {name: told[name] for name in EXACT} == {name: facts[name] for name in EXACT}
        assert list(told)[-7:] == list(ANNOTATED.facts)


def test_tfds_reads_files_and_facts(corpus: Corpus, out: Path) -> None:
    import tensorflow_datasets as tfds

    job = corpus.job(out)
    render(job, corpus.mixtures)
    close(job, PART)
    builder = tfds.builder_from_directory(str(out / DATASET))
    examples = list(tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False)))
    assert len(examples) == 5
    for index, example in enumerate(examples):
        (notes, frames), facts = expected(corpus, index)
        assert example["notes"] == notes.pieces[0]
        assert list(example["frames"]) == [*frames.pieces]
        assert example["bytes"] == facts["bytes"]
        assert bool(example["short"]) is facts["short"]
        assert example["short"].dtype == np.bool_
        assert example["said"].decode() == facts["said"]
        assert example["ratio"] == np.float32(facts["ratio"])
        np.testing.assert_array_equal(example["times_s"], np.float32(facts["times_s"]))
        np.testing.assert_array_equal(example["sizes"], facts["sizes"])
        assert [word.decode() for word in example["words"]] == facts["words"]
        assert json.loads(example["description"])["said"] == facts["said"]


def close(job: RenderJob, *parts: Part) -> None:
    for sink in sinks_for(job.tree, job.rules, job.options):
        sink.close_corpus(parts)


def test_another_recipe_in_the_same_output_leaves_the_features_alone(
    corpus: Corpus, out: Path, tmp_path: Path
) -> None:
    job = corpus.job(out)
    render(job, corpus.mixtures)
    close(job, PART)
    before = (out / DATASET / "features.json").read_bytes()
    plain = make_corpus(tmp_path / "plain")
    render(plain.job(out), plain.mixtures)
    close(plain.job(out), PART, plain.part)
    assert (out / DATASET / "features.json").read_bytes() == before
    other = out / "Libri2Mix/tfrecord/libri2mix_wav8k_min/1.0.0/features.json"
    assert b"notes" in before
    assert b"notes" not in other.read_bytes()


def test_the_ledger_knows_files_and_facts(corpus: Corpus, out: Path) -> None:
    rendering = render(corpus.job(out), corpus.mixtures)
    ledger = ledgers.read_ledger(OutputTree(str(out)), rendering.shard(1).name)
    assert ledger is not None
    item = ledger.items[0]
    (notes, frames), facts = expected(corpus, 2)
    assert [(one.size_bytes, one.crc32c) for one in item.attachments["frames"]] == [
        (len(piece), crc32c(piece)) for piece in frames.pieces
    ]
    assert [one.size_bytes for one in item.attachments["notes"]] == [len(notes.pieces[0])]
    assert [list(record.facts) for record in item.variants] == [["bytes", "ratio", "short", "said"]] * 2
    assert item.variants[0].facts["said"] == facts["said"]
    assert ledgers.ShardLedger.from_json(ledger.to_json()) == ledger


def test_bytes_written_count_what_is_attached(corpus: Corpus, out: Path) -> None:
    summary = render(corpus.job(out), corpus.mixtures).summary
    sizes = [(out / name).stat().st_size for name in tree_files(out)]
    assert summary.statistics.bytes_of["wav"] == sum(sizes)


def test_equal_runs_make_equal_bytes(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    render(corpus.job(tmp_path / "again"), corpus.mixtures)
    assert contents(out) == contents(tmp_path / "again")


@pytest.mark.parametrize("name", ["notes/train/m0001.txt", "frames/train/m0001/0000.bin"])
@pytest.mark.parametrize("damage", ["gone", "longer"])
def test_a_file_that_is_not_as_it_was_made_redoes_its_shard(
    corpus: Corpus, out: Path, name: str, damage: str
) -> None:
    first = render(corpus.job(out), corpus.mixtures)
    before = contents(out)
    path = out / TREE / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b"x")
    again = [process_shard(corpus.job(out), shard).status for shard in first.plan.shards]
    assert again == ["rendered", "kept", "kept"]
    assert contents(out) | _summary(before) == before


def _summary(before: dict[str, bytes]) -> dict[str, bytes]:
    """Returns the part's summary, which goes with the first shard that is redone."""
    return {name: data for name, data in before.items() if name.startswith("_mixtape/parts/")}


def test_what_stands_is_kept(corpus: Corpus, out: Path) -> None:
    first = render(corpus.job(out), corpus.mixtures)
    before = identities(out)
    assert [process_shard(corpus.job(out), shard).status for shard in first.plan.shards] == ["kept"] * 3
    assert changed(before, out) == set()


def test_other_declarations_redo_everything(
    corpus: Corpus, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = render(corpus.job(out), corpus.mixtures)
    shard = first.shard(0)
    before = shard_fingerprint(corpus.job(out), shard, corpus.mixtures[:2])
    other = dataclasses.replace(ANNOTATED, attachments=(AttachmentType("notes", "text"), FRAMES))
    monkeypatch.setitem(RECIPES, "annotated", other)
    assert shard_fingerprint(corpus.job(out), shard, corpus.mixtures[:2]) != before


@pytest.mark.parametrize("shrink", [True, False])
def test_a_shorter_sequence_leaves_nothing_of_a_longer_one(
    corpus: Corpus, out: Path, tmp_path: Path, shrink: bool
) -> None:
    render(corpus.job(out), corpus.mixtures)
    assert len(frames_of(corpus, 3)) == 3
    if shrink:
        with corpus.utterance(3).open("r+b") as file:
            file.truncate(corpus.utterance(3).stat().st_size - 2)
        assert len(frames_of(corpus, 3)) == 1
    else:
        write_noise(corpus.utterance(3), 731, seed=5)
    render(corpus.job(out), corpus.mixtures)
    render(corpus.job(tmp_path / "fresh"), corpus.mixtures)
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_rejected_item_loses_what_was_attached(corpus: Corpus, out: Path, tmp_path: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    with corpus.utterance(3).open("ab") as file:
        file.write(b"mute")
    summary = render(corpus.job(out), corpus.mixtures).summary
    assert [(reject.item, reject.stage, reject.reason) for reject in summary.rejects] == [
        ("m0003", "attach", "cannot be shown")
    ]
    assert not [name for name in files(out) if "m0003" in name]
    assert not (out / f"{TREE}/frames/train/m0003").exists()
    render(corpus.job(tmp_path / "fresh"), corpus.mixtures)
    assert contents(out) == contents(tmp_path / "fresh")


def test_prune_removes_what_was_attached_to_items_that_are_not_planned(
    corpus: Corpus, out: Path, tmp_path: Path
) -> None:
    render(corpus.job(out), corpus.mixtures)
    fewer = corpus.mixtures[:3]
    summary = render(corpus.job(out), fewer).summary
    assert "Annotated/frames/train/m0003/0000.bin" in files(out)
    prune(corpus.job(out), [summary])
    render(corpus.job(tmp_path / "fresh"), fewer)
    assert tree_files(out) == tree_files(tmp_path / "fresh")
    assert sorted(path.name for path in (out / f"{TREE}/frames/train").iterdir()) == ["m0001", "m0002"]


def test_prune_removes_the_tree_where_its_format_is_not_asked_for(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    packed = corpus.job(out, dataclasses.replace(SMALL, formats=("webdataset",)))
    prune(packed, [render(packed, corpus.mixtures).summary])
    assert sorted(path.name for path in (out / TREE).iterdir()) == ["webdataset"]


def test_a_good_output_verifies(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    assert check(corpus.job(out), "m0000", "m0001") == ()


@pytest.mark.parametrize("name", ["Annotated/notes/train/m0001.txt", "Annotated/frames/train/m0001/0000.bin"])
def test_a_flipped_byte_is_found(corpus: Corpus, out: Path, name: str) -> None:
    render(corpus.job(out), corpus.mixtures)
    data = bytearray((out / name).read_bytes())
    data[-1] ^= 1
    (out / name).write_bytes(data)
    problem = "its bytes are not those that were written; render with --force"
    assert check(corpus.job(out), "m0000", "m0001") == (Mismatch("m0001", name, problem),)


def test_sources_that_give_something_else_now_are_found(corpus: Corpus, out: Path) -> None:
    render(corpus.job(out), corpus.mixtures)
    with corpus.utterance(1).open("ab") as file:
        file.write(b"\0")
    found = {(one.what, one.problem) for one in check(corpus.job(out), "m0001")}
    values = {f"8000/{mode} {name}" for mode in ("min", "max") for name in ("bytes", "ratio", "said")}
    other = "the sources give other bytes now; render again"
    assert found == {(name, "the sources give another value now; render again") for name in values} | {
        ("notes", other),
        ("frames", other),
    }


def test_no_fact_has_the_name_of_something_else(make_facts: Callable[[Recipe], list[str]]) -> None:
    for recipe in RECIPES.values():
        names = make_facts(recipe)
        assert len(set(names)) == len(names), recipe.name


@pytest.fixture
def make_facts(corpus: Corpus) -> Callable[[Recipe], list[str]]:
    """Returns ``make_facts(recipe)``: all names that a record of the recipe has."""
    item = render_item(corpus.mixtures[0], LIBRIMIX, SMALL, SourceReader(corpus.roots, 16000))
    told = describe(PART, corpus.mixtures[0], item.variants[0])

    def names(recipe: Recipe) -> list[str]:
        return [*told, *recipe.types, "description", "sample_rate", *recipe.features]

    return names
