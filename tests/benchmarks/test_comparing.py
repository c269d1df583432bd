"""How comparisons are run and weighed: by turns, with every pair checked."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.comparing import (
    CommandError,
    Comparison,
    Cost,
    Target,
    UnequalError,
    descendants,
    memory_mb,
    run,
    run_command,
    run_here,
)


def side(calls: list[str], name: str, *costs: Cost) -> Callable[[], Cost]:
    """A side that notes its calls and returns one cost after the other."""
    left = iter(costs)

    def work() -> Cost:
        calls.append(name)
        return next(left)

    return work


@pytest.mark.parametrize(
    ("target", "figure", "met", "shown"),
    [
        (Target("speed-up", 8.0), 4.0, False, "4.00x"),
        (Target("speed-up", 4.0), 4.0, True, "4.00x"),
        (Target("share", 0.25), 0.25, True, "25.0 %"),
        (Target("share", 0.2, "cpu_s"), 0.5, False, "50.0 %"),
        (Target("share", 1.1, "worker_mb"), 1.0, True, "100.0 %"),
        (Target("limit", 2.0), 2.0, True, "2.00 s"),
        (Target("limit", 1.5), 2.0, False, "2.00 s"),
        (Target("limit", 90.0, "launcher_mb"), 80.0, True, "80 MB"),
    ],
)
def test_a_target_weighs_our_cost_against_theirs(
    target: Target, figure: float, met: bool, shown: str
) -> None:
    ours, theirs = Cost(2.0, 3.0, 100.0, 80.0), Cost(8.0, 6.0, 100.0, 70.0)
    assert target.figure(ours, theirs) == figure
    assert (target.is_met(figure), target.shown(figure)) == (met, shown)


def test_pairs_take_turns_and_each_is_checked_and_cleaned() -> None:
    calls: list[str] = []
    ours = side(calls, "ours", Cost(1.0, 1.0), Cost(2.0, 2.0), Cost(4.0, 3.0))
    theirs = side(calls, "theirs", Cost(8.0, 1.0), Cost(8.0, 1.0), Cost(8.0, 1.0))
    target = Target("speed-up", 3.0)
    comparison = Comparison(
        "work",
        ours,
        theirs,
        "other",
        (target,),
        check=lambda: calls.append("check"),
        clean=lambda: calls.append("clean"),
        notes=lambda: {"calls": str(len(calls))},
    )
    outcome = run(comparison)
    pairs = [
        "theirs",
        "ours",
        "check",
        "clean",
        "ours",
        "theirs",
        "check",
        "clean",
        "theirs",
        "ours",
        "check",
    ]
    assert calls == [*pairs, "clean"]
    assert outcome.figures(target) == [8.0, 4.0, 2.0]
    assert outcome.median(target) == 4.0
    assert outcome.notes == {"calls": str(len(pairs))}


def test_a_limit_needs_no_other_side() -> None:
    calls: list[str] = []
    alone = side(calls, "ours", Cost(1.0, 2.0), Cost(3.0, 2.0))
    target = Target("limit", 2.0)
    outcome = run(Comparison("work", alone, None, "a limit", (target,), repeats=2))
    assert (calls, outcome.figures(target), outcome.theirs) == (["ours", "ours"], [1.0, 3.0], ())


def test_sides_that_made_something_else_end_the_comparison() -> None:
    def check() -> None:
        raise UnequalError("the files differ")

    calls: list[str] = []
    both = [side(calls, name, Cost(1.0, 1.0), Cost(1.0, 1.0)) for name in ("ours", "theirs")]
    with pytest.raises(UnequalError, match="the files differ"):
        run(Comparison("work", *both, "other", (Target("speed-up", 1.0),), check=check))
    assert calls == ["theirs", "ours"]


def test_the_cost_of_one_more_leaves_out_what_a_short_run_takes() -> None:
    assert Cost(12.0, 22.0).per_item(Cost(2.0, 2.0), 10) == Cost(1.0, 2.0)


def test_a_command_is_measured_with_what_it_starts(tmp_path: Path) -> None:
    work = "sum(range(6_000_000)); bytearray(60_000_000); import time; time.sleep(0.4)"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    cost = run_command([sys.executable, "-c", inner], watched=True)
    assert cost.wall_s > 0.4
    assert cost.cpu_s > 0.05
    assert cost.worker_mb > cost.launcher_mb > 3


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(CommandError, match=r"-c raise SystemExit\(3\) failed with status 3"):
        run_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_a_function_is_measured_here() -> None:
    cost = run_here(lambda: sum(range(2_000_000)))
    assert cost.wall_s >= cost.cpu_s / 2 > 0


def test_processes_below_one_and_their_memory() -> None:
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        try:
            while not (below := descendants(process.pid)):
                assert process.poll() is None
            assert set(below) <= set(descendants(os.getpid()))
        finally:
            process.communicate(b"\n")
    assert memory_mb(os.getpid(), "VmHWM") >= memory_mb(os.getpid(), "VmRSS") > 10
    assert memory_mb(process.pid, "VmRSS") == 0.0
    assert descendants(process.pid) == []
