"""The loops in which most time goes, compiled: filters, sums of products, 16-bit rounding.

Each does the very operations of its slow version in the same order, in the type of its arguments, and
never joins a product and a sum into one rounding. So results are equal to the last bit on every
processor. What is compiled is kept on disk, beside this module or where Numba finds a place.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Function = TypeVar("Function", bound=Callable[..., Any])
Samples = NDArray[Any]

_BLOCK_SAMPLES = 2048
_LANES = 256
_FULL_SCALE_32 = np.float32(2.0**31)
_TO_16_BIT = np.float32(2.0**-16)
_FULL_SCALE_16 = np.float32(2.0**15)
_HIGHEST = np.float32(32767.0)
_LOWEST = np.float32(-32768.0)


def compiled(function: Function) -> Function:
    """Compiles a loop when it is first called, and keeps the result on disk where a place can be written."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        made = numba.njit(nogil=True)(function)
    return cast(Function, made)


@compiled
def decimate(samples: Samples, taps: Samples, factor: int, out: Samples) -> None:
    """Filters a signal and keeps one sample in ``factor``, each summed from the oldest sample on.

    out[j] = sum over k of taps[k] * samples[factor * j + reach - k], with ``reach`` half the taps and zeros
    around the signal: what ``scipy.signal.upfirdn`` does, sample by sample.

    Args:
        samples: shape (n,), float32 or float64.
        taps: shape (2 * reach + 1,), same type; ``reach`` is a multiple of ``factor``.
        factor: 2 or more.
        out: shape (ceil(n / factor),), same type; filled.
    """
    count = len(taps)
    phases = _phases(samples, factor, reach=(count - 1) // 2, longest=len(out) + count // factor + 1)
    for start in range(0, len(out), _BLOCK_SAMPLES):
        stop = min(len(out), start + _BLOCK_SAMPLES)
        total = out[start:stop]
        total[:] = 0
        for k in range(0, count - 3, 4):
            a = phases[k % factor, start + k // factor : stop + k // factor]
            b = phases[(k + 1) % factor, start + (k + 1) // factor : stop + (k + 1) // factor]
            c = phases[(k + 2) % factor, start + (k + 2) // factor : stop + (k + 2) // factor]
            d = phases[(k + 3) % factor, start + (k + 3) // factor : stop + (k + 3) // factor]
            tap_a, tap_b = taps[count - 1 - k], taps[count - 2 - k]
            tap_c, tap_d = taps[count - 3 - k], taps[count - 4 - k]
            for j in range(stop - start):
                total[j] = (((total[j] + tap_a * a[j]) + tap_b * b[j]) + tap_c * c[j]) + tap_d * d[j]
        for k in range(count - count % 4, count):
            a = phases[k % factor, start + k // factor : stop + k // factor]
            for j in range(stop - start):
                total[j] += taps[count - 1 - k] * a[j]


@compiled
def _phases(samples: Samples, factor: int, reach: int, longest: int) -> Samples:
    """Sorts samples by their place modulo a factor, ``reach`` zeros before them; shape (factor, longest)."""
    phases = np.zeros((factor, longest), samples.dtype)
    for phase in range(factor):
        row = phases[phase, reach // factor :]
        for i in range((len(samples) - phase + factor - 1) // factor):
            row[i] = samples[factor * i + phase]
    return phases


@compiled
def inner_product(first: Samples, second: Samples) -> float:
    """Returns the sum of products of two signals in float64, in 256 partial sums on any processor.

    Args:
        first: shape (n,), float32 or float64.
        second: shape (n,), likewise.
    """
    sums = np.zeros(_LANES)
    whole = len(first) - len(first) % _LANES
    for start in range(0, whole, _LANES):
        a, b = first[start : start + _LANES], second[start : start + _LANES]
        for lane in range(_LANES):
            sums[lane] += np.float64(a[lane]) * np.float64(b[lane])
    total = 0.0
    for lane in range(_LANES):
        total += sums[lane]
    for i in range(whole, len(first)):
        total += np.float64(first[i]) * np.float64(second[i])
    return total


@compiled
def floor_to_16_bit(samples: Samples, out: NDArray[np.int16]) -> None:
    """Fills ``out`` with floor(rint(x * 2^31) / 2^16), limited to 16 bit."""
    for i in range(len(samples)):
        steps = np.floor(np.rint(samples[i] * _FULL_SCALE_32) * _TO_16_BIT)
        out[i] = np.int16(min(max(steps, _LOWEST), _HIGHEST))


@compiled
def round_to_16_bit(samples: Samples, out: NDArray[np.int16]) -> None:
    """Fills ``out`` with 32768 x rounded half to even, limited to 16 bit."""
    for i in range(len(samples)):
        steps = np.rint(samples[i] * _FULL_SCALE_16)
        out[i] = np.int16(min(max(steps, _LOWEST), _HIGHEST))


@compiled
def truncate_to_16_bit(samples: Samples, out: NDArray[np.int16]) -> None:
    """Fills ``out`` with 32767 x without its fraction, limited to 16 bit."""
    for i in range(len(samples)):
        steps = np.trunc(samples[i] * _HIGHEST)
        out[i] = np.int16(min(max(steps, _LOWEST), _HIGHEST))


@compiled
def weigh(
    signals: NDArray[np.float32],
    stops: NDArray[np.int64],
    shelf: NDArray[np.float64],
    high_pass: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Runs signals side by side through two filters of second order (second direct form, transposed).

    What the first filter gives is rounded to float32 before the second. Each state is set to zero
    at the end of the block in which the filter's ``stops`` lies: tails would become denormal numbers,
    which cost a hundred times as much as others.

    Args:
        signals: shape (n, signals).
        stops: shape (2, signals): samples after which the output of the first filter rounds to
            zero, and after which that of the second is not needed.
        shelf: b0, b1, b2, a1, a2 of the first filter, a0 being 1.
        high_pass: those of the second.
        out: shape (signals, n); filled.
    """
    count = signals.shape[1]
    first, second = np.zeros((2, count)), np.zeros((2, count))
    for start in range(0, len(signals), _BLOCK_SAMPLES):
        for i in range(start, min(len(signals), start + _BLOCK_SAMPLES)):
            for s in range(count):
                x = np.float64(signals[i, s])
                y = first[0, s] + shelf[0] * x
                first[0, s] = first[1, s] + x * shelf[1] - y * shelf[3]
                first[1, s] = x * shelf[2] - y * shelf[4]
                x = np.float64(np.float32(y))
                y = second[0, s] + high_pass[0] * x
                second[0, s] = second[1, s] + x * high_pass[1] - y * high_pass[3]
                second[1, s] = x * high_pass[2] - y * high_pass[4]
                out[s, i] = np.float32(y)
        for s in range(count):
            if start + _BLOCK_SAMPLES >= stops[0, s]:
                first[:, s] = 0.0
            if start + _BLOCK_SAMPLES >= stops[1, s]:
                second[:, s] = 0.0
