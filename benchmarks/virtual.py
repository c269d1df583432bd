"""The virtual corpus: items per second on one core, and whether they are what was written.

    python -m benchmarks.virtual [--items 1000] [--folder /dev/shm]

Renders generated LibriMix mixtures of about 12 s to WAV files, then draws random items of the virtual
corpus at 8 kHz in min mode and compares every stream with its file. The rate is of rendering alone,
with a cache that holds all sources, and with none.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks.corpora import Corpora, Sizes
from benchmarks.loops import TYPES
from pipelines import cli
from transforms.audio import decode_pcm
from transforms.virtual import CACHE_BYTES, VirtualCorpus, VirtualItem

MIXTURES = 400


def differing(item: VirtualItem, out: Path) -> int:
    """Counts the streams of an item that are not those of its files."""
    folder = out / "Libri2Mix/wav8k/min/dev"
    wavs = {name: folder / name / f"{item['facts']['id']}.wav" for name in item["pcm"]}
    return sum(not np.array_equal(decode_pcm(wavs[name].read_bytes()), item["pcm"][name]) for name in wavs)


def measure(out: Path, places: list[int], *, cache_bytes: int) -> tuple[float, int]:
    """Draws items; returns items per CPU second, reading included, and how many streams differ."""
    corpus = VirtualCorpus.of_output(
        str(out), "Libri2Mix-dev", rate_hz=8000, mode="min", cache_bytes=cache_bytes
    )
    for place in range(len(corpus)) if cache_bytes else ():
        corpus[place]
    spent_s, wrong = 0.0, 0
    for place in places:
        started = time.process_time()
        item = corpus[place]
        spent_s += time.process_time() - started
        wrong += differing(item, out)
    return len(places) / spent_s, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--folder", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        corpora = Corpora(Path(name), Sizes(), Sizes().seconds)
        plan, out = corpora.plan(MIXTURES), Path(name) / "out"
        choices = ["--rates", "8000", "--modes", "min", "--types", *TYPES]
        words = ["render", "librimix", "--plan", str(plan), *corpora.flags, "--out", str(out), *choices]
        if cli.main(words):
            return 1
        places = random.Random(1).choices(range(MIXTURES), k=arguments.items)
        wrong = 0
        for label, cache_bytes in (("all sources kept", 4 * CACHE_BYTES), ("none kept", 0)):
            rate, differ = measure(out, places, cache_bytes=cache_bytes)
            print(f"{label}: {rate:.0f} items per second on one core, {differ} streams differ")
            wrong += differ
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
