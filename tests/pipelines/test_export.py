"""The command ``export``: where lists go, what it says, what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms.exports import EXPORTS

pytestmark = pytest.mark.usefixtures("short_report")
SMALL = ("--rates", "8000", "--modes", "min", "--formats", "wav", "--shard-size", "2")
FILES = {
    "lhotse": "Libri2Mix/wav8k/min/cuts_train-100.jsonl.gz",
    "espnet": "Libri2Mix/wav8k/min/enh/mix_both/train-100/wav.scp",
    "asteroid": "Libri2Mix/wav8k/min/train-100/mixture_train-100_mix_both.csv",
    "speechbrain": "Libri2Mix/wav8k/min/mix_both/train-100.csv",
    "hf": "Libri2Mix/wav8k/min/train-100/metadata.parquet",
}


@pytest.fixture
def out(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> Path:
    """Five mixtures at one rate and mode."""
    assert mixtape(*corpus.flags(tmp_path / "out"), *SMALL).status == 0
    return tmp_path / "out"


def lists(folder: Path) -> list[str]:
    return [path for path in trees.files(folder) if not path.startswith("_mixtape/")]


@pytest.mark.parametrize("target", EXPORTS)
def test_lists_stand_within_the_corpus(mixtape: Mixtape, out: Path, target: str) -> None:
    outcome = mixtape("export", target, out)
    assert (outcome.status, outcome.problems) == (0, [])
    folder = out if target == "hf" else out / "exports" / target
    assert (folder / FILES[target]).is_file()
    title = EXPORTS[target].title
    count = len(json.loads((folder / f"_mixtape/exports/{target}.json").read_bytes())["."])
    things = "file" if count == 1 else "files"
    assert outcome.out == f"5 mixtures in 1 subset: {count} {things} for {title}; in {folder}\n"


@pytest.mark.parametrize("target", [target for target in EXPORTS if target != "hf"])
def test_lists_go_elsewhere_if_wanted(mixtape: Mixtape, out: Path, target: str, tmp_path: Path) -> None:
    before = trees.identities(out)
    assert mixtape("export", target, out, "--to", tmp_path / "lists", "--quiet").out == ""
    assert FILES[target] in lists(tmp_path / "lists")
    assert trees.changed(before, out) == set()


@pytest.mark.parametrize("target", EXPORTS)
def test_a_second_time_leaves_equal_files_alone(mixtape: Mixtape, out: Path, target: str) -> None:
    mixtape("export", target, out)
    before = trees.identities(out)
    assert mixtape("export", target, out).status == 0
    assert trees.changed(before, out) == set()


def test_two_workers_make_the_same(mixtape: Mixtape, out: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        to = tmp_path / str(workers)
        assert mixtape("export", "lhotse", out, "--shar", "--to", to, workers=workers).status == 0
    assert trees.contents(tmp_path / "1") == trees.contents(tmp_path / "2")
    assert "Libri2Mix/wav8k/min/shar_train-100/s1.000002.tar" in lists(tmp_path / "1")


def test_what_is_left_of_a_longer_corpus_goes(
    mixtape: Mixtape, corpus: trees.Corpus, out: Path, tmp_path: Path
) -> None:
    mixtape("export", "lhotse", out, "--shar")
    shar = out / "exports/lhotse/Libri2Mix/wav8k/min/shar_train-100"
    assert (shar / "cuts.000002.jsonl.gz").exists()
    shorter = corpus.with_mixtures(corpus.mixtures[:3])
    assert mixtape(*shorter.flags(out), *SMALL).status == 0
    outcome = mixtape("export", "lhotse", out, "--shar")
    assert outcome.out.startswith("3 mixtures in 1 subset: 1 file for Lhotse and 14 files of Shar; in ")
    assert sorted(path.name for path in shar.glob("cuts.*")) == [
        "cuts.000000.jsonl.gz",
        "cuts.000001.jsonl.gz",
    ]
    assert not list(shar.glob("*.000002.*"))


def test_lists_follow_a_corpus_that_moved(mixtape: Mixtape, out: Path, tmp_path: Path) -> None:
    mixtape("export", "asteroid", out)
    moved = tmp_path / "moved"
    shutil.move(out, moved)
    mixtape("rebase", moved, "--paths", "/elsewhere")
    assert mixtape("export", "asteroid", moved).status == 0
    text = (moved / "exports/asteroid" / FILES["asteroid"]).read_text()
    assert "/elsewhere/Libri2Mix/wav8k/min/train-100/s1/m0000.wav" in text
    record = json.loads((moved / "exports/asteroid/_mixtape/exports/asteroid.json").read_bytes())
    assert list(record) == ["."]


def test_a_dry_run_writes_nothing(mixtape: Mixtape, out: Path) -> None:
    before = trees.identities(out)
    outcome = mixtape("export", "espnet", out, "--dry-run")
    assert outcome.out == f"would list 5 mixtures in 1 subset in {out}/exports/espnet; nothing was written\n"
    assert trees.changed(before, out) == set()


def test_what_holds_no_wav_files_is_refused(mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path) -> None:
    mixtape(*corpus.flags(tmp_path / "out"), *SMALL, "--formats", "webdataset")
    outcome = mixtape("export", "lhotse", tmp_path / "out")
    assert outcome.status == 2
    assert outcome.problems == [
        f"{tmp_path}/out: holds no WAV files, which lists name; render with --formats wav"
    ]


def test_what_is_no_corpus_is_refused(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape("export", "hf", tmp_path)
    assert outcome.status == 2
    assert "holds no finished corpus" in outcome.problems[0]


def test_a_corpus_that_is_not_finished_is_refused(mixtape: Mixtape, out: Path) -> None:
    (out / "_mixtape/parts/Libri2Mix-train-100.json").unlink()
    outcome = mixtape("export", "hf", out)
    assert outcome.status == 2
    assert "a run broke off before Libri2Mix-train-100 was complete" in outcome.problems[0]


def test_blanks_in_paths_are_refused_where_they_end_a_path(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "my data"
    mixtape(*corpus.flags(out), *SMALL, "--table-paths", "absolute")
    outcome = mixtape("export", "espnet", out)
    assert outcome.status == 2
    assert "a path in Kaldi's lists ends at the first space" in outcome.problems[0]
    assert mixtape("export", "asteroid", out).status == 0


def test_a_place_that_cannot_be_written_is_named(mixtape: Mixtape, out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    outcome = mixtape("export", "asteroid", out, "--to", tmp_path / "file")
    assert outcome.status == 2
    assert outcome.problems[0].startswith(f"--to {tmp_path}/file: cannot be written to: ")


def test_subsets_of_a_corpus_have_the_same_columns(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "out"
    mixtape(*corpus.flags(out), *SMALL)
    other = corpus.plan.with_name("libri2mix_dev-clean.csv")
    shutil.copy(corpus.plan, other)
    corpus.plan.unlink()
    mixtape(*corpus.flags(out), "--plan", other, *SMALL, "--types", "mix_clean")
    assert mixtape("export", "hf", out).status == 0
    tables = [
        pq.read_schema(out / f"Libri2Mix/wav8k/min/{name}/metadata.parquet") for name in ("train-100", "dev")
    ]
    assert tables[0].names == tables[1].names
    assert "noise_file_name" in tables[1].names
