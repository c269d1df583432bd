"""What the published LibriMix scripts do where Mixtape does it otherwise, written down plainly.

Loudness is measured by pyloudnorm for each mixture anew, and lists are searched from their
beginning for every element. Both follow the published recipe to the draw.
"""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from transforms.listing import NoiseClip, Utterance
from transforms.planning.librimix import Group, PlannedMixture

RATE_HZ = 16000
PEAK = 0.9
FAILED_DRAWS = 200

Samples = NDArray[np.float32]


class _FirstNumpy:
    """NumPy as pyloudnorm sees it, but that a sum times a plain number is double, as in NumPy 1.

    The published gains were made so; in NumPy 2 such a product is rounded to float32.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def sum(values: Any) -> np.float64:
        return np.float64(np.sum(values))


def meter() -> Any:
    """Returns pyloudnorm's meter, with the arithmetic that the published gains have."""
    import pyloudnorm

    pyloudnorm.meter.np = _FirstNumpy()
    return pyloudnorm.Meter(RATE_HZ)


def gains(planned: PlannedMixture, roots: Mapping[str, Path], loudness: Any) -> list[float]:
    """Returns the gains of one mixture: all sources read, padded, measured, scaled, measured again.

    Args:
        planned: the mixture.
        roots: folders of the corpora.
        loudness: a meter.
    """
    speech = [_read(roots["librispeech"] / one.path) for one in planned.utterances]
    length = max(map(len, speech))
    signals = [_fitted(one, length) for one in (*speech, _read(roots["wham"] / planned.noise.path))]
    before = [float(loudness.integrated_loudness(signal)) for signal in signals]
    scaled = [
        _normalised(signal, target - found)
        for signal, target, found in zip(signals, planned.targets_lufs, before, strict=True)
    ]
    mixture = np.zeros(length, np.float32)
    for signal in scaled:
        mixture += signal
    peak = float(np.abs(mixture).max())
    weight = np.float32(PEAK / peak if peak > PEAK else 1.0)
    after = [float(loudness.integrated_loudness(signal * weight)) for signal in scaled]
    return [10.0 ** ((new - old) / 20.0) for new, old in zip(after, before, strict=True)]


def _read(path: Path) -> Samples:
    samples: Samples = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return samples[:, 0]


def _fitted(samples: Samples, length: int) -> Samples:
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def _normalised(samples: Samples, change_db: float) -> Samples:
    scaled = samples * np.float32(10.0 ** (change_db / 20.0))
    if float(np.abs(scaled).max()) >= 1.0:
        scaled = samples * np.float32(PEAK) / np.float32(np.abs(samples).max())
    return scaled


def pair(
    speech: Sequence[Utterance],
    noises: Sequence[NoiseClip],
    *,
    speakers: int,
    wanted: int,
    stream: random.Random,
) -> list[tuple[Group, int]]:
    """Pairs a dev or test listing by searching lists, as published; see the planner for the rules.

    Returns:
        Row numbers of the utterances and of the noise, as the planner returns them.
    """
    groups: list[Group] = []
    chosen: list[int] = []
    while len(groups) < wanted:
        groups += _groups(speech, speakers, stream)
        groups, fresh = _noises(groups, speech, noises, stream)
        chosen += fresh
        _remove_duplicates(groups, chosen)
    return list(zip(groups[:wanted], chosen, strict=False))


def _groups(speech: Sequence[Utterance], size: int, stream: random.Random) -> list[Group]:
    free = list(range(len(speech)))
    groups: list[Group] = []
    fails = 0
    while len(free) >= size and fails < FAILED_DRAWS:
        drawn = stream.sample(free, size)
        if len({speech[row].speaker for row in drawn}) < size:
            fails += 1
            continue
        groups.append(tuple(drawn))
        for row in drawn:
            free.remove(row)
        fails = 0
    return groups


def _noises(
    groups: list[Group], speech: Sequence[Utterance], noises: Sequence[NoiseClip], stream: random.Random
) -> tuple[list[Group], list[int]]:
    plain = [row for row, noise in enumerate(noises) if not noise.augmented]
    left = list(range(len(noises))) if len(groups) > len(plain) else plain
    kept, chosen = list(groups), []
    for group in groups:
        need = max(speech[row].length_samples for row in group)
        candidates = [row for row in left if noises[row].length_samples >= need]
        if not candidates:
            kept.remove(group)
            continue
        (noise,) = stream.sample(candidates, 1)
        left.remove(noise)
        chosen.append(noise)
    return kept, chosen


def _remove_duplicates(groups: list[Group], chosen: list[int]) -> None:
    i = 0
    while i < len(groups) and i < len(chosen):
        group = groups[i]
        j = 0
        while j < len(groups) and j < len(chosen):
            if i != j and sorted(groups[j]) == sorted(group):
                other, noise = groups[j], chosen[j]
                groups.remove(other)
                chosen.remove(noise)
            j += 1
        i += 1
