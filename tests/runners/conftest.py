"""Runners brought up on this machine, and commands that run on them with a diary of who made what."""

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy import fetch
from tests import trees
from tests.runners.recorded import DIARY, PAUSE_S, Entry, most_at_once, read_diary
from tests.servers import Store, free_port, gs_store, s3_store

__all__ = ["gs_store", "s3_store"]

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 900.0
START_S = 300.0
_POLL_S = 0.05
RUNNERS = ("prism", "flink-embedded", "flink-cluster", "spark-embedded", "spark-cluster")
USUAL_STORES = {("prism", "gs"), ("prism", "s3"), ("flink-cluster", "gs"), ("spark-cluster", "gs")}


@dataclass(frozen=True)
class Workshop:
    """Where commands and workers of a session find each other.

    Attributes:
        folder: holds what follows.
    """

    folder: Path

    @property
    def boot(self) -> Path:
        """What a runner starts as a worker."""
        return self.folder / "boot"

    @property
    def diary(self) -> Path:
        """Who made which shard."""
        return self.folder / "diary"

    def prepare(self, variables: Mapping[str, str], *, pause_s: float = 0.0) -> dict[str, str]:
        """Begins a new diary and sets the environment of workers to come; returns that of commands."""
        self.diary.unlink(missing_ok=True)
        told = {**variables, DIARY: str(self.diary), PAUSE_S: str(pause_s)}
        lines = [f"export {name}={shlex.quote(value)}" for name, value in told.items()]
        start = f"exec {shlex.quote(sys.executable)} -m tests.runners.recorded worker"
        text = "\n".join(["#!/bin/sh", *lines, f"cd {shlex.quote(str(REPOSITORY))}", f'{start} "$@"', ""])
        self.boot.write_text(text)
        self.boot.chmod(0o755)
        return {**os.environ, **told}


@dataclass(frozen=True)
class Runner:
    """A runner that is up.

    Attributes:
        name: how tests call it.
        flags: what a command needs to run on it.
        worker_flags: flags that give it worker processes of its own where it has none by default.
        retries: whether it does a shard again whose worker was killed.
        at_once: shards that it makes at the same time if it can.
        processes: worker processes that make them.
        page: root of its REST interface, if we know it.
    """

    name: str
    flags: tuple[str, ...]
    at_once: int
    processes: int
    worker_flags: tuple[str, ...] = ()
    retries: bool = False
    page: str = ""


@dataclass
class Started:
    """A command in a session of its own, with all that it starts."""

    process: subprocess.Popen[str]
    began_s: float = field(default_factory=time.monotonic)

    def end(self) -> "Ended":
        """Waits for its end."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        return Ended(self.process.returncode, out, err, time.monotonic() - self.began_s)


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, what it printed, and the wall time that it took."""

    status: int
    out: str
    err: str
    wall_s: float

    @property
    def problems(self) -> list[str]:
        """What it complained of."""
        return [line for line in self.err.splitlines() if line.startswith("mixtape: ")]


@dataclass(frozen=True)
class Measured:
    """One line of the table that is printed at the end."""

    runner: str
    what: str
    wall_s: float
    first_shard_s: float
    at_once: int
    processes: int


MEASURED: list[Measured] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what was measured: start-up is the time until the first shard was begun."""
    if MEASURED:
        terminalreporter.section("runners")
        head = f"{'runner':<15} {'what':<22} {'wall':>7} {'start-up':>9} {'at once':>8} {'processes':>10}"
        terminalreporter.write_line(head)
    for row in MEASURED:
        times = f"{row.wall_s:>5.1f} s {row.first_shard_s:>7.1f} s"
        line = f"{row.runner:<15} {row.what:<22} {times} {row.at_once:>8} {row.processes:>10}"
        terminalreporter.write_line(line)


@dataclass
class Bench:
    """Runs commands; whatever is still there at the end of a test is killed.

    Attributes:
        shop: diary and boot program.
        started: all commands.
    """

    shop: Workshop
    started: list[Started] = field(default_factory=list)

    def start(
        self, *words: str | Path, variables: Mapping[str, str] | None = None, pause_s: float = 0.0
    ) -> Started:
        environment = self.shop.prepare(variables or {}, pause_s=pause_s)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.runners.recorded", "mixtape", *map(str, words)],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(Started(process))
        return self.started[-1]

    def run(self, *words: str | Path, **named: Any) -> Ended:
        return self.start(*words, **named).end()

    @property
    def entries(self) -> list[Entry]:
        return read_diary(self.shop.diary)

    def wait_for(self, started: Started, ready: Callable[[list[Entry]], bool]) -> list[Entry]:
        """Waits for a state of the diary, which must come before the command ends."""
        deadline = time.monotonic() + PATIENCE_S
        while not ready(entries := self.entries):
            assert started.process.poll() is None, f"it ended before that: {started.end()}"
            assert time.monotonic() < deadline, "it neither went on nor ended"
            time.sleep(_POLL_S)
        return entries

    def measure(self, runner: str, what: str, ended: Ended) -> Measured:
        """Adds a line on the last command to the table that is printed at the end."""
        entries = self.entries
        first_s = entries[0].time_s - self.started[-1].began_s
        pids = {entry.pid for entry in entries}
        row = Measured(runner, what, ended.wall_s, first_s, most_at_once(entries), len(pids))
        MEASURED.append(row)
        return row

    def clear_away(self) -> None:
        for one in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, signal.SIGKILL)
            one.process.communicate()


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    shop = Workshop(tmp_path_factory.mktemp("workshop"))
    shop.prepare({})
    return shop


@pytest.fixture
def bench(workshop: Workshop) -> Iterator[Bench]:
    made = Bench(workshop)
    yield made
    made.clear_away()


def fetched(name: str) -> str:
    """Returns where something is that is fetched once; skips the test where that cannot be done."""
    try:
        return str(fetch.fetch(name))
    except fetch.CannotFetchError as error:
        pytest.skip(f"not run: {error}")


@contextlib.contextmanager
def process_group(command: Sequence[str], ready: Callable[[], bool], log: Path) -> Iterator[None]:
    """Keeps a program in a group of its own running until the block ends, once it is ready."""
    with open(log, "wb") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_S
        while not ready():
            assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{command} was not ready: {log.read_text()[-2000:]}"
            time.sleep(_POLL_S)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def cluster(kind: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Brings up a cluster of two workers with two slots each; yields its page and its master."""
    port, rpc_port = str(free_port()), str(free_port())
    command = [sys.executable, str(REPOSITORY / "deploy/local_cluster.py"), kind, "--home", fetched(kind)]
    ports = ["--port", port, "--rpc-port", rpc_port, "--folder", str(folder / "cluster")]
    log = folder / "cluster.log"
    with process_group([*command, *ports], lambda: f"{kind} is up" in log.read_text(), log):
        yield f"http://localhost:{port}", f"localhost:{rpc_port}"


@contextlib.contextmanager
def prism(shop: Workshop, folder: Path) -> Iterator[Runner]:
    flags = ("--runner=PrismRunner", f"--prism_location={fetched('prism')}")
    yield Runner("prism", flags, at_once=1, processes=1, worker_flags=_own_workers(shop))


@contextlib.contextmanager
def flink_embedded(shop: Workshop, folder: Path) -> Iterator[Runner]:
    jar = f"--flink_job_server_jar={fetched('flink-job-server')}"
    flags = ("--runner=FlinkRunner", "--flink_master=[local]", jar, "--parallelism=2")
    yield Runner("flink-embedded", flags, at_once=2, processes=1)


@contextlib.contextmanager
def flink_cluster(shop: Workshop, folder: Path) -> Iterator[Runner]:
    jar = f"--flink_job_server_jar={fetched('flink-job-server')}"
    with cluster("flink", folder) as (page, _):
        master = f"--flink_master={page.removeprefix('http://')}"
        flags = ("--runner=FlinkRunner", master, jar, "--parallelism=4", *_own_workers(shop))
        yield Runner("flink-cluster", flags, at_once=4, processes=2, retries=True, page=page)


@contextlib.contextmanager
def spark_embedded(shop: Workshop, folder: Path) -> Iterator[Runner]:
    jar = f"--spark_job_server_jar={fetched('spark-job-server-embedded')}"
    flags = ("--runner=SparkRunner", "--spark_master_url=local[2]", jar)
    yield Runner("spark-embedded", flags, at_once=2, processes=1)


@contextlib.contextmanager
def spark_cluster(shop: Workshop, folder: Path) -> Iterator[Runner]:
    jar, port = fetched("spark-job-server"), str(free_port())
    with cluster("spark", folder) as (page, master):
        command = [
            *(f"{fetched('spark')}/bin/spark-submit", "--master", f"spark://{master}"),
            *("--conf", "spark.default.parallelism=4", "--class", SPARK_JOB_SERVER, jar),
            *(f"--spark-master-url=spark://{master}", "--job-host=localhost", f"--job-port={port}"),
            *("--artifact-port=0", "--expansion-port=0", f"--artifacts-dir={folder / 'artifacts'}"),
        ]
        with process_group(command, lambda: _listens(int(port)), folder / "job-server.log"):
            flags = ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}", *_own_workers(shop))
            yield Runner("spark-cluster", flags, at_once=4, processes=2, retries=True, page=page)


SPARK_JOB_SERVER = "org.apache.beam.runners.spark.SparkJobServerDriver"


def _own_workers(shop: Workshop) -> tuple[str, str]:
    return "--environment_type=PROCESS", f"--environment_option=process_command={shop.boot}"


_STARTERS = {
    "prism": prism,
    "flink-embedded": flink_embedded,
    "flink-cluster": flink_cluster,
    "spark-embedded": spark_embedded,
    "spark-cluster": spark_cluster,
}


@pytest.fixture(scope="session", params=RUNNERS)
def runner(
    request: pytest.FixtureRequest, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runner]:
    """Every runner in turn; pytest runs all tests of one before it brings up the next."""
    name: str = request.param
    with _STARTERS[name](workshop, tmp_path_factory.mktemp(name)) as up:
        yield up


@pytest.fixture(scope="session")
def wsj0mix(tmp_path_factory: pytest.TempPathFactory) -> trees.Corpus:
    """A wsj0-mix list of 16 mixtures."""
    return trees.make_corpus(tmp_path_factory.mktemp("wsj0"), mixtures=16, recipe="wsj0mix")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    """A store by its name, which a test gives as a parameter."""
    found: Store = request.getfixturevalue(f"{request.param}_store")
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-store", action="store_true", help="run every runner from and to every store")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/runners/" in item.nodeid:
            item.add_marker(pytest.mark.runners)
    if not config.getoption("--every-store", default=False):
        left_out = [item for item in items if not _is_usual(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_usual(item: pytest.Item) -> bool:
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return (given.get("runner"), given.get("store")) in USUAL_STORES or not {
        "runner",
        "store",
    } <= given.keys()
