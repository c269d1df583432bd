"""Small corpora with a plan, rendering of them, and what a tree of files holds, for several tests."""

import dataclasses
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipelines import cli
from tests.clips import write_clip
from transforms.corpora import avse, librimix, wsj0mix
from transforms.finishing import PartSummary, finish_part
from transforms.plan import Mixture, Part, RenderOptions, Settings, Shard, Source, StoredPlan, write_plan
from transforms.rendering import CROSS_FADE_SAMPLES
from transforms.sharding import RenderJob, ShardResult, process_shard, store_plan
from transforms.storage import OutputTree

REPOSITORY = Path(__file__).resolve().parents[1]
PART = Part("librimix", "Libri2Mix", "train-100")
ALL_FORMATS = ("wav", "webdataset", "tfrecord")
HISTORY = "_mixtape/history.jsonl"
UNEQUAL = ("_mixtape/run.json", "_mixtape/report.html", "_mixtape/files.json", "_mixtape/stamps/", HISTORY)
SMALL = RenderOptions(
    rates_hz=(8000,),
    modes=("min", "max"),
    types=("mix_clean", "mix_both"),
    formats=("wav", "webdataset", "tfrecord"),
    shard_size=2,
    table_paths="relative",
)


@dataclass(frozen=True)
class Kind:
    """How tests make a corpus of one recipe.

    Attributes:
        part: what its mixtures make up.
        roots: folder of each root, by name; the speech first.
        utterance: place of utterance k below the speech, given 100 + k.
        plan: file name of the plan.
        surround: writes what else is mixed, given the length of the utterances.
        mixture: returns the mixture of utterances k and k + 1, given k and a level.
        write: writes the mixtures of a corpus in the recipe's own form.
        flags: what the command line needs beside plan, output and formats, but for ``--<root> <folder>``.
        types: the mixture types that small runs make.
        streams: all that is written of a mixture.
        varied: whether rates, modes and types can be chosen; else there is one variant.
        length: samples of utterance k, given k and the shortest one.
    """

    part: Part
    roots: Mapping[str, str]
    utterance: str
    plan: str
    surround: Callable[["Corpus", int], None]
    mixture: Callable[[int, float], Mixture]
    write: Callable[["Corpus"], None]
    flags: Callable[["Corpus"], Sequence[str]]
    types: tuple[str, ...]
    streams: tuple[str, ...]
    varied: bool = True
    length: Callable[[int, int], int] = lambda index, samples: samples + 10 * (index % 7)

    @property
    def variants(self) -> int:
        """How many rates and modes the command line of ``Corpus.flags`` makes."""
        return 4 if self.varied else 1

    @property
    def speech(self) -> str:
        """Name of the root that holds the speech."""
        return next(iter(self.roots))

    def source(self, role: str, index: int, **fields: Any) -> Source:
        """Returns utterance ``index`` as a source."""
        path = self.utterance.format(100 + index)
        return Source(role, self.speech, path, speaker=str(100 + index), **fields)


@dataclass(frozen=True)
class Corpus:
    """Corpus roots and a plan over them.

    Attributes:
        folder: holds the roots and ``plan``.
        mixtures: the planned mixtures, in order; utterance k is used by mixtures k-1 and k only.
        recipe: name of the recipe.
    """

    folder: Path
    mixtures: tuple[Mixture, ...]
    recipe: str = "librimix"

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.recipe) or FIXED_KINDS[self.recipe]

    @property
    def part(self) -> Part:
        return self.kind.part

    @property
    def roots(self) -> dict[str, str]:
        return {name: str(self.folder / folder) for name, folder in self.kind.roots.items()}

    @property
    def plan(self) -> Path:
        return self.folder / "plan" / self.kind.plan

    def utterance(self, index: int) -> Path:
        return Path(self.roots[self.kind.speech]) / self.kind.utterance.format(100 + index)

    def write_utterance(self, index: int, samples: int, *, seed: int) -> None:
        """Writes an utterance of noise that is as long as it may be; with other seeds it is another."""
        write_noise(self.utterance(index), self.kind.length(index, samples), seed=seed)

    def mixture(self, index: int, *, gain: float = 0.5) -> Mixture:
        """Returns the mixture of utterances ``index`` and ``index + 1``, at some level."""
        return self.kind.mixture(index, gain)

    def with_mixtures(self, mixtures: Iterable[Mixture]) -> "Corpus":
        """Writes another plan over the same corpora in place of the present one."""
        changed = dataclasses.replace(self, mixtures=tuple(mixtures))
        self.plan.parent.mkdir(exist_ok=True)
        self.kind.write(changed)
        return changed

    def flags(self, out: Path) -> list[str]:
        """Returns the command line that renders everything in every format."""
        varied = ("--table-paths", "relative", "--rates", "8000", "16000", "--modes", "min", "max")
        return [
            *("render", self.recipe, "--plan", str(self.plan), "--out", str(out)),
            *self.kind.flags(self),
            *(varied if self.kind.varied else ()),
            *("--formats", *ALL_FORMATS),
        ]

    def small_flags(self) -> list[str]:
        """Returns flags that make less: one rate, few types, shards of two mixtures."""
        varied = ("--rates", "8000", "--types", *self.kind.types)
        return [*(varied if self.kind.varied else ()), "--shard-size", "2"]

    def job(self, out: Path, options: RenderOptions = SMALL, **changes: Any) -> RenderJob:
        return RenderJob(str(out), self.recipe, self.roots, options, **changes)


def write_noise(path: Path, samples: int, *, seed: int, channels: int = 1) -> None:
    """Writes a 16 kHz file of uniform noise that depends on the seed alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(-0.2, 0.2, (samples, channels))
    soundfile.write(path, values, 16000, subtype="PCM_16")


def write_response(path: Path, samples: int, *, delay: int, seed: int) -> None:
    """Writes a 16 kHz room response: the direct sound after some samples, then a fading tail."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).uniform(-0.3, 0.3, samples) * np.exp(-np.arange(samples) / 40)
    values[:delay] = 0
    values[delay] = 0.8
    soundfile.write(path, values, 16000, subtype="PCM_16")


def make_corpus(folder: Path, *, mixtures: int = 5, samples: int = 700, recipe: str = "librimix") -> Corpus:
    """Writes one more utterances than mixtures, what else the recipe mixes, and a plan that chains them.

    The utterances have ``samples`` samples and a few more; AVSE's, some 9000 more. Noises are long enough
    for all mixtures, but for the first one of ``mixtures``, which is repeated. Room responses have 120
    samples and a few more.
    """
    corpus = Corpus(folder, (), recipe)
    for index in range(mixtures + 1):
        corpus.write_utterance(index, samples, seed=index)
    corpus.kind.surround(corpus, samples)
    return corpus.with_mixtures(corpus.mixture(index) for index in range(mixtures))


# What each recipe's corpora hold.


def _write_wham(corpus: Corpus, samples: int) -> None:
    for index in range(3):
        path = Path(corpus.roots["wham"]) / f"tr/n{index}.wav"
        write_noise(path, samples + 100, seed=1000 + index, channels=2)


def _write_nothing(corpus: Corpus, samples: int) -> None:
    """Wsj0-mix has speech only."""


def _write_noises_and_rooms(corpus: Corpus, samples: int) -> None:
    """Writes two long noises, and one that is a little longer than the cross-fade that repeats it."""
    for index in range(3):
        path = Path(corpus.roots["noise"]) / f"n{index}.wav"
        write_noise(path, CROSS_FADE_SAMPLES + 100 if index == 0 else samples + 10000, seed=1000 + index)
    for index in range(2):
        path = Path(corpus.roots["rir"]) / f"hall/{index}.wav"
        write_response(path, 120 + 30 * index, delay=15 + 8 * index, seed=2000 + index)


def mixture(index: int, gain: float = 0.5) -> Mixture:
    """Returns LibriMix's mixture of utterances ``index`` and ``index + 1`` and a noise."""
    speech = (LIBRIMIX.source(f"s{k + 1}", index + k, level=gain + 0.125 * k) for k in range(2))
    noise = Source("noise", "wham", f"tr/n{index % 3}.wav", level=0.75, fit="loop", channel=0)
    return Mixture(f"m{index:04d}", (*speech, noise))


def _write_csv(corpus: Corpus) -> None:
    corpus.plan.write_bytes(librimix.plan_csv(corpus.mixtures, 2, with_gains=True))


def _mixture_of_powers(index: int, gain: float) -> Mixture:
    """Returns wsj0-mix's mixture; its id stays when the activity level of its second utterance changes."""
    paths = [WSJ0MIX.source("s1", index + k).path for k in range(2)]
    return wsj0mix.to_mixture(paths, [1.5, -1.5], [0.01, 0.02 * gain])


def _write_list(corpus: Corpus) -> None:
    corpus.plan.write_text(wsj0mix.list_text(corpus.mixtures))
    powers = {
        wsj0mix.utterance_id(mixture.sources[place].path): mixture.sources[place].active_power
        for place in range(2)
        for mixture in corpus.mixtures
    }
    levels = "".join(f"{name} {power:.16e}\n" for name, power in powers.items())
    corpus.plan.with_name("levels.txt").write_text(levels)


def _placed_mixture(index: int, gain: float) -> Mixture:
    """Returns a mixture in a room; every third is so long that its noise must be repeated."""
    start = 9000 if index % 3 == 0 else 100
    first = MIXTURES.source(
        "s1", index, level_kind="target", level=50 * (gain - 1), measure="rms", rir="hall/0.wav"
    )
    second = MIXTURES.source(
        "s2",
        index + 1,
        level_kind="snr",
        level=3.0,
        measure="rms",
        against="s1",
        rir="hall/1.wav",
        start_samples=start,
        speed=1.1 if index % 2 else 1.0,
    )
    noise = Source(
        "noise",
        "noise",
        f"n{index % 3}.wav",
        level_kind="snr",
        level=10.0,
        measure="rms",
        against="speech",
        fit="loop",
        offset_samples=0 if index % 3 == 0 else 50,
    )
    return Mixture(f"train-{index:07d}", (first, second, noise))


def _write_parquet(corpus: Corpus) -> None:
    tree = OutputTree(str(corpus.plan.parent))
    settings: Settings = {"rate_hz": 16000, "clip": "scale"}
    write_plan(tree, corpus.plan.name, corpus.part, corpus.mixtures, shard_size=3, settings=settings)
    tree.remove_temporary()


def _named_roots(corpus: Corpus) -> list[str]:
    return ["--root", *(f"{name}={url}" for name, url in corpus.roots.items())]


def _write_videos(corpus: Corpus, samples: int) -> None:
    """Writes a video for every utterance that a target can be; AVSE's utterances are extracted already."""
    for path in sorted(Path(corpus.roots["speech_maskers"]).rglob("*.wav")):
        place = path.relative_to(corpus.roots["speech_maskers"]).with_suffix(".mp4")
        write_clip(
            Path(corpus.roots["lrs3"]) / place, np.zeros(8000, np.int16), pictures=9, seed=int(path.stem)
        )
    write_noise(Path(corpus.roots["noise_maskers"]) / "unused.wav", samples, seed=1)


def _scene(index: int, gain: float) -> Mixture:
    """Returns AVSE's scene of utterance ``index`` with ``index + 1`` as a masker."""
    target, masker = (AVSE.utterance.format(100 + index + k).removesuffix(".wav") for k in range(2))
    return avse.to_mixture(
        f"S{index:05d}",
        target,
        kind="speech",
        masker=masker,
        offset_samples=index % 3,
        snr_db=round(10 * gain - 7, 4),
        wavs=True,
    )


def _write_scenes(corpus: Corpus) -> None:
    scenes = []
    for mixture in corpus.mixtures:
        target, masker = mixture.sources
        names = (target.path.removesuffix(".wav"), masker.path.removesuffix(".wav"))
        scene = avse.Scene(
            *("train", mixture.id, names[0], 1, "speech", 0, 1, names[1]), masker.offset_samples, masker.level
        )
        scenes.append(scene)
    corpus.plan.write_bytes(avse.scenes_json(scenes))


_SOURCES = ("s1", "s2", "noise")

LIBRIMIX = Kind(
    part=PART,
    roots={"librispeech": "LibriSpeech", "wham": "wham"},
    utterance="train-clean-100/{0}/1/{0}-1-0000.flac",
    plan="libri2mix_train-clean-100.csv",
    surround=_write_wham,
    mixture=mixture,
    write=_write_csv,
    flags=lambda corpus: [f"--{name}={url}" for name, url in corpus.roots.items()],
    types=("mix_clean", "mix_both"),
    streams=(*_SOURCES, "mix_clean", "mix_both", "mix_single"),
)
WSJ0MIX = Kind(
    part=Part("wsj0mix", "2speakers", "tr"),
    roots={"wsj0": "csr/wsj0"},
    utterance="si_tr_s/{0}/{0}o0300.wav",
    plan="mix_2_spk_tr.txt",
    surround=_write_nothing,
    mixture=_mixture_of_powers,
    write=_write_list,
    flags=lambda corpus: [
        *("--wsj0", corpus.roots["wsj0"], "--activity-levels", str(corpus.plan.with_name("levels.txt")))
    ],
    types=("mix",),
    streams=("s1", "s2", "mix"),
)
MIXTURES = Kind(
    part=Part("mixtures", "mixtures", "train"),
    roots={"speech": "speech", "noise": "noise", "rir": "rooms"},
    utterance="{0}/said.flac",
    plan="mixtures_train.parquet",
    surround=_write_noises_and_rooms,
    mixture=_placed_mixture,
    write=_write_parquet,
    flags=_named_roots,
    types=("mix_clean", "mix_both"),
    streams=(*_SOURCES, "s1_dry", "s2_dry", "mix_clean", "mix_both", "mix_single"),
)
AVSE = Kind(
    part=Part("avse", "AVSE", "train"),
    roots={"target_wavs": "talk", "speech_maskers": "talk", "lrs3": "LRS3", "noise_maskers": "noise"},
    utterance="pretrain/{0}/{0}.wav",
    plan="scenes.train.json",
    surround=_write_videos,
    mixture=_scene,
    write=_write_scenes,
    flags=lambda corpus: [f"--{name.replace('_', '-')}={url}" for name, url in corpus.roots.items()],
    types=("mixed",),
    streams=("target", "interferer", "mixed"),
    varied=False,
    length=lambda index, samples: samples + 9000 + 10 * index,
)
KINDS: Mapping[str, Kind] = {"librimix": LIBRIMIX, "wsj0mix": WSJ0MIX, "mixtures": MIXTURES}
FIXED_KINDS: Mapping[str, Kind] = {"avse": AVSE}


def render(job: RenderJob, mixtures: Sequence[Mixture], *, order: random.Random | None = None) -> "Rendering":
    """Does what a run does, without a pipeline: stores the plan, makes the shards, finishes the part.

    Args:
        job: output and options.
        mixtures: what to render.
        order: shuffles the shards.
    """
    part = (KINDS.get(job.recipe) or FIXED_KINDS[job.recipe]).part
    plan = store_plan(job, part, mixtures)
    shards = plan.shards
    if order:
        order.shuffle(shards)
    results = [process_shard(job, shard) for shard in shards]
    return Rendering(plan, tuple(results), finish_part(job, part.name))


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
    """Returns inode and modification time in ns of every file: both change when one is written.

    The history, which every run adds to, is left out.
    """
    found = {name: os.stat(root / name) for name in files(root) if name != HISTORY}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def changed(before: dict[str, tuple[int, int]], root: Path) -> set[str]:
    """Names the files that were written, made or removed since ``identities`` was taken."""
    after = identities(root)
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
