"""The ``mixtape`` command: reads the command line, runs one job, and says how it ended."""

import argparse
import difflib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence

from pipelines.arguments import build_parser
from pipelines.beam_flags import remarks
from pipelines.dataflow import HandedOver
from transforms.errors import MixtapeError, UsageError
from transforms.version import VERSION

EXIT_GOOD, EXIT_BROKEN, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
_LIKENESS = 0.84
_OF_OTHER_COMMANDS = ("--force", "--resume")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        arguments, passed_on = parse(sys.argv[1:] if argv is None else list(argv))
        make_terminable()
        logging.getLogger().setLevel(logging.INFO if arguments.verbose else logging.CRITICAL)
        return int(importlib.import_module(arguments.job).run(arguments, passed_on))
    except HandedOver as over:
        print(over)
        return EXIT_GOOD
    except UsageError as error:
        _complain("mixtape: ", error.problems)
        return EXIT_USAGE
    except MixtapeError as error:
        _complain("mixtape: ", [str(error)])
        return EXIT_BROKEN
    except KeyboardInterrupt:
        _complain("mixtape: ", ["interrupted; the same command goes on from here"])
        return EXIT_INTERRUPTED


def make_terminable() -> None:
    """Makes a request to terminate the same as an interrupt from now on, so that nothing stays behind.

    That is how service managers and clusters end a run. Without it an output in a store would stay held, and
    the first process of a container would not even hear the request.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def _complain(prefix: str, problems: Sequence[str]) -> None:
    for problem in problems:
        print(f"{prefix}{problem}", file=sys.stderr)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Splits a command line into our arguments and the flags that go to Beam.

    Returns:
        The arguments, with the command line itself as ``command_line`` and, for the job to name with
        its own, what is wrong with flags and words as ``problems``; and the flags for Beam.

    Raises:
        UsageError: no command is named.
        SystemExit: argparse found the command itself unusable, or printed help.
    """
    parser = build_parser(VERSION)
    arguments, passed_on = parser.parse_known_args(argv)
    if not hasattr(arguments, "job"):
        (getattr(arguments, "parser", None) or parser).print_help(sys.stderr)
        raise UsageError("name a command, as above")
    arguments.command_line = ("mixtape", *argv)
    arguments.problems = _misspelt(arguments.parser, passed_on)
    if not getattr(arguments, "on_beam", True):
        strange = (word for word in passed_on if word.startswith("-"))
        arguments.problems = arguments.problems or [
            f"{word} is not a flag of this command" for word in strange
        ]
        passed_on = []
    if passed_on and not arguments.problems and not arguments.quiet:
        print(f"passed on to Beam: {' '.join(passed_on)}", file=sys.stderr)
        workers_given = any(word.split("=")[0] == "--workers" for word in argv)
        for remark in remarks(passed_on, workers_given=workers_given):
            print(f"note: {remark}", file=sys.stderr)
    return arguments, passed_on


def _misspelt(parser: argparse.ArgumentParser, passed_on: Sequence[str]) -> list[str]:
    """Says of flags and words that cannot be meant for Beam what was probably wanted."""
    own = sorted(flag for flag in parser._option_string_actions if flag.startswith("--"))
    problems = []
    after_flag = False
    for word in passed_on:
        flag = word.split("=", 1)[0]
        if flag.startswith("-"):
            if meant := _meant(flag, own):
                problems.append(f"{flag} is not a flag of this command; did you mean {meant}?")
            elif flag in _OF_OTHER_COMMANDS:
                problems.append(f"{flag} is not a flag of this command")
        elif not after_flag:
            problems.append(f"{word!r} belongs to no flag; see {parser.prog} --help")
        after_flag = flag.startswith("-") and "=" not in word
    return problems


def _meant(flag: str, own: Sequence[str]) -> str | None:
    """Returns the flag of ours that another one looks like or begins; None for one of Beam's."""
    word = flag.replace("_", "-")
    begun = [known for known in own if known.startswith(word)]
    close = begun or difflib.get_close_matches(word, own, n=1, cutoff=_LIKENESS)
    return close[0] if close else None


if __name__ == "__main__":
    sys.exit(main())
