"""Active speech level (ITU-T P.56): the mean power of speech while somebody speaks.

Two measures. ``bandpass`` filters to the speech band first and sets its thresholds by the signal's own
power; it gives the levels that wsj0-mix was published with (VOICEBOX ``v_activlev``, default mode).
``plain`` is the speech voltmeter of ITU-T G.191: no filter, thresholds fixed to full scale.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Measure = Literal["bandpass", "plain"]
Samples = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]

MEASURES: tuple[Measure, ...] = get_args(Measure)
MARGIN_DB = 15.9

_HIGH_PASS_HZ = 200.0
_LOW_PASS_HZ = 5500.0
_LOW_PASS_FROM_RATE_HZ = 2.2 * _LOW_PASS_HZ
_ORDER = 5
_EDGE_DB = 0.25
_STOP_DB = 50.0
_PADDING_S = 0.35
_SMOOTHING_S = 0.03
_HANG_OVER_S = 0.2
_BANDPASS_BINS = 20
_PLAIN_THRESHOLDS = 15
_NO_EXPONENT = -(1 << 15)
_BIT_DB = 10.0 * math.log10(2.0)


@dataclass(frozen=True, slots=True)
class ActiveLevel:
    """What a measure found in one signal; powers are mean squares at full scale 1.

    Attributes:
        power: mean square while speech is active, the level as a power; 0 for silence.
        activity_factor: share of the time that speech is active; 0 for silence. ``bandpass`` can
            give more than 1 for short signals, because it counts the hang-over behind their end.
        mean_power: mean square of the whole signal; of ``bandpass``: filtered, with 0.35 s of zeros
            appended.
    """

    power: float
    activity_factor: float
    mean_power: float

    @property
    def level_db(self) -> float:
        """The level in dB relative to power 1 (dBov); minus infinity for silence."""
        return 10.0 * math.log10(self.power) if self.power > 0 else -math.inf


SILENCE = ActiveLevel(0.0, 0.0, 0.0)


def measure_problem(measure: str) -> str | None:
    """Says what is wrong with the name of a measure, or returns None for a known one."""
    return None if measure in MEASURES else f"wanted {' or '.join(MEASURES)}"


def rate_problem(rate_hz: int) -> str | None:
    """Says why signals of a rate cannot be measured, or returns None for a rate that will do."""
    lowest = 2 * _HIGH_PASS_HZ
    return None if rate_hz > lowest else f"has {rate_hz} Hz, wanted more than {lowest:g} Hz"


def active_level(samples: Samples, rate_hz: int, *, measure: Measure) -> ActiveLevel:
    """Measures the active speech level of a mono signal, at its own rate.

    Args:
        samples: shape (n,), floats, finite, full scale -1..1. Short signals, down to none at all,
            are measured as they are.
        rate_hz: sampling rate, see ``rate_problem``.
        measure: ``bandpass`` or ``plain``.

    Returns:
        The level. Of silence it is 0: with ``bandpass`` only digital zero is silent; with ``plain``
        also signals below about -75 dB, and those without an activity that fits their level, such
        as a single click.

    Raises:
        ValueError: the energy of the samples is no finite number.
    """
    doubles = np.asarray(samples, dtype=np.float64)
    if not doubles.any():
        return SILENCE
    with np.errstate(over="ignore"):
        energy = np.dot(doubles, doubles)
    if not math.isfinite(energy):
        raise ValueError("holds samples that are no finite numbers")
    return _MEASURES[measure](doubles, rate_hz)


def _bandpass_level(samples: Doubles, rate_hz: int) -> ActiveLevel:
    """Measures as VOICEBOX does: thresholds are the powers of two around the mean power."""
    from scipy.signal import sosfilt

    padded = np.concatenate((samples, np.zeros(math.ceil(_PADDING_S * rate_hz))))
    filtered = sosfilt(_speech_band(rate_hz), padded)
    energy = np.dot(filtered, filtered)
    with np.errstate(divide="ignore", over="ignore"):
        scale = len(filtered) / energy
    if math.isinf(scale):
        return SILENCE
    normalised = scale * np.square(_envelope(filtered, rate_hz))
    exponents = _held_exponents(normalised, math.ceil(_HANG_OVER_S * rate_hz))
    top = exponents.max() + 1
    bins = np.minimum(top - exponents, _BANDPASS_BINS)
    active = np.cumsum(np.bincount(bins, minlength=_BANDPASS_BINS + 1)[1:])
    thresholds_db = _BIT_DB * (top - 2 - np.arange(_BANDPASS_BINS)) - 10.0 * math.log10(scale)
    power = 10.0 ** (_bandpass_crossing_db(10.0 * np.log10(energy / active), thresholds_db) / 10.0)
    return ActiveLevel(power, float(energy / (len(samples) * power)), float(energy / len(filtered)))


def _bandpass_crossing_db(active_db: Doubles, thresholds_db: Doubles) -> float:
    """Returns the active level where it is the margin above its threshold, or the nearest there is.

    Args:
        active_db: level during the activity above each threshold, shape (thresholds,).
        thresholds_db: from the highest down, same shape.
    """
    excess_db = active_db - thresholds_db - MARGIN_DB
    crossings = np.flatnonzero((excess_db[:-1] < 0) & (excess_db[1:] >= 0))
    if not len(crossings):
        return float(active_db[-1] if excess_db[-1] <= 0 else active_db[0])
    return _interpolated_db(active_db, excess_db, int(crossings[0]))


def _plain_level(samples: Doubles, rate_hz: int) -> ActiveLevel:
    """Measures as the G.191 voltmeter does: thresholds are 2^-15 to 2^-1 of full scale."""
    energy = np.dot(samples, samples)
    mean_power = float(energy / len(samples))
    hold_samples = math.floor(_HANG_OVER_S * rate_hz + 0.5)
    exponents = _held_exponents(_envelope(samples, rate_hz), hold_samples)
    reached = np.clip(exponents + _PLAIN_THRESHOLDS, 0, _PLAIN_THRESHOLDS)
    active = np.cumsum(np.bincount(reached, minlength=_PLAIN_THRESHOLDS + 1)[:0:-1])[::-1]
    level_db = _plain_crossing_db(energy, active[active > 0])
    if level_db is None:
        return ActiveLevel(0.0, 0.0, mean_power)
    power = 10.0 ** (level_db / 10.0)
    return ActiveLevel(power, mean_power / power, mean_power)


def _plain_crossing_db(energy: float, active: NDArray[np.int64]) -> float | None:
    """Returns the active level where it is the margin above its threshold; None for silence.

    Args:
        energy: sum of squares.
        active: active samples of each threshold that is reached, from the lowest (2^-15) up.
    """
    active_db = 10.0 * np.log10(energy / active)
    excess_db = active_db - 2 * _BIT_DB * (np.arange(len(active)) - _PLAIN_THRESHOLDS) - MARGIN_DB
    crossings = np.flatnonzero(excess_db[1:] <= 0)
    if not len(crossings) or excess_db[0] < 0:
        return None
    return _interpolated_db(active_db, excess_db, int(crossings[0]))


def _interpolated_db(active_db: Doubles, excess_db: Doubles, index: int) -> float:
    """Returns the level where the excess over the margin is 0, between an index and the next."""
    share = excess_db[index] / (excess_db[index] - excess_db[index + 1])
    return float(active_db[index] + share * (active_db[index + 1] - active_db[index]))


_MEASURES: dict[Measure, Callable[[Doubles, int], ActiveLevel]] = {
    "bandpass": _bandpass_level,
    "plain": _plain_level,
}


def _envelope(samples: Doubles, rate_hz: int) -> Doubles:
    """Smooths magnitudes twice with a time constant of 0.03 s; gain 1 at DC. Shape (n,)."""
    from scipy.signal import lfilter

    decay = math.exp(-1.0 / (_SMOOTHING_S * rate_hz))
    smoother = [1.0 - decay], [1.0, -decay]
    smoothed: Doubles = lfilter(*smoother, lfilter(*smoother, np.abs(samples)))
    return smoothed


def _held_exponents(values: Doubles, hold_samples: int) -> NDArray[np.int32]:
    """Returns the largest binary exponent among each value and those before it that are held.

    Args:
        values: shape (n,), not negative; 2^(e-1) <= value < 2^e has exponent e, and 0 has one that
            is lower than any.
        hold_samples: how many values before each count.

    Returns:
        Shape (n,), int32.
    """
    from scipy.ndimage import maximum_filter1d

    exponents = np.where(values > 0, np.frexp(values)[1], _NO_EXPONENT)
    held: NDArray[np.int32] = maximum_filter1d(
        exponents, hold_samples + 1, mode="constant", cval=_NO_EXPONENT, origin=hold_samples // 2
    )
    return held


@functools.cache
def _prototype() -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Returns zeros and poles of the analogue high pass that both filters are mapped from.

    Chebyshev type 2 of order 5, 50 dB down in its stop band. Its attenuation at w = 1 is 0.25 dB:
    |H|^2 = 1 / (1 + 1 / (e^2 T^2(edge^-1 w))) with e^2 = 1 / (10^5 - 1) solves for the edge.
    """
    from scipy.signal import cheby2

    chebyshev = math.sqrt((10 ** (_STOP_DB / 10) - 1) / (10 ** (_EDGE_DB / 10) - 1))
    edge = 1.0 / math.cosh(math.acosh(chebyshev) / _ORDER)
    zeros, poles, _ = cheby2(_ORDER, _STOP_DB, edge, "highpass", analog=True, output="zpk")
    return zeros, poles


@functools.lru_cache(maxsize=64)
def _speech_band(rate_hz: int) -> Doubles:
    """Returns the band filter of a rate as second-order sections, shape (sections, 6).

    High pass at 200 Hz; low pass at 5500 Hz where the rate has room for it. Each zero and pole of the
    prototype is mapped by a bilinear transform that is warped to keep those frequencies.
    """
    zeros, poles = _prototype()
    warp = math.tan(math.pi * _HIGH_PASS_HZ / rate_hz)
    sections = [_sections(*(2.0 / (1.0 - roots * warp) - 1.0 for roots in (zeros, poles)), unit_at=-1.0)]
    if rate_hz >= _LOW_PASS_FROM_RATE_HZ:
        warp = math.tan(math.pi * _LOW_PASS_HZ / rate_hz)
        low = _sections(*(2.0 / (roots / warp - 1.0) + 1.0 for roots in (zeros, poles)), unit_at=1.0)
        sections.append(low)
    return np.concatenate(sections)


def _sections(zeros: NDArray[np.complex128], poles: NDArray[np.complex128], *, unit_at: float) -> Doubles:
    """Returns second-order sections with gain 1 at a point of the unit circle (-1: Nyquist, 1: DC)."""
    from scipy.signal import zpk2sos

    gain = float(np.real(np.prod(unit_at - poles) / np.prod(unit_at - zeros)))
    sections: Doubles = zpk2sos(zeros, poles, gain)
    return sections
