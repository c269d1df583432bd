"""Plans as the command line names them: what is found, what is refused, and why."""

import argparse
import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.checks import Checker
from pipelines.plan_inputs import PlanInput, checked, demands_of, given_plan, read_plans
from tests import trees
from transforms.demands import PlanDemands
from transforms.errors import UsageError
from transforms.plan import Mixture, Source, StoredPlan, write_plan
from transforms.recipes import recipe_named
from transforms.storage import OutputTree


@pytest.fixture
def corpora(tmp_path: Path) -> Mapping[str, trees.Corpus]:
    """A corpus of each recipe with three mixtures."""
    return {name: trees.make_corpus(tmp_path / name, mixtures=3, recipe=name) for name in trees.KINDS}


def arguments(recipe: str, *plans: Path, **changes: Any) -> argparse.Namespace:
    """Returns what the command line holds of plans."""
    fields: dict[str, Any] = {
        "plan": [str(plan) for plan in plans],
        "types": list(recipe_named(recipe).types),
    }
    if recipe == "wsj0mix":
        fields["activity_levels"] = [str(plan.with_name("levels.txt")) for plan in plans[:1]]
    if recipe == "mixtures":
        fields["root"] = [f"{name}=/x" for name in recipe_named(recipe).roots]
    parser = argparse.Namespace(prog=f"mixtape render {recipe}")
    return argparse.Namespace(**{**fields, "problems": [], "parser": parser, **changes})


def read(recipe: str, *plans: Path, **changes: Any) -> tuple[list[PlanInput], list[str]]:
    """Reads plans; returns them, and all problems."""
    checker = Checker(arguments(recipe, *plans, **changes))
    return read_plans(checker, recipe, recipe_named(recipe).roots), checker.problems


def stored(
    corpus: trees.Corpus, mixtures: list[Mixture] | None = None, *, name: str = "plan.parquet", **changes: Any
) -> Path:
    """Stores mixtures as a Parquet plan beside the corpus's own."""
    chosen = list(corpus.mixtures) if mixtures is None else mixtures
    facts = {"part": corpus.part, "shard_size": 2, **changes}
    write_plan(OutputTree(str(corpus.folder / "stored")), name, mixtures=chosen, **facts)
    return corpus.folder / "stored" / name


@pytest.mark.parametrize("recipe", trees.KINDS)
def test_plans_are_read_in_the_form_of_their_recipe(corpora: Mapping[str, trees.Corpus], recipe: str) -> None:
    corpus = corpora[recipe]
    (plan,), problems = read(recipe, corpus.plan)
    assert problems == []
    assert (plan.part, plan.count, plan.rejects) == (corpus.part, 3, ())
    assert [mixture.id for mixture in plan.read()] == [mixture.id for mixture in corpus.mixtures]
    assert list(plan.read()) == list(plan.read()), "a plan can be read again"


@pytest.mark.parametrize("recipe", trees.KINDS)
def test_every_recipe_has_plans_as_parquet(corpora: Mapping[str, trees.Corpus], recipe: str) -> None:
    corpus = corpora[recipe]
    (plan,), problems = read(recipe, stored(corpus))
    assert problems == []
    assert (plan.part, plan.count) == (corpus.part, 3)
    assert list(plan.read()) == list(corpus.mixtures)


@pytest.mark.parametrize("recipe", trees.KINDS)
def test_folders_are_searched(corpora: Mapping[str, trees.Corpus], recipe: str) -> None:
    corpus = corpora[recipe]
    deeper = corpus.plan.parent / "deeper"
    deeper.mkdir()
    shutil.move(corpus.plan, deeper)
    changes = {"activity_levels": [str(corpus.plan.with_name("levels.txt"))]} if recipe == "wsj0mix" else {}
    (plan,), problems = read(recipe, corpus.plan.parent, **changes)
    assert (problems, plan.part) == ([], corpus.part)


def test_plans_inside_outputs_are_left_alone(corpora: Mapping[str, trees.Corpus]) -> None:
    corpus = corpora["mixtures"]
    own = corpus.folder / "plan" / "out" / "_mixtape" / "plan"
    own.mkdir(parents=True)
    shutil.copy(corpus.plan, own)
    inputs, problems = read("mixtures", corpus.folder / "plan")
    assert (len(inputs), problems) == (1, [])
    _, problems = read("mixtures", corpus.folder / "plan" / "out")
    assert problems == [f"--plan {corpus.folder}/plan/out: holds no plan (looked for *.parquet at any depth)"]


def test_plans_at_hand() -> None:
    mixtures = [Mixture("a", ()), Mixture("b", ())]
    plan = given_plan(trees.PART, mixtures)
    assert (plan.part, plan.count, list(plan.read()), plan.settings) == (trees.PART, 2, mixtures, {})


def test_settings_come_with_the_plan(corpora: Mapping[str, trees.Corpus]) -> None:
    (plan,), _ = read("mixtures", corpora["mixtures"].plan)
    assert plan.settings == {"rate_hz": 16000, "clip": "scale"}


# What is refused.


@pytest.mark.parametrize("recipe", trees.KINDS)
def test_a_plan_is_needed(recipe: str) -> None:
    assert read(recipe) == ([], [f"--plan is needed; see mixtape render {recipe} --help"])


@pytest.mark.parametrize("recipe", trees.KINDS)
def test_a_plan_that_is_not_there(tmp_path: Path, recipe: str) -> None:
    plan = tmp_path / "nowhere.parquet"
    inputs, problems = read(recipe, plan)
    assert (inputs, problems) == ([], [f"{plan}: no such plan; check the path"])


def test_activity_levels_are_needed_for_lists(corpora: Mapping[str, trees.Corpus]) -> None:
    inputs, problems = read("wsj0mix", corpora["wsj0mix"].plan, activity_levels=None)
    assert inputs == []
    assert problems == ["--activity-levels is needed; see mixtape render wsj0mix --help"]


def test_two_plans_of_one_part(corpora: Mapping[str, trees.Corpus]) -> None:
    corpus = corpora["librimix"]
    _, problems = read("librimix", corpus.plan, stored(corpus))
    assert problems == ["--plan: two of the plans are of Libri2Mix-train-100; name one of them"]


def test_a_plan_of_another_recipe(corpora: Mapping[str, trees.Corpus]) -> None:
    plan = stored(corpora["wsj0mix"])
    for recipe in ("librimix", "mixtures"):
        assert read(recipe, plan) == ([], [f"{plan}: is a plan of recipe wsj0mix; render it by that recipe"])


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_hz": 0, "clip": "scale"},
        {"rate_hz": 999, "clip": "scale"},
        {"rate_hz": 768001, "clip": "scale"},
        {"rate_hz": "16000", "clip": "scale"},
        {"rate_hz": 16000.0, "clip": "scale"},
        {"rate_hz": 16000, "clip": "hard"},
        {"rate_hz": 16000, "clip": "joint"},
        {"rate_hz": 16000},
        {"clip": "scale"},
        {"rate_hz": 16000, "clip": "scale", "more": 1},
    ],
)
def test_settings_that_cannot_be(corpora: Mapping[str, trees.Corpus], settings: dict[str, Any]) -> None:
    plan = stored(corpora["mixtures"], settings=settings)
    inputs, (problem,) = read("mixtures", plan)
    assert inputs == []
    assert problem.startswith(f"{plan}: settings {{")
    assert problem.endswith("}: wanted rate_hz of 1000 to 768000 and clip of scale or reject; plan again")


@pytest.mark.parametrize(("recipe", "title"), [("librimix", "LibriMix"), ("wsj0mix", "wsj0-mix")])
def test_settings_are_for_mixtures_only(corpora: Mapping[str, trees.Corpus], recipe: str, title: str) -> None:
    plan = stored(corpora[recipe], settings={"rate_hz": 16000, "clip": "scale"})
    _, (problem,) = read(recipe, plan)
    assert problem.endswith(f"'rate_hz': 16000}} are none that {title} has; plan again")


@pytest.mark.parametrize("key", ["mixtape.recipe", "mixtape.settings", "mixtape.mixtures"])
@pytest.mark.parametrize("value", [None, "{"])
def test_plans_that_do_not_say_what_they_are(
    corpora: Mapping[str, trees.Corpus], key: str, value: str | None
) -> None:
    plan = stored(corpora["librimix"])
    table = pq.read_table(plan)
    facts = {
        **{name.decode(): text.decode() for name, text in pq.ParquetFile(plan).metadata.metadata.items()},
        key: value,
    }
    facts = {name: text for name, text in facts.items() if text is not None and name != "ARROW:schema"}
    pq.write_table(table.replace_schema_metadata(facts), plan)
    inputs, (problem,) = read("librimix", plan)
    assert inputs == []
    assert problem.startswith(f"{plan}: ")
    assert "plan again" in problem or "render it by that recipe" in problem


@pytest.mark.parametrize("data", [b"", b"PAR1", b"mixture_ID,mixture_path\n" * 9])
def test_files_that_are_no_plans(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "plan.parquet").write_bytes(data)
    inputs, (problem,) = read("mixtures", tmp_path / "plan.parquet")
    assert inputs == []
    assert problem.startswith(f"{tmp_path}/plan.parquet: is not a Parquet plan (")


def test_a_table_that_is_no_plan(tmp_path: Path) -> None:
    pq.write_table(pa.table({"mixture_id": ["a"]}), tmp_path / "plan.parquet")
    _, (problem,) = read("mixtures", tmp_path / "plan.parquet")
    assert problem.startswith(f"{tmp_path}/plan.parquet: is not a plan of format ")


@pytest.mark.parametrize("column", ["mixture_id", "level", "start_samples", "speed"])
@pytest.mark.parametrize("text", [None, "x"])
def test_cells_that_are_empty_or_of_another_type(
    corpora: Mapping[str, trees.Corpus], column: str, text: str | None
) -> None:
    plan = corpora["mixtures"].plan
    cells = pq.read_table(plan).to_pydict()
    cells[column] = [text] * len(cells[column])
    facts = {
        name: value for name, value in pq.ParquetFile(plan).metadata.metadata.items() if b":" not in name
    }
    pq.write_table(pa.table(cells).replace_schema_metadata(facts), plan)
    (stored_plan,), _ = read("mixtures", plan)
    if (column, text) == ("mixture_id", "x"):
        pattern = "are not all different"
    else:
        pattern = r"mixtures_train\.parquet: cells are empty or of another type \(.*\); plan again"
    with pytest.raises(UsageError, match=pattern):
        list(stored_plan.read())


def test_all_problems_are_named_together(corpora: Mapping[str, trees.Corpus], tmp_path: Path) -> None:
    missing, other = tmp_path / "no.parquet", stored(corpora["wsj0mix"])
    (good,), problems = read("mixtures", missing, other, corpora["mixtures"].plan)
    assert good.part == corpora["mixtures"].part
    assert [problem.partition(": ")[0] for problem in problems] == [str(missing), str(other)]


# Rows, which are looked at while they are read.


def demands(recipe: str, **changes: Any) -> PlanDemands:
    """Returns what is demanded where everything is given."""
    return demands_of(
        arguments(recipe, Path("x"), **changes), recipe_named(recipe), recipe_named(recipe).roots
    )


def changed(corpus: trees.Corpus, place: int, **fields: Any) -> Mixture:
    """Returns the corpus's second mixture with one source changed."""
    sources = list(corpus.mixtures[1].sources)
    sources[place] = dataclasses.replace(sources[place], **fields)
    return dataclasses.replace(corpus.mixtures[1], sources=tuple(sources))


@pytest.mark.parametrize(
    ("recipe", "fields", "problem"),
    [
        (
            "librimix",
            {"level_kind": "target", "measure": "rms"},
            "level kind 'target' of s1: LibriMix has gain",
        ),
        ("librimix", {"level_kind": "active_level"}, "level kind 'active_level' of s1: LibriMix"),
        ("librimix", {"start_samples": 5}, "start, speed or room of s1: LibriMix has none of these"),
        ("librimix", {"speed": 1.1}, "start, speed or room of s1: LibriMix has none of these"),
        ("librimix", {"root": "rir"}, "root 'rir' of s1 is not given"),
        ("wsj0mix", {"level_kind": "gain"}, "level kind 'gain' of s1: wsj0-mix has active_level only"),
        ("wsj0mix", {"rir": "a.wav"}, "start, speed or room of s1: wsj0-mix has none of these"),
        ("wsj0mix", {"active_power": 0.0}, "active power 0.0 of s1 is not above 0"),
        ("mixtures", {"level_kind": "active_level"}, "level kind 'active_level' of s1 is wsj0-mix's"),
        ("mixtures", {"role": "mix_clean"}, "role 'mix_clean' is the name of another stream"),
    ],
)
def test_rows_that_are_not_for_their_recipe(
    corpora: Mapping[str, trees.Corpus], recipe: str, fields: dict[str, Any], problem: str
) -> None:
    corpus = corpora[recipe]
    bad = changed(corpus, 0, **fields)
    plan = stored(corpus, [corpus.mixtures[0], bad, corpus.mixtures[2]])
    with pytest.raises(UsageError) as caught:
        list(checked(StoredPlan.open(str(plan)), demands(recipe)))
    assert any(line.startswith(f"{plan}, {bad.id}: {problem}") for line in caught.value.problems)


def test_ids_that_stand_in_different_shards_twice(corpora: Mapping[str, trees.Corpus]) -> None:
    corpus = corpora["librimix"]
    plan = stored(corpus, [*corpus.mixtures, corpus.mixtures[0]])
    with pytest.raises(UsageError, match="1 ids stand in it twice; every id must be unique"):
        list(checked(StoredPlan.open(str(plan)), demands("librimix")))


def test_rows_of_good_shards_come_before_a_bad_one_is_found(corpora: Mapping[str, trees.Corpus]) -> None:
    corpus = corpora["librimix"]
    bad = dataclasses.replace(corpus.mixtures[2], id="..")
    rows = checked(StoredPlan.open(str(stored(corpus, [*corpus.mixtures[:2], bad]))), demands("librimix"))
    assert [next(rows).id, next(rows).id] == ["m0000", "m0001"]
    with pytest.raises(UsageError, match=r"'\.\.' may hold letters"):
        next(rows)


@pytest.mark.parametrize(
    ("types", "given", "missing"),
    [
        (["mix_both"], ["speech=/s", "noise=/n", "rir=/r"], set()),
        (["mix_both"], ["speech=/s"], {"noise", "rir"}),
        (["mix_clean"], ["speech=/s", "rir=/r"], set()),
        (["mix_clean"], ["noise=/n"], {"speech", "rir"}),
        (["mix_clean", "nonsense"], ["speech=/s", "rir=/r"], set()),
    ],
)
def test_roots_that_are_missing(
    corpora: Mapping[str, trees.Corpus], types: list[str], given: list[str], missing: set[str]
) -> None:
    wanted = demands("mixtures", types=types, root=given)
    assert wanted.missing_roots(corpora["mixtures"].mixtures[0]) == missing


def test_recipes_with_flags_for_their_roots_miss_none() -> None:
    mixture = Mixture(
        "a", (Source("s1", "librispeech", "a.flac"), Source("noise", "wham", "b.wav", fit="loop"))
    )
    assert demands("librimix").missing_roots(mixture) == set()
    assert demands("librimix").problems(mixture) == []


def test_stored_settings_are_json(corpora: Mapping[str, trees.Corpus]) -> None:
    facts = pq.ParquetFile(corpora["mixtures"].plan).metadata.metadata
    assert json.loads(facts[b"mixtape.settings"]) == {"rate_hz": 16000, "clip": "scale"}
