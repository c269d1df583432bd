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
Energies = NDArray[np.float64]

BLOCK_S = 0.4
PEAK_LIMIT = 0.9
_STEP = 0.25
_STEP_S = BLOCK_S * _STEP
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_SHELF_SETTLED_S = 0.05
_TAIL_S = 1.0
_PAIRWISE_SAMPLES = 128
_STAGE = "loudness"


@functools.cache
def _k_weighting(rate_hz: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the high shelf and the high pass of the K-weighting, each as b0, b1, b2, a1, a2."""
    from pyloudnorm import IIRfilter

    shelf = IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, rate_hz, "high_shelf")
    high_pass = IIRfilter(0.0, 0.5, 38.0, rate_hz, "high_pass")
    return np.array([*shelf.b, *shelf.a[1:]]), np.array([*high_pass.b, *high_pass.a[1:]])


def _weighted_squares(signals: Sequence[Samples], padded_samples: int, rate_hz: int) -> list[Samples]:
    """K-weights signals side by side, each followed by zeros up to a length, and squares them.

    The shelf's tail vanishes in float32 long before ``_SHELF_SETTLED_S``. No block that counts
    reaches ``_TAIL_S`` beyond a signal's end.
    """
    from transforms.kernels import weigh

    lengths = np.array(list(map(len, signals)))
    stops = np.stack([lengths + int(settled_s * rate_hz) for settled_s in (_SHELF_SETTLED_S, _TAIL_S)])
    within = np.minimum(stops[1], padded_samples)
    together = np.zeros((within.max(), len(signals)), np.float32)
    for column, signal in enumerate(signals):
        together[: len(signal), column] = signal
    weighted = np.empty((len(signals), len(together)), np.float32)
    weigh(together, stops, *_k_weighting(rate_hz), weighted)
    np.square(weighted, out=weighted)
    return [squares[:count] for squares, count in zip(weighted, within, strict=True)]


def _block_energies(squares: Samples, count_samples: int, padded_samples: int, rate_hz: int) -> Energies:
    """Returns the mean squares of the blocks that the absolute gate can let pass, shape (blocks,).

    Left out are blocks that begin more than a block's length after the signal's end: there the
    filters' tail is hundreds of dB below the gate.

    Args:
        squares: of the weighted signal, shape (n,).
        count_samples: length of the signal.
        padded_samples: its length with the zeros that follow.
        rate_hz: sampling rate.
    """
    count = int(np.round((padded_samples / rate_hz - BLOCK_S) / _STEP_S)) + 1
    steps = np.arange(count) * _STEP
    starts = (BLOCK_S * steps * rate_hz).astype(np.int64)
    starts = starts[starts < count_samples + BLOCK_S * rate_hz]
    stops = (BLOCK_S * (steps[: len(starts)] + 1) * rate_hz).astype(np.int64)
    return (1.0 / (BLOCK_S * rate_hz)) * _sums_between(squares, starts, stops).astype(np.float64)


def _sums_between(squares: Samples, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Samples:
    """Returns the float32 sums of overlapping blocks, adding in pairs as NumPy does over each as a whole.

    NumPy halves what it adds up, at multiples of 8 samples, until 128 are left at most. So the sum of a block
    of four equal steps is made of those of its steps, which other blocks share.
    """
    step = int(stops[0] - starts[0]) // 4
    if step % 8 or step <= _PAIRWISE_SAMPLES:
        return np.array([np.add.reduce(squares[a:b]) for a, b in zip(starts, stops, strict=True)])
    whole = len(squares) // step
    quarters = np.add.reduce(squares[: whole * step].reshape(whole, step), axis=1)
    halves = quarters[:-1] + quarters[1:]
    sums = np.array(halves[:-2] + halves[2:])
    regular = (starts % step == 0) & (stops - starts == 4 * step) & (stops <= whole * step)
    return np.array(
        [
            sums[a // step] if shared else np.add.reduce(squares[a:b])
            for a, b, shared in zip(starts, stops, regular, strict=True)
        ]
    )


def _lufs(energy: Any) -> Any:
    with np.errstate(divide="ignore"):
        return -0.691 + 10.0 * np.log10(energy)


def integrated_loudness_lufs(samples: Samples, rate_hz: int, *, name: str) -> float:
    """Measures the gated loudness of one signal; see ``integrated_loudnesses_lufs``."""
    return integrated_loudnesses_lufs([samples], rate_hz, names=[name], padded_samples=len(samples))[0]


def integrated_loudnesses_lufs(
    signals: Sequence[Samples], rate_hz: int, *, names: Sequence[str], padded_samples: int
) -> list[float]:
    """Measures the gated loudness of mono signals (ITU-R BS.1770-4, annex 1).

    Args:
        signals: shape (n,) each, float32, full scale -1..1.
        rate_hz: sampling rate.
        names: the sources, for messages.
        padded_samples: measure as if zeros followed up to this length.

    Returns:
        Loudness of each in LUFS.

    Raises:
        SourceError: shorter than 0.4 s (zeros included), or no block is louder than -70 LUFS.
    """
    if padded_samples < BLOCK_S * rate_hz:
        reason = f"lasts {padded_samples / rate_hz:.3f} s; loudness is defined from {BLOCK_S} s on"
        raise SourceError(names[0], _STAGE, reason, "leave it out of the listing and plan again")
    weighted = _weighted_squares(signals, padded_samples, rate_hz)
    return [
        _gated_lufs(_block_energies(squares, len(signal), padded_samples, rate_hz), name)
        for squares, signal, name in zip(weighted, signals, names, strict=True)
    ]


def _gated_lufs(energies: Energies, name: str) -> float:
    """Returns the mean loudness of the blocks that both gates let pass. Raises SourceError: there is none."""
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
    found = integrated_loudnesses_lufs(cut, rate_hz, names=names, padded_samples=length)
    changes = (target - loudness for target, loudness in zip(targets_lufs, found, strict=True))
    levelled = [_normalised(signal, change) for signal, change in zip(cut, changes, strict=True)]
    peak = _mixed_peak(levelled, length)
    if peak > PEAK_LIMIT:
        levelled = [signal * np.float32(PEAK_LIMIT / peak) for signal in levelled]
    reached = integrated_loudnesses_lufs(levelled, rate_hz, names=names, padded_samples=length)
    return tuple(math.pow(10.0, (new - old) / 20.0) for new, old in zip(reached, found, strict=True))
