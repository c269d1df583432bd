"""What a run says of an output as a whole: its record, its rejects, its summary."""

import csv
import json
import os
import platform
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.output import check_fits, check_writable, size
from pipelines.plan_inputs import given_plan
from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms.errors import UsageError
from transforms.plan import Part
from transforms.storage import OutputTree
from transforms.version import VERSION

SMALL = ("--rates", "8000", "--modes", "min")


def record(out: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((out / "_mixtape" / "run.json").read_text())
    return facts


def test_the_record_of_a_run(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    corpus.utterance(5).unlink()
    words = [*corpus.flags(tmp_path / "out"), *SMALL]
    before = datetime.now().astimezone().replace(microsecond=0)
    assert mixtape(*words).status == 1
    facts = record(tmp_path / "out")
    assert facts["mixtape"] == VERSION
    assert facts["recipe"] == "librimix"
    assert facts["command"] == ["mixtape", *words, "--workers", "1"]
    assert facts["roots"] == corpus.roots
    assert facts["parts"] == {"Libri2Mix-train-100": {"planned": 5, "written": 4, "rejected": 1}}
    assert facts["options"] == {
        "rates_hz": [8000],
        "modes": ["min"],
        "types": ["mix_clean", "mix_both", "mix_single"],
        "formats": ["wav", "webdataset", "tfrecord"],
        "shard_size": 100,
        "table_paths": "relative",
    }
    started, finished = (datetime.fromisoformat(facts[name]) for name in ("started", "finished"))
    assert before <= started <= finished <= datetime.now().astimezone()
    assert facts["host"] == platform.node()
    assert facts["versions"]["python"] == platform.python_version()
    assert {"apache-beam", "numpy", "soundfile"} < facts["versions"].keys()


def test_rejects_of_all_parts_stand_in_one_table(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    out = tmp_path / "out"
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    corpus.utterance(0).write_bytes(b"")
    words = [*corpus.flags(out), *SMALL]
    for plan in (corpus.plan, dev):
        mixtape(*(str(plan) if word == str(corpus.plan) else word for word in words))
    with (out / "_mixtape" / "rejects.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["item", "source", "stage", "reason", "remedy"]
    source = "librispeech:train-clean-100/100/1/100-1-0000.flac"
    assert table[1:] == [["m0000", source, "read", "the file is empty (0 bytes)", "fetch it again"]] * 2
    assert record(out)["parts"].keys() == {"Libri2Mix-dev", "Libri2Mix-train-100"}


def test_without_rejects_their_table_has_its_header_alone(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"), *SMALL)
    text = (tmp_path / "out" / "_mixtape" / "rejects.csv").read_text()
    assert text == "item,source,stage,reason,remedy\n"


def test_roots_of_earlier_runs_are_remembered(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out), *SMALL)
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    outcome = mixtape(
        *("render", "librimix", "--plan", dev, "--out", out, "--types", "mix_clean", *SMALL),
        *("--librispeech", corpus.roots["librispeech"]),
    )
    assert outcome.status == 0
    assert record(out)["roots"] == corpus.roots


def test_a_corpus_that_has_moved_is_recorded_and_nothing_else_written(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out), *SMALL)
    before = trees.identities(out)
    shutil.move(corpus.folder / "wham", tmp_path / "wham")
    outcome = mixtape(*corpus.flags(out), *SMALL, "--wham", tmp_path / "wham")
    assert "nothing to do" in outcome.out
    assert record(out)["roots"]["wham"] == str(tmp_path / "wham")
    changed = trees.changed(before, out)
    assert changed - {"_mixtape/report.html"} == {"_mixtape/run.json", "_mixtape/files.json"}


@pytest.fixture
def two_parts(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None) -> list[str]:
    """An output of two parts of the same mixtures; the words that render the second one again."""
    dev = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, dev)
    words = [*corpus.flags(tmp_path / "out"), *SMALL]
    again = [str(dev) if word == str(corpus.plan) else word for word in words]
    assert mixtape(*words, "--types", "mix_clean").status == 0
    assert mixtape(*again).status == 0
    return again


@pytest.mark.parametrize("summary", [b'{"part": {}}', None], ids=["earlier form", "another count"])
def test_parts_of_earlier_runs_stay_whatever_became_of_their_summaries(
    mixtape: Mixtape, tmp_path: Path, two_parts: list[str], summary: bytes | None
) -> None:
    out = tmp_path / "out"
    held, facts = trees.contents(out), record(out)["parts"]
    place = out / "_mixtape/parts/Libri2Mix-train-100.json"
    options = json.loads(place.read_bytes())["options"]
    place.write_bytes(
        place.read_bytes().replace(b'"written": 5', b'"written": 4')
        if summary is None
        else json.dumps({**json.loads(summary), "options": options}).encode()
    )
    assert mixtape(*two_parts).status == 0
    assert trees.contents(out) == held
    assert record(out)["parts"] == facts
    assert mixtape("verify", out).status == 0


def test_a_part_that_cannot_be_merged_again_is_named(
    mixtape: Mixtape, tmp_path: Path, two_parts: list[str]
) -> None:
    out = tmp_path / "out"
    (out / "_mixtape/parts/Libri2Mix-train-100.json").write_bytes(b"{")
    outcome = mixtape(*two_parts)
    assert "Libri2Mix-train-100: its summary is damaged or of an earlier version" in outcome.out
    assert list(record(out)["parts"]) == ["Libri2Mix-dev"]
    before = trees.identities(out)
    assert "its summary" not in mixtape(*two_parts).out
    assert trees.changed(before, out) == set()
    (problem,) = mixtape("verify", out).problems
    assert problem.endswith("broke off before Libri2Mix-train-100 was complete; run its command again")


def test_a_report_that_was_removed_is_made_again(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    report = tmp_path / "out" / "_mixtape" / "report.html"
    mixtape(*corpus.flags(tmp_path / "out"), *SMALL)
    report.unlink()
    mixtape(*corpus.flags(tmp_path / "out"), *SMALL)
    assert report.read_text() == "1 parts"


def test_a_folder_that_can_be_written_to_is_left_as_it_was(tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path / "new"))
    check_writable(tree)
    tree.remove_temporary()
    assert os.listdir(tmp_path / "new") == []


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"--out {tmp_path}/file/x: cannot be written to: a file stands"):
        check_writable(OutputTree(str(tmp_path / "file" / "x")))


def test_plans_that_fit_an_output(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    tree = OutputTree(str(tmp_path / "out"))
    check_fits(tree, [given_plan(trees.PART, corpus.mixtures)], prune=False)
    assert not (tmp_path / "out").exists()
    mixtape(*corpus.flags(tmp_path / "out"), *SMALL)
    for mixtures in (corpus.mixtures, corpus.mixtures[4:], [*corpus.mixtures, trees.mixture(9)]):
        check_fits(tree, [given_plan(trees.PART, mixtures)], prune=False)
    check_fits(tree, [given_plan(Part("librimix", "Libri2Mix", "dev"), [trees.mixture(9)])], prune=False)


def test_plans_that_do_not_fit_an_output(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, short_report: None
) -> None:
    out = tmp_path / "out"
    mixtape(*corpus.flags(out), *SMALL)
    other_items = given_plan(trees.PART, [trees.mixture(9)])
    other_recipe = given_plan(Part("other", "Libri2Mix", "train-100"), corpus.mixtures)
    with pytest.raises(UsageError) as raised:
        check_fits(OutputTree(str(out)), [other_items, other_recipe], prune=False)
    assert raised.value.problems == (
        f"{out}: holds Libri2Mix-train-100 made from another plan (5 mixtures, none of them in the plan "
        "given); use another --out, or --prune to replace it",
        f"{out}: holds Libri2Mix-train-100 made by recipe librimix; use another --out",
    )
    check_fits(OutputTree(str(out)), [other_items], prune=True)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_530_000, "1.5 MB"),
        (999_949, "999.9 kB"),
        (43e9, "43.0 GB"),
        (1.6e12, "1.6 TB"),
        (2.5e15, "2500.0 TB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text
