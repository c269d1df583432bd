"""The sound of a file on its common timeline: placed by timestamps, resampled, read in windows.

Only the window that is read is held in memory. It is exactly what the whole file, placed and resampled
at once, has at that place: the filter is linear-phase with its delay compensated, and every window is
filtered together with all the samples that its own depend on.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from transforms.resampling import resample
from transforms.video.alignment import Placer, floor_of

Samples = NDArray[np.float32]

_HALF_TAPS = 10


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded audio frame.

    Attributes:
        index: place of its first sample by its timestamp, at the rate of the file, from the common
            zero; None if it has no timestamp and follows what was before it.
        samples: shape (n,), float32 in -1..1.
    """

    index: int | None
    samples: Samples


@dataclass(frozen=True, slots=True)
class Window:
    """Samples that a window at another rate is made from.

    Attributes:
        start: first sample needed, at the rate of the file; may be negative.
        stop: number after the last one.
        skip: samples to leave out at the beginning of what the filter makes of them.
    """

    start: int
    stop: int
    skip: int


def window_needed(first: int, count: int, *, from_hz: int, to_hz: int) -> Window:
    """Returns what must be filtered to get ``count`` samples from ``first`` on.

    The window begins at a sample that has a counterpart at the other rate, so that the filter meets
    the same phases as over the whole file.

    Args:
        first: first sample wanted, at ``to_hz``.
        count: samples wanted, at least one.
        from_hz: rate of what there is.
        to_hz: rate wanted.
    """
    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    half = _HALF_TAPS * max(up, down) if up != down else 0
    periods = (first * down - half) // up // down
    stop = ((first + count - 1) * down + half) // up + 1
    return Window(periods * down, stop, first - periods * up)


@dataclass
class Soundtrack:
    """Reads decoded sound in ascending windows.

    Attributes:
        sounds: the decoded frames, in order.
        own_hz: their rate.
        rate_hz: the rate that windows are read at.
        placer: places them; its position tells how far the sound goes.
        gap_samples: silence put in for holes between timestamps so far, at the rate of the file.
        overlap_samples: samples left out so far because others stood at their place already.
        decoded_samples: samples decoded so far.
    """

    sounds: Iterator[Sound]
    own_hz: int
    rate_hz: int
    placer: Placer
    gap_samples: int = 0
    overlap_samples: int = 0
    decoded_samples: int = 0
    _start: int = 0
    _pieces: list[Samples] = field(default_factory=list)

    def read(self, first: int, count: int) -> Samples:
        """Returns a window; silence where there is no sound.

        Args:
            first: its first sample at ``rate_hz``, from the common zero; not below an earlier window's.
            count: its length.

        Returns:
            Shape (count,), float32.
        """
        if count <= 0:
            return np.zeros(0, dtype=np.float32)
        window = self._needed(first, count)
        held = self._held(max(0, window.start), window.stop)
        if window.start < 0:
            held = np.concatenate([np.zeros(-window.start, dtype=np.float32), held])
        made: Samples = resample(held, self.own_hz, self.rate_hz)
        return made[window.skip : window.skip + count]

    def skip(self, first: int) -> None:
        """Decodes as far as windows that end at a sample would have, and forgets what is before it."""
        start = self._needed(first, 1).start
        self._held(max(0, start), self._needed(first - 1, 1).stop)

    @property
    def samples(self) -> int:
        """How many whole samples at ``rate_hz`` the sound decoded so far covers."""
        return floor_of(Fraction(self.placer.position * self.rate_hz, self.own_hz))

    def drain(self) -> None:
        """Decodes the rest, to count it; nothing of it is held."""
        for sound in self.sounds:
            self._place(sound)
            self._drop_before(self.placer.position)

    def _needed(self, first: int, count: int) -> Window:
        return window_needed(first, count, from_hz=self.own_hz, to_hz=self.rate_hz)

    def _held(self, start: int, stop: int) -> Samples:
        """Returns the placed samples from start to stop, shape (stop - start,); forgets those before."""
        while self.placer.position < stop and (sound := next(self.sounds, None)) is not None:
            self._place(sound)
            self._drop_before(start)
        self._drop_before(start)
        held = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.float32)
        held = held[max(0, start - self._start) :]
        self._start = max(self._start, min(start, self.placer.position))
        self._pieces = [held]
        wanted = held[: stop - start]
        missing = stop - start - len(wanted)
        return np.concatenate([wanted, np.zeros(missing, dtype=np.float32)]) if missing else wanted

    def _place(self, sound: Sound) -> None:
        placer = self.placer
        index = placer.position if sound.index is None else sound.index
        placement = placer.place(index, len(sound.samples))
        self.decoded_samples += len(sound.samples)
        self.gap_samples += placement.gap
        self.overlap_samples += placement.overlap
        if placement.gap:
            self._pieces.append(np.zeros(placement.gap, dtype=np.float32))
        self._pieces.append(sound.samples[placement.overlap :])

    def _drop_before(self, start: int) -> None:
        """Forgets pieces that end before a sample."""
        while self._pieces and self._start + len(self._pieces[0]) <= start:
            self._start += len(self._pieces.pop(0))
        if not self._pieces:
            self._start = self.placer.position
