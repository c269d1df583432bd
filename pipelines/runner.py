"""Runs a pipeline: on this machine's cores unless a runner is named, with plain errors."""

import contextlib
import io
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from pipelines.beam_flags import is_local, without
from pipelines.clusters import ClusterJob, check_reachable
from pipelines.dataflow import HandedOver, check_folders, check_installed, hands_over, in_plain_words, outlook
from transforms.errors import MixtapeError, UsageError

_OWN_ERROR = re.compile(r"transforms\.errors\.\w+: (.+)")
_STEP = re.compile(r" \[while running '[^']*'\]")
SHOWING = "mixtape-progress"
_INTERRUPTED = "KeyboardInterrupt"
_WORKER_GONE = re.compile("Channel closed prematurely|SDK worker disconnected|SDK harness .*disconnected")
_JAVA_TRACE = re.compile(r"\s*(at [\w$./<>]+\(.*\)|\.\.\. \d+ more|)$")
_JOB_FAILED = re.compile(r"RuntimeError: Pipeline \S+ failed in state \w+: ")


@dataclass(frozen=True)
class Running:
    """How a job runs, whatever it does.

    Attributes:
        workers: processes of a local run.
        passed_on: flags for Beam.
        quiet: print problems only.
        verbose: let Beam log.
    """

    workers: int = 1
    passed_on: tuple[str, ...] = ()
    quiet: bool = False
    verbose: bool = False

    @property
    def is_local(self) -> bool:
        """Whether the run uses the local runner, that is, no other was named."""
        return is_local(self.passed_on)

    def say(self, line: str) -> None:
        """Prints a line unless the run is to be quiet."""
        if not self.quiet:
            print(line)


def beam_flags(running: Running) -> list[str]:
    """Returns the flags for Beam: the user's, and for a local run those of its runner.

    The local runner is named, also in place of ``DirectRunner``, because that one, which is Beam's default
    too, tries to fetch a program first.
    """
    if not running.is_local:
        return list(running.passed_on)
    passed_on = without(running.passed_on, "--runner")
    flags = {
        "--runner": "FnApiRunner",
        "--direct_running_mode": "multi_processing" if running.workers > 1 else "in_memory",
        "--direct_num_workers": str(running.workers),
    }
    given = {word.split("=")[0] for word in passed_on}
    own = (f"{flag}={value}" for flag, value in flags.items() if flag not in given)
    return [*passed_on, *own]


def check_flags(running: Running) -> None:
    """Checks the flags passed on to Beam, if there are any.

    Raises:
        UsageError: Beam refuses them, nothing answers where they say that a cluster is, or Dataflow's
            files cannot be put where they say.
    """
    if running.passed_on:
        check_installed(running.passed_on)
        _new_pipeline(running, beam_flags(running))
        check_reachable(running.passed_on)
        check_folders(running.passed_on)


def run_pipeline(build: Callable[[Any], object], running: Running) -> dict[str, int]:
    """Builds and runs a pipeline to its end.

    Args:
        build: adds the steps.
        running: on which runner, with how many workers.

    Returns:
        The counters by name, each summed over the steps that count it.

    Raises:
        HandedOver: it became a template, and does not run now.
        KeyboardInterrupt: a person ended it.
        MixtapeError: the run broke off; in our own words where the cause is ours.
        UsageError: Beam refuses the flags passed on to it.
    """
    if running.is_local:
        return _run(build, running, beam_flags(running), lambda _: "")
    with _quiet(running):
        job = ClusterJob.prepare(running.passed_on)
    return _run(build, running, job.flags, job.cancel)


def _run(
    build: Callable[[Any], object],
    running: Running,
    flags: Sequence[str],
    cancel: Callable[[Any], str],
) -> dict[str, int]:
    pipeline = _new_pipeline(running, flags)
    build(pipeline)
    result = None
    try:
        with _quiet(running):
            try:
                result = pipeline.run()
                if hands_over(running.passed_on):
                    raise HandedOver(outlook(running.passed_on))
                result.wait_until_finish()
            except KeyboardInterrupt:
                if said := cancel(result):
                    print(f"mixtape: {said}", file=sys.stderr)
                raise
    except HandedOver:
        raise
    except Exception as error:
        if _INTERRUPTED in str(error):
            raise KeyboardInterrupt from error
        if running.verbose:
            raise
        raise MixtapeError(_plain(error)) from error
    return _counters(result)


def _counters(result: Any) -> dict[str, int]:
    """Sums a finished job's counters by name.

    Some runners know committed values only, and some only attempted ones; ``result`` is what there is.
    """
    from apache_beam.metrics import MetricsFilter

    totals: Counter[str] = Counter()
    for counter in result.metrics().query(MetricsFilter())["counters"]:
        totals[counter.key.metric.name] += int(counter.result or 0)
    return totals


def _new_pipeline(running: Running, flags: Sequence[str]) -> Any:
    """Returns an empty pipeline. Raises UsageError when Beam refuses the flags."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(list(flags))
            options.get_all_options()
            return beam.Pipeline(options=options)
    except (Exception, SystemExit) as error:
        reason = (said.getvalue().strip() or str(error)).splitlines()[-1].rpartition("error: ")[2]
        given = " ".join(running.passed_on)
        raise UsageError(f"Beam refuses the flags passed on to it ({given}): {reason}") from error


class _OwnThreads(io.TextIOBase):
    """A stream that takes what the main thread and those that show progress write, and drops the rest.

    Workers may be threads of this process, and Beam prints the trace of what fails in them.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str) -> int:
        thread = threading.current_thread()
        if thread is threading.main_thread() or thread.name == SHOWING:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


def _quiet(running: Running) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if running.verbose else _quiet_workers()


@contextlib.contextmanager
def _quiet_workers() -> Iterator[None]:
    """Keeps what workers and their threads log away from the terminal; our own lines still reach it."""
    with open(os.devnull, "wb") as nowhere, os.fdopen(os.dup(2), "w") as terminal:
        stderr, sys.stderr = sys.stderr, _OwnThreads(terminal)
        excepthook, threading.excepthook = threading.excepthook, _say_nothing
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        except BaseException:
            # Threads of Beam's go on ending after us, each with a trace.
            excepthook, stderr = _say_nothing, _OwnThreads(stderr)
            raise
        finally:
            terminal.flush()
            os.dup2(terminal.fileno(), 2)
            threading.excepthook = excepthook
            sys.stderr = stderr


def _say_nothing(_: threading.ExceptHookArgs) -> None:
    """Takes what ended a thread of Beam's; the run itself tells what ended it."""


def _plain(error: BaseException) -> str:
    """Finds our own sentence in what a runner raises, or shortens the runner's."""
    text = _STEP.sub("", f"{type(error).__module__}.{type(error).__name__}: {error}")
    if own := _OWN_ERROR.findall(text):
        return str(own[-1])
    if ended_badly := in_plain_words(text):
        return ended_badly
    if _WORKER_GONE.search(text):
        return (
            "the run broke off: a worker process ended suddenly, as when it is killed or memory runs out; "
            "run the same command again to go on, with fewer --workers (on a cluster: fewer tasks at once) "
            "if memory is short"
        )
    last = [line.strip() for line in text.splitlines() if not _JAVA_TRACE.match(line)][-1]
    reason = _JOB_FAILED.sub("", last.removeprefix("builtins."))
    return f"the run broke off: {reason} (--verbose shows everything)"


def counted(count: int, thing: str, things: str = "") -> str:
    """Writes a count with its noun, whose plural has an s unless it is given.

    >>> counted(1, "shard"), counted(1200, "shard")
    ('1 shard', '1,200 shards')
    """
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"


def duration(seconds: float) -> str:
    """Writes a time span for people: ``42 s``, ``3 min 20 s``, ``5 h 12 min``.

    >>> duration(200)
    '3 min 20 s'
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
