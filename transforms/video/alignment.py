"""Which pictures belong to which samples: exact times, from the timestamps of a file.

A time is an exact rational number of seconds on the common timeline of a file, whose zero both streams
share. Sample ``n`` of a signal at ``rate_hz`` is at ``n / rate_hz``; a picture is visible from its own
time until that of the next. Nothing here rounds but by the rules that are stated, and nothing is a
floating point number: ``int(k / 25 * 16000)`` is wrong for 590 of the first 100,000 pictures.

Times come as ``Timestamps``: whole ticks of a stream's clock, so that arrays of them stay exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

Rule = Literal["hold", "nearest"]
Tail = Literal["drop", "pad"]
RULES: tuple[Rule, ...] = get_args(Rule)
TAILS: tuple[Tail, ...] = get_args(Tail)

Integers = NDArray[np.int64]
Whole = TypeVar("Whole", int, Integers)

_MOST_BITS = 62


def first_sample_of_frame(frame: Whole, fps: Fraction, rate_hz: int) -> Whole:
    """Returns the first sample while a frame of a constant rate is visible: ceil(k * rate / fps).

    Args:
        frame: number of the frame from 0, or an array of numbers.
        fps: frames per second.
        rate_hz: samples per second.
    """
    return -(-frame * (rate_hz * fps.denominator) // fps.numerator)


def frame_of_sample(sample: Whole, fps: Fraction, rate_hz: int) -> Whole:
    """Returns the frame of a constant rate that is visible at a sample: floor(n * fps / rate).

    The exact inverse of ``first_sample_of_frame``; of a length in samples it tells how many whole
    frames there are.

    Args:
        sample: number of the sample from 0, or an array of numbers.
        fps: frames per second.
        rate_hz: samples per second.
    """
    return sample * fps.numerator // (rate_hz * fps.denominator)


def floor_of(time: Fraction) -> int:
    """Returns the largest whole number that is not above a rational one."""
    return time.numerator // time.denominator


def ceil_of(time: Fraction) -> int:
    """Returns the smallest whole number that is not below a rational one."""
    return -(-time.numerator // time.denominator)


def nearest_sample(time: Fraction, rate_hz: int) -> int:
    """Returns the place of a decoded audio frame: its time in samples, rounded, halves up."""
    return floor_of(time * rate_hz + Fraction(1, 2))


def slot_of(time: Fraction, fps: Fraction, rule: Rule) -> int:
    """Returns the first output frame that a picture may be shown in.

    Output frame ``j`` of a constant rate shows the last picture whose slot is not above ``j``. With
    ``hold`` that is the picture visible at ``j / fps``: the slot is ceil(T * fps). With ``nearest``,
    the rule of FFmpeg's filter ``fps``, it is floor(T * fps + 1/2), which leads ``hold`` by up to half
    an output frame.

    Args:
        time: when the picture becomes visible, in seconds.
        fps: output frames per second.
        rule: how pictures are chosen.
    """
    return ceil_of(time * fps) if rule == "hold" else floor_of(time * fps + Fraction(1, 2))


def frame_count(end: Fraction, fps: Fraction) -> int:
    """Returns how many output frames begin before the last picture ends: ceil(end * fps), not below 0."""
    return max(0, ceil_of(end * fps))


@dataclass(frozen=True, eq=False)
class Timestamps:
    """Times of many pictures, exact: tick ``n`` is at ``n * unit`` seconds.

    Attributes:
        ticks: shape (pictures,), int64, on a clock that shows 0 at the common zero; may be negative.
        unit: seconds per tick.
    """

    ticks: Integers
    unit: Fraction

    def first_samples(self, rate_hz: int) -> Integers:
        """Returns the first sample of each picture, ceil(T * rate): shape (pictures,), int64.

        With round-half-up in place of ceil nearly half of the pictures at 29.97 per second would be
        found one picture too early from their own first sample.
        """
        return self._floored(Fraction(rate_hz), up=True)

    def slots(self, fps: Fraction, rule: Rule) -> Integers:
        """Returns the slot of each picture, see ``slot_of``: shape (pictures,), int64."""
        if rule == "hold":
            return self._floored(fps, up=True)
        return self._floored(fps, half=1)

    def _floored(self, factor: Fraction, *, half: int = 0, up: bool = False) -> Integers:
        """Returns floor(T * factor + half / 2), or the ceiling, in integers of whatever size it takes."""
        scale = self.unit * factor
        top, bottom = 2 * scale.numerator, 2 * scale.denominator
        largest = int(np.abs(self.ticks).max(initial=1))
        small = largest.bit_length() + top.bit_length() < _MOST_BITS and bottom.bit_length() < _MOST_BITS
        ticks: NDArray[Any] = self.ticks if small else self.ticks.astype(object)
        doubled = ticks * top + half * (bottom // 2)
        whole = -(-doubled // bottom) if up else doubled // bottom
        return np.asarray(whole, dtype=np.int64)

    @property
    def is_variable(self) -> bool:
        """Whether the steps between pictures differ by more than one tick, which rounding explains."""
        steps = np.diff(self.ticks)
        return bool(len(steps) > 1 and steps.max() - steps.min() > 1)


def pictures_of_samples(samples: Integers, first_samples: Integers) -> Integers:
    """Returns the picture visible at each sample, the exact inverse of ``Timestamps.first_samples``.

    Args:
        samples: shape (n,), numbers of samples.
        first_samples: shape (pictures,), ascending.

    Returns:
        Shape (n,), int64; -1 before the first picture.
    """
    return np.asarray(np.searchsorted(first_samples, samples, side="right") - 1, dtype=np.int64)


def shown_pictures(slots: Integers, start: int, stop: int) -> Integers:
    """Returns the picture that each output frame shows.

    Args:
        slots: slot of each picture, shape (pictures,), ascending, at least one.
        start: first output frame.
        stop: number after the last output frame.

    Returns:
        Shape (stop - start,), int64. Frames before the first slot show the first picture.
    """
    frames = np.arange(start, stop, dtype=np.int64)
    return np.maximum(pictures_of_samples(frames, slots), 0)


@dataclass(frozen=True, slots=True)
class FrameRange:
    """Output frames ``start`` to ``stop`` - 1 of a constant rate, and the samples that belong to them."""

    start: int
    stop: int

    def samples(self, fps: Fraction, rate_hz: int) -> tuple[int, int]:
        """Returns the first sample, and the number of samples."""
        first = first_sample_of_frame(self.start, fps, rate_hz)
        return first, first_sample_of_frame(self.stop, fps, rate_hz) - first


def whole_frames(pictures_end: Fraction, samples: int, fps: Fraction, *, rate_hz: int, tail: Tail) -> int:
    """Returns how many output frames a file gives from its zero on.

    Args:
        pictures_end: when the last picture ends, in seconds.
        samples: audio samples from zero on, at ``rate_hz``.
        fps: output frames per second.
        rate_hz: output samples per second.
        tail: ``drop`` leaves out frames whose audio is not complete, ``pad`` takes silence for it.
    """
    pictures = frame_count(pictures_end, fps)
    return pictures if tail == "pad" else min(pictures, frame_of_sample(samples, fps, rate_hz))


def segments(frames: int, frames_per_segment: int) -> Iterator[FrameRange]:
    """Yields ranges of equal length that follow one another; the last may be shorter.

    Cut at frames, so that the samples of neighbours neither overlap nor leave anything out. At rates
    whose frames are no whole number of samples, lengths in samples differ by one.

    Args:
        frames: output frames of the file.
        frames_per_segment: length of a segment; 0 makes one of the whole file.
    """
    step = frames_per_segment or max(1, frames)
    for start in range(0, frames, step):
        yield FrameRange(start, min(start + step, frames))


def clock_tolerance(unit: Fraction, rate_hz: int) -> int:
    """Returns by how many samples an audio frame's time may differ from the end of the one before.

    None on a clock that can tell every sample from the next. Other clocks (milliseconds in Matroska,
    90 kHz in MPEG streams) cannot tell contiguous frames' times exactly: one tick is allowed for, else
    there would be a gap or an overlap at every frame.

    Args:
        unit: seconds per tick of the stream.
        rate_hz: sampling rate of the stream.
    """
    ticks_per_sample = 1 / (unit * rate_hz)
    return 0 if ticks_per_sample.denominator == 1 else ceil_of(unit * rate_hz)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where decoded samples go: after ``gap`` samples of silence, without their first ``overlap``."""

    gap: int
    overlap: int


@dataclass
class Placer:
    """Places decoded audio frames one after another by their timestamps.

    Attributes:
        tolerance: samples that a frame may be off and still count as contiguous.
        position: samples placed so far, which is the place of the next one.
    """

    tolerance: int
    position: int = 0

    def place(self, index: int, samples: int) -> Placement:
        """Places a frame.

        Args:
            index: place of its first sample by its timestamp; negative before the common zero.
            samples: its length.
        """
        off = index - self.position
        if abs(off) <= self.tolerance and self.position:
            off = 0
        placement = Placement(max(0, off), min(samples, max(0, -off)))
        if placement.overlap < samples:
            self.position += placement.gap + samples - placement.overlap
            return placement
        return Placement(0, samples)
