"""Integrated loudness as ITU-R BS.1770 defines it, and the gains that LibriMix derives from it.

The arithmetic is that of the published corpora: signals and weighted signals are float32, each
filter runs in double, energies of blocks are float32 sums, and everything after that is double.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.errors import SourceError

Samples = NDArray[np.float32]
Biquad = tuple[NDArray[np.float64], NDArray[np.float64]]

BLOCK_S = 0.4
PEAK_LIMIT = 0.9
_STEP = 0.25
_STEP_S = BLOCK_S * _STEP
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_SHELF_SETTLED_S = 0.05
_TAIL_S = 1.0
_STAGE = "loudness"


@functools.cache
def _k_weighting(rate_hz: int) -> tuple[Biquad, Biquad]:
    """Returns the high shelf and the high pass of the K-weighting, each as (b, a)."""
    from pyloudnorm import IIRfilter

    shelf = IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, rate_hz, "high_shelf")
    high_pass = IIRfilter(0.0, 0.5, 38.0, rate_hz, "high_pass")
    return (shelf.b, shelf.a), (high_pass.b, high_pass.a)


def _weighted(samples: Samples, padded_samples: int, rate_hz: int) -> Samples:
    """K-weights a signal, followed by zeros, up to a length.

    The shelf's tail vanishes in float32 long before ``_SHELF_SETTLED_S``. Beyond that its state
    would be denormal numbers, which cost ten times as much as others.
    """
    from scipy.signal import lfilter

    shelf, high_pass = _k_weighting(rate_hz)
    settled = min(padded_samples, len(samples) + int(_SHELF_SETTLED_S * rate_hz))
    buffer = np.zeros(padded_samples)
    buffer[: len(samples)] = samples
    buffer[:settled] = lfilter(*shelf, buffer[:settled]).astype(np.float32)
    weighted: Samples = lfilter(*high_pass, buffer).astype(np.float32)
    return weighted


def _block_energies(samples: Samples, padded_samples: int, rate_hz: int) -> NDArray[np.float64]:
    """Returns the mean squares of the blocks that the absolute gate can let pass, shape (blocks,).

    Left out are blocks that begin more than a block's length after the signal's end: there the
    filters' tail is hundreds of dB below the gate.
    """
    count = int(np.round((padded_samples / rate_hz - BLOCK_S) / _STEP_S)) + 1
    steps = np.arange(count) * _STEP
    starts = (BLOCK_S * steps * rate_hz).astype(np.int64)
    starts = starts[starts < len(samples) + BLOCK_S * rate_hz]
    stops = (BLOCK_S * (steps[: len(starts)] + 1) * rate_hz).astype(np.int64)
    within = min(padded_samples, len(samples) + int(_TAIL_S * rate_hz))
    squares = np.square(_weighted(samples, within, rate_hz))
    sums = [float(np.add.reduce(squares[start:stop])) for start, stop in zip(starts, stops, strict=True)]
    return (1.0 / (BLOCK_S * rate_hz)) * np.array(sums)


def _lufs(energy: Any) -> Any:
    with np.errstate(divide="ignore"):
        return -0.691 + 10.0 * np.log10(energy)


def integrated_loudness_lufs(
    samples: Samples, rate_hz: int, *, name: str, padded_samples: int | None = None
) -> float:
    """Measures the gated loudness of a mono signal (ITU-R BS.1770-4, annex 1).

    Args:
        samples: shape (n,), float32, full scale -1..1.
        rate_hz: sampling rate.
        name: the source, for messages.
        padded_samples: measure as if zeros followed up to this length; n if not given.

    Returns:
        Loudness in LUFS.

    Raises:
        SourceError: shorter than 0.4 s (zeros included), or no block is louder than -70 LUFS.
    """
    length = len(samples) if padded_samples is None else padded_samples
    if length < BLOCK_S * rate_hz:
        reason = f"lasts {length / rate_hz:.3f} s; loudness is defined from {BLOCK_S} s on"
        raise SourceError(name, _STAGE, reason, "leave it out of the listing and plan again")
    energies = _block_energies(samples, length, rate_hz)
    loudnesses = _lufs(energies)
    audible = loudnesses > _ABSOLUTE_GATE_LUFS
    if not audible.any():
        reason = f"is silent: no block of {BLOCK_S} s is louder than {_ABSOLUTE_GATE_LUFS:g} LUFS"
        raise SourceError(name, _STAGE, reason, "leave it out of the listing and plan again")
    gate = _lufs(np.mean(energies[loudnesses >= _ABSOLUTE_GATE_LUFS])) + _RELATIVE_GATE_LU
    return float(_lufs(np.mean(energies[audible & (loudnesses > gate)])))


def _peak(samples: Samples) -> float:
    return float(max(samples.max(), -samples.min()))


def _normalised(samples: Samples, change_db: float) -> Samples:
    """Applies a change of level, or the one that makes the peak 0.9 if it would reach full scale."""
    scaled = samples * np.float32(10.0 ** (change_db / 20.0))
    if _peak(scaled) >= 1.0:
        scaled = samples * np.float32(PEAK_LIMIT) / np.float32(_peak(samples))
    return scaled


def _mixed_peak(signals: Sequence[Samples], length: int) -> float:
    mixed = np.zeros(length, dtype=np.float32)
    for signal in signals:
        mixed[: len(signal)] += signal
    return _peak(mixed)


def normalised_gains(
    signals: Sequence[Samples], targets_lufs: Sequence[float], rate_hz: int, *, names: Sequence[str]
) -> tuple[float, ...]:
    """Returns the linear gains that LibriMix publishes for one mixture.

    Each signal is brought to its target, or to a peak of 0.9 where it would reach full scale; all
    are lowered together where the mixture's peak would exceed 0.9. A gain is the change from the
    loudness found to the loudness so reached, all measured as padded to the longest utterance.

    Args:
        signals: the utterances in order, then the noise, which is cut to the longest utterance;
            each of shape (n,), float32, full scale -1..1.
        targets_lufs: wanted loudness of each signal.
        rate_hz: sampling rate of all.
        names: the sources, for messages.

    Returns:
        One gain per signal.

    Raises:
        SourceError: a signal is silent, or the longest utterance is shorter than 0.4 s.
    """
    length = max(map(len, signals[:-1]))
    cut = [signal[:length] for signal in signals]
    found = _measured(cut, length, rate_hz, names=names)
    changes = (target - loudness for target, loudness in zip(targets_lufs, found, strict=True))
    levelled = [_normalised(signal, change) for signal, change in zip(cut, changes, strict=True)]
    peak = _mixed_peak(levelled, length)
    if peak > PEAK_LIMIT:
        levelled = [signal * np.float32(PEAK_LIMIT / peak) for signal in levelled]
    reached = _measured(levelled, length, rate_hz, names=names)
    return tuple(math.pow(10.0, (new - old) / 20.0) for new, old in zip(reached, found, strict=True))


def _measured(signals: Sequence[Samples], length: int, rate_hz: int, *, names: Sequence[str]) -> list[float]:
    return [
        integrated_loudness_lufs(signal, rate_hz, name=name, padded_samples=length)
        for signal, name in zip(signals, names, strict=True)
    ]
