"""Reading of the test clips in ``tests/golden/video``: white pictures, counters in them, and clicks."""

import itertools
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.video.alignment import Placer, clock_tolerance
from transforms.video.clip_record import ClipRecord, probe
from transforms.video.decoding import ClipFile, Clock, Pictures, Sounds
from transforms.video.soundtrack import Soundtrack

GOLDEN = Path(__file__).parent / "golden" / "video"
_SQUARES, _SQUARE = 10, 9


def truth(folder: Path = GOLDEN) -> dict[str, dict[str, Any]]:
    """Returns what is known of each clip, by name."""
    return dict(json.loads((folder / "ground_truth.json").read_text())["files"])


def counter(luma: NDArray[np.uint8]) -> int:
    """Returns the number that a picture shows in squares along its top, least significant first."""
    middle = _SQUARE // 2
    bits = [int(luma[middle, _SQUARE * k + middle] > 128) for k in range(_SQUARES)]
    return sum(bit << k for k, bit in enumerate(bits))


def is_flash(luma: NDArray[np.uint8]) -> bool:
    return bool(luma[20:80, 16:80].mean() > 180)


def clicks(samples: NDArray[np.float32], rate_hz: int) -> list[int]:
    """Returns the first sample above 30 % of the peak of each burst, bursts being half a second apart."""
    loud = np.flatnonzero(np.abs(samples) > 0.3 * np.abs(samples).max())
    return [int(loud[0]), *(int(b) for a, b in itertools.pairwise(loud) if b - a > rate_hz // 2)]


@dataclass(frozen=True)
class Seen:
    """What a clip shows when all of it is decoded.

    Attributes:
        record: what it promises.
        times: of each picture.
        numbers: what each picture shows as its number.
        flashes: places of the white pictures.
        samples: the sound at ``rate_hz``.
        pictures, sound: what decoded them, with its counts.
    """

    record: ClipRecord
    times: list[Fraction]
    numbers: list[int]
    flashes: list[int]
    samples: NDArray[np.float32]
    pictures: Pictures
    sound: Soundtrack
    sounds: Sounds


def decode(path: Path, rate_hz: int = 16000) -> Seen:
    """Decodes a whole clip."""
    file = ClipFile(path.name, str(path))
    record = probe(file)
    clock = Clock(record.zero, record.step)
    pictures, sounds = Pictures(file, clock), Sounds(file, clock)
    times, numbers, flashes = [], [], []
    for place, picture in enumerate(pictures):
        luma = picture.frame.to_ndarray(format="gray")
        times.append(picture.time)
        numbers.append(counter(luma))
        if is_flash(luma):
            flashes.append(place)
    decoded = iter(sounds)
    first = next(decoded)
    tolerance = clock_tolerance(sounds.unit, sounds.own_hz)
    sound = Soundtrack(itertools.chain([first], decoded), sounds.own_hz, rate_hz, Placer(tolerance))
    samples = sound.read(0, int(record.sound_end * rate_hz) + 1024)
    sound.drain()
    return Seen(record, times, numbers, flashes, samples[: sound.samples], pictures, sound, sounds)
