"""WHAM: its folders, the rows of its published listings, and the names of speed-changed copies."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transforms.corpora import Layout, by_length
from transforms.listing import Header, NoiseClip, noises_csv

RATE_HZ = 16000
MIN_LENGTH_SAMPLES = 3 * RATE_HZ
TRAINING_FOLDER = "tr"
SUFFIXES = (".wav",)

_PUBLISHED_MARKS = ("sp08", "sp12")
_SPEED_ENDING = re.compile(r"sp\d{2,3}\.wav\Z", re.IGNORECASE)


def copy_path(path: str, speed: float) -> str:
    """Returns where the copy of a noise at another speed goes: beside it, speed in tenths.

    >>> copy_path("tr/a_0.5.wav", 0.8)
    'tr/a_0.5sp08.wav'
    """
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}sp{round(10 * speed):02d}{dot}{suffix}"


def is_copy(path: str) -> bool:
    """Tells whether a file is a speed-changed copy, by the ending of its name."""
    return _SPEED_ENDING.search(path) is not None


def is_listed_as_augmented(path: str) -> bool:
    """Tells what listings call augmented: ``sp08`` or ``sp12`` anywhere in the path, as published.

    Copies at other speeds, which the published corpora do not have, are known by their ending.

    Args:
        path: file relative to the corpus root.
    """
    return any(mark in path for mark in _PUBLISHED_MARKS) or is_copy(path)


@dataclass(frozen=True)
class Wham(Layout[NoiseClip]):
    """The layout of WHAM's noises."""

    name: ClassVar[str] = "wham"
    title: ClassVar[str] = "WHAM"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    rate_hz: ClassVar[int | None] = RATE_HZ
    min_length_samples: ClassVar[int] = MIN_LENGTH_SAMPLES
    row_type: ClassVar[type[Any]] = NoiseClip
    listings: ClassVar[Mapping[str, str]] = {"cv": "dev.csv", TRAINING_FOLDER: "train.csv", "tt": "test.csv"}

    def row(self, header: Header) -> NoiseClip:
        """Returns the row of a file; its subset is the corpus's folder."""
        folder, _, name = header.path.partition("/")
        noise_id = name.rpartition("/")[2]
        return NoiseClip(noise_id, folder, header.frames, is_listed_as_augmented(header.path), header.path)

    def csv(self, rows: Iterable[NoiseClip]) -> bytes:
        """Returns the published listing: ascending by length, among equal lengths by path."""
        return noises_csv(sorted(rows, key=by_length))
