"""``mixtape-worker``: what a Beam runner starts as a worker, where this package is installed (PROCESS)."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

PROVISION_S = 60.0


def main(argv: Sequence[str] | None = None) -> int:
    """Asks the runner what to do, and does it until the runner has no more work.

    Beam's contract with a worker's start program is followed: it is given ``--id`` and
    ``--provision_endpoint``, and learns all else from the service there.
    """
    parser = argparse.ArgumentParser(
        prog="mixtape-worker",
        description="Worker of a Beam runner, for --environment_type PROCESS; runners start it, not people.",
        allow_abbrev=False,
    )
    parser.add_argument("--id", required=True, help="name that the runner knows this worker by")
    parser.add_argument("--provision_endpoint", required=True, help="HOST:PORT where the runner tells more")
    arguments, _ = parser.parse_known_args(argv)
    # Prism hands the id over in quotation marks.
    worker_id = arguments.id.strip("\"'")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.update(worker_environment(worker_id, provision_info(worker_id, arguments.provision_endpoint)))
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main([])
    return 0


def provision_info(worker_id: str, endpoint: str) -> Any:
    """Returns the ``ProvisionInfo`` that the runner has for a worker. Raises grpc.RpcError."""
    import grpc
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc

    with grpc.insecure_channel(endpoint) as channel:
        service = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        request = beam_provision_api_pb2.GetProvisionInfoRequest()
        known_as = (("worker_id", worker_id),)
        return service.GetProvisionInfo(request, metadata=known_as, timeout=PROVISION_S).info


def worker_environment(worker_id: str, info: Any) -> dict[str, str]:
    """Returns the environment variables from which Beam's worker program learns what to do.

    Args:
        worker_id: name that the runner knows the worker by.
        info: the runner's ``ProvisionInfo``.
    """
    from google.protobuf import json_format, text_format

    variables = {
        "WORKER_ID": worker_id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        "CONTROL_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": text_format.MessageToString(info.logging_endpoint),
    }
    if info.HasField("status_endpoint"):
        variables["STATUS_API_SERVICE_DESCRIPTOR"] = text_format.MessageToString(info.status_endpoint)
    return variables


if __name__ == "__main__":
    sys.exit(main())
