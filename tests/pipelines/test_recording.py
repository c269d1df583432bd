"""The line that every run leaves in the history of its output."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import output
from pipelines import render as render_module
from pipelines.recording import recorded_run
from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms import history, sharding
from transforms.errors import MixtapeError, StorageError, StoreUnavailableError, UsageError
from transforms.plan import StoredPlan
from transforms.record import recorded_job
from transforms.storage import OutputTree
from transforms.version import VERSION

pytestmark = pytest.mark.usefixtures("short_report")

COMMAND = ("mixtape", "render", "librimix")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / trees.HISTORY).read_text().splitlines()]


def test_a_run_and_one_that_finds_nothing_to_do(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    flags = [*corpus.flags(tmp_path / "out"), *corpus.small_flags()]
    for _ in range(2):
        assert mixtape(*flags).status == 0
    first, second = lines(tmp_path / "out")
    part = {corpus.part.name: {"planned": 5, "written": 5, "rejected": 0, "shards": 3}}
    figures = {"planned": 5, "written": 5, "rejected": 0, "parts": part, "status": 0, "problem": ""}
    assert {name: first[name] for name in figures} == figures
    assert {name: second[name] for name in figures} == figures
    assert (first["outcome"], first["shards_made"], first["shards_kept"]) == ("made", 3, 0)
    assert (second["outcome"], second["shards_made"], second["shards_kept"]) == ("nothing to do", 0, 3)
    assert first["command"] == ["mixtape", *map(str, flags), "--workers", "1"]
    assert first["mixtape"] == VERSION
    assert 0 < second["seconds"] < first["seconds"] + 60
    assert first["started"] <= second["started"]


def test_shards_that_workers_find_standing_are_not_made(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the launcher leaves it to workers to read sources whose stamps are new."""
    flags = [*corpus.flags(tmp_path / "out"), *corpus.small_flags()]
    assert mixtape(*flags).status == 0
    monkeypatch.setattr(render_module, "_shards_to_make", lambda job, shards: list(shards))
    assert "nothing to do: all of it stands and is unchanged" in mixtape(*flags).out
    _, second = lines(tmp_path / "out")
    assert (second["outcome"], second["shards_made"], second["shards_kept"]) == ("nothing to do", 0, 3)


def test_rejects_are_counted_and_so_is_the_exit_status(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    corpus.utterance(3).unlink()
    mixtape(*corpus.flags(tmp_path / "out"), *corpus.small_flags())
    mixtape(*corpus.flags(tmp_path / "out"), *corpus.small_flags(), "--max-rejects", "2")
    first, second = lines(tmp_path / "out")
    assert (first["written"], first["rejected"], first["status"]) == (3, 2, 1)
    assert (second["written"], second["rejected"], second["status"]) == (3, 2, 0)


def test_bad_input_ends_a_run_before_it_begins(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    assert mixtape(*corpus.flags(tmp_path / "out"), "--rates", "fast").status == 2
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError), recorded_run(OutputTree(str(tmp_path)), COMMAND):
        raise UsageError("no")
    assert not (tmp_path / "_mixtape").exists()


def test_a_run_that_breaks_off_says_why(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("/out", "no space left on the device")

    monkeypatch.setattr(output, "close", fail)
    outcome = mixtape(*corpus.flags(tmp_path / "out"), *corpus.small_flags())
    assert outcome.status == 1
    (line,) = lines(tmp_path / "out")
    assert (line["outcome"], line["status"]) == ("broken off", 1)
    assert "no space left on the device" in line["problem"]
    assert line["shards_made"] == 3


def test_a_run_that_breaks_off_between_shards_counts_what_stands(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three shards one stands, one is made again, and one keeps the ledger of another source."""
    flags = [*corpus.flags(tmp_path / "out"), *corpus.small_flags()]
    assert mixtape(*flags).status == 0
    for number in (2, 4):
        trees.write_noise(corpus.utterance(number), 720, seed=99)

    def break_off(*_: object, **__: object) -> None:
        sharding.render_shard(request_job, shards[1])
        raise StorageError("/out", "no space left on the device")

    part = tmp_path / "out/_mixtape/plan" / f"{corpus.part.name}.parquet"
    shards = StoredPlan.open(str(part)).shards
    request_job = recorded_job(str(tmp_path / "out"), {})
    monkeypatch.setattr(render_module, "_shards_to_make", lambda job, shards: list(shards)[1:])
    monkeypatch.setattr(render_module, "run_pipeline", break_off)
    assert mixtape(*flags).status == 1
    _, line = lines(tmp_path / "out")
    assert (line["outcome"], line["planned"], line["written"], line["rejected"]) == ("broken off", 5, 4, 0)
    assert (line["shards_made"], line["shards_kept"]) == (1, 1)
    assert line["parts"] == {corpus.part.name: {"planned": 5, "written": 4, "rejected": 0, "shards": 3}}


@pytest.mark.parametrize(
    ("error", "outcome", "status", "problem"),
    [
        (KeyboardInterrupt(), "interrupted", 130, ""),
        (MixtapeError("worker gone"), "broken off", 1, "worker gone"),
        (ZeroDivisionError("x"), "broken off", 1, "ZeroDivisionError: x"),
    ],
)
def test_endings(tmp_path: Path, error: BaseException, outcome: str, status: int, problem: str) -> None:
    with pytest.raises(type(error)), recorded_run(OutputTree(str(tmp_path)), COMMAND):
        raise error
    (line,) = lines(tmp_path)
    assert (line["outcome"], line["status"], line["problem"]) == (outcome, status, problem)
    assert line["command"] == list(COMMAND)


@pytest.mark.parametrize("kind", [StorageError, StoreUnavailableError])
def test_the_cause_is_told_and_not_that_the_history_could_not_be_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[StorageError] | type[StoreUnavailableError],
) -> None:
    def fail(*_: object) -> None:
        raise kind("/history", "disk full")

    monkeypatch.setattr(history, "append", fail)
    with (
        pytest.raises(MixtapeError, match="the cause"),
        recorded_run(OutputTree(str(tmp_path)), COMMAND),
    ):
        raise MixtapeError("the cause")
    with pytest.raises(KeyboardInterrupt), recorded_run(OutputTree(str(tmp_path)), COMMAND):
        raise KeyboardInterrupt
    with pytest.raises(kind, match="disk full"), recorded_run(OutputTree(str(tmp_path)), COMMAND):
        pass


def test_a_run_beside_another_is_refused_and_leaves_no_line(
    mixtape: Mixtape, corpus: trees.Corpus, tmp_path: Path
) -> None:
    with recorded_run(OutputTree(str(tmp_path / "out")), COMMAND):
        outcome = mixtape(*corpus.flags(tmp_path / "out"), *corpus.small_flags())
        assert outcome.status == 2
        assert "another run" in outcome.err
    (line,) = lines(tmp_path / "out")
    assert line["command"] == list(COMMAND)


_KILLED_WHILE_WRITING = """
import os, signal, sys
from transforms import history, storage
tree = storage.OutputTree(sys.argv[1])
def killed(temporary, final):
    os.kill(os.getpid(), signal.SIGKILL)
os.replace = killed
history.append(tree, history.RunEntry("2026", 1.0, "made", 0))
"""


def test_a_kill_while_the_line_is_written_leaves_the_history_as_it_was(tmp_path: Path) -> None:
    with recorded_run(OutputTree(str(tmp_path)), COMMAND):
        pass
    before = (tmp_path / trees.HISTORY).read_bytes()
    command = [sys.executable, "-c", _KILLED_WHILE_WRITING, str(tmp_path)]
    killed = subprocess.run(command, cwd=trees.REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / trees.HISTORY).read_bytes() == before
    with recorded_run(OutputTree(str(tmp_path)), COMMAND):
        pass
    assert len(lines(tmp_path)) == 2
    assert sorted(os.listdir(tmp_path / "_mixtape")) == ["history.jsonl"]


def test_seconds_are_those_of_the_whole_run(tmp_path: Path) -> None:
    with recorded_run(OutputTree(str(tmp_path)), COMMAND):
        time.sleep(0.2)
    (line,) = lines(tmp_path)
    assert 0.2 <= line["seconds"] < 20
