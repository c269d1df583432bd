"""Change of sample rate, as the published recipes do it."""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating[Any]]

_KAISER_BETA = 5.0


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resamples by a polyphase Kaiser filter with scipy's defaults.

    Args:
        samples: shape (n,), float32 or float64; the filter is rounded to the same type.
        from_hz: rate of the samples.
        to_hz: wanted rate.

    Returns:
        Shape (ceil(n * to_hz / from_hz),), same dtype; the very same array if the rates are equal.
    """
    if from_hz == to_hz:
        return samples
    common = math.gcd(from_hz, to_hz)
    up, down = to_hz // common, from_hz // common
    taps = _low_pass(max(up, down), samples.dtype.name)
    if up == 1:
        return _decimated(samples, taps, down)
    from scipy.signal import resample_poly

    resampled: Samples = resample_poly(samples, up, down, window=taps)
    return resampled


def _decimated(samples: Samples, taps: Samples, factor: int) -> Samples:
    """Does what ``resample_poly`` does where the rate is a whole part of the other, several times as fast."""
    from transforms.kernels import decimate

    resampled = np.empty(-(-len(samples) // factor), samples.dtype)
    decimate(np.ascontiguousarray(samples), taps, factor, resampled)
    return resampled


@functools.lru_cache(maxsize=32)
def _low_pass(ratio: int, dtype: str) -> Samples:
    """Returns the filter that scipy takes by default for a ratio whose larger number is given.

    A sinc in a Kaiser window (beta 5) whose taps add up to 1: bit for bit ``scipy.signal.firwin``, but to
    import that takes a worker longer than to start otherwise. Its design takes far longer than its use
    where the ratio is large (speed changes: thousands).
    """
    from scipy.special import i0

    places = np.arange(20 * ratio + 1) - 10.0 * ratio
    window = i0(_KAISER_BETA * np.sqrt(1.0 - (places / (10.0 * ratio)) ** 2)) / i0(_KAISER_BETA)
    cutoff = 1.0 / ratio
    taps = cutoff * np.sinc(cutoff * places) * window
    return np.asarray(taps / np.sum(taps), dtype)
