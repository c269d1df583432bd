"""Which failures of stores are tried again, and what the others mean."""

import errno

import aiohttp
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from gcsfs.retry import HttpError
from s3fs.errors import translate_boto_error

from transforms.errors import MixtapeError, StorageError, StoreUnavailableError
from transforms.storage import failures
from transforms.storage.failures import attempt, is_denied, is_passing, problem_of


def of_s3(code: str, status: int) -> BaseException:
    """Returns what s3fs raises for an answer."""
    answer = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error = translate_boto_error(ClientError(answer, "GetObject"))
    assert isinstance(error, BaseException)
    return error


PASSING = [
    ConnectionResetError(),
    TimeoutError(),
    OSError(errno.EBUSY, "busy"),
    aiohttp.ClientPayloadError("cut"),
    aiohttp.ServerDisconnectedError(),
    EndpointConnectionError(endpoint_url="http://x"),
    HttpError({"code": 503, "message": "m"}),
    HttpError({"code": "429", "message": "m"}),
    of_s3("SlowDown", 503),
    of_s3("InternalError", 500),
    of_s3("504", 504),
]
DENIED = [
    PermissionError(),
    OSError("Forbidden: https://x"),
    HttpError({"code": 401, "message": "m"}),
    NoCredentialsError(),
    of_s3("AccessDenied", 403),
    of_s3("SignatureDoesNotMatch", 403),
]
OTHERS = [
    FileNotFoundError(),
    ValueError("x"),
    OSError(errno.ENOSPC, "full"),
    HttpError({"code": 400, "message": "m"}),
    of_s3("NoSuchKey", 404),
    of_s3("InvalidArgument", 400),
]


def name_of(error: BaseException) -> str:
    return f"{type(error).__name__}-{error}"[:40]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(failures, "_silent_until", {})


@pytest.mark.parametrize("error", PASSING, ids=name_of)
def test_what_may_pass_is_tried_again(error: BaseException) -> None:
    assert (is_passing(error), is_denied(error)) == (True, False)
    failing = [error, error]

    def work() -> str:
        if failing:
            raise failing.pop()
        return "done"

    assert attempt("gs://b/a", work) == "done"


@pytest.mark.parametrize("error", [*DENIED, *OTHERS], ids=name_of)
def test_nothing_else_is_tried_again(error: BaseException) -> None:
    assert not is_passing(error)
    calls = []

    def work() -> None:
        calls.append(1)
        raise error

    with pytest.raises(MixtapeError, match=r"^gs://b/a: "):
        attempt("gs://b/a", work)
    assert len(calls) == 1


@pytest.mark.parametrize("error", DENIED, ids=name_of)
def test_denied_access_is_unavailability(error: BaseException) -> None:
    assert is_denied(error)
    found = problem_of("gs://b/a", error)
    assert isinstance(found, StoreUnavailableError)
    assert found.problem.startswith("the store denies access; check the credentials, and what they may do")


@pytest.mark.parametrize("error", OTHERS, ids=name_of)
def test_other_errors_are_of_the_file(error: BaseException) -> None:
    assert not is_denied(error)
    assert isinstance(problem_of("gs://b/a", error), StorageError)


def test_a_disk_is_not_a_store() -> None:
    found = problem_of("/a", PermissionError())
    assert isinstance(found, StorageError)
    assert found.problem == "permission denied; check who owns it and its mode"
    with pytest.raises(StorageError, match="TimeoutError"):
        attempt("/a", lambda: (_ for _ in ()).throw(TimeoutError()))


def test_a_silent_store_is_given_up_and_then_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "RETRY_S", 0.05)
    calls = []

    def work() -> None:
        calls.append(1)
        raise ConnectionRefusedError("nobody there")

    wanted = (
        r"does not answer, or answers with errors; run the same .* \(ConnectionRefusedError: nobody there\)$"
    )
    with pytest.raises(StoreUnavailableError, match=wanted):
        attempt("gs://b/a", work)
    assert len(calls) > 1
    monkeypatch.setattr(failures, "RETRY_S", 60.0)
    failures._silent_until["gs://b"] += 60
    calls.clear()
    with pytest.raises(StoreUnavailableError):
        attempt("gs://b/c", work)
    assert len(calls) == 1
    assert attempt("gs://b/c", lambda: "back") == "back"
    assert failures._silent_until == {}


def test_our_own_errors_pass_through() -> None:
    def work() -> None:
        raise StorageError("gs://b/a", "is damaged")

    with pytest.raises(StorageError, match=r"^gs://b/a: is damaged$"):
        attempt("gs://b/x", work)
