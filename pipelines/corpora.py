"""``mixtape metadata`` and ``mixtape augment``: the jobs that go through a whole corpus once."""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any, Protocol

from pipelines import augment, metadata
from pipelines.checks import Checker
from pipelines.output import check_writable
from pipelines.runner import Running, duration, run_pipeline
from transforms import storage
from transforms.rejects import REJECTS_PATH, RejectLimit
from transforms.storage import OutputTree


class JobOptions(Protocol):
    """Options of a job that can tell, before any work begins, what is wrong and what is to be done."""

    def check(self) -> list[str]:
        """Lists every problem."""

    def outlook(self) -> list[str]:
        """Says what a run would do."""


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs either command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    corpus = checker.needed("corpus")
    out = corpus if arguments.command == "augment" else checker.needed("out")
    limit = checker.reject_limit()
    make = augment_options if arguments.command == "augment" else metadata_options
    running = checker.running(passed_on)
    if corpus and out:
        options = make(checker)
        checker.problems += options.check()
    checker.raise_problems()
    build = augment.build if arguments.command == "augment" else metadata.build
    if arguments.dry_run:
        print("\n".join([*options.outlook(), "dry run: nothing was written"]))
        return 0
    return go_through(options, build, out=out, limit=limit, running=running)


def metadata_options(checker: Checker) -> metadata.MetadataOptions:
    """Reads the command line of ``metadata``."""
    arguments = checker.arguments
    return metadata.MetadataOptions(
        kind=arguments.kind,
        corpus=arguments.corpus,
        out=arguments.out,
        subsets=tuple(getattr(arguments, "subsets", None) or ()),
        speaker_pattern=getattr(arguments, "speaker_pattern", None) or "",
        force=arguments.force,
    )


def augment_options(checker: Checker) -> augment.AugmentOptions:
    """Reads the command line of ``augment``."""
    arguments = checker.arguments
    speeds = []
    for word in arguments.speeds:
        try:
            speeds.append(float(word))
        except ValueError:
            checker.problems.append(f"--speeds {word}: wanted a number such as 0.8")
    return augment.AugmentOptions(arguments.corpus, tuple(speeds), arguments.engine)


def go_through(
    options: JobOptions,
    build: Callable[[Any, Any], None],
    *,
    out: str,
    limit: RejectLimit,
    running: Running,
) -> int:
    """Runs a checked job over a corpus and says what came of it.

    Args:
        options: already checked.
        build: adds the job's steps to a pipeline, given the options.
        out: folder that the job writes to.
        limit: rejects that a good run may have.
        running: on which runner, with how many workers.

    Returns:
        The exit status.

    Raises:
        MixtapeError: the run broke off.
    """
    started = time.monotonic()
    tree = OutputTree(out)
    check_writable(tree)
    with storage.only_run(tree):
        counters = run_pipeline(functools.partial(_build, build=build, options=options), running)
    tree.remove_temporary()
    running.say(_summary(counters, tree, seconds=time.monotonic() - started))
    rejected = counters.get("rejected", 0)
    return 0 if limit.allows(rejected, rejected + counters.get("written", 0)) else 1


def _build(pipeline: Any, *, build: Callable[[Any, Any], None], options: JobOptions) -> None:
    build(pipeline, options)


def _summary(counters: dict[str, int], tree: OutputTree, *, seconds: float) -> str:
    written, rejected = counters.get("written", 0), counters.get("rejected", 0)
    short = counters.get("too_short", 0)
    if not written + rejected + short:
        return f"nothing to do: all of it is in {tree.root} already (--force makes it anew)"
    parts = [f"written {written:,}", *([f"too short {short:,}"] if short else []), f"rejected {rejected:,}"]
    lines = [
        f"found {written + rejected + short:,} = {' + '.join(parts)}, in {duration(seconds)}; see {tree.root}"
    ]
    if rejected:
        lines.append(f"rejects, with reasons and what to do: {tree.url(REJECTS_PATH)}")
    return "\n".join(lines)
