"""Progress on terminals and in logs: items of local runs, shards of those on clusters."""

import io
import os
import pty
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from pipelines import progress as progress_module
from pipelines.progress import Progress, ShardProgress
from tests.trees import Corpus, render
from transforms import storage
from transforms.errors import MixtapeError, StoreUnavailableError
from transforms.plan import Shard
from transforms.sharding import render_shard
from transforms.storage import OutputTree

PATIENCE_S = 60.0


def advance(path: str, items: int) -> None:
    with open(path, "ab") as file:
        file.write(b"." * items)


def test_quiet_progress_watches_nothing() -> None:
    with Progress(5, quiet=True).shown() as progress:
        assert progress.path == ""


def test_piped_progress_of_a_short_run_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(5, quiet=False).shown() as progress:
        advance(progress.path, 5)
        folder = Path(progress.path).parent
        assert folder.is_dir()
    assert not folder.exists()
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_one_line_that_ends_with_the_last_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress(1200, quiet=False).shown() as progress:
            advance(progress.path, 300)
            said = os.read(master, 65536).decode()
            advance(progress.path, 900)
        said += os.read(master, 65536).decode()
    os.close(master)
    lines = [line.strip() for line in said.strip().split("\r")]
    assert re.fullmatch(r"300 of 1,200 items, [\d.]+ per second, \d+ s left", lines[0]), said
    assert re.fullmatch(r"1,200 of 1,200 items, [\d.]+ per second", lines[-1]), said
    assert said.count("\n") == 1


def test_progress_ends_with_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    threads = threading.active_count()
    with pytest.raises(MixtapeError, match="broken"), Progress(5, quiet=False).shown():
        raise MixtapeError("broken")
    assert threading.active_count() == threads


@pytest.fixture
def quick_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "_PLAIN_LINE_S", 0.05)


def shards_of(corpus: Corpus, out: Path) -> list[Shard]:
    """Renders a corpus; returns its three shards."""
    return render(corpus.job(out), corpus.mixtures).plan.shards


def test_shards_are_counted_by_ledgers_that_are_new(corpus: Corpus, tmp_path: Path) -> None:
    shards = shards_of(corpus, tmp_path / "out")
    for done in shards[:2]:
        (tmp_path / f"out/_mixtape/ledger/shard-{done.name}.json").unlink()
    progress = ShardProgress(OutputTree(str(tmp_path / "out")), shards, quiet=False)
    with progress.shown():
        counts = [progress.made()]
        for shard in shards:
            render_shard(corpus.job(tmp_path / "out"), shard)
            counts.append(progress.made())
    assert counts == [0, 1, 2, 3], "the third had a ledger before, and was made anew"


def test_ledgers_of_other_parts_are_not_counted(corpus: Corpus, tmp_path: Path) -> None:
    shards = shards_of(corpus, tmp_path / "out")
    other = ShardProgress(OutputTree(str(tmp_path / "out")), [shards[1]], quiet=False)
    assert other.made() == 1
    with other.shown():
        render_shard(corpus.job(tmp_path / "out"), shards[0])
        assert other.made() == 0


def test_an_output_without_ledgers_has_no_shards_made(corpus: Corpus, tmp_path: Path) -> None:
    shards = shards_of(corpus, tmp_path / "elsewhere")
    with ShardProgress(OutputTree(str(tmp_path / "none")), shards, quiet=False).shown() as progress:
        assert progress.made() == 0
        assert progress.path == ""


@pytest.mark.usefixtures("quick_lines")
def test_shards_of_a_cluster_are_told_in_plain_lines(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = shards_of(corpus, tmp_path / "out")
    said = ""
    with ShardProgress(OutputTree(str(tmp_path / "out")), shards, quiet=False).shown():
        render_shard(corpus.job(tmp_path / "out"), shards[0])
        deadline = time.monotonic() + PATIENCE_S
        while "1 of 3" not in said:
            assert time.monotonic() < deadline, f"it was never told: {said}"
            time.sleep(0.02)
            said += capsys.readouterr().err
    assert re.search(r"^1 of 3 shards made, \d+ s$", said, re.MULTILINE)


def test_a_store_that_is_away_does_not_end_progress(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str) -> None:
        raise StoreUnavailableError(url, "the store does not answer")

    shards = shards_of(corpus, tmp_path / "out")
    progress = ShardProgress(OutputTree(str(tmp_path / "out")), shards, quiet=False)
    assert progress.made() == 3
    monkeypatch.setattr(storage, "find", fail)
    assert progress.made() == 0


@pytest.mark.usefixtures("quick_lines")
def test_quiet_shards_are_not_told(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = shards_of(corpus, tmp_path / "out")
    with ShardProgress(OutputTree(str(tmp_path / "out")), shards, quiet=True).shown():
        time.sleep(0.2)
    assert capsys.readouterr().err == ""
