"""Runs a pipeline: on this machine's cores unless a runner is named, with progress and plain errors."""

import contextlib
import io
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from transforms.errors import MixtapeError, UsageError

_POLL_S = 0.5
_PLAIN_LINE_S = 10.0
_OWN_ERROR = re.compile(r"transforms\.errors\.\w+: (.+)")
_STEP = re.compile(r" \[while running '[^']*'\]")
_INTERRUPTED = "KeyboardInterrupt"
_WORKER_GONE = "Channel closed prematurely"


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
        """Whether the run uses the runner on this machine, that is, no other was named."""
        return not any(word.split("=")[0] == "--runner" for word in self.passed_on)

    def say(self, line: str) -> None:
        """Prints a line unless the run is to be quiet."""
        if not self.quiet:
            print(line)


def beam_flags(running: Running) -> list[str]:
    """Returns the flags for Beam: the user's, and for a local run those of its runner.

    The local runner is named because Beam's default one tries to fetch a program first.
    """
    if not running.is_local:
        return list(running.passed_on)
    flags = {
        "--runner": "FnApiRunner",
        "--direct_running_mode": "multi_processing" if running.workers > 1 else "in_memory",
        "--direct_num_workers": str(running.workers),
    }
    given = {word.split("=")[0] for word in running.passed_on}
    own = (f"{flag}={value}" for flag, value in flags.items() if flag not in given)
    return [*running.passed_on, *own]


def check_flags(running: Running) -> None:
    """Raises UsageError when Beam refuses the flags passed on to it; does nothing without any."""
    if running.passed_on:
        _new_pipeline(running)


def run_pipeline(build: Callable[[Any], object], running: Running) -> dict[str, int]:
    """Builds and runs a pipeline to its end.

    Args:
        build: adds the steps.
        running: on which runner, with how many workers.

    Returns:
        The counters by name, each summed over the steps that count it.

    Raises:
        KeyboardInterrupt: a person ended it.
        MixtapeError: the run broke off; in our own words where the cause is ours.
        UsageError: Beam refuses the flags passed on to it.
    """
    from apache_beam.metrics import MetricsFilter

    pipeline = _new_pipeline(running)
    build(pipeline)
    try:
        with contextlib.nullcontext() if running.verbose else _quiet_workers():
            result = pipeline.run()
            result.wait_until_finish()
    except Exception as error:
        if _INTERRUPTED in str(error):
            raise KeyboardInterrupt from error
        if running.verbose:
            raise
        raise MixtapeError(_plain(error)) from error
    counters = result.metrics().query(MetricsFilter())["counters"]
    totals: Counter[str] = Counter()
    for counter in counters:
        totals[counter.key.metric.name] += int(counter.result or 0)
    return totals


def _new_pipeline(running: Running) -> Any:
    """Returns an empty pipeline. Raises UsageError when Beam refuses the flags."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(beam_flags(running))
            options.get_all_options()
            return beam.Pipeline(options=options)
    except (Exception, SystemExit) as error:
        reason = (said.getvalue().strip() or str(error)).splitlines()[-1].rpartition("error: ")[2]
        flags = " ".join(running.passed_on)
        raise UsageError(f"Beam refuses the flags passed on to it ({flags}): {reason}") from error


@contextlib.contextmanager
def _quiet_workers() -> Iterator[None]:
    """Keeps what workers and their threads log away from the terminal; our own lines still reach it."""
    with open(os.devnull, "wb") as nowhere, os.fdopen(os.dup(2), "w") as terminal:
        stderr, sys.stderr = sys.stderr, terminal
        excepthook, threading.excepthook = threading.excepthook, _say_nothing
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        except KeyboardInterrupt:
            # Threads of Beam's go on ending after us, each with a trace.
            excepthook = _say_nothing
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
    if _WORKER_GONE in text:
        return (
            "the run broke off: a worker process ended suddenly, as when it is killed or memory runs out; "
            "run the same command again to go on, with fewer --workers if memory is short"
        )
    last = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return f"the run broke off: {last.removeprefix('builtins.')} (--verbose shows everything)"


class Progress:
    """Shows how many items of a local run are done, with rate and time left.

    Workers append one byte per item to ``path``; that file's size is the count.

    Args:
        total: items of the run.
        quiet: show nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._done = threading.Event()
        self._started = time.monotonic()
        self.path = ""

    @contextlib.contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Shows progress while the block runs: a line rewritten on a terminal, else plain lines."""
        if self._quiet:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="mixtape-") as folder:
            self.path = os.path.join(folder, "items")
            thread = threading.Thread(target=self._show, daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self._done.set()
                thread.join()

    def _show(self) -> None:
        terminal = sys.stderr.isatty()
        interval = _POLL_S if terminal else _PLAIN_LINE_S
        while not self._done.wait(interval):
            line = self._line()
            print(
                f"\r{line:<78}" if terminal else line,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )
        if terminal:
            print(f"\r{self._line():<78}", file=sys.stderr, flush=True)

    def _line(self) -> str:
        count = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        elapsed_s = time.monotonic() - self._started
        rate = count / elapsed_s
        left = f", {duration((self._total - count) / rate)} left" if 0 < count < self._total else ""
        return f"{count:,} of {self._total:,} items, {rate:.1f} per second{left}"


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
