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
from transforms.recipes import PeakRule, Recipe, RenderRules
from transforms.resampling import resample
from transforms.sums import component_snrs_db, cross_energies, mix_down, padded, sums_problem
from transforms.weighting import weigh_sources

Samples = NDArray[Any]
ReadSource = Callable[[Source, int], NDArray[np.float32]]

CROSS_FADE_SAMPLES = 8001
JOINT_PEAK = 0.9
HIGHEST_SAMPLE = 32767 / 32768
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
        ends_s: of each source by role, when its direct sound ends in the mixture: a room's echo does
            not count, nor what is beyond the last sample of this length mode.
        facts: what the recipe declares as facts, of the declared types once the item is whole.
        scale: the linear factor that the peak rule put on all streams, which ``gains`` hold too, rounded
            as they are; None where the recipe's peak rule never scales.
    """

    variant: Variant
    pcm: Mapping[str, Pcm]
    snr_db: Mapping[str, tuple[float, ...]]
    gains: Mapping[str, float]
    starts_s: Mapping[str, float]
    ends_s: Mapping[str, float]
    facts: Facts = field(default_factory=dict)
    scale: float | None = None

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
        measured_snr_db: of each source by role whose level is an SNR, that SNR as it is measured
            once the level is applied.
    """

    mixture: Mixture
    variants: tuple[RenderedVariant, ...]
    attachments: tuple[Attachment, ...] = ()
    facts: Facts = field(default_factory=dict)
    measured_snr_db: Mapping[str, float] = field(default_factory=dict)


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
    return dataclasses.replace(rendered, variants=variants, attachments=tuple(attachments), facts=shared)


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
        MixtapeError: a mixture is not the sum of its references, which is a defect of this program.
    """
    rules = recipe.rules
    responses = read_responses(mixture, read)
    recordings = read_sources(mixture, recipe, options.types, read=read, responses=responses)
    placed = _before_resampling(mixture, rules, recordings, responses)
    ends_s = _ends_s(placed, recordings, responses, rules.source_rate_hz)
    variants: list[RenderedVariant] = []
    for rate_hz in options.rates_hz:
        signals = _resampled(placed.signals, rules.source_rate_hz, rate_hz)
        bounds = _Bounds(min(map(len, signals.values())), max(map(len, signals.values())))
        if rules.scaling == "after_padding":
            signals = _after_padding(mixture, signals, bounds.max)
        references = _resampled(placed.references, rules.source_rate_hz, rate_hz)
        at_rate = dataclasses.replace(placed, signals=signals, references=references, ends_s=ends_s)
        made = _render_rate(at_rate, bounds, rate_hz=rate_hz, recipe=recipe, options=options)
        _check_sums(mixture.id, made, recipe)
        variants += made
    return RenderedMixture(
        mixture, tuple(variants), facts=placed.facts, measured_snr_db=placed.measured_snr_db
    )


def _ends_s(
    placed: Placed, recordings: Mapping[str, Samples], responses: Mapping[str, Samples], rate_hz: int
) -> dict[str, float]:
    """Returns when the direct sound of each source ends in the mixture, by role."""
    delays = {role: int(np.argmax(np.abs(response))) for role, response in responses.items()}
    return {
        role: start_s + (len(recordings[role]) + delays.get(role, 0)) / rate_hz
        for role, start_s in placed.starts_s.items()
    }


def _check_sums(item: str, rendered: Sequence[RenderedVariant], recipe: Recipe) -> None:
    """Raises MixtapeError for a mixture that does not add up; where length modes share samples, once."""
    if recipe.rules.peak not in _DIVISORS:
        rendered = [max(rendered, key=lambda one: one.samples)]
    for one in rendered:
        roles = recipe.roles_of(one.pcm)
        members = {name: recipe.types[name](roles) for name in one.snr_db}
        clips = recipe.rules.peak == "none"
        if problem := sums_problem(one.pcm, members, recipe.rules.quantiser, clips=clips):
            where = f"item {item} at {one.variant.rate_hz} Hz, {one.variant.mode}"
            raise MixtapeError(f"{where}: {problem}; this is a defect of Mixtape, please report it")


def _before_resampling(
    mixture: Mixture,
    rules: RenderRules,
    recordings: Mapping[str, Samples],
    responses: Mapping[str, NDArray[np.float32]],
) -> Placed:
    """Does to the recordings what a recipe wants done at the rate of its sources."""
    if rules.scaling == "placed":
        return place_sources(mixture, recordings, responses, rate_hz=rules.source_rate_hz)
    if rules.scaling == "weighted":
        return weigh_sources(mixture, recordings, rate_hz=rules.source_rate_hz)
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
    """Reads the sources that the mixture types need; those that loop or are cut become as long as the others.

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
        elif source.fit == "cut":
            signals[source.role] = _long_enough(read(source, longest), longest, source)
    return {source.role: signals[source.role] for source in sources}


def _long_enough(samples: Samples, length: int, source: Source) -> Samples:
    if len(samples) < length:
        reason = f"has {len(samples)} samples from {source.offset_samples} on; the mixture needs {length}"
        raise SourceError(source.name, "read", reason, "plan again with the present files")
    return samples


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
    """The streams of one length mode in 16 bit, and what the peak rule did: one factor for all, and facts."""

    pcm: Mapping[str, Pcm]
    factor: float
    facts: Facts = field(default_factory=dict)


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
        made = quantised[mode]
        gains = {role: _rounded(gain * made.factor) for role, gain in placed.gains.items()}
        variant = Variant(rate_hz, mode)
        ends_s = {role: min(end_s, length / rate_hz) for role, end_s in placed.ends_s.items()}
        scale = _rounded(made.factor) if recipe.rules.peak in _SCALING_RULES else None
        rendered.append(
            RenderedVariant(variant, made.pcm, snr, gains, placed.starts_s, ends_s, made.facts, scale)
        )
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
    if joint := _DIVISORS.get(recipe.rules.peak):
        quantised = {}
        for mode in modes:
            cut = {name: stream[: bounds.of(mode)] for name, stream in streams.items()}
            divisor = joint(list(cut.values()))
            pcm = {name: quantise(stream / divisor) for name, stream in cut.items()}
            facts = {"norm": divisor} if recipe.rules.peak == "full_scale" else {}
            quantised[mode] = _Quantised(pcm, 1.0 / divisor, facts)
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


def full_scale_divisor(streams: Sequence[Samples]) -> float:
    """Returns what brings the highest peak of all streams to full scale (AVSE's rule); 1 for silence."""
    return max(map(_peak, streams)) or 1.0


_DIVISORS: Mapping[PeakRule, Callable[[Sequence[Samples]], float]] = {
    "joint": joint_divisor,
    "full_scale": full_scale_divisor,
}
_SCALING_RULES: frozenset[PeakRule] = frozenset({"scale", *_DIVISORS})
