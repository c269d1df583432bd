"""A worker without a container: what it asks the runner, and what it tells Beam's own program."""

import json
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from apache_beam.portability.api import beam_provision_api_pb2 as provision
from apache_beam.portability.api import beam_provision_api_pb2_grpc as provision_grpc
from apache_beam.portability.api import endpoints_pb2
from apache_beam.runners.worker import sdk_worker_main
from google.protobuf import struct_pb2, text_format

from pipelines import worker


def described(name: str) -> endpoints_pb2.ApiServiceDescriptor:
    return endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{name}")


def information(**more: Any) -> provision.ProvisionInfo:
    options = struct_pb2.Struct()
    options.update({"beam:option:job_name:v1": "mixtape-1"})
    return provision.ProvisionInfo(
        pipeline_options=options,
        control_endpoint=described("control"),
        logging_endpoint=described("logging"),
        runner_capabilities=["a:b:v1", "c:d:v1"],
        **more,
    )


class Provision(provision_grpc.ProvisionServiceServicer):
    """A runner's service that knows one worker, as runners do by the metadata of the call."""

    def __init__(self) -> None:
        self.asked_by: list[str] = []

    def GetProvisionInfo(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        known_as = dict(context.invocation_metadata())["worker_id"]
        self.asked_by.append(str(known_as))
        if known_as != "1-2":
            context.abort(grpc.StatusCode.UNKNOWN, f"{known_as} is not a worker")
        return provision.GetProvisionInfoResponse(info=information())


@pytest.fixture
def service() -> Iterator[tuple[Provision, str]]:
    """A provision service, and where it listens."""
    served = Provision()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    provision_grpc.add_ProvisionServiceServicer_to_server(served, server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield served, f"localhost:{port}"
    server.stop(None)


def test_the_runner_is_asked_as_the_worker_that_it_knows(service: tuple[Provision, str]) -> None:
    served, endpoint = service
    assert worker.provision_info("1-2", endpoint) == information()
    assert served.asked_by == ["1-2"]


def test_a_worker_that_the_runner_does_not_know_fails(service: tuple[Provision, str]) -> None:
    with pytest.raises(grpc.RpcError, match="3-4 is not a worker"):
        worker.provision_info("3-4", service[1])


def test_the_environment_says_all_that_beam_reads() -> None:
    found = worker.worker_environment("1-2", information())
    assert found["WORKER_ID"] == "1-2"
    assert json.loads(found["PIPELINE_OPTIONS"]) == {"beam:option:job_name:v1": "mixtape-1"}
    assert found["RUNNER_CAPABILITIES"].split() == ["a:b:v1", "c:d:v1"]
    for name in ("CONTROL", "LOGGING"):
        read = text_format.Parse(
            found[f"{name}_API_SERVICE_DESCRIPTOR"], endpoints_pb2.ApiServiceDescriptor()
        )
        assert read == described(name.lower())
    assert "STATUS_API_SERVICE_DESCRIPTOR" not in found


def test_a_status_service_is_told_where_there_is_one() -> None:
    found = worker.worker_environment("1-2", information(status_endpoint=described("status")))
    assert "localhost:status" in found["STATUS_API_SERVICE_DESCRIPTOR"]


@pytest.mark.parametrize("written", ["1-2", '"1-2"', "'1-2'"], ids=["plain", "double", "single"])
def test_beams_own_program_takes_over(
    written: str, service: tuple[Provision, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {}
    for name in ("WORKER_ID", "PIPELINE_OPTIONS", "RUNNER_CAPABILITIES", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "before")
    for name in ("CONTROL_API_SERVICE_DESCRIPTOR", "LOGGING_API_SERVICE_DESCRIPTOR"):
        monkeypatch.setenv(name, "before")
    monkeypatch.setattr(sdk_worker_main, "main", lambda _: told.update(worker.os.environ))
    flags = [f"--id={written}", f"--provision_endpoint={service[1]}", "--control_endpoint=other:1"]
    assert worker.main(flags) == 0
    assert told["WORKER_ID"] == "1-2"
    assert "localhost:control" in told["CONTROL_API_SERVICE_DESCRIPTOR"]
    assert told["OPENBLAS_NUM_THREADS"] == "before", "what the operator says counts"


@pytest.mark.parametrize("missing", ["id", "provision_endpoint"])
def test_what_runners_must_say(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = {"id": "1-2", "provision_endpoint": "localhost:1"}
    del flags[missing]
    with pytest.raises(SystemExit):
        worker.main([f"--{name}={value}" for name, value in flags.items()])
    assert f"the following arguments are required: --{missing}" in capsys.readouterr().err
