"""Errors say what is wrong in one text, and survive the way between processes."""

import pickle

import pytest

from transforms.errors import MixtapeError, SourceError, StorageError, UsageError

ERRORS = [
    MixtapeError("something"),
    UsageError("one problem"),
    UsageError(["one problem", "another"]),
    StorageError("gs://bucket/a", "no such file"),
    SourceError("wham:tr/a.wav", "read", "has 8000 Hz, wanted 16000 Hz", "resample it"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{type(error).__name__}: {error}")
def test_errors_come_through_pickling_whole(error: MixtapeError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_all_errors_are_of_one_family(error: MixtapeError) -> None:
    assert isinstance(error, MixtapeError)


def test_one_problem_is_a_tuple_of_one() -> None:
    assert UsageError("no such folder").problems == ("no such folder",)


def test_problems_are_told_one_a_line() -> None:
    error = UsageError(["no such folder", "unknown type"])
    assert error.problems == ("no such folder", "unknown type")
    assert str(error) == "no such folder\nunknown type"


def test_storage_error_names_the_url_first() -> None:
    error = StorageError("gs://bucket/a", "permission denied")
    assert (error.url, error.problem) == ("gs://bucket/a", "permission denied")
    assert str(error) == "gs://bucket/a: permission denied"


def test_source_error_tells_reason_stage_and_remedy() -> None:
    error = SourceError("wham:tr/a.wav", "read", "holds no samples", "fetch it again")
    assert (error.source, error.stage) == ("wham:tr/a.wav", "read")
    assert (error.reason, error.remedy) == ("holds no samples", "fetch it again")
    assert str(error) == "wham:tr/a.wav: holds no samples (while: read); fetch it again"
