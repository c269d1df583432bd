"""What one waits for before any work is done."""

import subprocess
import sys
from pathlib import Path

from benchmarks.comparing import Comparison, Target, UnequalError, run_command
from benchmarks.corpora import Sizes

HEAVY = frozenset({"apache_beam", "numpy", "scipy", "pyarrow", "fsspec", "soundfile"})
HELP = (sys.executable, "-m", "pipelines.cli", "--help")


def check_imports() -> None:
    """Raises UnequalError if the help imports what only jobs need."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *HELP[1:]], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    if heavy := imported & HEAVY:
        raise UnequalError(f"the help imports {', '.join(sorted(heavy))}")


def help_text(work: Path, sizes: Sizes) -> Comparison:
    """Returns the time that ``mixtape --help`` takes, held against a limit."""
    del work
    return Comparison(
        "mixtape --help",
        lambda: run_command(HELP),
        None,
        "a limit",
        (Target("limit", 0.3),),
        check=check_imports,
        repeats=2 * sizes.repeats + 1,
    )
