"""Jobs on clusters: one job server per command, and an interrupt that ends the job there too."""

import contextlib
import functools
import json
import secrets
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.beam_flags import cluster_address, flink_page, is_given, runner_of, value_of
from transforms.errors import MixtapeError, UsageError

REACH_S = 5.0
CANCEL_S = 30.0
_POLL_S = 0.5
# Beam's own five minutes end the watching of every longer job on Prism with an error.
_JOB_S = 30 * 24 * 3600
_ENDED = ("FINISHED", "CANCELED", "FAILED")


def check_reachable(words: Sequence[str]) -> None:
    """Raises UsageError where a cluster or job server is named at which nothing answers."""
    address = cluster_address(words)
    host, _, port = address.partition("/")[0].rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except OSError as error:
        flag = next(word for word in words if address in word)
        raise UsageError(
            f"nothing answers at {address} ({error.strerror or error}): is the cluster up, and is "
            f"the address right ({flag})?"
        ) from error


@dataclass(frozen=True)
class ClusterJob:
    """One job of a command on a runner other than the local one.

    Attributes:
        words: the user's flags for Beam.
        name: the job's name on the cluster.
        server: the job server that we started for the command's jobs, if any.
    """

    words: tuple[str, ...]
    name: str
    server: "_JobServer | None" = None

    @classmethod
    def prepare(cls, words: Sequence[str]) -> "ClusterJob":
        """Names a job and sees to its job server.

        Beam starts a job server for every pipeline and ends none before the command ends. Here the
        first pipeline starts one, and all that follow in the same command use it.

        Raises:
            MixtapeError: the job server does not start.
        """
        name = value_of(words, "--job_name") or f"mixtape-{secrets.token_hex(4)}"
        server = _job_server(tuple(words)) if starts_job_server(words) else None
        return cls(tuple(words), name, server)

    @property
    def flags(self) -> list[str]:
        """The flags that Beam gets."""
        own = {"--job_name": self.name, "--job_server_timeout": str(_JOB_S)}
        if self.server:
            own["--job_endpoint"] = self.server.endpoint
        return [
            *self.words,
            *(f"{flag}={value}" for flag, value in own.items() if not value_of(self.words, flag)),
        ]

    def cancel(self, result: Any) -> str:
        """Ends the job after an interrupt, wherever it runs.

        Args:
            result: what Beam gave for the job; None if it was interrupted before that.

        Returns:
            What became of it on the cluster, for people; empty where nothing can be left of it.
        """
        if self.server:
            _try_for(CANCEL_S, self.server.server.stop)
        elif result is not None:
            _try_for(CANCEL_S, result.cancel)
        page = flink_page(self.words)
        return cancel_on_flink(page, self.name) if page else ""


def starts_job_server(words: Sequence[str]) -> bool:
    """Tells whether Beam would start a job server, a Java process, for the job."""
    return runner_of(words) in ("flinkrunner", "sparkrunner") and not is_given(
        words, "--job_endpoint", "--flink_submit_uber_jar", "--spark_submit_uber_jar"
    )


@dataclass(frozen=True)
class _JobServer:
    """A job server that we started, and where it listens. It ends with this process."""

    server: Any
    endpoint: str


@functools.cache
def _job_server(words: tuple[str, ...]) -> _JobServer:
    """Starts a job server. Raises MixtapeError."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.flink_runner import FlinkRunner
    from apache_beam.runners.portability.spark_runner import SparkRunner

    port = value_of(words, "--job_port") or str(_free_port())
    runner: Any = FlinkRunner() if runner_of(words) == "flinkrunner" else SparkRunner()
    before = signal.getsignal(signal.SIGINT)
    try:
        server = runner.default_job_server(PipelineOptions([*words, f"--job_port={port}"]))
        server.start()
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MixtapeError(
            f"the job server of {value_of(words, '--runner')} did not start: {reason}; it needs Java, "
            "and its jar from the network or from --flink_job_server_jar or --spark_job_server_jar "
            "(--verbose shows everything)"
        ) from error
    finally:
        # Beam's own handler would end the job server before the job can be cancelled.
        signal.signal(signal.SIGINT, before)
    return _JobServer(server, f"localhost:{port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


def cancel_on_flink(page: str, name: str) -> str:
    """Cancels the jobs of a name on a Flink cluster and waits until they have ended.

    Flink goes on with a job whose client has gone, and Beam's job server does not tell it to stop.

    Args:
        page: root of the cluster's REST interface.
        name: name of the job.

    Returns:
        What became of it, for people; empty where no such job ran any more.
    """
    found = False
    deadline = time.monotonic() + CANCEL_S
    try:
        while running := _running_on_flink(page, name):
            found = True
            if time.monotonic() > deadline:
                return f"job {name} is still ending: {page}"
            for job in running:
                _request("PATCH", f"{page}/jobs/{job}?mode=cancel")
            time.sleep(_POLL_S)
    except (OSError, ValueError, KeyError) as error:
        return (
            f"job {name} may still be running, {page} does not answer as it should ({error}); cancel it there"
        )
    return f"job {name} was cancelled on {page}" if found else ""


def _running_on_flink(page: str, name: str) -> list[str]:
    jobs = json.loads(_request("GET", f"{page}/jobs/overview"))["jobs"]
    return [job["jid"] for job in jobs if job["name"] == name and job["state"] not in _ENDED]


def _request(method: str, url: str) -> bytes:
    request = urllib.request.Request(url, method=method)
    with contextlib.closing(urllib.request.urlopen(request, timeout=REACH_S)) as answer:
        return bytes(answer.read())


def _try_for(seconds: float, action: Callable[[], object]) -> None:
    """Does something that may fail or never come back."""

    def attempt() -> None:
        with contextlib.suppress(Exception):
            action()

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
