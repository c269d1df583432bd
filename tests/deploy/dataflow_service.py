"""A stand-in for the Dataflow service: takes a job over HTTP and runs what was staged, on this machine."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class DataflowService:
    """What the service was asked, and how its one job goes.

    Attributes:
        outcome: state that the job ends in; ``JOB_STATE_DONE`` only if running it succeeds.
        requests: method and path of every request.
        created: bodies of the requests to create a job.
        state: of the job.
        problem: why the job failed.
    """

    outcome: str = "JOB_STATE_DONE"
    requests: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    state: str = "JOB_STATE_RUNNING"
    problem: str = ""
    url: str = ""

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        threading.Thread(target=self._run, args=(body,), daemon=True).start()
        return self.job()

    def job(self) -> dict[str, Any]:
        return {
            "id": "2026-11-20_job",
            "projectId": "my-project",
            "location": "us-central1",
            "name": "mixtape",
            "currentState": self.state,
            "createTime": "2026-11-20T02:00:00Z",
        }

    def messages(self) -> dict[str, Any]:
        if not self.problem:
            return {"jobMessages": []}
        message = {
            "id": "1",
            "time": "2026-11-20T02:00:01Z",
            "messageText": self.problem,
            "messageImportance": "JOB_MESSAGE_ERROR",
        }
        return {"jobMessages": [message]}

    def _run(self, body: dict[str, Any]) -> None:
        try:
            run_staged(Path(body["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]))
            self.state = self.outcome
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            self.state = "JOB_STATE_FAILED"


def run_staged(path: Path) -> None:
    """Runs a staged pipeline to its end with Beam's local runner, in threads of this process."""
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability import python_urns
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner

    pipeline = staged_pipeline(path)
    for environment in pipeline.components.environments.values():
        environment.urn = python_urns.EMBEDDED_PYTHON
        environment.payload = b""
    FnApiRunner().run_via_runner_api(pipeline, PipelineOptions([])).wait_until_finish()


def staged_pipeline(path: Path) -> Any:
    """Reads the job graph that a launcher staged."""
    from apache_beam.portability.api import beam_runner_api_pb2

    return beam_runner_api_pb2.Pipeline.FromString(path.read_bytes())


class _Handler(BaseHTTPRequestHandler):
    service: DataflowService

    def _answer(self, fields: dict[str, Any]) -> None:
        data = json.dumps(fields).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        self.service.requests.append(f"POST {self.path.partition('?')[0]}")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.service.create(body))

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.service.requests.append(f"GET {path}")
        if path.endswith("/messages"):
            self._answer(self.service.messages())
        elif path.endswith("/metrics"):
            self._answer({"metrics": [], "metricTime": "2026-11-20T02:00:02Z"})
        else:
            self._answer(self.service.job())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def dataflow_service(**choices: Any) -> Iterator[DataflowService]:
    """Serves on a free port of this machine while the block runs."""
    service = DataflowService(**choices)
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    service.url = f"http://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
