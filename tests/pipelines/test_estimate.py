"""What a dry run says, and how near the truth it is."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.estimate import probe
from tests import trees
from tests.pipelines.conftest import Mixtape

pytestmark = pytest.mark.usefixtures("short_report")
UNITS = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
ENDINGS: dict[str, Callable[[str], bool]] = {
    "wav": lambda name: name.endswith(".wav"),
    "webdataset": lambda name: name.endswith((".tar", ".idx")),
    "tfrecord": lambda name: ".tfrecord-" in name,
}


def estimated_bytes(text: str) -> dict[str, float]:
    found = re.findall(r"^  (\w+): about ([\d.]+) (\w+)$", text, re.MULTILINE)
    return {form: float(number) * UNITS[unit] for form, number, unit in found}


@pytest.fixture
def long_corpus(tmp_path: Path) -> trees.Corpus:
    """Mixtures of about 3 s, as real ones are, whose lengths differ by some samples."""
    return trees.make_corpus(tmp_path / "long", mixtures=20, samples=48000)


def test_bytes_are_within_a_tenth(mixtape: Mixtape, long_corpus: trees.Corpus, tmp_path: Path) -> None:
    words = long_corpus.flags(tmp_path / "out")
    said = mixtape(*words, "--dry-run").out
    assert mixtape(*words).status == 0
    estimated = estimated_bytes(said)
    for form, belongs in ENDINGS.items():
        paths = [name for name in trees.files(tmp_path / "out") if belongs(name)]
        made = sum((tmp_path / "out" / name).stat().st_size for name in paths)
        assert made == pytest.approx(estimated[form], rel=0.1), form


def test_everything_a_person_wants_to_know_beforehand(
    mixtape: Mixtape, long_corpus: trees.Corpus, tmp_path: Path
) -> None:
    before = trees.identities(tmp_path)
    outcome = mixtape(*long_corpus.flags(tmp_path / "out"), "--shard-size", "6", "--dry-run", workers=2)
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[:2] == ["Libri2Mix-train-100: 20 mixtures in 4 shards", "about 1 min 0 s of mixtures"]
    assert [line.partition(":")[0] for line in lines[2:5]] == ["  wav", "  webdataset", "  tfrecord"]
    assert re.fullmatch(r"about \d+ s to render with 2 workers, without writing", lines[5])
    assert lines[6:] == ["estimated from 12 mixtures", "dry run: nothing was written"]
    assert trees.changed(before, tmp_path) == set()


def test_a_dry_run_in_an_output_that_is_there_changes_nothing(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    mixtape(*corpus.flags(tmp_path / "out"))
    before = trees.identities(tmp_path)
    assert mixtape(*corpus.flags(tmp_path / "out"), "--force", "--prune", "--dry-run").status == 0
    assert trees.changed(before, tmp_path) == set()


def test_mixtures_that_cannot_be_rendered_are_told(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    corpus.utterance(0).unlink()
    outcome = mixtape(*corpus.flags(tmp_path / "out"), "--dry-run")
    assert "estimated from 4 mixtures; 1 of 5 tried cannot be rendered" in outcome.out
    for index in range(1, 6):
        corpus.utterance(index).unlink()
    outcome = mixtape(*corpus.flags(tmp_path / "out"), "--dry-run")
    assert outcome.status == 0
    assert outcome.out.splitlines()[1:] == [
        "none of 5 mixtures tried can be rendered: no estimate",
        "dry run: nothing was written",
    ]


def test_bad_options_are_found_in_a_dry_run_too(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    outcome = mixtape(*corpus.flags(tmp_path / "out"), "--dry-run", "--modes", "mean")
    assert (outcome.status, outcome.out) == (2, "")


def test_a_probe_counts_what_it_renders(corpus: trees.Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    found = probe(job, corpus.mixtures)
    # min and max at one rate, with s1, s2, noise and two mixtures
    assert (found.rendered, found.tried, found.streams) == (5, 5, 5 * 2 * 5)
    longest = [700 + 10 * (index + 1) for index in range(5)]
    lengths = [-(-length // 2) for length in longest] + [-(-(length - 10) // 2) for length in longest]
    assert found.stream_bytes == 2 * 5 * sum(lengths)
    assert found.playing_s == pytest.approx(sum(-(-length // 2) for length in longest) / 8000)
    assert found.seconds > 0
    assert not (tmp_path / "out").exists()
