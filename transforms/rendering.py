"""The one renderer: a mixture's description and its sources' samples in, 16-bit streams out."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.attachments import Attachment, Facts, typed_facts
from transforms.audio import QUANTISERS, Pcm, SourceReader
from transforms.errors import MixtapeError, SourceError
from transforms.placing import Placed, place_sources
from transforms.plan import WHOLE, Mixture, Mode, RenderOptions, Source, Variant
from transforms.recipes import Recipe, RenderRules
from transforms.resampling import resample

Samples = NDArray[Any]
ReadSource = Callable[[Source, int], NDArray[np.float32]]

CROSS_FADE_SAMPLES = 8001
JOINT_PEAK = 0.9
HIGHEST_SAMPLE = 32767 / 32768
SNR_EPSILON = 1e-10
_SNR_DECIMALS = 6
_GAIN_DIGITS = 9


@dataclass(frozen=True)
class RenderedVariant:
    """A mixture at one rate and length mode.

    Attributes:
        variant: rate and mode.
        pcm: every stream by name (``s1``, ..., ``noise``, ``mix_clean``, ...): int16, all of the
            same shape (samples,).
        snr_db: of each mixture type, the SNR of its components in order, each against the rest of
            that mixture, before quantisation, rounded to 1e-6 dB.
        gains: of each source by role, the linear factor from its recording (in its room, if it has
            one) to the stream that is written: its level, and what the peak rule did to all streams;
            rounded to 9 significant digits.
        starts_s: of each source by role, the time of its first sample in the mixture.
        facts: what the recipe declares as facts, of the declared types once the item is whole.
    """

    variant: Variant
    pcm: Mapping[str, Pcm]
    snr_db: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, float]
    starts_s: Mapping[str, float]
    facts: Facts = field(default_factory=dict)

    @property
    def samples(self) -> int:
        """Length of every stream."""
        return len(next(iter(self.pcm.values())))


@dataclass(frozen=True)
class RenderedMixture:
    """A mixture with all variants that were asked for.

    Attributes:
        mixture: what was rendered.
        variants: rates first.
        attachments: files that go with it, in the recipe's order.
        facts: those that hold for all variants, as they were given.
    """

    mixture: Mixture
    variants: tuple[RenderedVariant, ...]
    attachments: tuple[Attachment, ...] = ()
    facts: Facts = field(default_factory=dict)


def render_item(
    mixture: Mixture, recipe: Recipe, options: RenderOptions, reader: SourceReader
) -> RenderedMixture:
    """Renders one mixture with all that goes with it.

    Args:
        mixture: what to render.
        recipe: the rules.
        options: rates, modes and types.
        reader: reads the sources.

    Raises:
        SourceError: a source cannot serve.
        MixtapeError: attachments or facts are not those that the recipe declares.
    """
    rendered = render_mixture(mixture, recipe, options, reader.read)
    attachments, facts = recipe.attach(mixture, reader, options) if recipe.attach else ((), {})
    own, wanted = tuple(one.type for one in attachments), recipe.attachments
    if own != wanted or any(len(one.pieces) != 1 for one in attachments if not one.numbered):
        raise MixtapeError(f"item {mixture.id}: has the attachments {own}, its recipe declares {wanted}")
    shared = {**rendered.facts, **facts}
    variants = tuple(
        dataclasses.replace(one, facts=typed_facts(recipe.facts, {**shared, **one.facts}, item=mixture.id))
        for one in rendered.variants
    )
    return RenderedMixture(mixture, variants, tuple(attachments), shared)


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
    rules = recipe.rules
    responses = read_responses(mixture, read)
    recordings = read_sources(mixture, recipe, options.types, read=read, responses=responses)
    placed = _before_resampling(mixture, rules, recordings, responses)
    variants: list[RenderedVariant] = []
    for rate_hz in options.rates_hz:
        signals = _resampled(placed.signals, rules.source_rate_hz, rate_hz)
        bounds = _Bounds(min(map(len, signals.values())), max(map(len, signals.values())))
        if rules.scaling == "after_padding":
            signals = _after_padding(mixture, signals, bounds.max)
        references = _resampled(placed.references, rules.source_rate_hz, rate_hz)
        at_rate = Placed(signals, references, placed.gains, placed.starts_s)
        variants += _render_rate(at_rate, bounds, rate_hz=rate_hz, recipe=recipe, options=options)
    return RenderedMixture(mixture, tuple(variants), facts=placed.facts)


def _before_resampling(
    mixture: Mixture,
    rules: RenderRules,
    recordings: Mapping[str, Samples],
    responses: Mapping[str, NDArray[np.float32]],
) -> Placed:
    """Does to the recordings what a recipe wants done at the rate of its sources."""
    if rules.scaling == "placed":
        return place_sources(mixture, recordings, responses, rate_hz=rules.source_rate_hz)
    sources = [source for source in mixture.sources if source.role in recordings]
    signals = recordings
    if rules.scaling == "before_resampling":
        signals = {source.role: levelled(recordings[source.role], source) for source in sources}
    gains = {source.role: level_factor(source) for source in sources}
    return Placed(signals, {}, gains, dict.fromkeys(recordings, 0.0))


def _after_padding(mixture: Mixture, signals: Mapping[str, Samples], length: int) -> dict[str, Samples]:
    """Applies levels to resampled signals, in float64 and at their common length."""
    return {
        source.role: levelled(padded(signals[source.role].astype(np.float64), length), source)
        for source in mixture.sources
        if source.role in signals
    }


def _resampled(signals: Mapping[str, Samples], from_hz: int, to_hz: int) -> dict[str, Samples]:
    return {role: resample(signal, from_hz, to_hz) for role, signal in signals.items()}


def read_responses(mixture: Mixture, read: ReadSource) -> dict[str, NDArray[np.float32]]:
    """Reads the room responses that a mixture's sources name, by role. Raises SourceError."""
    return {
        source.role: read(Source(source.role, "rir", source.rir, channel=0), WHOLE)
        for source in mixture.sources
        if source.rir
    }


def read_sources(
    mixture: Mixture,
    recipe: Recipe,
    types: Sequence[str],
    *,
    read: ReadSource,
    responses: Mapping[str, NDArray[np.float32]],
) -> dict[str, Samples]:
    """Reads the sources that the mixture types need; those that loop become as long as the others.

    Args:
        mixture: names the sources.
        recipe: tells which sources the types need.
        types: mixture types asked for.
        read: decodes a source.
        responses: room responses, which lengthen their sources, by role.

    Returns:
        By role, shape (n,): float32; float64 for a source that had to be extended.

    Raises:
        SourceError: a source cannot serve.
    """
    needed = recipe.needed_roles([source.role for source in mixture.sources], types)
    sources = [source for source in mixture.sources if source.role in needed]
    signals: dict[str, Samples] = {
        source.role: read(source, WHOLE) for source in sources if source.fit == "pad"
    }
    longest = max(
        source.start_samples + len(signals[source.role]) + len(responses.get(source.role, (0,))) - 1
        for source in sources
        if source.fit == "pad"
    )
    for source in sources:
        if source.fit == "loop":
            signals[source.role] = loop_to(read(source, longest), longest, source.name)
    return {source.role: signals[source.role] for source in sources}


def level_factor(source: Source) -> float:
    """Returns the linear factor that a level of kind ``gain`` or ``active_level`` stands for."""
    if source.level_kind == "gain":
        return float(source.level)
    return float(10.0 ** (source.level / 20.0) / math.sqrt(source.active_power))


def levelled(samples: Samples, source: Source) -> Samples:
    """Applies a source's level of kind ``gain`` or ``active_level``, in the published order of steps.

    Args:
        samples: shape (n,), float32 or float64; the result has the same type.
        source: says how its level is meant.
    """
    if source.level_kind == "gain":
        return samples * float(source.level)
    scaled: Samples = samples / math.sqrt(source.active_power) * 10.0 ** (source.level / 20.0)
    return scaled


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
    growth = len(samples) - CROSS_FADE_SAMPLES
    ends = range(len(samples), length, growth)
    extended = np.zeros(len(samples) + growth * len(ends))
    extended[: len(samples)] = samples
    for end in ends:
        joint = slice(end - CROSS_FADE_SAMPLES, end)
        extended[joint] = extended[joint] * fall + samples[:CROSS_FADE_SAMPLES] * rise
        extended[end : end + growth] = samples[CROSS_FADE_SAMPLES:]
    return extended[:length]


@dataclass(frozen=True)
class _Bounds:
    """Lengths in samples of the shortest and the longest source, by length mode."""

    min: int
    max: int

    def of(self, mode: Mode) -> int:
        return self.min if mode == "min" else self.max


@dataclass(frozen=True)
class _Quantised:
    """The streams of one length mode in 16 bit, and the factor that the peak rule put on all of them."""

    pcm: Mapping[str, Pcm]
    factor: float


def _render_rate(
    placed: Placed, bounds: _Bounds, *, rate_hz: int, recipe: Recipe, options: RenderOptions
) -> list[RenderedVariant]:
    """Mixes once and makes every length mode out of that."""
    signals = placed.signals
    members = {name: recipe.types[name](tuple(signals)) for name in options.types}
    streams = {**signals, **placed.references, **mix_down(signals, members, bounds.max)}
    lengths = sorted({bounds.of(mode) for mode in options.modes})
    energies = cross_energies(signals, lengths)
    if not np.isfinite(energies[lengths[-1]]).all():
        _refuse_infinite(signals)
    quantised = _quantised_modes(streams, bounds, recipe, options.modes)
    rendered = []
    for mode in options.modes:
        length = bounds.of(mode)
        snr = {
            name: component_snrs_db(energies[length], tuple(signals), roles, length)
            for name, roles in members.items()
        }
        gains = {role: _rounded(gain * quantised[mode].factor) for role, gain in placed.gains.items()}
        variant = Variant(rate_hz, mode)
        rendered.append(RenderedVariant(variant, quantised[mode].pcm, snr, gains, placed.starts_s))
    return rendered


def _rounded(gain: float) -> float:
    """Rounds a gain that may follow from sums, whose last bits differ between processors."""
    return float(f"{gain:.{_GAIN_DIGITS}g}")


def _refuse_infinite(signals: Mapping[str, Samples]) -> None:
    """Raises SourceError for the source whose level is beyond what its samples' type can hold."""
    role = next((role for role, signal in signals.items() if not np.isfinite(signal).all()), min(signals))
    raise SourceError(role, "mix", "is beyond all numbers at the planned level", "plan lower levels")


def _quantised_modes(
    streams: Mapping[str, Samples], bounds: _Bounds, recipe: Recipe, modes: Sequence[Mode]
) -> dict[Mode, _Quantised]:
    """Applies the peak rule and quantises; unless each mode has its own peak, one is cut from the other."""
    quantise = QUANTISERS[recipe.rules.quantiser]
    if recipe.rules.peak == "joint":
        quantised = {}
        for mode in modes:
            cut = {name: stream[: bounds.of(mode)] for name, stream in streams.items()}
            divisor = joint_divisor(list(cut.values()))
            pcm = {name: quantise(stream / divisor) for name, stream in cut.items()}
            quantised[mode] = _Quantised(pcm, 1.0 / divisor)
        return quantised
    factor = 1.0
    if recipe.rules.peak != "none":
        factor = unclipping_factor(streams, reject=recipe.rules.peak == "reject")
    if factor != 1.0:
        streams = {name: stream * factor for name, stream in streams.items()}
    whole = {name: padded(quantise(stream), bounds.max) for name, stream in streams.items()}
    return {
        mode: _Quantised({name: pcm[: bounds.of(mode)] for name, pcm in whole.items()}, factor)
        for mode in modes
    }


def unclipping_factor(streams: Mapping[str, Samples], *, reject: bool) -> float:
    """Returns what brings the highest peak of all streams down to the highest sample; 1 where none clips.

    Raises:
        SourceError: one would clip, and ``reject`` is set.
    """
    peak, loudest = max((_peak(stream), name) for name, stream in streams.items())
    if peak <= HIGHEST_SAMPLE:
        return 1.0
    if reject:
        reason = f"would clip: its peak is {peak:.3f} of full scale"
        raise SourceError(loudest, "mix", reason, "plan lower levels, or let clipping mixtures be scaled")
    return HIGHEST_SAMPLE / peak


def _peak(samples: Samples) -> float:
    return float(np.abs(samples).max(initial=0.0))


def joint_divisor(streams: Sequence[Samples]) -> float:
    """Returns what brings the highest peak of all streams to 0.9, and nothing above that.

    max(1, peak) / 0.9, the rule of wsj0-mix: streams that peak below 1 are lowered to 0.9 of
    themselves.
    """
    return max(1.0, *map(_peak, streams)) / JOINT_PEAK


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
