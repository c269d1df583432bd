"""``mixtape metadata``, ``augment`` and ``activity``: the jobs that go through a whole corpus once."""

import argparse
import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
    job = _JOBS[arguments.command]
    given = [checker.needed(name) for name in ("corpus", "out") if name in arguments]
    limit = checker.reject_limit()
    running = checker.running(passed_on)
    if all(given):
        options = job.make(checker)
        checker.problems += options.check()
    checker.raise_problems()
    if arguments.dry_run:
        print("\n".join([*options.outlook(), "dry run: nothing was written"]))
        return 0
    return go_through(options, job, limit=limit, running=running)


def metadata_options(checker: Checker) -> metadata.MetadataOptions:
    """Reads the command line of ``metadata``."""
    arguments = checker.arguments
    return metadata.MetadataOptions(
        kind=arguments.kind,
        corpus=arguments.corpus,
        out=arguments.out,
        subsets=tuple(getattr(arguments, "subsets", None) or ()),
        speaker_pattern=getattr(arguments, "speaker_pattern", None) or "",
        transcripts=getattr(arguments, "transcripts", False),
        licence=getattr(arguments, "licence", None) or "",
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


@dataclass(frozen=True)
class CorpusJob:
    """A job that goes through a whole corpus once.

    Attributes:
        make: reads its options from a command line.
        build: adds its steps to a pipeline, given the options.
        settled: how it is told that nothing changed since the last run; None: it looks for itself.
    """

    make: Callable[[Checker], JobOptions]
    build: Callable[[Any, Any], None]
    settled: "Settled | None" = None


@dataclass(frozen=True)
class Settled:
    """How a job remembers what it was made from.

    Attributes:
        stands: tells of options whether all of it is there and no pipeline is needed.
        settle: is called with the options when the pipeline has ended well.
        counts: returns how many items all runs together have written and rejected.
    """

    stands: Callable[[Any], bool]
    settle: Callable[[Any], None]
    counts: Callable[[Any, OutputTree], tuple[int, int]]


METADATA = CorpusJob(
    metadata_options,
    metadata.build,
    Settled(
        stands=lambda options: not options.work.folders,
        settle=metadata.MetadataOptions.settle,
        counts=lambda options, tree: options.work.counts(tree),
    ),
)
AUGMENT = CorpusJob(augment_options, augment.build)
_JOBS: Mapping[str, CorpusJob] = {
    "metadata": METADATA,
    "augment": AUGMENT,
    "activity": CorpusJob(activity_options, activity.build),
}


def go_through(options: JobOptions, job: CorpusJob, *, limit: RejectLimit, running: Running) -> int:
    """Runs a checked job over a corpus and says what came of it.

    Args:
        options: already checked.
        job: the job.
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
        build = functools.partial(_build, build=job.build, options=options)
        stands = job.settled is not None and job.settled.stands(options)
        counters = {} if stands else run_pipeline(build, running)
        written, rejected = counters.get("written", 0), counters.get("rejected", 0)
        if job.settled is not None:
            job.settled.settle(options)
            written, rejected = job.settled.counts(options, tree)
    running.say(_summary(counters, tree, seconds=time.monotonic() - started))
    return conclude(tree, limit, rejected=rejected, planned=rejected + written, quiet=running.quiet)


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
