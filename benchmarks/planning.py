"""Planning: gains against pyloudnorm mixture by mixture, and pairing against searching lists."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import published
from benchmarks.comparing import Comparison, Cost, Target, UnequalError, run_command, run_here
from benchmarks.corpora import PLAN_NAME, SUBSET, Corpora, Sizes, mixtape
from transforms.corpora import librimix
from transforms.listing import NoiseClip, Utterance, read_noises, read_utterances
from transforms.planning.librimix import PUBLISHED_SEED, Group, PlannedMixture, pair, plan_subsets

EQUAL = 1e-12


class _Gains:
    """The two ways to plan with gains, on one corpus."""

    def __init__(self, work: Path, sizes: Sizes) -> None:
        self._work = work
        self._sizes = sizes
        self._corpora = Corpora(work, sizes, sizes.seconds, noise_links=sizes.planned)
        for name, root in self._corpora.roots.items():
            run_command(mixtape("metadata", name, "--corpus", root, "--out", work / f"{name}-metadata"))
        self._theirs: list[list[float]] = []

    def ours(self) -> Cost:
        """Plans many mixtures and few, and returns the cost of one more."""
        few = run_command(self._command(self._sizes.few))
        many = run_command(self._command(self._sizes.planned))
        return many.per_item(few, self._sizes.planned - self._sizes.few)

    def _command(self, count: int) -> list[str]:
        words = ["plan", "librimix", "--speakers", "2", "--subsets", SUBSET, *self._corpora.flags]
        words += ["--dev-test-size", str(count), "--round-to", "1", "--workers", str(self._sizes.workers)]
        for name in self._corpora.roots:
            words += [f"--{name}-metadata", str(self._work / f"{name}-metadata")]
        return mixtape(*words, "--force", "--out", self._out(count))

    def _out(self, count: int) -> Path:
        return self._work / f"plan-{count}"

    def _subset(self) -> Sequence[PlannedMixture]:
        speech = {SUBSET: read_utterances(str(self._work / f"librispeech-metadata/{SUBSET}.csv"))}
        noises = {"dev": read_noises(str(self._work / "wham-metadata/dev.csv"))}
        size = self._sizes.planned
        return plan_subsets(speech, noises, speakers=2, round_to=1, dev_test_size=size)[0].mixtures

    def theirs(self) -> Cost:
        """Measures every mixture as the published script does, and returns the cost of one."""
        planned, loudness = self._subset(), published.meter()
        roots = self._corpora.roots

        def measure() -> None:
            self._theirs = [published.gains(one, roots, loudness) for one in planned]

        return run_here(measure).per_item(Cost(0.0, 0.0), len(planned))

    def check(self) -> None:
        """Compares all gains."""
        _, mixtures = librimix.read_plan(str(self._out(self._sizes.planned) / "Libri2Mix" / PLAN_NAME))
        ours = [[source.level for source in mixture.sources] for mixture in mixtures]
        check_gains(ours, self._theirs)


def check_gains(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> None:
    """Raises UnequalError unless all gains agree to 1e-12, relative."""
    if len(ours) != len(theirs) or not np.allclose(ours, theirs, rtol=EQUAL, atol=0.0):
        raise UnequalError("the gains differ")


def gains(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of planning with gains."""
    both = _Gains(work, sizes)
    return Comparison(
        f"plan with gains, each of {sizes.planned:,} mixtures, {sizes.workers} workers, start-up apart",
        both.ours,
        both.theirs,
        "pyloudnorm per mixture, one process",
        (Target("speed-up", 8.0),),
        check=both.check,
        repeats=sizes.repeats,
    )


def listings(count: int) -> tuple[list[Utterance], list[NoiseClip]]:
    """Returns listings of the size of a published dev set, with lengths like theirs, sorted by length."""
    rng = np.random.default_rng(1)
    rows = max(8, count * 9 // 10)
    lengths = np.sort(rng.gamma(4.0, 1.8, rows) * 16000 + 48000).astype(int)
    speech = [
        Utterance(f"{row % 40}", "F", SUBSET, int(length), f"{SUBSET}/{row % 40}-1-{row:04d}.flac")
        for row, length in enumerate(lengths)
    ]
    noise_lengths = np.sort(rng.gamma(9.0, 1.2, count) * 16000 + 56000).astype(int)
    noises = [
        NoiseClip(f"{row}.wav", "cv", int(length), False, f"cv/{row}.wav")
        for row, length in enumerate(noise_lengths)
    ]
    return speech, noises


class _Pairing:
    """The two ways to pair one subset."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._speech, self._noises = listings(size)
        self._made: dict[str, list[tuple[Group, int]]] = {}

    def ours(self) -> Cost:
        """Pairs with the planner."""

        def work() -> None:
            self._made["ours"] = pair(
                self._speech,
                self._noises,
                speakers=2,
                dev_test_size=self._size,
                stream=random.Random(PUBLISHED_SEED),
            )

        return run_here(work)

    def theirs(self) -> Cost:
        """Pairs by searching lists."""

        def work() -> None:
            self._made["theirs"] = published.pair(
                self._speech,
                self._noises,
                speakers=2,
                wanted=self._size,
                stream=random.Random(PUBLISHED_SEED),
            )

        return run_here(work)

    def check(self) -> None:
        """Compares all pairs and noises."""
        if self._made["ours"] != self._made["theirs"]:
            raise UnequalError("the pairs differ")


def pairing(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of pairing."""
    del work
    both = _Pairing(sizes.paired)
    return Comparison(
        f"pair utterances and noises of {sizes.paired:,} mixtures of a dev set",
        both.ours,
        both.theirs,
        "searching lists, as published",
        (Target("speed-up", 100.0),),
        check=both.check,
        repeats=sizes.repeats,
    )
