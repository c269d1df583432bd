"""The one renderer: a mixture's description and its sources' samples in, 16-bit streams out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.audio import QUANTISERS, Pcm
from transforms.errors import SourceError
from transforms.plan import WHOLE, Mixture, RenderOptions, Source, Variant
from transforms.recipes import Recipe
from transforms.resampling import resample

Samples = NDArray[Any]
ReadSource = Callable[[Source, int], NDArray[np.float32]]

CROSS_FADE_SAMPLES = 8001
SNR_EPSILON = 1e-10
_SNR_DECIMALS = 6


@dataclass(frozen=True)
class RenderedVariant:
    """A mixture at one rate and length mode.

    Attributes:
        variant: rate and mode.
        pcm: every stream by name (``s1``, ..., ``noise``, ``mix_clean``, ...): int16, all of the
            same shape (samples,).
        snr_db: of each mixture type, the SNR of its components in order, each against the rest of
            that mixture, before quantisation, rounded to 1e-6 dB.
    """

    variant: Variant
    pcm: Mapping[str, Pcm]
    snr_db: Mapping[str, tuple[float, ...]]

    @property
    def samples(self) -> int:
        """Length of every stream."""
        return len(next(iter(self.pcm.values())))


@dataclass(frozen=True)
class RenderedMixture:
    """A mixture with all variants that were asked for, rates first."""

    mixture: Mixture
    variants: tuple[RenderedVariant, ...]


def render_mixture(
    mixture: Mixture, recipe: Recipe, options: RenderOptions, read: ReadSource
) -> RenderedMixture:
    """Renders one mixture at every rate and mode, reading and resampling each source once.

    Args:
        mixture: what to render.
        recipe: the rules.
        options: rates, modes and types.
        read: decodes a source, given an upper limit of samples (or ``WHOLE``).

    Raises:
        SourceError: a source cannot serve.
    """
    scaled = scaled_sources(mixture, recipe, options.types, read)
    variants: list[RenderedVariant] = []
    for rate_hz in options.rates_hz:
        signals = {
            role: resample(signal, recipe.rules.source_rate_hz, rate_hz) for role, signal in scaled.items()
        }
        variants += _render_rate(signals, rate_hz, recipe, options)
    return RenderedMixture(mixture, tuple(variants))


def scaled_sources(
    mixture: Mixture, recipe: Recipe, types: Sequence[str], read: ReadSource
) -> dict[str, Samples]:
    """Reads the sources that the mixture types need and applies their levels.

    Returns:
        By role, shape (n,): float32; float64 for a source that had to be extended.

    Raises:
        SourceError: a source cannot serve.
    """
    needed = recipe.needed_roles([source.role for source in mixture.sources], types)
    sources = [source for source in mixture.sources if source.role in needed]
    signals = {source.role: read(source, WHOLE) for source in sources if source.fit == "pad"}
    longest = max(map(len, signals.values()))
    for source in sources:
        if source.fit == "loop":
            signals[source.role] = loop_to(read(source, longest), longest, source.name)
    return {source.role: signals[source.role] * source.level for source in sources}


def loop_to(samples: NDArray[np.float32], length: int, name: str) -> Samples:
    """Repeats a signal with Hann cross-fades of 8001 samples until it has the wanted length.

    Args:
        samples: shape (n,), float32.
        length: wanted number of samples.
        name: the source, for the message.

    Returns:
        Shape (length,): float32 when it was long enough, else float64 (the window's type).

    Raises:
        SourceError: too short to be repeated.
    """
    if len(samples) >= length:
        return samples[:length]
    if len(samples) <= CROSS_FADE_SAMPLES:
        reason = f"has {len(samples)} samples; to fill {length} it needs more than {CROSS_FADE_SAMPLES}"
        raise SourceError(name, "extend", reason, "choose a longer noise")
    window = np.hanning(2 * CROSS_FADE_SAMPLES - 1)
    rise, fall = window[:CROSS_FADE_SAMPLES], window[CROSS_FADE_SAMPLES - 1 :]
    extended: Samples = samples
    while len(extended) < length:
        joint = extended[-CROSS_FADE_SAMPLES:] * fall + samples[:CROSS_FADE_SAMPLES] * rise
        extended = np.concatenate((extended[:-CROSS_FADE_SAMPLES], joint, samples[CROSS_FADE_SAMPLES:]))
    return extended[:length]


def _render_rate(
    signals: Mapping[str, Samples], rate_hz: int, recipe: Recipe, options: RenderOptions
) -> list[RenderedVariant]:
    """Mixes and quantises resampled signals once, and cuts every length mode out of that."""
    lengths = [len(signal) for signal in signals.values()]
    bounds = {"min": min(lengths), "max": max(lengths)}
    members = {name: recipe.types[name](tuple(signals)) for name in options.types}
    streams = {**signals, **mix_down(signals, members, bounds["max"])}
    quantise = QUANTISERS[recipe.rules.quantiser]
    pcm = {name: padded(quantise(stream), bounds["max"]) for name, stream in streams.items()}
    energies = cross_energies(signals, sorted({bounds[mode] for mode in options.modes}))
    rendered = []
    for mode in options.modes:
        length = bounds[mode]
        snr = {
            name: component_snrs_db(energies[length], tuple(signals), roles, length)
            for name, roles in members.items()
        }
        cut = {name: stream[:length] for name, stream in pcm.items()}
        rendered.append(RenderedVariant(Variant(rate_hz, mode), cut, snr))
    return rendered


def padded(samples: Samples, length: int) -> Samples:
    """Returns the samples with zeros appended up to a length."""
    if len(samples) == length:
        return samples
    longer = np.zeros(length, dtype=samples.dtype)
    longer[: len(samples)] = samples
    return longer


def mix_down(
    signals: Mapping[str, Samples], members: Mapping[str, Sequence[str]], length: int
) -> dict[str, Samples]:
    """Sums signals into mixtures, in order, in the type of the first; common beginnings once.

    Args:
        signals: by role, shape (n,) with n up to ``length``.
        members: the roles of each mixture.
        length: samples of every mixture.

    Returns:
        By mixture, shape (length,).
    """
    sums: dict[tuple[str, ...], Samples] = {}

    def total(roles: tuple[str, ...]) -> Samples:
        if roles not in sums:
            if len(roles) == 1:
                sums[roles] = padded(signals[roles[0]], length)
            else:
                mixed = total(roles[:-1]).copy()
                last = signals[roles[-1]]
                np.add(mixed[: len(last)], last, out=mixed[: len(last)], casting="same_kind")
                sums[roles] = mixed
        return sums[roles]

    return {name: total(tuple(roles)) for name, roles in members.items()}


def cross_energies(signals: Mapping[str, Samples], lengths: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """Returns the inner products of all pairs of signals over their first samples.

    One pass serves every length: the products of the pieces between lengths are accumulated.

    Args:
        signals: shape (n,) each, taken as zero beyond their end.
        lengths: ascending.

    Returns:
        By length, shape (signals, signals), float64.
    """
    doubles = [np.asarray(signal, dtype=np.float64) for signal in signals.values()]
    energies: dict[int, NDArray[np.float64]] = {}
    running = np.zeros((len(doubles), len(doubles)))
    start = 0
    for stop in lengths:
        for i, first in enumerate(doubles):
            for j, second in enumerate(doubles[i:], start=i):
                end = min(stop, len(first), len(second))
                if end > start:
                    running[i, j] += np.einsum("i,i->", first[start:end], second[start:end])
        energies[stop] = running + np.triu(running, 1).T
        start = stop
    return energies


def component_snrs_db(
    energies: NDArray[np.float64], roles: Sequence[str], members: Sequence[str], length: int
) -> tuple[float, ...]:
    """Returns the SNR of each member of a mixture against the sum of the others.

    SNR = 10 log10(mean(x^2) / (mean(r^2) + 1e-10) + 1e-10), r the rest (LibriMix's measure).

    Args:
        energies: inner products of all signals over ``length`` samples, shape (roles, roles).
        roles: what the rows and columns stand for.
        members: roles of the mixture.
        length: samples.
    """
    snrs = []
    for member in members:
        own = roles.index(member)
        rest = [roles.index(other) for other in members if other != member]
        signal = energies[own, own] / length
        others = max(0.0, float(energies[np.ix_(rest, rest)].sum())) / length
        snr = 10.0 * np.log10(signal / (others + SNR_EPSILON) + SNR_EPSILON)
        snrs.append(round(float(snr), _SNR_DECIMALS))
    return tuple(snrs)
