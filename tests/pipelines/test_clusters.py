"""Jobs on clusters, as far as they can be tried without one: addresses, job servers, cancelling."""

import contextlib
import http.server
import json
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import clusters
from pipelines.clusters import (
    ClusterJob,
    cancel_on_flink,
    check_reachable,
    starts_job_server,
)
from transforms.errors import MixtapeError, UsageError


class Flink(http.server.BaseHTTPRequestHandler):
    """The part of Flink's REST interface that cancelling uses; jobs end some answers after they are told."""

    jobs: dict[str, dict[str, Any]]
    cancelled: list[str]

    def do_GET(self) -> None:
        for job in self.jobs.values():
            if job["state"] == "CANCELLING":
                job["answers"] -= 1
                job["state"] = "CANCELLING" if job["answers"] else "CANCELED"
        assert self.path == "/jobs/overview"
        listed = [{"jid": key, "name": job["name"], "state": job["state"]} for key, job in self.jobs.items()]
        self._answer(json.dumps({"jobs": listed}))

    def do_PATCH(self) -> None:
        job, _, mode = self.path.removeprefix("/jobs/").partition("?")
        assert mode == "mode=cancel"
        if not self.jobs[job].get("deaf"):
            self.jobs[job]["state"] = "CANCELLING"
        self.cancelled.append(job)
        self._answer("{}")

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def flink() -> Iterator[Callable[..., tuple[str, list[str]]]]:
    """Returns ``flink(**jobs)``: a cluster with jobs by id; gives its page and the list of ids cancelled."""
    servers = []

    def start(**jobs: dict[str, Any]) -> tuple[str, list[str]]:
        cancelled: list[str] = []
        handler = type("Handler", (Flink,), {"jobs": jobs, "cancelled": cancelled})
        server = http.server.ThreadingHTTPServer(("localhost", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://localhost:{server.server_port}", cancelled

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_POLL_S", 0.02)


def job(name: str, state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "answers": 2, **more}


def test_our_job_is_cancelled_and_no_other(flink: Callable[..., tuple[str, list[str]]]) -> None:
    page, cancelled = flink(a=job("mixtape-1"), b=job("mixtape-2"), c=job("mixtape-1", "FINISHED"))
    assert cancel_on_flink(page, "mixtape-1") == f"job mixtape-1 was cancelled on {page}"
    assert set(cancelled) == {"a"}


@pytest.mark.parametrize("state", ["FINISHED", "CANCELED", "FAILED"])
def test_of_a_job_that_has_ended_nothing_is_said(
    flink: Callable[..., tuple[str, list[str]]], state: str
) -> None:
    page, cancelled = flink(a=job("mixtape-1", state))
    assert cancel_on_flink(page, "mixtape-1") == ""
    assert not cancelled


@pytest.mark.parametrize("state", ["CREATED", "RESTARTING", "FAILING"])
def test_a_job_at_any_stage_is_cancelled(flink: Callable[..., tuple[str, list[str]]], state: str) -> None:
    page, cancelled = flink(a=job("mixtape-1", state))
    assert "was cancelled" in cancel_on_flink(page, "mixtape-1")
    assert cancelled


def test_a_job_that_does_not_end_is_named(
    flink: Callable[..., tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "CANCEL_S", 0.2)
    page, _ = flink(a=job("mixtape-1", deaf=True))
    assert cancel_on_flink(page, "mixtape-1") == f"job mixtape-1 is still ending: {page}"


def test_a_cluster_that_does_not_answer_is_named() -> None:
    said = cancel_on_flink("http://localhost:1", "mixtape-1")
    assert said.startswith(
        "job mixtape-1 may still be running, http://localhost:1 does not answer as it should"
    )
    assert said.endswith("cancel it there")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port at which something answers."""
    with contextlib.closing(socket.create_server(("localhost", 0))) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "flags",
    [
        ("--runner=FlinkRunner", "--flink_master=localhost:{}"),
        ("--runner=FlinkRunner", "--flink_master", "http://localhost:{}/"),
        ("--runner=SparkRunner", "--spark_master_url=spark://localhost:{}"),
        ("--runner=PortableRunner", "--job_endpoint", "localhost:{}"),
    ],
    ids=str,
)
def test_addresses_are_tried(flags: tuple[str, ...], listening: int) -> None:
    check_reachable([flag.format(listening) for flag in flags])
    with pytest.raises(
        UsageError, match=r"nothing answers at localhost:1 \(.+\): is the cluster up"
    ) as raised:
        check_reachable([flag.format(1) for flag in flags])
    assert "localhost:1" in str(raised.value).rpartition("right (")[2]


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--runner=FlinkRunner", "--flink_master=[local]"),
        ("--runner=SparkRunner", "--spark_master_url=local[2]"),
        ("--runner=PrismRunner",),
        ("--runner=FlinkRunner", "--flink_master=name-without-port"),
    ],
    ids=str,
)
def test_without_an_address_nothing_is_tried(flags: tuple[str, ...]) -> None:
    check_reachable(flags)


@pytest.mark.parametrize(
    ("flags", "started"),
    [
        (("--runner=FlinkRunner",), True),
        (("--runner=spark",), True),
        (("--runner=FlinkRunner", "--job_endpoint=host:1"), False),
        (("--runner=FlinkRunner", "--flink_submit_uber_jar"), False),
        (("--runner=SparkRunner", "--spark_submit_uber_jar"), False),
        (("--runner=PrismRunner",), False),
        (("--runner=PortableRunner", "--job_endpoint=host:1"), False),
    ],
    ids=str,
)
def test_who_starts_a_job_server(flags: tuple[str, ...], started: bool) -> None:
    assert starts_job_server(flags) == started


def test_jobs_are_named_each_otherwise_and_watched_for_long() -> None:
    first, second = (ClusterJob.prepare(["--runner=PrismRunner"]) for _ in range(2))
    assert first.name.startswith("mixtape-")
    assert first.name != second.name
    assert first.flags == [
        "--runner=PrismRunner",
        f"--job_name={first.name}",
        f"--job_server_timeout={30 * 24 * 3600}",
    ]


def test_what_the_user_says_of_name_and_time_counts() -> None:
    words = ["--runner=PrismRunner", "--job_name=mine", "--job_server_timeout", "60"]
    named = ClusterJob.prepare(words)
    assert (named.name, named.flags) == ("mine", words)


class Result:
    """What Beam gives for a job."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def test_cancelling_asks_the_runner() -> None:
    asked = []
    assert ClusterJob.prepare(["--runner=PrismRunner"]).cancel(Result(lambda: asked.append(1))) == ""
    assert asked == [1]


def test_cancelling_bears_a_runner_that_fails_or_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CANCEL_S", 0.1)
    prepared = ClusterJob.prepare(["--runner=PrismRunner"])

    def fail() -> None:
        raise RuntimeError("gone")

    assert prepared.cancel(Result(fail)) == ""
    began_s = time.monotonic()
    assert prepared.cancel(Result(lambda: time.sleep(30))) == ""
    assert time.monotonic() - began_s < 20
    assert prepared.cancel(None) == ""


def test_cancelling_on_flink_looks_for_the_job_by_its_name(
    flink: Callable[..., tuple[str, list[str]]],
) -> None:
    page, cancelled = flink(a=job("mine"), b=job("yours"))
    words = ["--runner=PortableRunner", "--job_endpoint=x:1", f"--flink_master={page}", "--job_name=mine"]
    assert ClusterJob.prepare(words).cancel(None) == f"job mine was cancelled on {page}"
    assert set(cancelled) == {"a"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("launcher", "reason"),
    [("/no/such/java", "No such file or directory"), ("broken", "Service failed to start up with error 3")],
)
def test_a_job_server_that_does_not_start_is_explained(launcher: str, reason: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    jar = tmp_path / "server.jar"
    jar.touch()
    before = signal.getsignal(signal.SIGINT)
    java = str(broken) if launcher == "broken" else launcher
    words = ["--runner=FlinkRunner", f"--flink_job_server_jar={jar}", f"--job_server_java_launcher={java}"]
    with pytest.raises(MixtapeError) as raised:
        ClusterJob.prepare(words)
    assert str(raised.value).startswith("the job server of FlinkRunner did not start: ")
    assert reason in str(raised.value)
    assert "--flink_job_server_jar" in str(raised.value)
    assert signal.getsignal(signal.SIGINT) == before
