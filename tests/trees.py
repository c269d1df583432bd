"""Small corpora with a plan, rendering of them, and what a tree of files holds, for several tests."""

import dataclasses
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipelines import cli
from transforms.corpora import librimix
from transforms.finishing import PartSummary, finish_part
from transforms.plan import Mixture, Part, RenderOptions, Shard, Source, StoredPlan
from transforms.sharding import RenderJob, ShardResult, process_shard, store_plan

REPOSITORY = Path(__file__).resolve().parents[1]
PART = Part("librimix", "Libri2Mix", "train-100")
ALL_FORMATS = ("wav", "webdataset", "tfrecord")
UNEQUAL = ("_mixtape/run.json", "_mixtape/report.html", "_mixtape/stamps/")
SMALL = RenderOptions(
    rates_hz=(8000,),
    modes=("min", "max"),
    types=("mix_clean", "mix_both"),
    formats=("wav", "webdataset", "tfrecord"),
    shard_size=2,
    table_paths="relative",
)


@dataclass(frozen=True)
class Corpus:
    """Two corpus roots and a plan over them.

    Attributes:
        folder: holds ``LibriSpeech``, ``wham`` and ``plan``.
        mixtures: the planned mixtures, in order; utterance k is used by mixtures k-1 and k only.
    """

    folder: Path
    mixtures: tuple[Mixture, ...]

    @property
    def roots(self) -> dict[str, str]:
        return {"librispeech": str(self.folder / "LibriSpeech"), "wham": str(self.folder / "wham")}

    @property
    def plan(self) -> Path:
        return self.folder / "plan" / "libri2mix_train-clean-100.csv"

    def utterance(self, index: int) -> Path:
        return self.folder / "LibriSpeech" / _utterance(index)

    def with_mixtures(self, mixtures: Iterable[Mixture]) -> "Corpus":
        """Writes another plan over the same corpora in place of the present one."""
        changed = dataclasses.replace(self, mixtures=tuple(mixtures))
        self.plan.parent.mkdir(exist_ok=True)
        self.plan.write_bytes(librimix.plan_csv(changed.mixtures, 2, with_gains=True))
        return changed

    def flags(self, out: Path) -> list[str]:
        """Returns the command line that renders everything in every format."""
        return [
            *("render", "librimix", "--plan", str(self.plan), "--out", str(out), "--table-paths", "relative"),
            *("--librispeech", self.roots["librispeech"], "--wham", self.roots["wham"]),
            *("--formats", *ALL_FORMATS),
        ]

    def job(self, out: Path, options: RenderOptions = SMALL, **changes: Any) -> RenderJob:
        return RenderJob(str(out), "librimix", self.roots, options, **changes)


def _utterance(index: int) -> str:
    return f"train-clean-100/{100 + index}/1/{100 + index}-1-0000.flac"


def write_noise(path: Path, samples: int, *, seed: int, channels: int = 1) -> None:
    """Writes a 16 kHz file of uniform noise that depends on the seed alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(-0.2, 0.2, (samples, channels))
    soundfile.write(path, values, 16000, subtype="PCM_16")


def make_corpus(folder: Path, *, mixtures: int = 5, samples: int = 700) -> Corpus:
    """Writes one more utterances than mixtures, three noises, and a plan that chains them.

    The utterances have ``samples`` samples and a few more; the noises are long enough for all.
    """
    for index in range(mixtures + 1):
        write_noise(folder / "LibriSpeech" / _utterance(index), samples + 10 * (index % 7), seed=index)
    for index in range(3):
        write_noise(folder / "wham" / f"tr/n{index}.wav", samples + 100, seed=1000 + index, channels=2)
    return Corpus(folder, ()).with_mixtures(map(mixture, range(mixtures)))


def mixture(index: int, *, gain: float = 0.5) -> Mixture:
    """Returns the mixture of utterances ``index`` and ``index + 1`` and a noise."""
    speech = (_source(f"s{k + 1}", index + k, gain=gain + 0.125 * k) for k in range(2))
    noise = Source("noise", "wham", f"tr/n{index % 3}.wav", level=0.75, fit="loop", channel=0)
    return Mixture(f"m{index:04d}", (*speech, noise))


def _source(role: str, index: int, *, gain: float) -> Source:
    return Source(role, "librispeech", _utterance(index), level=gain, speaker=str(100 + index))


def render(job: RenderJob, mixtures: Sequence[Mixture], *, order: random.Random | None = None) -> "Rendering":
    """Does what a run does, without a pipeline: stores the plan, makes the shards, finishes the part.

    Args:
        job: output and options.
        mixtures: what to render.
        order: shuffles the shards.
    """
    plan = store_plan(job, PART, mixtures)
    shards = plan.shards
    if order:
        order.shuffle(shards)
    results = [process_shard(job, shard) for shard in shards]
    return Rendering(plan, tuple(results), finish_part(job, PART.name))


@dataclass(frozen=True)
class Rendering:
    """What came of a rendering: the stored plan, each shard's result, the part's summary."""

    plan: StoredPlan
    results: tuple[ShardResult, ...]
    summary: PartSummary

    @property
    def rendered(self) -> list[int]:
        """Numbers of the shards that were made and not kept."""
        return sorted(result.index for result in self.results if result.status == "rendered")

    def shard(self, index: int) -> Shard:
        return self.plan.shards[index]


def run(corpus: Corpus, out: Path, *flags: str) -> int:
    """Runs the command line in this process, quietly; returns its exit status."""
    return cli.main([*corpus.flags(out), "--quiet", "--workers", "1", *flags])


_WITHOUT_BEAM = """
import sys
from pipelines import cli
status = cli.main(sys.argv[1:])
sys.exit("Beam was started" if "apache_beam" in sys.modules else status)
"""


def run_without_beam(arguments: Sequence[str]) -> int:
    """Runs a command line in a process of its own; returns its status, 1 too if it loads Beam."""
    command = [sys.executable, "-c", _WITHOUT_BEAM, *arguments]
    return subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, check=False).returncode


def files(root: Path) -> list[str]:
    """Lists every file below a folder, sorted."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def contents(root: Path) -> dict[str, bytes]:
    """Reads every file that must be the same however, whenever and wherever it was made."""
    return {name: (root / name).read_bytes() for name in files(root) if not name.startswith(UNEQUAL)}


def identities(root: Path) -> dict[str, tuple[int, int]]:
    """Returns inode and modification time in ns of every file: both change when one is written."""
    found = {name: os.stat(root / name) for name in files(root)}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def changed(before: dict[str, tuple[int, int]], root: Path) -> set[str]:
    """Names the files that were written, made or removed since ``identities`` was taken."""
    after = identities(root)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
