"""Removing from an output what its plans and options do not hold any more."""

import json
import shutil
from pathlib import Path

import pytest

from tests import trees
from tests.pipelines.conftest import Mixtape

pytestmark = pytest.mark.usefixtures("short_report")


def published(out: Path) -> list[str]:
    return [name for name in trees.files(out) if not name.startswith("_mixtape/")]


def folders(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_dir()}


def test_without_prune_what_is_not_planned_any_more_stays(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"))
    before = published(tmp_path / "out")
    fewer = corpus.with_mixtures(corpus.mixtures[:3])
    assert mixtape(*fewer.flags(tmp_path / "out")).status == 0
    assert published(tmp_path / "out") == before


@pytest.mark.parametrize("size", ["1", "2", "100"])
def test_items_that_are_not_planned_any_more(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, size: str
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"), "--shard-size", size)
    fewer = corpus.with_mixtures(corpus.mixtures[:3])
    outcome = mixtape(*fewer.flags(tmp_path / "out"), "--shard-size", size, "--prune")
    assert "planned 3 = written 3 + rejected 0" in outcome.out
    mixtape(*fewer.flags(tmp_path / "fresh"), "--shard-size", size)
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "fresh")
    assert folders(tmp_path / "out") == folders(tmp_path / "fresh")


@pytest.mark.parametrize(
    "fewer",
    [
        ["--rates", "16000"],
        ["--modes", "max"],
        ["--types", "mix_clean"],
        ["--formats", "wav"],
        ["--formats", "webdataset"],
        ["--formats", "tfrecord"],
        ["--rates", "8000", "--modes", "min", "--types", "mix_both", "--formats", "tfrecord", "wav"],
    ],
    ids=" ".join,
)
def test_rates_modes_types_and_formats_that_are_not_asked_for_any_more(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, fewer: list[str]
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"), "--shard-size", "2")
    assert mixtape(*corpus.flags(tmp_path / "out"), *fewer, "--shard-size", "3", "--prune").status == 0
    mixtape(*corpus.flags(tmp_path / "fresh"), *fewer, "--shard-size", "3")
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "fresh")
    assert folders(tmp_path / "out") == folders(tmp_path / "fresh")


def test_prune_makes_up_for_runs_that_did_not(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    words = ["--rates", "8000", "--modes", "min", "--formats"]
    for form in trees.ALL_FORMATS:
        mixtape(*corpus.flags(tmp_path / "out"), *words, form)
    assert mixtape(*corpus.flags(tmp_path / "out"), *words, "tfrecord", "--prune").status == 0
    mixtape(*corpus.flags(tmp_path / "fresh"), *words, "tfrecord")
    assert trees.contents(tmp_path / "out") == trees.contents(tmp_path / "fresh")


def test_whole_parts_that_are_not_planned_any_more(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    corpus.utterance(5).unlink()
    words = [*corpus.flags(out), "--max-rejects", "2"]
    assert (
        mixtape(*(str(corpus.plan.parent) if word == str(corpus.plan) else word for word in words)).status
        == 0
    )
    before = trees.identities(out)
    assert mixtape(*words, "--prune").status == 0
    assert json.loads((out / "_mixtape" / "run.json").read_text())["parts"].keys() == {"Libri2Mix-train-100"}
    assert (out / "_mixtape" / "rejects.csv").read_text().count("m0004,") == 1
    mixtape(*corpus.flags(tmp_path / "fresh"), "--max-rejects", "2")
    assert trees.contents(out) == trees.contents(tmp_path / "fresh")
    assert folders(out) == folders(tmp_path / "fresh")
    kept = {name for name in trees.files(out) if name.endswith((".wav", ".tar"))}
    assert not kept & trees.changed(before, out)


@pytest.mark.parametrize(("before", "after"), [("librimix", "wsj0mix"), ("wsj0mix", "mixtures")])
def test_parts_of_another_recipe(mixtape: Mixtape, tmp_path: Path, before: str, after: str) -> None:
    first, second = (trees.make_corpus(tmp_path / recipe, recipe=recipe) for recipe in (before, after))
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert mixtape(*first.flags(out)).status == 0
    assert mixtape(*second.flags(out), "--prune").status == 0
    assert mixtape(*second.flags(fresh)).status == 0
    assert trees.contents(out) == trees.contents(fresh)
    assert folders(out) == folders(fresh)


def test_pruning_what_is_in_order_rewrites_nothing(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"))
    before = trees.identities(tmp_path / "out")
    assert mixtape(*corpus.flags(tmp_path / "out"), "--prune").status == 0
    assert trees.changed(before, tmp_path / "out") == set()


def test_files_that_no_run_made_stay(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    mixtape(*corpus.flags(tmp_path / "out"))
    notes = ["README", "Libri2Mix/notes.txt", "Libri2Mix/webdataset/wav8k/min/other-000000.tar"]
    for name in notes:
        (tmp_path / "out" / name).write_text("mine")
    assert mixtape(*corpus.flags(tmp_path / "out"), "--modes", "max", "--prune").status == 0
    assert [name for name in notes if (tmp_path / "out" / name).exists()] == notes
