"""``mixtape demo``: everything, from nothing."""

import json
import tarfile
from pathlib import Path

import pytest

from tests import trees
from tests.pipelines.conftest import Mixtape, Outcome


@pytest.fixture
def demo(mixtape: Mixtape, tmp_path: Path) -> Outcome:
    return mixtape("demo", "--out", tmp_path / "demo")


def test_the_demo_leaves_a_whole_corpus_behind(demo: Outcome, mixtape: Mixtape, tmp_path: Path) -> None:
    assert (demo.status, demo.err) == (0, "")
    out = tmp_path / "demo"
    lines = demo.out.splitlines()
    assert lines[0] == f"generating speech and noise in {out / 'corpora'}"
    assert lines[-1].startswith("demo done in ")
    assert any(line.startswith(f"mixtape build librimix --librispeech {out}/corpora/") for line in lines)
    assert any(line.startswith("planned 23 = written 23 + rejected 0") for line in lines)
    wavs = list((out / "Libri2Mix" / "wav16k" / "max" / "dev" / "mix_both").iterdir())
    assert len(wavs) == 8
    tars = sorted((out / "Libri2Mix" / "webdataset" / "wav8k" / "min").glob("dev-*.tar"))
    with tarfile.open(tars[0]) as tar:
        assert len(tar.getnames()) == 4 * 7
    assert list((out / "Libri2Mix" / "tfrecord").rglob("*dev.tfrecord-00000-of-00002"))
    assert "<audio" in (out / "_mixtape" / "report.html").read_text()
    assert not list(out.rglob("tmp"))
    facts = json.loads((out / "_mixtape" / "run.json").read_text())
    assert facts["command"][:3] == ["mixtape", "build", "librimix"]
    assert mixtape("verify", out).status == 0

    before = trees.identities(out / "Libri2Mix")
    again = mixtape("demo", "--out", out)
    assert again.status == 0
    assert "nothing to do: all of it stands and is unchanged" in again.out
    assert trees.changed(before, out / "Libri2Mix") == set()


def test_a_dry_run_writes_nothing(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape("demo", "--out", tmp_path / "demo", "--dry-run")
    assert outcome.status == 0
    assert f"in {tmp_path / 'demo'}; nothing was written" in outcome.out
    assert not (tmp_path / "demo").exists()


def test_bad_options_are_found_before_any_work(mixtape: Mixtape, tmp_path: Path) -> None:
    words = ["--workers", "0", "--direct_num_workers=many", "--forse"]
    outcome = mixtape("demo", "--out", tmp_path / "demo", *words, workers=None)
    assert (outcome.status, outcome.problems) == (
        2,
        [
            "--forse is not a flag of this command; did you mean --force?",
            "--workers 0: wanted a whole number of 1 or more",
        ],
    )
    assert not (tmp_path / "demo").exists()


def test_an_output_in_the_place_of_a_file(mixtape: Mixtape, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = mixtape("demo", "--out", tmp_path / "file")
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert problem.startswith(f"--out {tmp_path / 'file'}: cannot be written to: a file stands where")
