"""Listings: one row per file of a corpus, as small values and as the published CSV files."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a LibriSpeech-like listing.

    Attributes:
        speaker: the reader's id.
        sex: ``F`` or ``M``.
        subset: subset as the corpus's speaker table names it.
        length_samples: length at the corpus's rate.
        path: file relative to the corpus root.
    """

    speaker: str
    sex: str
    subset: str
    length_samples: int
    path: str


@dataclass(frozen=True, slots=True)
class NoiseClip:
    """One row of a WHAM-like listing.

    Attributes:
        noise_id: file name with extension.
        subset: ``cv``, ``tr`` or ``tt``.
        length_samples: length at the corpus's rate.
        augmented: whether it is a speed-changed copy.
        path: file relative to the corpus root.
    """

    noise_id: str
    subset: str
    length_samples: int
    augmented: bool
    path: str
