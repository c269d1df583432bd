"""Change of sample rate, as the published recipes do it."""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating[Any]]


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
    from scipy.signal import resample_poly

    common = math.gcd(from_hz, to_hz)
    taps = _low_pass(max(from_hz, to_hz) // common, samples.dtype.name)
    resampled: Samples = resample_poly(samples, to_hz // common, from_hz // common, window=taps)
    return resampled


@functools.lru_cache(maxsize=32)
def _low_pass(ratio: int, dtype: str) -> Samples:
    """Returns the filter that scipy takes by default for a ratio whose larger number is given.

    Its design takes far longer than its use where that number is large (speed changes: thousands).
    """
    from scipy.signal import firwin

    taps: Samples = firwin(20 * ratio + 1, 1.0 / ratio, window=("kaiser", 5.0)).astype(dtype)
    return taps
