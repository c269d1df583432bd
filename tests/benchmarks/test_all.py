"""Every comparison on a tiny corpus: both sides run, agree, and get their rows in the table."""

from pathlib import Path

import pytest

from benchmarks.__main__ import COMPARISONS, CURVES, SCALE, run_all
from benchmarks.corpora import Corpora, Sizes
from benchmarks.scale import STEPS

TINY = Sizes(
    rendered=8,
    planned=8,
    few=4,
    paired=60,
    rebuilt=8,
    stored=40,
    stored_few=20,
    headers=40,
    readers=2,
    noises=1,
    seconds=(3.0, 3.1),
    short_seconds=(3.0, 3.1),
    repeats=1,
    bookkept=(2, 4),
    per_shard=2,
)
QUICK = ("help", "pairing")


def results(names: list[str], tmp_path: Path) -> str:
    (tmp_path / "work").mkdir()
    status = run_all(names, tmp_path / "work", TINY, tmp_path / "results")
    text = (tmp_path / "results/results.md").read_text()
    assert status == 0, text
    assert not list((tmp_path / "work").iterdir())
    return text


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_comparison_gets_its_row(name: str, tmp_path: Path) -> None:
    text = results([name], tmp_path)
    assert text.count("\n| ") == 2
    assert "x to " in text or " s to " in text


@pytest.mark.benchmarks
@pytest.mark.parametrize("name", [name for name in COMPARISONS if name not in QUICK])
def test_a_comparison_of_commands_gets_its_rows(name: str, tmp_path: Path) -> None:
    assert results([name], tmp_path).count("\n| ") >= 2


@pytest.mark.benchmarks
def test_curves_are_drawn(tmp_path: Path) -> None:
    results([CURVES], tmp_path)
    assert (tmp_path / "results/results.png").stat().st_size > 10_000


@pytest.mark.benchmarks
def test_every_step_of_bookkeeping_is_measured_at_every_size(tmp_path: Path) -> None:
    text = results([SCALE], tmp_path)
    for shards in TINY.bookkept:
        for step in STEPS:
            assert f"| {shards} | {step} |" in text


def test_more_mixtures_than_the_corpus_can_make_are_refused(tmp_path: Path) -> None:
    corpora = Corpora(tmp_path, TINY, TINY.seconds)
    possible = 2 * 10 * 10
    assert len({one.id for one in corpora.mixtures(possible)}) == possible
    with pytest.raises(ValueError, match="201 mixtures are wanted, and 20 utterances make 200"):
        corpora.mixtures(possible + 1)
