"""Runs that are killed at any moment, and what the same command makes of what they left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.trees import HISTORY, PART, Corpus, contents, files, make_corpus, run
from transforms import report
from transforms.plan import Part

FLAGS = ("--shard-size", "4")
MIXTURES = 24
PATIENCE_S = 60.0
_POLL_S = 0.003

SUMMARY = "_mixtape/parts/Libri2Mix-train-100.json"
TABLE = "Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"


@pytest.fixture(autouse=True, scope="module")
def short_report() -> Iterator[None]:
    """Puts a line in place of the report of runs in this process; those to be killed make a real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


@pytest.fixture(scope="module")
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Mixtures of half a second, so that a run lasts a while; one source is missing."""
    recipe = getattr(request, "param", "librimix")
    folder = tmp_path_factory.mktemp("corpora")
    made = make_corpus(folder, mixtures=MIXTURES, samples=8000, recipe=recipe)
    made.utterance(10).unlink()
    return made


@dataclass(frozen=True)
class Whole:
    """What an undisturbed run leaves: bytes that must be the same, and the names of all files."""

    contents: dict[str, bytes]
    files: list[str]


@pytest.fixture(scope="module")
def whole(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert run(corpus, folder, *FLAGS) == 1
    return Whole(contents(folder), files(folder))


@dataclass(frozen=True)
class Run:
    """A run in a process group of its own."""

    process: subprocess.Popen[str]
    out: Path

    def wait_for(self, ready: Callable[[Path], bool]) -> None:
        """Waits until its output is in a certain state, which must be before it ends."""
        deadline = time.monotonic() + PATIENCE_S
        while not ready(self.out):
            assert self.process.poll() is None, f"it ended before that: {self.end()}"
            assert time.monotonic() < deadline, "it neither went on nor ended"
            time.sleep(_POLL_S)

    def end(self) -> tuple[int, str]:
        """Waits for its end; returns status and what it said on stderr."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def workers(self) -> list[int]:
        """Returns the process ids of its Beam workers."""
        children = _children(self.process.pid)
        return [pid for shell in children for pid in _children(shell)]


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    lists = [task / "children" for task in tasks.iterdir()] if tasks.is_dir() else []
    return [int(word) for one in lists for word in one.read_text().split()]


@pytest.fixture
def start(corpus: Corpus, tmp_path: Path, repository: Path) -> Iterator[Callable[..., Run]]:
    """Returns ``start(*flags)``: begins a run with two workers into ``tmp_path/out``."""
    started: list[Run] = []

    def begin(*flags: str) -> Run:
        command = [sys.executable, "-m", "pipelines.cli", *corpus.flags(tmp_path / "out"), *FLAGS, *flags]
        process = subprocess.Popen(
            [*command, "--workers", "2", "--quiet"],
            cwd=repository,
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(Run(process, tmp_path / "out"))
        return started[-1]

    yield begin
    for one in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.communicate()


def share_done(share: float, part: Part = PART) -> Callable[[Path], bool]:
    """Returns what tells whether a share of a run's WAV files is there."""
    wanted = share * MIXTURES

    def done(out: Path) -> bool:
        scenes = part.recipe == "avse"
        folder = out / (f"{part.subset}/scenes" if scenes else f"{part.corpus}/wav8k/min/{part.subset}/s1")
        end = "_mixed.wav" if scenes else ".wav"
        names = os.listdir(folder) if folder.is_dir() else []
        return sum(name.endswith(end) for name in names) >= wanted

    return done


def is_there(name: str) -> Callable[[Path], bool]:
    return lambda out: (out / name).exists()


MOMENTS = {
    "the output is made": is_there("_mixtape"),
    "the plan is stored": is_there("_mixtape/plan/Libri2Mix-train-100.parquet"),
    "first file": share_done(1 / MIXTURES),
    "20 %": share_done(0.2),
    "40 %": share_done(0.4),
    "60 %": share_done(0.6),
    "80 %": share_done(0.8),
    "last file": share_done(22 / MIXTURES),
    "tables": is_there(TABLE),
    "merged": is_there(SUMMARY),
    "rejects": is_there("_mixtape/rejects.csv"),
}


def assert_completed(corpus: Corpus, out: Path, whole: Whole) -> None:
    """Runs the same command again, which must leave what an undisturbed run leaves."""
    assert run(corpus, out, *FLAGS) == 1, "one source is missing in every run"
    assert files(out) == whole.files
    assert contents(out) == whole.contents
    assert not (out / "_mixtape/tmp").exists()


@pytest.mark.parametrize("moment", MOMENTS)
def test_everything_is_killed(corpus: Corpus, whole: Whole, start: Callable[..., Run], moment: str) -> None:
    killed = start()
    killed.wait_for(MOMENTS[moment])
    os.killpg(killed.process.pid, signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL
    assert_completed(corpus, killed.out, whole)


@pytest.mark.parametrize("corpus", ["wsj0mix", "mixtures", "avse"], indirect=True)
def test_other_recipes_are_killed(corpus: Corpus, whole: Whole, start: Callable[..., Run]) -> None:
    killed = start()
    killed.wait_for(share_done(0.3, corpus.part))
    os.killpg(killed.process.pid, signal.SIGKILL)
    assert killed.end()[0] == -signal.SIGKILL
    assert_completed(corpus, killed.out, whole)


def test_killed_again_and_again(corpus: Corpus, whole: Whole, start: Callable[..., Run]) -> None:
    for share in (0.2, 0.7):
        killed = start()
        killed.wait_for(share_done(share))
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.end()
    assert_completed(corpus, killed.out, whole)


def test_killed_while_everything_is_made_anew(
    corpus: Corpus, whole: Whole, start: Callable[..., Run], tmp_path: Path
) -> None:
    assert run(corpus, tmp_path / "out", *FLAGS) == 1
    killed = start("--force")
    ledger = tmp_path / "out/_mixtape/ledger/shard-Libri2Mix-train-100-000000.json"
    before = ledger.stat().st_ino
    killed.wait_for(lambda _: ledger.exists() and ledger.stat().st_ino != before)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.end()
    assert_completed(corpus, killed.out, whole)


def test_workers_end_when_the_launcher_is_killed(
    corpus: Corpus, whole: Whole, start: Callable[..., Run]
) -> None:
    killed = start()
    killed.wait_for(share_done(0.2))
    workers = killed.workers()
    assert len(workers) == 2
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    deadline = time.monotonic() + PATIENCE_S
    while any(map(_is_running, workers)):
        assert time.monotonic() < deadline, "workers went on without their launcher"
        time.sleep(_POLL_S)
    assert len(os.listdir(killed.out / "Libri2Mix/wav8k/min/train-100/s1")) < MIXTURES - 2
    assert_completed(corpus, killed.out, whole)


def _is_running(pid: int) -> bool:
    """Tells whether a process is there and not just waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_killed_worker_breaks_the_run_off(corpus: Corpus, whole: Whole, start: Callable[..., Run]) -> None:
    broken = start()
    broken.wait_for(share_done(0.2))
    os.kill(broken.workers()[0], signal.SIGKILL)
    status, said = broken.end()
    assert status == 1
    assert said.startswith("mixtape: the run broke off: a worker process ended suddenly")
    assert said.count("\n") == 1, said
    assert_completed(corpus, broken.out, whole)


@pytest.mark.parametrize(
    ("whom", "signal_number"),
    [(os.kill, signal.SIGINT), (os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)],
    ids=["launcher", "everything", "by a service manager"],
)
def test_an_interrupted_run_says_so(
    corpus: Corpus,
    whole: Whole,
    start: Callable[..., Run],
    whom: Callable[[int, int], None],
    signal_number: int,
) -> None:
    interrupted = start()
    interrupted.wait_for(share_done(0.5))
    whom(interrupted.process.pid, signal_number)
    assert interrupted.end() == (130, "mixtape: interrupted; the same command goes on from here\n")
    (line,) = map(json.loads, (interrupted.out / HISTORY).read_text().splitlines())
    made = [json.loads(path.read_bytes()) for path in (interrupted.out / "_mixtape/ledger").iterdir()]
    assert made, "interrupted before the first shard stood"
    assert (line["outcome"], line["planned"]) == ("interrupted", MIXTURES)
    assert (line["shards_made"], line["shards_kept"]) == (len(made), 0)
    assert line["written"] == sum(len(ledger["items"]) for ledger in made)
    assert line["rejected"] == sum(len(ledger["rejects"]) for ledger in made)
    assert_completed(corpus, interrupted.out, whole)


def test_the_next_run_does_not_wait_for_a_killed_one(
    corpus: Corpus, whole: Whole, start: Callable[..., Run]
) -> None:
    """Workers of a killed launcher live on for an item; they must not disturb the run that follows."""
    killed = start()
    killed.wait_for(share_done(0.5))
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    assert_completed(corpus, killed.out, whole)
