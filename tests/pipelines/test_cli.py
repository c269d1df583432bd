"""The command line as a whole: what it understands, what it refuses, and how it ends."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines import cli
from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms.errors import UsageError
from transforms.version import VERSION

COMMANDS = (
    ("demo",),
    ("metadata", "librispeech"),
    ("metadata", "wham"),
    ("metadata", "audio"),
    ("augment", "wham"),
    ("plan", "librimix"),
    ("render", "librimix"),
    ("build", "librimix"),
    ("verify", "somewhere"),
)


def launch(repository: Path, *words: str, **how: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.Popen(
        command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how
    )


def test_version(mixtape: Mixtape) -> None:
    outcome = mixtape("--version", workers=None)
    assert (outcome.status, outcome.out) == (0, f"mixtape {VERSION}\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_every_command_states_the_ways_a_run_ends(mixtape: Mixtape, words: Sequence[str]) -> None:
    outcome = mixtape(*words[: 1 if words[0] == "verify" else 2], "--help", workers=None)
    assert (outcome.status, outcome.err) == (0, "")
    assert "--workers N" in outcome.out
    assert "Exit status: 0 all good; 1 finished" in outcome.out
    assert "go to Apache Beam" in outcome.out


@pytest.mark.parametrize("words", [(), ("render",), ("metadata",)], ids=str)
def test_without_a_command_the_commands_are_shown(mixtape: Mixtape, words: Sequence[str]) -> None:
    outcome = mixtape(*words, workers=None)
    assert outcome.status == 2
    assert outcome.err.startswith(" ".join(["usage: mixtape", *words]))
    assert outcome.err.endswith("mixtape: name a command, as above\n")


@pytest.mark.parametrize(("words", "known"), [(("rendr",), "'render'"), (("render", "libri"), "'librimix'")])
def test_an_unknown_command_shows_the_known_ones(mixtape: Mixtape, words: Sequence[str], known: str) -> None:
    outcome = mixtape(*words, workers=None)
    assert outcome.status == 2
    assert f"invalid choice: '{words[-1]}' (choose from" in outcome.err
    assert known in outcome.err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--librispeach", "--librispeech"),
        ("--shardsize", "--shard-size"),
        ("--shard_size", "--shard-size"),
        ("--shard_size=3", "--shard-size"),
        ("--form", "--formats"),
        ("--rate", "--rates"),
        ("-plan", "--plan"),
        ("--dry_run", "--dry-run"),
        ("--verbos", "--verbose"),
        ("--max-reject", "--max-rejects"),
    ],
)
def test_a_misspelt_flag_is_refused_with_a_hint(mixtape: Mixtape, given: str, meant: str) -> None:
    outcome = mixtape("render", "librimix", given, "x")
    assert outcome.status == 2
    flag = given.partition("=")[0]
    assert f"{flag} is not a flag of this command; did you mean {meant}?" in outcome.problems


def beam_flags() -> set[str]:
    """Every flag that Beam's own options have."""
    flags: set[str] = set()
    for kind in _below(PipelineOptions):
        if kind.__module__.startswith("apache_beam.options."):
            parser = argparse.ArgumentParser(add_help=False, conflict_handler="resolve")
            kind._add_argparse_args(parser)
            flags |= set(parser._option_string_actions)
    return flags


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_flag_of_beam_is_taken_for_a_misspelt_one_of_ours(words: Sequence[str]) -> None:
    flags = sorted(beam_flags() - {"--dry_run"})
    assert len(flags) > 100
    given = [f"{flag}=1" for flag in flags]
    arguments, passed_on = cli.parse([*words, "--quiet", *given])
    assert arguments.problems == []
    assert passed_on == given


def test_flags_for_beam_are_named_and_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--runner", "FlinkRunner", "--flink_master=host:8081"]
    arguments, passed_on = cli.parse(["demo", *words])
    assert passed_on == words
    assert arguments.problems == []
    assert arguments.command_line == ("mixtape", "demo", *words)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "passed on to Beam: --runner FlinkRunner --flink_master=host:8081"
    assert all(line.startswith("note: ") for line in told[1:])


def test_quiet_says_nothing_of_flags_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    cli.parse(["demo", "--quiet", "--flink_master=host:8081"])
    assert capsys.readouterr().err == ""


def test_words_that_belong_to_no_flag_are_refused(mixtape: Mixtape) -> None:
    outcome = mixtape("demo", "here", "--region", "west", "there")
    assert outcome.status == 2
    assert outcome.problems == [
        "'here' belongs to no flag; see mixtape demo --help",
        "'there' belongs to no flag; see mixtape demo --help",
    ]


def test_all_problems_of_a_command_line_are_named_together(mixtape: Mixtape, tmp_path: Path) -> None:
    outcome = mixtape(
        *("render", "librimix", "--plan", tmp_path / "none", tmp_path, "--librispeech", "/nowhere"),
        *("--rates", "44", "--modes", "mim", "--types", "mixclean", "--formats", "wave", "--shard-size", "0"),
        *("--max-rejects", "many", "--librispeach", "x", "--workers", "two"),
        workers=None,
    )
    assert outcome.status == 2
    assert outcome.problems == [
        "--librispeach is not a flag of this command; did you mean --librispeech?",
        "--rates 44: wanted a whole number of 1000 or more",
        "--modes mim: wanted some of min max, each once",
        "--types mixclean: wanted some of mix_clean mix_both mix_single, each once",
        "--formats wave: wanted some of wav webdataset tfrecord, each once",
        "--shard-size 0: wanted a whole number of 1 or more",
        "--librispeech /nowhere: no such folder; check the path",
        f"{tmp_path / 'none'}: no such plan or folder; check the path",
        f"{tmp_path}: holds no plan; looked for libri<N>mix_<listing>.csv (for instance "
        "libri2mix_train-clean-100.csv) at any depth among 0 CSV files",
        "--out is needed; see mixtape render librimix --help",
        "--max-rejects 'many': wanted a count such as 10 or a share such as 0.5%",
        "--workers two: wanted a whole number of 1 or more",
    ]


def test_contradicting_flags_are_refused(mixtape: Mixtape) -> None:
    outcome = mixtape("demo", "--quiet", "--verbose")
    assert outcome.status == 2
    assert "argument --verbose: not allowed with argument --quiet" in outcome.err


def test_parse_refuses_a_line_without_a_command() -> None:
    with pytest.raises(UsageError, match="name a command"):
        cli.parse(["render"])


def test_the_module_is_a_program(repository: Path) -> None:
    program = launch(repository, "verify", "/nowhere")
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (2, "")
    assert err == (
        "mixtape: /nowhere: holds no finished corpus (looked for _mixtape/run.json); "
        "check the path, or render again\n"
    )


def _listen_to_interrupts() -> None:
    """Undoes that a shell made its background jobs deaf."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_interrupted_run_ends_at_once_and_goes_on_later(
    repository: Path, tmp_path: Path, mixtape: Mixtape, workers: str
) -> None:
    corpus = trees.make_corpus(tmp_path / "corpus", mixtures=100, samples=30000)
    words = [*corpus.flags(tmp_path / "out"), "--shard-size", "1"]
    program = launch(
        repository, *words, "--workers", workers, start_new_session=True, preexec_fn=_listen_to_interrupts
    )
    ledgers = tmp_path / "out" / "_mixtape" / "ledger"
    deadline = time.monotonic() + 60
    while not (ledgers.is_dir() and len(os.listdir(ledgers)) > 2) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=60)
    assert (program.returncode, out) == (130, "")
    assert err.endswith("mixtape: interrupted; the same command goes on from here\n")
    assert "Traceback" not in err
    made = len(os.listdir(ledgers))
    assert 2 < made < 100
    again = mixtape(*words)
    assert again.status == 0
    assert "planned 100 = written 100 + rejected 0" in again.out
    assert f"{100 - made} shards made" in again.out


def test_a_request_to_terminate_is_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        cli.make_terminable()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_threads_leave_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=cli.make_terminable)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before


def test_help_names_every_exit_status(mixtape: Mixtape) -> None:
    text = mixtape("--help", workers=None).out
    assert text.rstrip().endswith("before work began; 130 interrupted.")
