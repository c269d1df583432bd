"""Values of a command line: read where they are good, named where they are not."""

import argparse
from pathlib import Path
from typing import Any

import pytest

from pipelines.checks import Checker
from pipelines.runner import Running
from transforms.errors import StorageError, UsageError
from transforms.rejects import RejectLimit


def checker(**values: Any) -> Checker:
    parser = argparse.ArgumentParser("mixtape job")
    common = {"workers": "2", "quiet": False, "verbose": False, "problems": [], "parser": parser}
    return Checker(argparse.Namespace(**(common | values)))


def test_without_problems_nothing_is_raised() -> None:
    checker().raise_problems()


def test_every_problem_is_raised_once_in_the_order_found() -> None:
    one = checker(problems=["a flag"], out="", speakers="no")
    one.needed("out")
    one.whole_number("speakers")
    one.needed("out")
    with pytest.raises(UsageError) as raised:
        one.raise_problems()
    assert raised.value.problems == (
        "a flag",
        "--out is needed; see mixtape job --help",
        "--speakers no: wanted a whole number of 1 or more",
    )


def test_problems_of_the_command_line_itself_are_not_changed() -> None:
    found = ["a flag"]
    one = checker(problems=found, out="")
    one.needed("out")
    assert found == ["a flag"]


def test_attempt_notes_problems_and_falls_back() -> None:
    def fail(error: Exception) -> str:
        raise error

    one = checker()
    assert one.attempt(lambda: "good", "fallback") == "good"
    assert one.attempt(lambda: fail(UsageError(["a", "b"])), "fallback") == "fallback"
    assert one.attempt(lambda: fail(StorageError("x.csv", "is broken")), "fallback") == "fallback"
    assert one.problems == ["a", "b", "x.csv: is broken"]
    with pytest.raises(ZeroDivisionError):
        one.attempt(lambda: fail(ZeroDivisionError()), "fallback")


@pytest.mark.parametrize("value", [None, ""])
def test_a_needed_value_that_is_missing(value: str | None) -> None:
    one = checker(wham_metadata=value)
    assert one.needed("wham_metadata") == ""
    assert one.problems == ["--wham-metadata is needed; see mixtape job --help"]


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    one = checker(out=str(tmp_path), wham=str(tmp_path / "file"), plan=str(tmp_path / "none"))
    assert one.folder("out") == str(tmp_path)
    assert one.problems == []
    assert one.folder("wham") == str(tmp_path / "file")
    assert one.folder("plan") == str(tmp_path / "none")
    assert one.problems == [
        f"--wham {tmp_path / 'file'}: no such folder; check the path",
        f"--plan {tmp_path / 'none'}: no such folder; check the path",
    ]


def test_a_store_that_is_not_known_is_a_problem() -> None:
    one = checker(out="nostore://x/y")
    one.folder("out")
    (problem,) = one.problems
    assert "nostore" in problem


@pytest.mark.parametrize("text", ["1", "7", "1000000"])
def test_whole_numbers(text: str) -> None:
    one = checker(seed=text)
    assert one.whole_number("seed") == int(text)
    assert one.problems == []


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "two", "", "1e3", "0x10"])
def test_what_is_no_whole_number_above_zero(text: str) -> None:
    one = checker(shard_size=text)
    assert one.whole_number("shard_size") == 1
    assert one.problems == [f"--shard-size {text}: wanted a whole number of 1 or more"]


def test_zero_where_it_is_allowed() -> None:
    one = checker(seed="0")
    assert one.whole_number("seed", at_least=0) == 0
    assert one.problems == []


def test_choices_keep_their_order() -> None:
    one = checker(modes=["max", "min"])
    assert one.choices("modes", ("min", "max")) == ("max", "min")
    assert one.problems == []


@pytest.mark.parametrize("words", [["mean"], ["min", "min"], ["min", "mean"]], ids=" ".join)
def test_unknown_and_repeated_choices(words: list[str]) -> None:
    one = checker(modes=words)
    one.choices("modes", ("min", "max"))
    assert one.problems == [f"--modes {' '.join(words)}: wanted some of min max, each once"]


@pytest.mark.parametrize(
    ("words", "rates_hz"),
    [(["8k", "16K"], (8000, 16000)), (["16000"], (16000,)), (["44100", "48000"], (44100, 48000))],
)
def test_rates(words: list[str], rates_hz: tuple[int, ...]) -> None:
    one = checker(rates=words)
    assert one.rates_hz() == rates_hz
    assert one.problems == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["8"], "--rates 8: wanted a whole number of 1000 or more"),
        (["8kHz"], "--rates 8kHz: wanted a whole number of 1000 or more"),
        (["8.0k"], "--rates 8.0k: wanted a whole number of 1000 or more"),
        (["8k", "8000"], "--rates 8k 8000: two of them would share a folder (whole kHz)"),
        (["44100", "44000"], "--rates 44100 44000: two of them would share a folder (whole kHz)"),
    ],
)
def test_bad_rates_are_named_as_they_were_given(words: list[str], problem: str) -> None:
    one = checker(rates=words)
    one.rates_hz()
    assert one.problems == [problem]


@pytest.mark.parametrize(("text", "limit"), [("3", RejectLimit(3)), ("2.5%", RejectLimit(None, 0.025))])
def test_limits_of_rejects(text: str, limit: RejectLimit) -> None:
    assert checker(max_rejects=text).reject_limit() == limit


@pytest.mark.parametrize("text", ["-1", "some", "101%", "-1%", "%", "nan%"])
def test_bad_limits_of_rejects(text: str) -> None:
    one = checker(max_rejects=text)
    assert one.reject_limit() == RejectLimit()
    assert one.problems == [f"--max-rejects '{text}': wanted a count such as 10 or a share such as 0.5%"]


def test_running() -> None:
    one = checker(workers="3", verbose=True)
    flags = ["--direct_num_workers=5"]
    assert one.running(flags) == Running(3, tuple(flags), quiet=False, verbose=True)
    assert one.problems == []


def test_workers_and_flags_for_beam_are_checked_together() -> None:
    one = checker(workers="none")
    assert one.running(["--direct_num_workers=five"]).workers == 1
    assert one.problems == [
        "--workers none: wanted a whole number of 1 or more",
        "Beam refuses the flags passed on to it (--direct_num_workers=five): "
        "argument --direct_num_workers: invalid int value: 'five'",
    ]


def test_misspelt_flags_are_not_tried_on_beam() -> None:
    one = checker(problems=["misspelt"])
    one.running(["--direct_num_workers=five"])
    assert one.problems == ["misspelt"]


def test_roots_are_read_by_name(tmp_path: Path) -> None:
    one = checker()
    assert one.roots([f"speech={tmp_path}", "noise=memory://b/a=c"]) == {
        "speech": str(tmp_path),
        "noise": "memory://b/a=c",
    }
    assert one.problems == []


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["speech"], "--root speech: wanted NAME=URL, for instance librispeech=/data/LibriSpeech"),
        (["speech=/a", "noise=/b", "speech=/c"], "--root speech: is given twice; give one URL"),
    ],
)
def test_roots_without_a_url_or_with_two_are_named(words: list[str], problem: str) -> None:
    one = checker()
    one.roots(words)
    assert one.problems == [problem]


@pytest.mark.parametrize(
    ("words", "licences", "problems"),
    [
        ([], {}, []),
        (["speech=CC BY 4.0", "rir= MIT "], {"speech": "CC BY 4.0", "rir": "MIT"}, []),
        (["other=MIT"], None, ["--licence other=MIT: wanted ROOT=TEXT"]),
        (["speech", "noise="], None, ["--licence speech: wanted ROOT=TEXT", "--licence noise=: wanted"]),
    ],
)
def test_licences_are_of_roots_that_there_are(
    words: list[str], licences: dict[str, str] | None, problems: list[str]
) -> None:
    checker = Checker(argparse.Namespace(problems=(), licence=words))
    found = checker.licences(("speech", "noise", "rir"))
    assert licences is None or found == licences
    assert len(checker.problems) == len(problems)
    for said, wanted in zip(checker.problems, problems, strict=True):
        assert said.startswith(wanted)
        assert said.endswith("the roots are speech, noise, rir")
