"""What a comparison is, and how it is run: by turns, with its results checked in the same run.

A comparison has two sides, or one that is held against a limit. A side is anything that does the
work and returns its ``Cost``; ``run_command`` is that for a command line. How the costs of the two
are weighed is said by ``Target``.
"""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Measure = Literal["wall_s", "cpu_s", "worker_mb", "launcher_mb"]
_POLL_S = 0.05


class UnequalError(Exception):
    """The two sides of a comparison did not make the same."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a side took.

    Attributes:
        wall_s: time on the clock.
        cpu_s: time on all cores, of the process and all that it started.
        worker_mb: the most memory that one process had that was started, where it was looked at.
        launcher_mb: the most memory that the process itself had, where it was looked at.
    """

    wall_s: float
    cpu_s: float
    worker_mb: float = 0.0
    launcher_mb: float = 0.0

    def per_item(self, few: "Cost", items: int) -> "Cost":
        """Returns the cost of each of so many more items, given the cost of a run without them."""
        return Cost((self.wall_s - few.wall_s) / items, (self.cpu_s - few.cpu_s) / items)


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached.

    Attributes:
        kind: ``speed-up``, the other side's cost as a multiple of ours, at least; ``share``, our cost
            as a share of the other side's, at most; ``limit``, our cost alone, at most.
        bound: how much.
        measure: which cost.
    """

    kind: Literal["speed-up", "share", "limit"]
    bound: float
    measure: Measure = "wall_s"

    def figure(self, ours: Cost, theirs: Cost | None) -> float:
        """Returns what was reached in one pair of runs."""
        own = float(getattr(ours, self.measure))
        if self.kind == "limit" or theirs is None:
            return own
        other = float(getattr(theirs, self.measure))
        return other / own if self.kind == "speed-up" else own / other

    def is_met(self, figure: float) -> bool:
        """Tells whether a figure reaches the target."""
        return figure >= self.bound if self.kind == "speed-up" else figure <= self.bound

    def shown(self, figure: float) -> str:
        """Writes a figure of this kind for people."""
        if self.kind == "speed-up":
            return f"{figure:.2f}x"
        if self.kind == "share":
            return f"{100 * figure:.1f} %"
        return f"{figure:.2f} s" if self.measure.endswith("_s") else f"{figure:.0f} MB"


Side = Callable[[], Cost]


def _nothing() -> None:
    """Leaves everything as it is."""


@dataclass(frozen=True)
class Comparison:
    """A pair of ways to do one thing.

    Attributes:
        name: what is done, with its size.
        ours: does it our way.
        theirs: does it the other way; None where a limit is held alone.
        against: what the other way is.
        targets: what is to be reached, weighed in every pair of runs.
        check: raises UnequalError unless both sides made the same; called after each pair.
        clean: removes what a pair left, so that the next finds the folder as this one did.
        repeats: pairs to run.
        notes: figures that no target is set for, by name; asked for at the end.
    """

    name: str
    ours: Side
    theirs: Side | None
    against: str
    targets: tuple[Target, ...]
    check: Callable[[], None] = _nothing
    clean: Callable[[], None] = _nothing
    repeats: int = 3
    notes: Callable[[], Mapping[str, str]] = dict


@dataclass(frozen=True)
class Outcome:
    """What came of a comparison: the costs of every pair, in the order of the runs."""

    name: str
    against: str
    targets: tuple[Target, ...]
    ours: tuple[Cost, ...]
    theirs: tuple[Cost, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)

    def figures(self, target: Target) -> list[float]:
        """Returns what each pair reached of a target."""
        others: Sequence[Cost | None] = self.theirs or [None] * len(self.ours)
        return [target.figure(own, other) for own, other in zip(self.ours, others, strict=True)]

    def median(self, target: Target) -> float:
        """Returns the median of what the pairs reached of a target."""
        return statistics.median(self.figures(target))


def run(comparison: Comparison) -> Outcome:
    """Runs all pairs; who goes first changes from pair to pair.

    Raises:
        UnequalError: a pair did not make the same.
        CommandError: a command failed.
    """
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for number in range(comparison.repeats):
        if comparison.theirs is None:
            ours.append(comparison.ours())
        elif number % 2:
            ours.append(comparison.ours())
            theirs.append(comparison.theirs())
        else:
            theirs.append(comparison.theirs())
            ours.append(comparison.ours())
        comparison.check()
        if number < comparison.repeats - 1:
            comparison.clean()
    notes = dict(comparison.notes())
    comparison.clean()
    return Outcome(comparison.name, comparison.against, comparison.targets, tuple(ours), tuple(theirs), notes)


class CommandError(Exception):
    """A command of a benchmark failed."""


def run_command(words: Sequence[str], *, watched: bool = False, statuses: Sequence[int] = (0,)) -> Cost:
    """Runs a command to its end.

    Args:
        words: the command line.
        watched: look at the memory of the process and of those it starts, twenty times a second.
        statuses: exit statuses that are no failure.

    Raises:
        CommandError: it failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    peaks = _Peaks(process.pid)
    watcher = threading.Thread(target=peaks.watch, daemon=True)
    if watched:
        watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    peaks.done.set()
    if process.returncode not in statuses:
        raise CommandError(f"{' '.join(words)} failed with status {process.returncode}")
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, peaks.worker_mb, peaks.launcher_mb)


class _Peaks:
    """The most memory that a process, and any one process below it, have had so far."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.done = threading.Event()
        self.worker_mb = 0.0
        self.launcher_mb = 0.0

    def watch(self) -> None:
        """Looks until ``done`` is set."""
        while not self.done.wait(_POLL_S):
            self.launcher_mb = max(self.launcher_mb, memory_mb(self._pid, "VmHWM"))
            below = [memory_mb(pid, "VmHWM") for pid in descendants(self._pid)]
            self.worker_mb = max([self.worker_mb, *below])


def memory_mb(pid: int, name: str) -> float:
    """Returns a field of a process's memory, ``VmRSS`` (now) or ``VmHWM`` (peak); 0 of one that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))


def descendants(pid: int) -> list[int]:
    """Returns all processes below one."""
    try:
        lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        below = [int(word) for one in lists for word in one.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [*below, *(lower for child in below for lower in descendants(child))]


def run_here(work: Callable[[], object]) -> Cost:
    """Calls a function in this process and returns what it took."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(time.perf_counter() - started, time.process_time() - cpu)
