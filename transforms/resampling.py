"""Change of sample rate, as the published recipes do it."""

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

    resampled: Samples = resample_poly(samples, to_hz, from_hz)
    return resampled
