"""Generated corpora, listings and plans that the comparisons share, and how large these are."""

import functools
import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
import numpy as np

from transforms.corpora import librimix, synthetic
from transforms.plan import Mixture, Source
from transforms.storage import OutputTree

SUBSET = "dev-clean"
TREE = "dev"
PLAN_NAME = f"libri2mix_{SUBSET}.csv"
UTTERANCES_PER_READER = 10


@dataclass(frozen=True)
class Sizes:
    """How much the comparisons do; the defaults are what the targets are set for.

    Attributes:
        rendered: mixtures of comparisons that render.
        planned: mixtures of planning with gains.
        few: mixtures of the short run that shows what start-up costs: two shards, so that both workers work.
        paired: mixtures of the comparison of pairing.
        rebuilt: mixtures of the rebuild over short sources.
        stored: mixtures of resume check and memory.
        stored_few: mixtures of the small corpus that memory is compared with.
        headers: files of the comparison of metadata.
        readers: readers of the corpora; each has ten utterances.
        noises: noises of the corpora that are really different.
        seconds: shortest and longest utterance of realistic corpora.
        short_seconds: those of short ones, which listings must still accept.
        workers: processes on both sides.
        repeats: pairs per comparison.
        bookkept: shards of the corpora of which only the bookkeeping is made.
        per_shard: mixtures in each of these shards.
    """

    rendered: int = 600
    planned: int = 1500
    few: int = 50
    paired: int = 3000
    rebuilt: int = 5000
    stored: int = 100_000
    stored_few: int = 1000
    headers: int = 10_000
    readers: int = 12
    noises: int = 8
    seconds: tuple[float, float] = (9.0, 15.0)
    short_seconds: tuple[float, float] = (3.0, 3.2)
    workers: int = 2
    repeats: int = 3
    bookkept: tuple[int, ...] = (10_000, 100_000)
    per_shard: int = 10


def mixtape(*words: object) -> list[str]:
    """Returns a command line of ours that says nothing."""
    return [sys.executable, "-m", "pipelines.cli", *map(str, words), "--quiet"]


@dataclass(frozen=True)
class Corpora:
    """Speech and noises below one folder, made when they are first asked for.

    Attributes:
        folder: where.
        sizes: how many readers and noises.
        seconds: shortest and longest utterance.
        noise_links: names under which the noises are listed, of which only some are different files.
    """

    folder: Path
    sizes: Sizes
    seconds: tuple[float, float]
    noise_links: int = 0

    @functools.cached_property
    def roots(self) -> dict[str, Path]:
        """The folder of each corpus, by the name of its flag."""
        speech, noises = self.folder / "LibriSpeech", self.folder / "wham"
        synthetic.make_librispeech(
            OutputTree(str(speech)),
            subsets=(SUBSET,),
            readers_per_subset=self.sizes.readers,
            utterances_per_reader=UTTERANCES_PER_READER,
            seconds=self.seconds,
            seed=1,
        )
        longest_s = self.seconds[1]
        synthetic.make_wham(
            OutputTree(str(noises)),
            noises_per_subset=self.sizes.noises,
            seconds=(longest_s, longest_s + 1),
            seed=1,
        )
        made = sorted((noises / "cv").iterdir())
        for number, source in zip(range(self.noise_links), itertools.cycle(made), strict=False):
            os.link(source, noises / "cv" / f"link{number:06d}.wav")
        return {"librispeech": speech, "wham": noises}

    @property
    def flags(self) -> list[str]:
        """The flags that name the corpora."""
        return [word for name, folder in self.roots.items() for word in (f"--{name}", str(folder))]

    def mixtures(self, count: int) -> list[Mixture]:
        """Pairs utterances of different readers, with drawn gains and noises, as a plan has them."""
        speech = sorted(self.roots["librispeech"].rglob("*.flac"))
        noises = sorted((self.roots["wham"] / "cv").iterdir())
        rng = np.random.default_rng(1)
        pairs = [pair for pair in itertools.permutations(speech, 2) if _reader(pair[0]) != _reader(pair[1])]
        chosen = itertools.islice((pairs[index] for index in rng.permutation(len(pairs))), count)
        mixtures = [self._mixture(pair, noises, rng) for pair in chosen]
        if len(mixtures) < count:
            raise ValueError(
                f"{count} mixtures are wanted, and {len(speech)} utterances make {len(mixtures)}"
            )
        return mixtures

    def _mixture(self, pair: tuple[Path, ...], noises: list[Path], rng: np.random.Generator) -> Mixture:
        gains = rng.uniform(0.3, 1.2, 3)
        talkers = [
            Source(f"s{k}", "librispeech", self._below("librispeech", path), level=float(gains[k]))
            for k, path in enumerate(pair, start=1)
        ]
        noise = self._below("wham", noises[int(rng.integers(len(noises)))])
        last = Source("noise", "wham", noise, level=float(gains[0]), fit="loop", channel=0)
        return Mixture("_".join(path.stem for path in pair), (*talkers, last))

    def _below(self, root: str, path: Path) -> str:
        return path.relative_to(self.roots[root]).as_posix()

    def plan(self, count: int) -> Path:
        """Writes a plan of so many mixtures in the published form, and returns its place."""
        path = self.folder / "plans" / str(count) / PLAN_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(librimix.plan_csv(self.mixtures(count), 2, with_gains=True))
        return path


def _reader(path: Path) -> str:
    return path.name.partition("-")[0]


def checksums(folder: Path, pattern: str = "*.wav") -> dict[str, int]:
    """Returns the CRC-32C of every file below a folder whose name fits, by path."""
    files = sorted(folder.rglob(pattern))
    return {path.relative_to(folder).as_posix(): google_crc32c.value(path.read_bytes()) for path in files}
