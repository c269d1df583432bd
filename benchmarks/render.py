"""Rendering LibriMix against a bare loop that does the same work and nothing else, in one run.

    python benchmarks/render.py [--mixtures 600] [--repeats 3] [--workers 2] [--folder /dev/shm]

The bare loop decodes every source once, scales, resamples, sums, quantises and writes the same 24
WAV files per mixture with one ``writev`` each, from a process pool: no pipeline, no ledger, no
tables, no temporary names. Both write to the same memory file system in turn; ratios are taken
pair by pair, start-up apart, and every file is compared.
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import google_crc32c
import numpy as np
import soundfile
from scipy.signal import resample_poly

from transforms.audio import wav_header
from transforms.corpora import librimix, synthetic
from transforms.plan import Mixture, Source
from transforms.storage import OutputTree

SECONDS = (9.0, 15.0)
READERS, UTTERANCES, NOISES = 12, 5, 24
TYPES = {"mix_clean": ("s1", "s2"), "mix_both": ("s1", "s2", "noise"), "mix_single": ("s1", "noise")}


def make_corpora(folder: Path) -> dict[str, Path]:
    """Generates speech of about 12 s per utterance and noises that are long enough."""
    roots = {"librispeech": folder / "LibriSpeech", "wham": folder / "wham"}
    if not roots["wham"].exists():
        synthetic.make_librispeech(
            OutputTree(str(roots["librispeech"])),
            subsets=("train-clean-100",),
            readers_per_subset=READERS,
            utterances_per_reader=UTTERANCES,
            seconds=SECONDS,
            seed=1,
        )
        synthetic.make_wham(
            OutputTree(str(roots["wham"])), noises_per_subset=NOISES, seconds=(15.0, 16.0), seed=1
        )
    return roots


def make_plan(roots: dict[str, Path], count: int) -> list[Mixture]:
    """Pairs generated utterances of different readers until there are enough mixtures."""
    speech = sorted(
        str(path.relative_to(roots["librispeech"])) for path in roots["librispeech"].rglob("*.flac")
    )
    noises = sorted(str(path.relative_to(roots["wham"])) for path in roots["wham"].glob("tr/*.wav"))
    pairs = [
        pair for pair in itertools.permutations(speech, 2) if pair[0].split("/")[1] != pair[1].split("/")[1]
    ]
    rng = np.random.default_rng(1)
    mixtures = []
    for number, index in enumerate(rng.permutation(len(pairs))[:count]):
        first, second = pairs[index]
        gains = rng.uniform(0.3, 1.2, 3)
        sources = (
            Source("s1", "librispeech", first, level=float(gains[0])),
            Source("s2", "librispeech", second, level=float(gains[1])),
            Source(
                "noise", "wham", noises[number % len(noises)], level=float(gains[2]), fit="loop", channel=0
            ),
        )
        mixtures.append(Mixture(f"{Path(first).stem}_{Path(second).stem}", sources))
    return mixtures


def bare_mixture(task: tuple[Mixture, dict[str, Path], str]) -> None:
    """Renders one mixture with as little around it as there can be."""
    mixture, roots, out = task
    scaled: dict[str, np.ndarray] = {}
    for source in mixture.sources:
        samples = soundfile.read(roots[source.root] / source.path, dtype="float32")[0]
        samples = samples[:, 0] if samples.ndim > 1 else samples
        longest = max((len(one) for one in scaled.values()), default=0)
        scaled[source.role] = (samples[:longest] if source.role == "noise" else samples) * source.level
    for rate_hz in (8000, 16000):
        signals = {
            role: one if rate_hz == 16000 else resample_poly(one, rate_hz, 16000)
            for role, one in scaled.items()
        }
        lengths = [len(one) for one in signals.values()]
        for mode, length in (("min", min(lengths)), ("max", max(lengths))):
            fitted = {
                role: np.pad(one, (0, length - len(one))) if len(one) < length else one[:length]
                for role, one in signals.items()
            }
            streams = dict(fitted)
            for name, members in TYPES.items():
                streams[name] = sum((fitted[role] for role in members[1:]), fitted[members[0]])
            for name, stream in streams.items():
                write_bare(
                    f"{out}/Libri2Mix/wav{rate_hz // 1000}k/{mode}/train-100/{name}/{mixture.id}.wav",
                    stream,
                    rate_hz,
                )


def write_bare(path: str, samples: np.ndarray, rate_hz: int) -> None:
    """Quantises as the published recipe does and writes a WAV file with one system call."""
    scaled = np.floor(np.rint(samples * np.float32(2.0**31)) * np.float32(2.0**-16))
    pcm = np.clip(scaled, -32768, 32767).astype(np.int16)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.writev(descriptor, (wav_header(len(pcm), rate_hz), pcm))
    os.close(descriptor)


def run_bare(mixtures: list[Mixture], roots: dict[str, Path], out: Path, workers: int) -> None:
    """Runs the bare loop over all mixtures in a pool of processes."""
    for rate, mode, name in itertools.product(("8k", "16k"), ("min", "max"), ("s1", "s2", "noise", *TYPES)):
        (out / f"Libri2Mix/wav{rate}/{mode}/train-100/{name}").mkdir(parents=True)
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(bare_mixture, ((one, roots, str(out)) for one in mixtures), chunksize=10):
            pass


def measure(command: list[str]) -> tuple[float, float]:
    """Runs a command; returns its wall seconds and the CPU seconds of it and all its processes."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {status}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def commands(work: Path, roots: dict[str, Path], plan: Path, workers: int) -> dict[str, list[str]]:
    """Returns the two commands that make the same files below ``work/bare`` and ``work/mixtape``."""
    return {
        "bare": [
            sys.executable,
            __file__,
            "--bare",
            str(plan),
            "--folder",
            str(work),
            "--workers",
            str(workers),
        ],
        "mixtape": [
            *(sys.executable, "-m", "pipelines.cli", "render", "librimix", "--quiet"),
            *("--plan", str(plan), "--librispeech", str(roots["librispeech"]), "--wham", str(roots["wham"])),
            *("--out", str(work / "mixtape"), "--workers", str(workers), "--shard-size", "25"),
        ],
    }


def checksums(folder: Path) -> dict[str, int]:
    """Returns the CRC-32C of every WAV file below a folder, by path."""
    files = sorted(folder.rglob("*.wav"))
    return {str(path.relative_to(folder)): google_crc32c.value(path.read_bytes()) for path in files}


def run_pair(
    work: Path, roots: dict[str, Path], plan: Path, *, workers: int, turned: bool
) -> dict[str, tuple[float, float]]:
    """Runs both commands in turn on the same plan and returns wall and CPU seconds of each.

    Each finds the memory file system as empty as the other, and its output goes before the next run.
    """
    seconds, made = {}, {}
    both = commands(work, roots, plan, workers)
    for name in sorted(both, reverse=turned):
        seconds[name] = measure(both[name])
        made[name] = checksums(work / name)
        shutil.rmtree(work / name)
    if made["bare"] != made["mixtape"]:
        raise SystemExit("the files differ")
    return seconds


def write_plan(folder: Path, mixtures: list[Mixture]) -> Path:
    """Writes a plan in the published form."""
    path = folder / str(len(mixtures)) / "libri2mix_train-clean-100.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(librimix.plan_csv(mixtures, 2, with_gains=True))
    return path


def main() -> None:
    """Measures pairs and prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mixtures", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        roots = make_corpora(arguments.folder)
        run_bare(
            librimix.read_plan(str(arguments.bare))[1], roots, arguments.folder / "bare", arguments.workers
        )
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="benchmark-") as name:
        compare(Path(name), arguments)


def compare(work: Path, arguments: argparse.Namespace) -> None:
    """Runs short and long pairs, so that start-up and cost per mixture come apart."""
    roots = make_corpora(work)
    mixtures = make_plan(roots, arguments.mixtures)
    few = max(2, arguments.mixtures // 20)
    short, long = write_plan(work, mixtures[:few]), write_plan(work, mixtures)
    rows: dict[str, list[float]] = {}
    for number in range(arguments.repeats):
        turned = number % 2 == 1
        small = run_pair(work, roots, short, workers=arguments.workers, turned=turned)
        large = run_pair(work, roots, long, workers=arguments.workers, turned=turned)
        for index, kind in enumerate(("wall", "cpu")):
            cost = {tool: (large[tool][index] - small[tool][index]) / (len(mixtures) - few) for tool in small}
            for tool, each in cost.items():
                rows.setdefault(f"{tool}, {kind} ms per mixture", []).append(1000 * each)
                start = small[tool][index] - few * each
                rows.setdefault(f"{tool}, {kind} s to start", []).append(start)
            rows.setdefault(f"speed against the bare loop, {kind}", []).append(cost["bare"] / cost["mixtape"])
    print(f"{len(mixtures)} mixtures, 24 files each, {arguments.workers} workers, all files equal\n")
    print("| figure | median | min | max |\n|---|---|---|---|")
    for label, values in rows.items():
        print(f"| {label} | {statistics.median(values):.2f} | {min(values):.2f} | {max(values):.2f} |")


if __name__ == "__main__":
    main()
