"""What an output records of how it was made."""

import dataclasses
import json
from pathlib import Path

import pytest

from tests import trees
from transforms.errors import UsageError
from transforms.record import part_job, read_run, recorded_job
from transforms.storage import OutputTree


def write_record(out: Path, text: str) -> None:
    (out / "_mixtape").mkdir(exist_ok=True)
    (out / "_mixtape" / "run.json").write_text(text)


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1]", "null"])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_record(tmp_path, text)
    assert read_run(OutputTree(str(tmp_path))) == {}


@pytest.mark.parametrize("text", [None, "{}", '{"recipe": "librimix", "roots": {}, "options": {"x": 1}}'])
def test_an_output_without_a_good_record_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_record(tmp_path, text)
    with pytest.raises(
        UsageError, match=r"holds no finished corpus \(looked for _mixtape/run\.json\); check"
    ):
        recorded_job(str(tmp_path), {})


def test_a_job_is_as_recorded_but_for_roots_that_moved(tmp_path: Path) -> None:
    facts = {
        "recipe": "wsj0mix",
        "roots": {"wsj0": "/old", "other": "/same"},
        "options": {"rates_hz": [16000], "modes": ["max"]},
    }
    write_record(tmp_path, json.dumps(facts))
    job = recorded_job(str(tmp_path), {"wsj0": "/new"})
    assert (job.out, job.recipe) == (str(tmp_path), "wsj0mix")
    assert job.roots == {"wsj0": "/new", "other": "/same"}
    assert (job.options.rates_hz, job.options.modes) == ((16000,), ("max",))


@pytest.mark.parametrize("recipe", list(trees.KINDS))
def test_a_part_made_otherwise_than_the_last_run_went(tmp_path: Path, recipe: str) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", mixtures=2, recipe=recipe)
    options = dataclasses.replace(trees.SMALL, types=corpus.kind.types)
    made = trees.render(corpus.job(tmp_path / "out", options), corpus.mixtures)
    other = "librimix" if recipe == "wsj0mix" else "wsj0mix"
    last = trees.Corpus(corpus.folder, (), other).job(tmp_path / "out")
    job = part_job(last, made.summary, made.plan)
    assert (job.recipe, job.options, job.settings) == (recipe, options, made.plan.settings)
    assert (job.out, job.roots) == (last.out, last.roots)
