"""What failures of file systems mean: trying again, and saying in a person's words what is wrong.

Clients of stores try again by themselves, each after its own rules. On top of that every operation on a
store is tried for a minute as long as what it meets is passing: no connection, an answer that breaks off or
takes too long, and the statuses that stores ask to try again after. Nothing else is tried twice.
"""

import contextlib
import errno
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from transforms.errors import MixtapeError, StorageError, StoreUnavailableError
from transforms.storage.urls import local_path

T = TypeVar("T")

RETRY_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.25, 8.0
# By store: until when one try must do, because it was silent for so long just before.
_silent_until: dict[str, float] = {}
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_DENYING_STATUSES = frozenset({401, 403, 407})
_PASSING_NUMBERS = frozenset({errno.EBUSY, errno.EREMOTEIO, errno.ENETUNREACH, errno.EHOSTUNREACH})
_PASSING_TYPES = frozenset(
    {
        "aiohttp.client_exceptions.ClientConnectionError",
        "aiohttp.client_exceptions.ClientPayloadError",
        "botocore.exceptions.ConnectionError",
        "botocore.exceptions.HTTPClientError",
        "gcsfs.retry.ChecksumError",
        "google.auth.exceptions.TransportError",
        "requests.exceptions.ConnectionError",
        "requests.exceptions.ChunkedEncodingError",
    }
)
_DENYING_TYPES = frozenset(
    {
        "botocore.exceptions.NoCredentialsError",
        "botocore.exceptions.PartialCredentialsError",
        "google.auth.exceptions.DefaultCredentialsError",
        "google.auth.exceptions.RefreshError",
    }
)


def attempt(url: str, work: Callable[[], T]) -> T:
    """Returns what an operation gives; on a store it is tried again while failures are passing.

    Args:
        url: what the operation is on, for messages.
        work: calls of a file system and nothing else. It may run several times.

    Raises:
        StorageError: it failed.
        StoreUnavailableError: the store denies access, or has not answered for a minute.
    """
    if local_path(url) is not None:
        with explained(url):
            return work()
    store = "/".join(url.split("/", 3)[:3])
    end = time.monotonic() + (0 if time.monotonic() < _silent_until.get(store, 0) else RETRY_S)
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            found = work()
        except MixtapeError:
            raise
        except Exception as error:
            if is_passing(error) and time.monotonic() <= end:
                time.sleep(wait_s * random.uniform(0.5, 1.0))
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            if is_passing(error):
                _silent_until[store] = time.monotonic() + RETRY_S
            raise problem_of(url, error) from error
        _silent_until.pop(store, None)
        return found


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns any failure of a file system into an error of ours that names the URL.

    The errors of stores' clients and of archives have no common base, hence the wide net; so a
    block holds calls of a file system and nothing else.
    """
    try:
        yield
    except MixtapeError:
        raise
    except Exception as error:
        raise problem_of(url, error) from error


def problem_of(url: str, error: BaseException) -> MixtapeError:
    """Returns the error of ours that says what a failure means."""
    if local_path(url) is None:
        if is_denied(error):
            denied = "the store denies access; check the credentials, and what they may do in this bucket"
            return StoreUnavailableError(url, f"{denied} ({_shortly(error)})")
        if is_passing(error):
            silent = "the store does not answer, or answers with errors; run the same command again later"
            return StoreUnavailableError(url, f"{silent} ({_shortly(error)})")
    return StorageError(url, _explain(error))


def is_passing(error: BaseException) -> bool:
    """Tells whether a failure of a store may be over soon, so that trying again makes sense."""
    if isinstance(error, TimeoutError | ConnectionError) or _names(error) & _PASSING_TYPES:
        return True
    status = _status(error)
    if status is not None:
        return status in _PASSING_STATUSES
    return isinstance(error, OSError) and error.errno in _PASSING_NUMBERS


def is_denied(error: BaseException) -> bool:
    """Tells whether a store refused to serve whoever asks."""
    if isinstance(error, PermissionError) or _names(error) & _DENYING_TYPES:
        return True
    return _status(error) in _DENYING_STATUSES or str(error).startswith("Forbidden")


def is_beyond_end(error: BaseException) -> bool:
    """Tells whether a store has none of the bytes that were asked for, as of every range of an empty file."""
    return _status(error) == 416


def _status(error: BaseException) -> int | None:
    """Returns the HTTP status that a client's error holds, or botocore's that caused it."""
    response: Any = getattr(error.__cause__, "response", None)
    if isinstance(response, dict):
        found: Any = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(error, "status", None) or getattr(error, "code", None)
    return int(found) if str(found).isdigit() else None


def _names(error: BaseException) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}


def _shortly(error: BaseException) -> str:
    """Returns the first line of what a library says, with the kind of error."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}".removesuffix(": ")


def _explain(error: BaseException) -> str:
    """Says in a person's words what an I/O error means."""
    match error:
        case FileNotFoundError():
            return "no such file or folder; check the path"
        case PermissionError():
            return "permission denied; check who owns it and its mode"
        case NotADirectoryError() | FileExistsError():
            return "a file stands where a folder is needed; choose another path"
        case IsADirectoryError():
            return "a folder stands where a file is needed; choose another path"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return "no space left on the device; free some, then run the same command again"
        case _:
            return f"{type(error).__name__}: {error}"
