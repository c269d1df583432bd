"""All comparisons in one run: ``make benchmark``, or ``python -m benchmarks [NAME ...]``.

    python -m benchmarks [NAME ...] [--out benchmarks/results] [--folder /dev/shm] [--workers 2] [--repeats 3]

Corpora are generated below ``--folder``, which should be a memory file system with some 18 GB free.
The table says what was reached of every target; a run ends with status 1 when two sides did not make
the same. A further comparison is a function from a folder and ``Sizes`` to a ``Comparison``, and its
line in ``COMPARISONS``.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks import headers, planning, rebuild, rendering, results, scale, start, stored
from benchmarks.comparing import CommandError, Comparison, Outcome, UnequalError, run
from benchmarks.corpora import Sizes
from benchmarks.scaling import curves

COMPARISONS: Mapping[str, Callable[[Path, Sizes], Comparison]] = {
    "help": start.help_text,
    "pairing": planning.pairing,
    "gains": planning.gains,
    "headers": headers.headers,
    "bare": rendering.bare,
    "plain": rendering.plain,
    "formats": rendering.formats,
    "workers": rendering.workers,
    "rebuild": rebuild.short,
    "realistic-rebuild": rebuild.realistic,
    "memory": stored.memory,
    "resume": stored.resume,
    "stats": stored.stats,
}
CURVES, SCALE = "curves", "scale"


def compare(name: str, folder: Path, sizes: Sizes) -> Outcome:
    """Runs one comparison in a folder of its own. Raises UnequalError or CommandError."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=f"benchmark-{name}-") as work:
        return run(COMPARISONS[name](Path(work), sizes))


def run_all(names: Sequence[str], folder: Path, sizes: Sizes, out: Path) -> int:
    """Runs comparisons one after the other and writes what came of them.

    Args:
        names: keys of ``COMPARISONS``, ``curves`` and ``scale``.
        folder: where corpora are generated.
        sizes: how large they are.
        out: where tables and plot go.

    Returns:
        The exit status: 1 when a comparison could not be made, or its sides differ.
    """
    outcomes, failures = [], []
    for name in names:
        if name in COMPARISONS:
            try:
                outcomes.append(compare(name, folder, sizes))
            except (UnequalError, CommandError) as error:
                failures.append(f"{name}: {error}")
                print(failures[-1], file=sys.stderr)
            else:
                print(results.table(outcomes[-1:]).splitlines()[-1], flush=True)
    drawn = curves(folder, sizes) if CURVES in names else []
    tables = {}
    if SCALE in names:
        tables["Bookkeeping"] = "".join(scale.rows(scale.measure(folder, sizes.bookkept, sizes.per_shard)))
    if failures:
        tables["Failed"] = "".join(f"- {failure}\n" for failure in failures)
    results.write(out, outcomes, drawn, tables)
    print(f"written: {out / 'results.md'}")
    return 1 if failures else 0


def main() -> int:
    """Reads the command line and runs what it names."""
    known = [*COMPARISONS, CURVES, SCALE]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    told = f"of {', '.join(known)}; all if none is given"
    parser.add_argument("names", nargs="*", metavar="NAME", help=told)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--workers", type=int, default=Sizes.workers)
    parser.add_argument("--repeats", type=int, default=Sizes.repeats)
    arguments = parser.parse_args()
    if unknown := sorted({*arguments.names} - {*known}):
        parser.error(f"unknown: {' '.join(unknown)}; known: {' '.join(known)}")
    sizes = replace(Sizes(), workers=arguments.workers, repeats=arguments.repeats)
    return run_all(arguments.names or known, arguments.folder, sizes, arguments.out)


if __name__ == "__main__":
    sys.exit(main())
