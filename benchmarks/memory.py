"""Memory of a worker, and of the process that launched it, while many mixtures are rendered.

    python benchmarks/memory.py [--mixtures 2000] [--every 250] [--seconds 1.5] [--folder /dev/shm]

One worker process of a real run renders mixtures over a few generated sources into all formats, at
all rates and modes. Its memory must stay flat: audio lives no longer than its mixture, and what is
kept of an item no longer than its shard.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from transforms.corpora import librimix
from transforms.plan import Mixture, Source

UTTERANCES, NOISES = 60, 10
RATE_HZ = 16000
POLL_S = 0.02


@dataclass(frozen=True)
class Sample:
    """Memory in MB after so many mixtures: of the worker now and at its peak, of the launcher now."""

    mixtures: int
    worker: float
    worker_peak: float
    launcher: float


def make_sources(folder: Path, seconds: float) -> None:
    """Writes utterances of 0.7 to 1 times the given length, and noises a little longer."""
    rng = np.random.default_rng(1)
    for name, channels in [
        *((speech(k), 1) for k in range(UTTERANCES)),
        *((noise(k), 2) for k in range(NOISES)),
    ]:
        share = rng.uniform(0.7, 1.0) if channels == 1 else 1.1
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = rng.uniform(-0.2, 0.2, (int(share * seconds * RATE_HZ), channels))
        soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")


def speech(number: int) -> str:
    """Returns the place of an utterance."""
    return f"LibriSpeech/train-clean-100/{1000 + number}/1/{1000 + number}-1-0000.flac"


def noise(number: int) -> str:
    """Returns the place of a noise."""
    return f"wham/tr/{number}.wav"


def make_plan(folder: Path, count: int) -> Path:
    """Writes a plan of so many different pairs of utterances."""
    pairs = itertools.islice(itertools.permutations(range(UTTERANCES), 2), count)
    mixtures = []
    for number, pair in enumerate(pairs):
        places = [speech(index).split("/", 1)[1] for index in pair]
        talkers = [
            Source(f"s{k}", "librispeech", place, level=0.5) for k, place in enumerate(places, start=1)
        ]
        path = noise(number % NOISES).split("/", 1)[1]
        background = Source("noise", "wham", path, level=0.5, fit="loop", channel=0)
        mixtures.append(Mixture(f"m{number:06d}", (*talkers, background)))
    plan = folder / "libri2mix_train-clean-100.csv"
    plan.write_bytes(librimix.plan_csv(mixtures, 2, with_gains=True))
    return plan


def memory_mb(pid: int, field: str) -> float:
    """Returns a field of a process's memory, such as ``VmRSS`` (now) or ``VmHWM`` (peak)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1000


def worker_of(launcher: int) -> int:
    """Returns the one Beam worker of a run, which its launcher starts through a shell."""
    (shell,) = children(launcher)
    (worker,) = children(shell)
    return worker


def children(pid: int) -> list[int]:
    """Returns the processes that a process started."""
    lists = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(word) for one in lists for word in one.read_text().split()]


def watch(launcher: subprocess.Popen[bytes], made: Path, every: int, count: int) -> Iterator[Sample]:
    """Yields a sample whenever another so many mixtures have been made."""
    worker = 0
    for wanted in range(every, count, every):
        while not made.is_dir() or sum(1 for _ in made.iterdir()) < wanted:
            if launcher.poll() is not None:
                return
            time.sleep(POLL_S)
        worker = worker or worker_of(launcher.pid)
        yield Sample(
            wanted, memory_mb(worker, "VmRSS"), memory_mb(worker, "VmHWM"), memory_mb(launcher.pid, "VmRSS")
        )


def command(folder: Path, plan: Path) -> list[str]:
    """Returns the command line of a run with one worker process."""
    return [
        *(sys.executable, "-m", "pipelines.cli", "render", "librimix", "--quiet", "--shard-size", "50"),
        *("--plan", str(plan), "--librispeech", str(folder / "LibriSpeech"), "--wham", str(folder / "wham")),
        *("--out", str(folder / "out"), "--formats", "wav", "webdataset", "tfrecord"),
        *("--direct_running_mode", "multi_processing", "--direct_num_workers", "1"),
    ]


def main() -> None:
    """Renders, and prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixtures", type=int, default=2000)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of the longest utterances")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="memory-") as name:
        folder, count = Path(name), arguments.mixtures + 1
        make_sources(folder, arguments.seconds)
        launcher = subprocess.Popen(command(folder, make_plan(folder, count)))
        made = folder / "out/Libri2Mix/wav8k/min/train-100/s1"
        print("| mixtures | worker, MB | worker at its peak, MB | launcher, MB |\n|---|---|---|---|")
        for sample in watch(launcher, made, arguments.every, count):
            megabytes = (sample.worker, sample.worker_peak, sample.launcher)
            print(f"| {sample.mixtures:,} |", *(f"{value:.1f} |" for value in megabytes), flush=True)
        if launcher.wait():
            raise SystemExit(f"the run failed with status {launcher.returncode}")


if __name__ == "__main__":
    main()
