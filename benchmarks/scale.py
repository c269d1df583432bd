"""The bookkeeping of a large corpus: what it takes in time and memory beside the audio.

    python -m benchmarks.scale [--shards 10000 100000] [--mixtures-per-shard 10] [--folder /dev/shm]

No audio is made. Plans, ledgers and shard files (of a few bytes) are written with the writers that
a run uses, as if so many shards had been rendered, and then all that is done once per corpus is
done for real, each step in a process of its own: storing the plan, opening it as every worker does,
merging all ledgers into tables, indices and statistics, making the report, and the check of an
unchanged corpus. Steps whose time grows faster than the number of shards would show here, and so
would what keeps all of it in memory.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.comparing import memory_mb
from transforms import ledger as ledgers
from transforms.finishing import finish_part, stored_summaries
from transforms.ledger import ItemRecord, ShardLedger, VariantRecord, WrittenFile
from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, Variant
from transforms.report import make_report
from transforms.sharding import RenderJob, kept_shard, shard_fingerprint, store_plan
from transforms.sinks import tfrecord, webdataset
from transforms.storage import Listings, OutputTree

PART = Part("librimix", "Libri2Mix", "train-360")
UTTERANCES, NOISES = 400, 100
VARIANT = Variant(8000, "min")
SAMPLES = 96000
STREAMS = ("s1", "s2", "mix_clean")
TAR, INDEX, RECORDS = b"archive of a shard\n", b"v1.2 0\n", b"records of a shard\n"


def job(folder: Path, formats: tuple[str, ...]) -> RenderJob:
    """Returns the run that the bookkeeping is of."""
    options = RenderOptions(
        rates_hz=(VARIANT.rate_hz,),
        modes=(VARIANT.mode,),
        types=("mix_clean",),
        formats=formats,  # type: ignore[arg-type]
        table_paths="relative",
    )
    return RenderJob(str(folder / "out"), "librimix", {"librispeech": str(folder / "LibriSpeech")}, options)


def mixtures(count: int) -> Iterator[Mixture]:
    """Yields so many mixtures of two utterances, as a plan of LibriMix has them."""
    pairs = itertools.cycle(itertools.permutations(range(UTTERANCES), 2))
    for number, pair in zip(range(count), pairs, strict=False):
        sources = tuple(
            Source(f"s{k}", "librispeech", speech(index), level=0.5, speaker=str(1000 + index % 97))
            for k, index in enumerate(pair, start=1)
        )
        yield Mixture(f"{1000 + pair[0]}-1-{number:08d}_{1000 + pair[1]}-1-{number:08d}", sources)


def speech(number: int) -> str:
    """Returns the place of an utterance."""
    return f"train-clean-360/{1000 + number}/1/{1000 + number}-1-0000.flac"


def make_sources(folder: Path) -> None:
    """Writes the files that stand for utterances; nobody decodes them."""
    tree = OutputTree(str(folder / "LibriSpeech"))
    for number in range(UTTERANCES):
        tree.write(speech(number), f"utterance {number}".encode())


def shard_ledger(of: RenderJob, shard: Shard, rows: list[Mixture]) -> ShardLedger:
    """Returns the ledger that rendering a shard would leave."""
    reader = of.reader()
    items = tuple(
        ItemRecord(
            mixture.id,
            (
                VariantRecord(
                    VARIANT, SAMPLES, dict.fromkeys(STREAMS, 2**31), {"mix_clean": (1.234567, -1.234567)}
                ),
            ),
        )
        for mixture in rows
    )
    archive = webdataset.archive_path(shard, VARIANT)
    pieces = {
        archive: TAR,
        webdataset.index_path(archive): INDEX,
        tfrecord.records_path(shard, VARIANT): RECORDS,
    }
    files = tuple(WrittenFile(path, len(data), 0, "0" * 64) for path, data in pieces.items())
    for path, data in pieces.items():
        of.tree.write(path, data)
    names = {source.name for mixture in rows for source in mixture.sources}
    contents = {name: reader.content(name) for name in names}
    return ShardLedger(shard.name, shard_fingerprint(of, shard, rows), contents, items, (), files)


def write_ledgers(folder: Path, shards: int, per_shard: int) -> int:
    """Leaves what a finished run leaves of every shard."""
    del shards, per_shard
    of = job(folder, ("webdataset",))
    plan = of.stored_plan(PART.name)
    for shard in plan.shards:
        ledgers.write_ledger(of.tree, shard_ledger(of, shard, plan.read_shard(shard.index)))
    return plan.shard_count


def store(folder: Path, shards: int, per_shard: int) -> int:
    """Stores the plan as a run does before it begins."""
    of = job(folder, ("webdataset",))
    sized = replace(of, options=replace(of.options, shard_size=per_shard))
    return store_plan(sized, PART, mixtures(shards * per_shard)).shard_count


def open_shard(folder: Path, shards: int, per_shard: int) -> int:
    """Opens the plan and reads one shard, as every worker does once."""
    del shards, per_shard
    plan = job(folder, ("webdataset",)).stored_plan(PART.name)
    return len(plan.read_shard(plan.shard_count // 2))


def merge(folder: Path, shards: int, per_shard: int) -> int:
    """Merges all ledgers into tables, indices, descriptions, checksums and statistics."""
    del shards, per_shard
    return finish_part(job(folder, ("wav", "webdataset", "tfrecord")), PART.name).written


def report(folder: Path, shards: int, per_shard: int) -> int:
    """Makes the report from the summary; nothing can be listened to here."""
    del shards, per_shard
    of = job(folder, ("webdataset",))
    return len(make_report(of, stored_summaries(of.tree)))


def check(folder: Path, shards: int, per_shard: int) -> int:
    """Finds that every shard stands, as a run over an unchanged corpus does."""
    del shards, per_shard
    of, listings = job(folder, ("webdataset",)), Listings()
    return sum(kept_shard(of, shard, listings) is not None for shard in of.stored_plan(PART.name).shards)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step took, in a process of its own.

    Attributes:
        shards: size of the corpus.
        step: which step.
        wall_s, cpu_s: its time, imports apart.
        start_mb, peak_mb: memory of the process before the step, and at its peak.
        result: what the step counted.
    """

    shards: int
    step: str
    wall_s: float
    cpu_s: float
    start_mb: float
    peak_mb: float
    result: int


STEPS: Mapping[str, Callable[[Path, int, int], int]] = {
    "store the plan": store,
    "write ledgers and shard files": write_ledgers,
    "open the plan, read a shard": open_shard,
    "merge": merge,
    "make the report": report,
    "check the unchanged corpus": check,
}


def run_step(name: str, folder: Path, shards: int, per_shard: int) -> Step:
    """Runs a step in this process."""
    start_mb, started, cpu = memory_mb(os.getpid(), "VmHWM"), time.perf_counter(), time.process_time()
    result = STEPS[name](folder, shards, per_shard)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    return Step(shards, name, wall_s, cpu_s, start_mb, memory_mb(os.getpid(), "VmHWM"), result)


def in_own_process(name: str, folder: Path, shards: int, per_shard: int) -> Step:
    """Runs a step in a new process."""
    words = [sys.executable, "-m", "benchmarks.scale", "--step", name, "--folder", str(folder)]
    words += ["--shards", str(shards), "--mixtures-per-shard", str(per_shard)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    return Step(**json.loads(done.stdout))


def measure(folder: Path, sizes: Sequence[int], per_shard: int) -> Iterator[Step]:
    """Yields every step at every size."""
    for shards in sizes:
        with tempfile.TemporaryDirectory(dir=folder, prefix="scale-") as name:
            make_sources(Path(name))
            for step in STEPS:
                yield in_own_process(step, Path(name), shards, per_shard)


def rows(steps: Iterable[Step]) -> Iterator[str]:
    """Yields the lines of a Markdown table of steps, as these come."""
    yield "| shards | step | wall, s | CPU, s | memory at the start, MB | at its peak, MB |\n"
    yield f"|{6 * '---|'}\n"
    for one in steps:
        times = f"{one.wall_s:.2f} | {one.cpu_s:.2f} | {one.start_mb:.0f} | {one.peak_mb:.0f}"
        yield f"| {one.shards:,} | {one.step} | {times} |\n"


def main() -> None:
    """Measures all steps and prints a Markdown table; or, for itself, runs one step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--mixtures-per-shard", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        step = run_step(arguments.step, arguments.folder, arguments.shards[0], arguments.mixtures_per_shard)
        print(json.dumps(asdict(step)))
        return
    for row in rows(measure(arguments.folder, arguments.shards, arguments.mixtures_per_shard)):
        print(row, end="", flush=True)


if __name__ == "__main__":
    main()
