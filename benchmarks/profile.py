"""Where the time of one mixture goes, stage by stage, in one process.

    python -m benchmarks.profile [--mixtures 100] [--repeats 5] [--formats wav] [--folder /dev/shm]

Renders shards of generated LibriMix mixtures (two talkers of about 12 s, both rates and modes, three
types: 24 streams each), with a clock around the functions that do the work. Times are those of the
processor, without what a stage calls of other stages; the run with the smallest sum is shown.
"""

import argparse
import contextlib
import functools
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from benchmarks.corpora import Corpora, Sizes
from transforms import audio, rendering, sharding
from transforms.plan import Part, RenderOptions
from transforms.storage import OutputTree

PART = Part("librimix", "Libri2Mix", "dev")
TYPES = ("mix_clean", "mix_both", "mix_single")
STAGES: Mapping[str, Sequence[tuple[Any, str]]] = {
    "read and decode sources": ((audio.SourceReader, "read"),),
    "scale": ((rendering, "levelled"),),
    "resample": ((rendering, "resample"),),
    "sum": ((rendering, "mix_down"),),
    "energies, SNRs": ((rendering, "cross_energies"), (rendering, "component_snrs_db")),
    "quantise": ((audio, "_quantised"),),
    "check that sums add up": ((rendering, "sums_problem"),),
    "write files": ((OutputTree, "write"),),
    "checksums": ((sharding, "samples_crc32c"),),
    "archives, records": ((sharding, "_write_item"),),
    "around a mixture": ((sharding, "render_item"),),
    "around a shard": ((sharding, "render_shard"),),
}


@dataclass(frozen=True)
class Profile:
    """What one run took, per mixture: processor time of each stage in ms, and page faults."""

    stages_ms: Mapping[str, float]
    page_faults: float

    @property
    def total_ms(self) -> float:
        """All stages together."""
        return sum(self.stages_ms.values())


@contextlib.contextmanager
def clocked(spent_s: Counter[str]) -> Iterator[None]:
    """Adds up what each stage takes, while the block runs."""
    below = [0.0]

    def clock(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            below.append(0.0)
            started = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                took = time.thread_time() - started
                spent_s[stage] += took - below.pop()
                below[-1] += took

        return timed

    with contextlib.ExitStack() as undo:
        for stage, functions in STAGES.items():
            for owner, name in functions:
                function = getattr(owner, name)
                undo.callback(setattr, owner, name, function)
                setattr(owner, name, clock(stage, function))
        yield


def measure(corpora: Corpora, mixtures: int, formats: Sequence[str]) -> Profile:
    """Renders shards of 25 mixtures and returns what that took."""
    options = RenderOptions(types=TYPES, formats=tuple(formats), shard_size=25)
    out = corpora.folder / "out"
    job = sharding.RenderJob(
        str(out), "librimix", {name: str(path) for name, path in corpora.roots.items()}, options
    )
    plan = sharding.store_plan(job, PART, corpora.mixtures(mixtures))
    spent_s: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with clocked(spent_s):
        for shard in plan.shards:
            sharding.render_shard(job, shard)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    shutil.rmtree(out)
    return Profile({stage: 1000 * spent_s[stage] / mixtures for stage in STAGES}, faults / mixtures)


def fastest(corpora: Corpora, mixtures: int, formats: Sequence[str], *, repeats: int) -> Profile:
    """Returns the profile of the fastest of several runs, after one that fills caches."""
    measure(corpora, mixtures, formats)
    return min((measure(corpora, mixtures, formats) for _ in range(repeats)), key=lambda one: one.total_ms)


def table(profile: Profile) -> str:
    """Returns a Markdown table of the stages, the longest first."""
    rows = ["| stage | ms per mixture | share |", "|---|---|---|"]
    for stage, took_ms in sorted(profile.stages_ms.items(), key=lambda pair: -pair[1]):
        rows.append(f"| {stage} | {took_ms:.2f} | {took_ms / profile.total_ms:.0%} |")
    rows.append(f"| all | {profile.total_ms:.2f} | {profile.page_faults:.0f} page faults |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixtures", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--formats", nargs="+", default=["wav"])
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    arguments = parser.parse_args()
    sizes = Sizes()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="profile-") as folder:
        corpora = Corpora(Path(folder), sizes, sizes.seconds)
        profile = fastest(corpora, arguments.mixtures, arguments.formats, repeats=arguments.repeats)
    sys.stdout.write(table(profile))


if __name__ == "__main__":
    main()
