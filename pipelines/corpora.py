"""``mixtape metadata``, ``augment`` and ``activity``: the jobs that go through a whole corpus once."""

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from pipelines import activity, augment, metadata
from pipelines.checks import Checker
from pipelines.output import check_writable, conclude
from pipelines.runner import Running, duration, run_pipeline
from transforms import storage
from transforms.rejects import RejectLimit
from transforms.storage import OutputTree


class JobOptions(Protocol):
    """Options of a job that can tell, before any work begins, what is wrong and what is to be done."""

    @property
    def folder(self) -> str:
        """URL of the folder that the job writes to."""

    def check(self) -> list[str]:
        """Lists every problem."""

    def outlook(self) -> list[str]:
        """Says what a run would do."""


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs any of the commands. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    make, build = _JOBS[arguments.command]
    given = [checker.needed(name) for name in ("corpus", "out") if name in arguments]
    limit = checker.reject_limit()
    running = checker.running(passed_on)
    if all(given):
        options = make(checker)
        checker.problems += options.check()
    checker.raise_problems()
    if arguments.dry_run:
        print("\n".join([*options.outlook(), "dry run: nothing was written"]))
        return 0
    return go_through(options, build, limit=limit, running=running)


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
    return augment.AugmentOptions(arguments.corpus, tuple(speeds), arguments.engine, arguments.force)


def activity_options(checker: Checker) -> activity.ActivityOptions:
    """Reads the command line of ``activity``."""
    arguments = checker.arguments
    return activity.ActivityOptions(arguments.corpus, arguments.out, arguments.measure)


_JOBS: Mapping[str, tuple[Callable[[Checker], JobOptions], Callable[[Any, Any], None]]] = {
    "metadata": (metadata_options, metadata.build),
    "augment": (augment_options, augment.build),
    "activity": (activity_options, activity.build),
}


def go_through(
    options: JobOptions,
    build: Callable[[Any, Any], None],
    *,
    limit: RejectLimit,
    running: Running,
) -> int:
    """Runs a checked job over a corpus and says what came of it.

    Args:
        options: already checked.
        build: adds the job's steps to a pipeline, given the options.
        limit: rejects that a good run may have.
        running: on which runner, with how many workers.

    Returns:
        The exit status.

    Raises:
        MixtapeError: the run broke off.
    """
    started = time.monotonic()
    tree = OutputTree(options.folder)
    check_writable(tree)
    with storage.only_run(tree):
        counters = run_pipeline(functools.partial(_build, build=build, options=options), running)
    running.say(_summary(counters, tree, seconds=time.monotonic() - started))
    rejected = counters.get("rejected", 0)
    planned = rejected + counters.get("written", 0)
    return conclude(tree, limit, rejected=rejected, planned=planned, quiet=running.quiet)


def _build(pipeline: Any, *, build: Callable[[Any, Any], None], options: JobOptions) -> None:
    build(pipeline, options)


def _summary(counters: dict[str, int], tree: OutputTree, *, seconds: float) -> str:
    written, rejected = counters.get("written", 0), counters.get("rejected", 0)
    short = counters.get("too_short", 0)
    if not written + rejected + short:
        return (
            f"nothing to do: all of it is in {tree.root} already, and was left as it is "
            "(--force makes it anew, from the files that are there now)"
        )
    parts = [f"written {written:,}", *([f"too short {short:,}"] if short else []), f"rejected {rejected:,}"]
    count = written + rejected + short
    return f"found {count:,} = {' + '.join(parts)}, in {duration(seconds)}; see {tree.root}"
