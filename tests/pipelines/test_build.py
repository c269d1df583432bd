"""``mixtape build librimix``: from the corpora to the finished tree in one command."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import trees
from tests.conftest import TinyCorpora
from tests.pipelines.conftest import Mixtape
from transforms import report

pytestmark = pytest.mark.usefixtures("short_report")


def test_one_command_does_what_three_do(
    mixtape: Mixtape, build_flags: Sequence[str], tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    outcome = mixtape(*build_flags, "--out", tmp_path / "one", "--table-paths", "relative")
    assert (outcome.status, outcome.err) == (0, "")
    assert "planned 12 = written 12 + rejected 0" in outcome.out
    listings = tmp_path / "three" / "metadata"
    speech, wham = tiny_corpora.librispeech, tiny_corpora.wham
    mixtape("metadata", "librispeech", "--corpus", speech, "--out", listings / "LibriSpeech")
    mixtape("metadata", "wham", "--corpus", wham, "--out", listings / "Wham_noise")
    mixtape(
        *("plan", "librimix", "--librispeech-metadata", listings / "LibriSpeech", "--librispeech", speech),
        *("--wham-metadata", listings / "Wham_noise", "--wham", wham, "--out", listings),
        *("--round-to", "1", "--dev-test-size", "4", "--shard-size", "2"),
    )
    mixtape(
        *("render", "librimix", "--plan", listings, "--librispeech", speech, "--wham", wham),
        *("--out", tmp_path / "three", "--rates", "8000", "--modes", "min", "--shard-size", "2"),
        *("--table-paths", "relative"),
    )
    one, three = trees.contents(tmp_path / "one"), trees.contents(tmp_path / "three")
    own = "metadata/_mixtape/planned/"
    assert {name: data for name, data in one.items() if not name.startswith(own)} == {
        name: data for name, data in three.items() if not name.startswith(own)
    }


def test_a_build_with_nothing_to_do_renders_nothing(
    mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path
) -> None:
    mixtape(*build_flags, "--out", tmp_path)
    before = trees.identities(tmp_path)
    outcome = mixtape(*build_flags, "--out", tmp_path)
    assert outcome.status == 0
    assert "nothing to do: all plans stand" in outcome.out
    assert "nothing to do: all of it stands and is unchanged" in outcome.out
    written_again = {name for name in trees.changed(before, tmp_path) if not name.startswith("metadata/")}
    assert written_again == set()


def test_the_record_says_what_was_typed(mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path) -> None:
    mixtape(*build_flags, "--out", tmp_path)
    facts = json.loads((tmp_path / "_mixtape" / "run.json").read_text())
    assert facts["command"] == ["mixtape", *build_flags, "--out", str(tmp_path), "--workers", "1"]
    assert facts["parts"].keys() == {f"Libri2Mix-{subset}" for subset in ("dev", "test", "train-100")}


def test_listings_that_are_given_are_used_and_none_made(
    mixtape: Mixtape, build_flags: Sequence[str], tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    mixtape("metadata", "librispeech", "--corpus", tiny_corpora.librispeech, "--out", tmp_path / "speech")
    mixtape("metadata", "wham", "--corpus", tiny_corpora.wham, "--out", tmp_path / "noise")
    listing = tmp_path / "speech" / "test-clean.csv"
    listing.write_text("".join(listing.read_text().splitlines(keepends=True)[:5]))
    outcome = mixtape(
        *(*build_flags, "--out", tmp_path / "out", "--subsets", "test-clean", "--dev-test-size", "2"),
        *("--librispeech-metadata", tmp_path / "speech", "--wham-metadata", tmp_path / "noise"),
    )
    assert outcome.status == 0
    assert "planned 2 = written 2 + rejected 0" in outcome.out
    assert sorted(path.name for path in (tmp_path / "out" / "metadata").iterdir()) == [
        "Libri2Mix",
        "_mixtape",
        "parquet",
    ]


def test_a_file_that_cannot_be_listed_sets_the_exit_status_and_the_rest_is_built(
    mixtape: Mixtape, build_flags: Sequence[str], tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    shutil.copytree(tiny_corpora.wham, tmp_path / "wham")
    (tmp_path / "wham" / "tr" / "broken.wav").write_bytes(b"RIFF")
    outcome = mixtape(*build_flags, "--out", tmp_path / "out", "--wham", tmp_path / "wham")
    assert outcome.status == 1
    assert "planned 12 = written 12 + rejected 0" in outcome.out
    assert (tmp_path / "out" / "metadata" / "Wham_noise" / "_mixtape" / "rejects.csv").exists()
    more = mixtape(
        *(*build_flags, "--out", tmp_path / "out", "--wham", tmp_path / "wham", "--max-rejects", "1")
    )
    assert more.status == 0


def test_a_dry_run_estimates_and_writes_nothing(
    mixtape: Mixtape, build_flags: Sequence[str], tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    before = trees.identities(tiny_corpora.librispeech.parent)
    outcome = mixtape(*build_flags, "--out", tmp_path / "out", "--dry-run")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[:3] == [f"Libri2Mix-{name}: 4 mixtures in 2 shards" for name in ("test", "dev", "train-100")]
    assert lines[-2:] == ["estimated from 12 mixtures", "dry run: nothing was written"]
    assert not (tmp_path / "out").exists()
    assert trees.changed(before, tiny_corpora.librispeech.parent) == set()


def test_a_dry_run_says_why_there_is_nothing_to_build(
    mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path
) -> None:
    choices = ("--subsets", "train-clean-100", "--round-to", "100")
    outcome = mixtape(*build_flags, *choices, "--out", tmp_path / "out", "--dry-run")
    assert outcome.status == 0
    assert outcome.out.splitlines() == [
        "fewer than 100 mixtures leave an empty plan; --round-to 1 keeps them",
        "Libri2Mix-train-100: 0 mixtures in 0 shards",
        "dry run: nothing was written",
    ]


def test_quiet(mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path) -> None:
    outcome = mixtape(*build_flags, "--out", tmp_path, "--quiet")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_all_problems_are_named_together_before_any_work(
    mixtape: Mixtape, tiny_corpora: TinyCorpora, tmp_path: Path
) -> None:
    outcome = mixtape(
        *("build", "librimix", "--librispeech", tiny_corpora.wham, "--wham", "/nowhere"),
        *("--speakers", "two", "--round-to", "-1", "--shard-size", "0", "--formats", "zip"),
        *("--wham-metadata", tmp_path / "none", "--seed=x", "--round-too", "1"),
    )
    assert outcome.status == 2
    first, *rest = outcome.problems
    assert first == "--round-too is not a flag of this command; did you mean --round-to?"
    assert [problem.partition(":")[0] for problem in sorted(rest)] == sorted(
        [
            str(tiny_corpora.wham),
            "--wham /nowhere",
            f"--wham-metadata {tmp_path / 'none'}",
            "--speakers two",
            "--seed x",
            "--round-to -1",
            "--shard-size 0",
            "--formats zip",
            "--out is needed; see mixtape build librimix --help",
        ]
    )


def test_more_mixtures_than_there_can_be_are_refused_with_the_number_that_can(
    mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path
) -> None:
    outcome = mixtape(*build_flags, "--out", tmp_path / "out", "--dev-test-size", "3000")
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert "3000 mixtures are wanted, at most 6 are possible" in problem
    assert not (tmp_path / "out" / "Libri2Mix").exists()


def test_the_report_is_asked_for_once_per_output(
    mixtape: Mixtape, build_flags: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def make_report(job: object, summaries: Sequence[object]) -> str:
        asked.append(len(summaries))
        return ""

    monkeypatch.setattr(report, "make_report", make_report)
    mixtape(*build_flags, "--out", tmp_path)
    assert asked == [3]
