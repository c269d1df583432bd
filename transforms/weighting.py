"""Levels of AVSE scenes: an interferer that is faded in and out, and set by speech-weighted level.

The weighting filter is that of the Clarity challenge (``speech_weight_fir.csv``). It was made for
44.1 kHz and is applied at 16 kHz, as published.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms import storage
from transforms.errors import SourceError
from transforms.placing import Placed
from transforms.plan import Mixture, Source

RAMP_S = 0.5
_FILTER = Path(__file__).with_name("speech_weight_fir.csv")
_STAGE = "level"

Samples = NDArray[np.float64]


@functools.cache
def speech_filter() -> Samples:
    """Returns the taps of the weighting filter, shape (512,), float64."""
    lines = storage.read_text(str(_FILTER)).splitlines()
    return np.array([float(line) for line in lines if not line.startswith("#")])


def weighted_rms(samples: NDArray[Any]) -> float:
    """Returns the root mean square of samples after the weighting filter.

    Args:
        samples: shape (n,); the mean is over the n + 511 values of the full convolution.
    """
    from scipy.signal import fftconvolve

    filtered = fftconvolve(samples, speech_filter())
    return float(np.sqrt(np.mean(filtered**2)))


def faded(samples: NDArray[Any], rate_hz: int) -> Samples:
    """Fades samples in and out by half a cosine of 0.5 s; in shorter signals than 1 s both multiply.

    Args:
        samples: shape (n,), at least 0.5 s.
        rate_hz: their rate.
    """
    length = int(rate_hz * RAMP_S)
    rise = (np.cos(np.linspace(np.pi, 2 * np.pi, length)) + 1) / 2
    out = np.array(samples, dtype=np.float64)
    out[:length] *= rise
    out[-length:] *= rise[::-1]
    return out


def weigh_sources(mixture: Mixture, recordings: Mapping[str, NDArray[Any]], *, rate_hz: int) -> Placed:
    """Fades the interferer, the source whose level is an SNR, and sets it against the source it names.

    Args:
        mixture: names sources and levels; one of them is an interferer.
        recordings: by role, shape (n,), all of one length.
        rate_hz: their rate.

    Returns:
        The signals in float64, and as facts ``level_ratio``, the weighted level of the target over that
        of the faded interferer (an amplitude ratio), and ``silent_target``.

    Raises:
        SourceError: the recordings are shorter than a ramp, or an interferer is silent.
    """
    source = next(source for source in mixture.sources if source.level_kind == "snr")
    target = np.asarray(recordings[source.against], dtype=np.float64)
    _check_length(mixture, source.against, length=len(target), rate_hz=rate_hz)
    interferer = faded(recordings[source.role], rate_hz)
    ratio = _ratio(source, target, interferer)
    factor = 10.0 ** (-source.level / 20.0)
    return Placed(
        signals={source.against: target, source.role: interferer * ratio * factor},
        references={},
        gains={source.against: 1.0, source.role: ratio * factor},
        starts_s=dict.fromkeys(recordings, 0.0),
        facts={"level_ratio": ratio, "silent_target": not target.any()},
    )


def _check_length(mixture: Mixture, role: str, *, length: int, rate_hz: int) -> None:
    wanted = int(rate_hz * RAMP_S)
    if length < wanted:
        target = next(source for source in mixture.sources if source.role == role)
        reason = f"is too short: it has {length} samples, and the ramps of its interferer need {wanted}"
        raise SourceError(target.name, _STAGE, reason, "leave such short targets out of the list")


def _ratio(source: Source, target: Samples, interferer: Samples) -> float:
    level = weighted_rms(interferer)
    if level == 0:
        reason = "is silent once it is faded and weighted"
        raise SourceError(source.name, _STAGE, reason, "replace it, or plan without it")
    return weighted_rms(target) / level
