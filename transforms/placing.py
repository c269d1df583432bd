"""Rooms, places and levels: what turns recordings into the sources of a mixture."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from transforms.activity import active_level
from transforms.attachments import Facts
from transforms.errors import SourceError
from transforms.loudness import integrated_loudness_lufs
from transforms.plan import DRY_SUFFIX, Measure, Mixture, Source, is_noise

Samples = NDArray[Any]
Doubles = NDArray[np.float64]

SPEECH = "speech"
LATEST_START_SAMPLES = 1 << 28
_STAGE = "level"
_SNR_DECIMALS = 6


@dataclass(frozen=True)
class Placed:
    """The sources of a mixture, each in its room and at its place and level, all at one rate.

    Attributes:
        signals: by role, shape (n,), from the mixture's first sample on.
        references: the direct sound alone of every source that has a room, by role and ``_dry``.
        gains: linear gain applied to each source, by role; of a recipe that levels its sources
            once they are padded, the gain that will be.
        starts_s: when each source begins in the mixture, by role.
        ends_s: when the direct sound of each source ends in the mixture, by role.
        facts: what else levelling found that the recipe declares as facts of the mixture.
        measured_snr_db: of each source whose level is an SNR, that SNR as it is measured once the level
            is applied, rounded to 1e-6 dB, by role.
    """

    signals: Mapping[str, Samples]
    references: Mapping[str, Samples]
    gains: Mapping[str, float]
    starts_s: Mapping[str, float]
    ends_s: Mapping[str, float] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    measured_snr_db: Mapping[str, float] = field(default_factory=dict)


def in_room(samples: Doubles, response: Doubles) -> tuple[Doubles, Doubles]:
    """Plays a signal in a room.

    Args:
        samples: shape (n,).
        response: the room's impulse response, shape (m,); its largest peak is the direct path.

    Returns:
        The signal in the room and its direct sound alone, both of shape (n + m - 1,), aligned.
    """
    from scipy.signal import fftconvolve

    wet: Doubles = fftconvolve(samples, response)
    delay = int(np.argmax(np.abs(response)))
    direct = np.zeros(len(wet))
    direct[delay : delay + len(samples)] = samples * response[delay]
    return wet, direct


def placed_at(samples: Doubles, start: int) -> Doubles:
    """Returns a signal with zeros before it."""
    return np.concatenate((np.zeros(start), samples)) if start else samples


def measured_db(samples: Doubles, measure: Measure, rate_hz: int, *, name: str) -> float:
    """Measures the level of a signal.

    Args:
        samples: shape (n,), full scale -1..1.
        measure: ``rms`` (dB of the mean square), ``lufs``, or ``active`` (ITU-T P.56, in dBov).
        rate_hz: sampling rate.
        name: the source, for messages.

    Raises:
        SourceError: it is silent, or too short for this measure.
    """
    if measure == "lufs":
        return integrated_loudness_lufs(samples.astype(np.float32), rate_hz, name=name)
    if measure == "rms":
        power = float(np.mean(np.square(samples)))
    else:
        power = active_level(samples, rate_hz, measure="plain").power
    if power <= 0:
        raise SourceError(name, _STAGE, f"has no {measure} level: it is silent", "plan without it")
    return 10.0 * float(np.log10(power))


def place_sources(
    mixture: Mixture,
    recordings: Mapping[str, NDArray[np.float32]],
    responses: Mapping[str, NDArray[np.float32]],
    *,
    rate_hz: int,
) -> Placed:
    """Puts every recording into its room, at its place and level.

    Args:
        mixture: says how.
        recordings: by role, shape (n,); noise as long as the mixture.
        responses: room impulse responses, by role.
        rate_hz: rate of all of them.

    Raises:
        SourceError: a source has no level.
    """
    signals: dict[str, Doubles] = {}
    references: dict[str, Doubles] = {}
    gains: dict[str, float] = {}
    measured: dict[str, float] = {}
    for source in levelling_order(mixture):
        if source.role not in recordings:
            continue
        own = recordings[source.role].astype(np.float64)
        direct = None
        if source.rir:
            own, direct = in_room(own, responses[source.role].astype(np.float64))
        made = _levelled(source, own, signals, rate_hz)
        gains[source.role] = made.gain
        if made.snr_db is not None:
            measured[source.role] = round(made.snr_db, _SNR_DECIMALS)
        signals[source.role] = placed_at(made.samples, source.start_samples)
        if direct is not None:
            references[source.role + DRY_SUFFIX] = placed_at(direct * made.gain, source.start_samples)
    order = [source.role for source in mixture.sources if source.role in signals]
    starts_s = {source.role: source.start_samples / rate_hz for source in mixture.sources}
    return Placed(
        signals={role: signals[role] for role in order},
        references=references,
        gains={role: gains[role] for role in order},
        starts_s={role: starts_s[role] for role in order},
        measured_snr_db={role: measured[role] for role in order if role in measured},
    )


def placing_problems(mixture: Mixture) -> Iterator[str]:
    """Says what of a mixture cannot be placed: its levels and what they refer to, and its starts."""
    levelled: list[str] = []
    for source in levelling_order(mixture):
        role = source.role
        if source.level_kind == "active_level":
            yield f"level kind 'active_level' of {role} is wsj0-mix's; wanted gain, target or snr"
        elif source.level_kind != "gain" and source.measure not in get_args(Measure):
            yield f"measure {source.measure!r} of {role} is not known; wanted rms, lufs or active"
        references = [*levelled, *([SPEECH] if any(not is_noise(one) for one in levelled) else [])]
        if source.level_kind == "snr" and source.against not in references:
            known = ", ".join(references) or "nothing"
            yield f"the SNR of {role} is against {source.against!r}; levelled before it: {known}"
        if source.start_samples > LATEST_START_SAMPLES:
            yield f"{role} starts at sample {source.start_samples}, wanted {LATEST_START_SAMPLES} at most"
        levelled.append(role)


def levelling_order(mixture: Mixture) -> Sequence[Source]:
    """Returns the sources so that each comes after what its level refers to: noise is last."""
    return sorted(mixture.sources, key=lambda source: (is_noise(source.role), source.level_kind == "snr"))


@dataclass(frozen=True)
class _Levelled:
    """A signal at its level, the gain that brought it there, and the SNR then, where that was planned."""

    samples: Doubles
    gain: float
    snr_db: float | None = None


def _levelled(source: Source, own: Doubles, levelled: Mapping[str, Doubles], rate_hz: int) -> _Levelled:
    """Brings a signal to its level; measures an SNR again, the way it was planned. Raises SourceError."""
    if source.level_kind == "gain":
        gain = float(source.level)
        return _Levelled(own * gain, gain)
    if source.level_kind == "target":
        change_db = source.level - measured_db(own, source.measure, rate_hz, name=source.name)
        gain = float(10.0 ** (change_db / 20.0))
        return _Levelled(own * gain, gain)
    reference = _reference(source, levelled)
    if source.measure == "rms":
        energy = _energy(reference, source.against)
        gain = float(np.sqrt(energy / _energy(own, source.name)) * 10.0 ** (-source.level / 20.0))
        scaled = own * gain
        return _Levelled(scaled, gain, 10.0 * math.log10(energy / _energy(scaled, source.name)))
    against_db = measured_db(reference, source.measure, rate_hz, name=source.against)
    own_db = measured_db(own, source.measure, rate_hz, name=source.name)
    gain = float(10.0 ** ((against_db - source.level - own_db) / 20.0))
    scaled = own * gain
    return _Levelled(
        scaled, gain, against_db - measured_db(scaled, source.measure, rate_hz, name=source.name)
    )


def _energy(samples: Doubles, name: str) -> float:
    energy = float(np.sum(np.square(samples)))
    if energy <= 0:
        raise SourceError(name, _STAGE, "has no rms level: it is silent", "plan without it")
    return energy


def _reference(source: Source, levelled: Mapping[str, Doubles]) -> Doubles:
    """Returns what an SNR is measured against: one role, or the sum of all speech."""
    if source.against != SPEECH:
        return levelled[source.against]
    speech = [signal for role, signal in levelled.items() if not is_noise(role)]
    total = np.zeros(max(map(len, speech)))
    for signal in speech:
        total[: len(signal)] += signal
    return total
