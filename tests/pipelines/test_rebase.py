"""A corpus that moved: its tables, and what the next rendering makes of it."""

import json
import shutil
from pathlib import Path

import pytest

from tests import trees
from tests.pipelines.conftest import Mixtape

pytestmark = pytest.mark.usefixtures("short_report")
TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"
SMALL = ("--rates", "8000", "--modes", "min", "--formats", "wav", "--shard-size", "2")


def flags(corpus: trees.Corpus, out: Path) -> list[str]:
    """The command line without any word on paths."""
    words = corpus.flags(out)
    place = words.index("--table-paths")
    return [*words[:place], *words[place + 2 :], *SMALL]


def first_path(out: Path) -> str:
    return (out / TABLE).read_text().splitlines()[1].split(",")[1]


@pytest.fixture
def moved(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> Path:
    """A corpus whose tables still name files where it was."""
    assert mixtape(*flags(corpus, tmp_path / "out")).status == 0
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    return tmp_path / "elsewhere"


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        ("absolute", "{out}/Libri2Mix/wav8k/min/train-100/mix_both/m0000.wav"),
        ("relative", "../train-100/mix_both/m0000.wav"),
        ("gs://bucket/a", "gs://bucket/a/Libri2Mix/wav8k/min/train-100/mix_both/m0000.wav"),
    ],
)
def test_tables_name_files_as_asked(mixtape: Mixtape, moved: Path, paths: str, wanted: str) -> None:
    outcome = mixtape("rebase", moved, "--paths", paths)
    assert (outcome.status, outcome.problems) == (0, [])
    assert outcome.out == f"6 tables rewritten, with paths {paths}; exports are to be made again\n"
    assert first_path(moved) == wanted.format(out=moved)


@pytest.mark.parametrize("paths", ["absolute", "relative", "/p"])
def test_rendering_finds_nothing_to_do_and_keeps_the_paths(
    mixtape: Mixtape, corpus: trees.Corpus, moved: Path, paths: str
) -> None:
    mixtape("rebase", moved, "--paths", paths)
    before = trees.identities(moved)
    outcome = mixtape(*flags(corpus, moved))
    assert outcome.status == 0
    assert "nothing to do: all of it stands and is unchanged" in outcome.out
    assert trees.changed(before, moved) <= {"_mixtape/history.jsonl"}


def test_what_rendering_adds_has_the_chosen_paths(
    mixtape: Mixtape, corpus: trees.Corpus, moved: Path
) -> None:
    mixtape("rebase", moved, "--paths", "relative")
    corpus.with_mixtures([*corpus.mixtures, corpus.mixture(4, gain=0.25)][:4])
    assert mixtape(*flags(corpus, moved)).status == 0
    assert first_path(moved) == "../train-100/mix_both/m0000.wav"
    assert json.loads((moved / "_mixtape/run.json").read_bytes())["options"]["table_paths"] == "relative"


def test_a_flag_of_rendering_counts_more(mixtape: Mixtape, corpus: trees.Corpus, moved: Path) -> None:
    mixtape("rebase", moved, "--paths", "relative")
    assert mixtape(*flags(corpus, moved), "--table-paths", "/p").status == 0
    assert first_path(moved).startswith("/p/Libri2Mix/")


def test_a_second_time_changes_nothing(mixtape: Mixtape, moved: Path) -> None:
    mixtape("rebase", moved, "--paths", "relative")
    before = trees.contents(moved)
    mixtape("rebase", moved, "--paths", "relative")
    assert trees.contents(moved) == before


def test_verify_finds_all_in_order(mixtape: Mixtape, moved: Path) -> None:
    mixtape("rebase", moved, "--paths", "absolute")
    assert mixtape("verify", moved, "--all").status == 0


def test_a_dry_run_writes_nothing(mixtape: Mixtape, moved: Path) -> None:
    before = trees.identities(moved)
    outcome = mixtape("rebase", moved, "--paths", "relative", "--dry-run")
    assert outcome.out == "would rewrite the tables of 1 subset; nothing was written\n"
    assert trees.changed(before, moved) == set()


def test_paths_must_be_named(mixtape: Mixtape, moved: Path) -> None:
    outcome = mixtape("rebase", moved)
    assert outcome.status == 2
    assert outcome.problems == ["--paths is needed; see mixtape rebase --help"]


@pytest.mark.parametrize("prefix", ["gs://a,b", '/"x"', "/a\nb"])
def test_paths_that_readers_would_cut_are_refused(
    mixtape: Mixtape, corpus: trees.Corpus, moved: Path, prefix: str
) -> None:
    before = trees.identities(moved)
    reason = f"{prefix!r}: a path in a table holds no comma, quote or line break"
    outcome = mixtape("rebase", moved, "--paths", prefix)
    assert (outcome.status, outcome.problems) == (2, [f"--paths {reason}"])
    outcome = mixtape(*flags(corpus, moved), "--table-paths", prefix)
    assert (outcome.status, outcome.problems) == (2, [f"--table-paths {reason}"])
    assert trees.changed(before, moved) == set()


def test_what_is_no_corpus_is_refused(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape("rebase", tmp_path, "--paths", "relative")
    assert outcome.status == 2
    assert "holds no finished corpus" in outcome.problems[0]


def test_without_tables_there_is_nothing_to_rewrite(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mixtape(*flags(corpus, out), "--formats", "webdataset")
    outcome = mixtape("rebase", out, "--paths", "relative")
    assert outcome.status == 2
    assert outcome.problems == [f"{out}: holds no tables, so nothing in it depends on where it is"]
