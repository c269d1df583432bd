"""The renderer against published files, and against a slow version that does the obvious."""

import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from transforms.errors import SourceError
from transforms.plan import WHOLE, Mixture, RenderOptions, Source, Variant
from transforms.recipes import AVSE, LIBRIMIX, MIXTURES, WSJ0MIX
from transforms.rendering import (
    CROSS_FADE_SAMPLES,
    RenderedMixture,
    component_snrs_db,
    cross_energies,
    joint_divisor,
    levelled,
    loop_to,
    mix_down,
    padded,
    render_mixture,
)

Signal = NDArray[Any]
TYPES = tuple(LIBRIMIX.types)
ALL = RenderOptions(types=TYPES)


def noise_signal(seed: int, samples: int, amplitude: float = 0.3) -> NDArray[np.float32]:
    draw = np.random.default_rng([seed, samples])
    return (draw.uniform(-amplitude, amplitude, samples)).astype(np.float32)


# --- published files ---------------------------------------------------------------------------


def check_published(published: Any) -> None:
    """Renders every mixture in every way and compares all samples and all SNRs."""
    seen = set()
    for mixture in published.mixtures:
        rendered = render_mixture(mixture, LIBRIMIX, ALL, published.reader().read)
        for one in rendered.variants:
            for stream, pcm in one.pcm.items():
                path = LIBRIMIX.wav_path(published.part, one.variant, stream, mixture.id)
                assert hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest() == published.hashes[path], path
                seen.add(path)
            check_metrics(published, mixture, one)
    subset = f"/{published.part.subset}/"
    wanted = {path for path in published.hashes if path.startswith(published.part.corpus) and subset in path}
    assert seen == wanted


def check_metrics(published: Any, mixture: Mixture, rendered: Any) -> None:
    for mix_type, snrs in rendered.snr_db.items():
        table = LIBRIMIX.table_path(published.part, rendered.variant, "metrics", mix_type)
        (row,) = (row for row in published.table(table) if row["mixture_ID"] == mixture.id)
        assert list(snrs) == pytest.approx([float(value) for value in list(row.values())[1:]], abs=1e-3)


def test_published_files_are_equal(small_render: Any) -> None:
    assert len(small_render.hashes) == 48
    check_published(small_render)


@pytest.mark.golden
def test_all_published_files_are_equal(full_render: Any) -> None:
    check_published(full_render)


# --- the slow version --------------------------------------------------------------------------


def slow_extended(noise: Signal, length: int) -> Signal:
    window = np.hanning(16001)
    extended = noise
    while len(extended) < length:
        overlap = extended[-8001:] * window[8000:] + noise[:8001] * window[:8001]
        extended = np.concatenate((extended[:-8001], overlap, noise[8001:]))
    return extended[:length]


def slow_streams(
    mixture: Mixture, signals: dict[str, Signal], variant: Variant, mix_type: str
) -> tuple[dict[str, Signal], Signal]:
    """Makes one mixture type at one rate and mode, from the files: its sources, and their sum."""
    longest = max(len(signals[source.path]) for source in mixture.speech)
    parts = {}
    for source in mixture.sources:
        samples = signals[source.path]
        if source.role == "noise":
            samples = slow_extended(samples[:longest], longest)
        scaled = samples * source.level
        same = variant.rate_hz == 16000
        parts[source.role] = scaled if same else resample_poly(scaled, variant.rate_hz, 16000)
    lengths = [len(part) for part in parts.values()]
    length = min(lengths) if variant.mode == "min" else max(lengths)
    parts = {role: np.pad(part, (0, max(0, length - len(part))))[:length] for role, part in parts.items()}
    members = {role: parts[role] for role in LIBRIMIX.types[mix_type](tuple(parts))}
    total = np.zeros_like(parts["s1"])
    for part in members.values():
        total += part
    return members, total


def slow_pcm(samples: Signal) -> NDArray[np.int16]:
    file = BytesIO()
    soundfile.write(file, samples, 8000, format="WAV", subtype="PCM_16")
    return soundfile.read(BytesIO(file.getvalue()), dtype="int16")[0]  # type: ignore[no-any-return]


def slow_snr_db(signal: Signal, members: Sequence[Signal]) -> float:
    doubles = [np.asarray(member, dtype=np.float64) for member in members]
    rest = sum(doubles) - np.asarray(signal, dtype=np.float64)
    ratio = np.mean(np.square(signal, dtype=np.float64)) / (np.mean(np.square(rest)) + 1e-10)
    return float(10 * np.log10(ratio + 1e-10))


_LENGTHS = st.sampled_from([1, 2, 3, 160, 1001, 4000, 12_345])
_LEVELS = st.sampled_from([0.0, 1.0, 1, 1e-7, 0.33333333333333337, 0.9, 6.5, 300.0])
_SUBSETS_OF_TYPES = st.lists(st.sampled_from(TYPES), min_size=1, unique=True).map(tuple)


@st.composite
def planned_mixtures(draw: st.DrawFn) -> tuple[Mixture, dict[str, Signal]]:
    signals: dict[str, Signal] = {}
    sources = []
    for number in range(1, 1 + draw(st.integers(2, 5))):
        signals[f"{number}.flac"] = noise_signal(number, draw(_LENGTHS), 0.9)
        sources.append(Source(f"s{number}", "librispeech", f"{number}.flac", level=draw(_LEVELS)))
    signals["n.wav"] = noise_signal(0, draw(st.sampled_from([8200, 11_111, 12_345, 30_000])))
    sources.append(Source("noise", "wham", "n.wav", level=draw(_LEVELS), fit="loop", channel=0))
    return Mixture("m", tuple(sources)), signals


def reading(signals: dict[str, Signal]) -> Callable[[Source, int], NDArray[np.float32]]:
    return lambda source, limit: signals[source.path][: None if limit == WHOLE else limit]


@settings(max_examples=60)
@given(
    planned_mixtures(),
    st.sampled_from([(8000,), (16000,), (8000, 16000), (11025, 16000)]),
    st.sampled_from([("min",), ("max",), ("min", "max"), ("max", "min")]),
    _SUBSETS_OF_TYPES,
)
def test_one_pass_equals_doing_all_from_scratch(
    planned: tuple[Mixture, dict[str, Signal]], rates_hz: Any, modes: Any, types: tuple[str, ...]
) -> None:
    mixture, signals = planned
    options = RenderOptions(rates_hz=rates_hz, modes=modes, types=types)
    rendered = render_mixture(mixture, LIBRIMIX, options, reading(signals))
    assert tuple(one.variant for one in rendered.variants) == options.variants
    for one in rendered.variants:
        for mix_type in types:
            members, total = slow_streams(mixture, signals, one.variant, mix_type)
            assert np.array_equal(one.pcm[mix_type], slow_pcm(total))
            for role, part in members.items():
                assert np.array_equal(one.pcm[role], slow_pcm(part))
            snrs = [slow_snr_db(part, list(members.values())) for part in members.values()]
            assert list(one.snr_db[mix_type]) == pytest.approx(snrs, abs=1e-4)


@given(planned_mixtures(), _SUBSETS_OF_TYPES)
@settings(max_examples=20)
def test_streams_are_those_of_the_recipe(
    planned: tuple[Mixture, dict[str, Signal]], types: tuple[str, ...]
) -> None:
    mixture, signals = planned
    options = RenderOptions(rates_hz=(8000,), types=types)
    rendered = render_mixture(mixture, LIBRIMIX, options, reading(signals))
    roles = [source.role for source in mixture.sources]
    for one in rendered.variants:
        assert tuple(one.pcm) == LIBRIMIX.streams(roles, types)
        assert {pcm.shape for pcm in one.pcm.values()} == {(one.samples,)}
        assert {pcm.dtype for pcm in one.pcm.values()} == {np.dtype(np.int16)}
        assert tuple(one.snr_db) == types


# --- what is read ------------------------------------------------------------------------------


def two_speakers(noise_samples: int = 9000) -> tuple[Mixture, dict[str, Signal]]:
    signals = {"1": noise_signal(1, 700), "2": noise_signal(2, 900), "n": noise_signal(3, noise_samples)}
    noise = Source("noise", "wham", "n", fit="loop")
    mixture = Mixture("m", (Source("s1", "librispeech", "1"), Source("s2", "librispeech", "2"), noise))
    return mixture, signals


def rendered_and_read(options: RenderOptions) -> tuple[RenderedMixture, list[tuple[str, int]]]:
    mixture, signals = two_speakers()
    asked: list[tuple[str, int]] = []

    def read(source: Source, limit: int) -> NDArray[np.float32]:
        asked.append((source.role, limit))
        return np.asarray(reading(signals)(source, limit))

    return render_mixture(mixture, LIBRIMIX, options, read), asked


def test_every_source_is_read_once_and_noise_only_as_far_as_needed() -> None:
    _, asked = rendered_and_read(ALL)
    assert asked == [("s1", WHOLE), ("s2", WHOLE), ("noise", 900)]


@pytest.mark.parametrize("types", [("mix_clean",), ()])
def test_noise_is_not_read_where_no_mixture_holds_it(types: tuple[str, ...]) -> None:
    rendered, asked = rendered_and_read(RenderOptions(types=types))
    assert asked == [("s1", WHOLE), ("s2", WHOLE)]
    assert [tuple(one.pcm) for one in rendered.variants] == [("s1", "s2", *types)] * 4
    assert [one.samples for one in rendered.variants] == [350, 450, 700, 900]


def test_what_cannot_be_read_is_told() -> None:
    def read(source: Source, limit: int) -> NDArray[np.float32]:
        raise SourceError(source.name, "read", "is silent", "replace it")

    with pytest.raises(SourceError, match="librispeech:1: is silent"):
        render_mixture(two_speakers()[0], LIBRIMIX, ALL, read)


def test_rendering_leaves_its_sources_alone() -> None:
    mixture, signals = two_speakers()
    before = {name: samples.copy() for name, samples in signals.items()}
    render_mixture(mixture, LIBRIMIX, ALL, reading(signals))
    assert all(np.array_equal(samples, before[name]) for name, samples in signals.items())


# --- levels and peaks --------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.3, np.float64(0.3), np.float32(0.3), 2, np.int64(2)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gain_keeps_the_type_whatever_type_it_has(level: Any, dtype: Any) -> None:
    samples = noise_signal(1, 50).astype(dtype)
    louder = levelled(samples, Source("s1", "librispeech", "1", level=level))
    assert louder.dtype == dtype
    assert np.array_equal(louder, samples * dtype(float(level)))


def test_a_wanted_active_level_is_reached_from_the_active_power() -> None:
    samples = noise_signal(1, 5000).astype(np.float64)
    power = float(np.mean(samples**2))
    source = Source("s1", "wsj0", "1", level_kind="active_level", level=-26.0, active_power=power)
    louder = levelled(samples, source)
    assert 10 * np.log10(np.mean(louder**2)) == pytest.approx(-26, abs=1e-9)
    assert np.array_equal(louder, samples / np.sqrt(power) * 10 ** (-26.0 / 20))


@pytest.mark.parametrize(
    ("peaks", "divisor"), [([0.5, -0.2], 1 / 0.9), ([1.0], 1 / 0.9), ([0.5, -3.0], 3 / 0.9), ([0.0], 1 / 0.9)]
)
def test_the_highest_peak_of_all_streams_decides(peaks: list[float], divisor: float) -> None:
    streams = [np.array([0.0, peak, 0.0]) for peak in peaks]
    assert joint_divisor(streams) == divisor


def slow_wsj0mix(
    mixture: Mixture, signals: dict[str, Signal], variant: Variant
) -> dict[str, NDArray[np.int16]]:
    """Makes one mixture of wsj0-mix at one rate and mode, from the files."""
    parts = [
        signals[source.path]
        if variant.rate_hz == 16000
        else resample_poly(signals[source.path], variant.rate_hz, 16000)
        for source in mixture.sources
    ]
    longest, shortest = max(map(len, parts)), min(map(len, parts))
    streams: dict[str, Signal] = {}
    total = np.zeros(longest)
    for source, part in zip(mixture.sources, parts, strict=True):
        scaled = np.hstack((part, np.zeros(longest - len(part))))
        scaled = scaled / np.sqrt(source.active_power) * 10 ** (source.level / 20)
        streams[source.role] = scaled
        total = total + scaled
    streams["mix"] = total
    length = shortest if variant.mode == "min" else longest
    cut = {name: stream[:length] for name, stream in streams.items()}
    divisor = max(1.0, *(np.max(np.abs(stream)) for stream in cut.values())) / 0.9
    return {name: np.rint(32768 * (stream / divisor)).astype(np.int16) for name, stream in cut.items()}


@settings(max_examples=30)
@given(st.data(), st.sampled_from([("min",), ("max",), ("min", "max")]))
def test_joint_peaks_and_levels_equal_doing_all_from_scratch(data: st.DataObject, modes: Any) -> None:
    signals, sources = {}, []
    for number in range(1, 1 + data.draw(st.integers(2, 4))):
        signals[str(number)] = noise_signal(number, data.draw(_LENGTHS), 0.9)
        level, power = data.draw(st.floats(-30, 10)), data.draw(st.floats(1e-4, 1))
        sources.append(
            Source(
                f"s{number}", "wsj0", str(number), level_kind="active_level", level=level, active_power=power
            )
        )
    mixture = Mixture("m", tuple(sources))
    options = RenderOptions(modes=modes, types=("mix",))
    for one in render_mixture(mixture, WSJ0MIX, options, reading(signals)).variants:
        wanted = slow_wsj0mix(mixture, signals, one.variant)
        assert one.pcm.keys() == wanted.keys()
        assert all(np.array_equal(one.pcm[name], wanted[name]) for name in wanted)


# --- what is told of the sources --------------------------------------------------------------


def loud(number: int, samples: int, dtype: Any = np.float32) -> Signal:
    return noise_signal(number, samples, 0.9).astype(dtype)


def check_gains(one: Any, recordings: dict[str, Signal]) -> None:
    """Compares what was written of each source with its recording times the gain that is told."""
    assert one.gains.keys() == one.starts_s.keys() == recordings.keys()
    for role, recording in recordings.items():
        start = round(one.starts_s[role] * one.variant.rate_hz)
        written = one.pcm[role][start : start + len(recording)] / 32768
        assert len(written)
        assert np.allclose(written, one.gains[role] * recording[: len(written)], rtol=0, atol=1.01 / 32768)
        assert not one.pcm[role][:start].any()


def test_gains_of_librimix_are_the_planned_ones() -> None:
    signals = {"1": loud(1, 700), "2": loud(2, 900), "n": loud(3, 9000)}
    sources = (
        Source("s1", "librispeech", "1", level=0.3),
        Source("s2", "librispeech", "2", level=0.7),
        Source("noise", "wham", "n", level=2 / 3, fit="loop"),
    )
    options = RenderOptions(rates_hz=(16000,), types=("mix_clean", "mix_both"))
    for one in render_mixture(Mixture("m", sources), LIBRIMIX, options, reading(signals)).variants:
        assert one.gains == {"s1": 0.3, "s2": 0.7, "noise": 0.666666667}
        check_gains(one, {"s1": signals["1"], "s2": signals["2"], "noise": signals["n"]})


def test_gains_are_told_of_the_sources_that_are_written() -> None:
    rendered, _ = rendered_and_read(RenderOptions(types=("mix_clean",)))
    assert {tuple(one.gains) for one in rendered.variants} == {("s1", "s2")}


def test_gains_of_wsj0mix_hold_its_joint_peak_of_each_mode() -> None:
    signals = {"1": loud(1, 700), "2": loud(2, 900)}
    signals["2"][850] = 4.0
    powers = {name: float(np.mean(np.square(signal))) for name, signal in signals.items()}
    sources = tuple(
        Source(f"s{name}", "wsj0", name, level_kind="active_level", level=level, active_power=powers[name])
        for name, level in (("1", 0.0), ("2", 5.0))
    )
    options = RenderOptions(rates_hz=(16000,), types=("mix",))
    shorter, longer = render_mixture(Mixture("m", sources), WSJ0MIX, options, reading(signals)).variants
    for one in (shorter, longer):
        check_gains(one, {"s1": signals["1"], "s2": signals["2"]})
        assert max(abs(int(pcm.min())) for pcm in one.pcm.values()) <= round(0.9 * 32768)
    ratios = [one.gains["s1"] / one.gains["s2"] for one in (shorter, longer)]
    assert ratios == pytest.approx([ratios[0]] * 2)
    assert shorter.gains["s1"] != longer.gains["s1"]
    assert shorter.scale is not None
    assert longer.scale is not None
    for one in (shorter, longer):
        planned = powers["1"] ** -0.5
        assert one.gains["s1"] == pytest.approx(planned * float(one.scale or 0), rel=1e-8)


def test_librimix_which_never_scales_has_no_scale() -> None:
    mixture, signals = two_speakers()
    assert {one.scale for one in render_mixture(mixture, LIBRIMIX, ALL, reading(signals)).variants} == {None}


def test_the_scale_of_full_scale_is_the_norm_turned_over() -> None:
    signals = {"1": loud(1, 32_000), "2": loud(2, 32_000)}
    masker = Source("interferer", "noise_maskers", "2", level_kind="snr", level=3.0, against="target")
    mixture = Mixture("m", (Source("target", "lrs3", "1", level=1.0), masker))
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=("mixed",))
    (one,) = render_mixture(mixture, AVSE, options, reading(signals)).variants
    assert one.scale == pytest.approx(1 / float(str(one.facts["norm"])), rel=1e-8)


@pytest.mark.parametrize(("level", "scaled"), [(-20.0, False), (3.0, True)])
def test_gains_of_placed_sources_hold_level_and_clip_policy(level: float, scaled: bool) -> None:
    signals = {"1": loud(1, 7000), "2": loud(2, 9000), "n": loud(3, 30_000)}
    sources = (
        Source("s1", "speech", "1", level_kind="target", level=level, measure="rms", start_samples=4000),
        Source("s2", "speech", "2", level_kind="snr", level=6.0, measure="rms", against="s1"),
        Source(
            "noise", "noise", "n", level_kind="snr", level=10, measure="rms", against="speech", fit="loop"
        ),
    )
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=("mix_both",))
    (one,) = render_mixture(Mixture("m", sources), MIXTURES, options, reading(signals)).variants
    check_gains(one, {"s1": signals["1"], "s2": signals["2"], "noise": signals["n"][: one.samples]})
    assert one.starts_s == {"s1": 0.25, "s2": 0.0, "noise": 0.0}
    own_db = 10 * np.log10(np.mean(np.square(signals["1"], dtype=np.float64)))
    planned = 10 ** ((level - own_db) / 20)
    assert (one.gains["s1"] < 0.999 * planned) == scaled
    assert one.gains["s1"] <= planned * (1 + 1e-8)


def test_a_mixture_that_would_clip_is_refused_where_the_policy_says_so() -> None:
    refusing = MIXTURES.with_settings({"rate_hz": 16000, "clip": "reject"})
    mixture = Mixture("m", (Source("s1", "speech", "1", level=1.2),))
    options = RenderOptions(rates_hz=(16000,), types=("mix_clean",))
    with pytest.raises(SourceError, match=r"would clip: its peak is 1\.0\d\d of full scale"):
        render_mixture(mixture, refusing, options, reading({"1": loud(1, 5000)}))


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("level", [1e39, -1e200])
def test_levels_beyond_all_numbers_are_refused(level: float) -> None:
    mixture, signals = two_speakers()
    loudest = Source("s2", "librispeech", "2", level=level)
    mixture = Mixture("m", (mixture.sources[0], loudest, mixture.sources[2]))
    with pytest.raises(SourceError, match="s2: is beyond all numbers at the planned level"):
        render_mixture(mixture, LIBRIMIX, ALL, reading(signals))


# --- extending ---------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 8000, 8001, 9000])
def test_a_long_signal_is_cut(length: int) -> None:
    samples = noise_signal(1, 9000)
    cut = loop_to(samples, length, "wham:n")
    assert cut.dtype == np.float32
    assert np.array_equal(cut, samples[:length])


@pytest.mark.parametrize("samples", [1, 8000, CROSS_FADE_SAMPLES])
def test_a_signal_as_short_as_a_cross_fade_cannot_grow(samples: int) -> None:
    wanted = rf"wham:n: has {samples} samples; to fill 9000 it needs more than 8001 \(while: extend\)"
    with pytest.raises(SourceError, match=wanted) as caught:
        loop_to(noise_signal(1, samples), 9000, "wham:n")
    assert caught.value.remedy == "choose a longer noise"


def test_a_short_signal_that_is_long_enough_is_no_error() -> None:
    assert len(loop_to(noise_signal(1, 100), 100, "wham:n")) == 100


@pytest.mark.parametrize(("samples", "length"), [(8002, 8003), (8002, 8010), (8500, 8501), (9000, 30_000)])
def test_a_short_signal_is_repeated_with_cross_fades(samples: int, length: int) -> None:
    noise = noise_signal(4, samples)
    extended = loop_to(noise, length, "wham:n")
    assert extended.dtype == np.float64
    assert extended.shape == (length,)
    assert np.array_equal(extended, slow_extended(noise, length))
    assert np.array_equal(extended[: samples - CROSS_FADE_SAMPLES], noise[: samples - CROSS_FADE_SAMPLES])


def test_a_constant_stays_nearly_constant_over_a_cross_fade() -> None:
    """The halves of a symmetric Hann window add up to one."""
    extended = loop_to(np.ones(10_000, dtype=np.float32), 25_000, "wham:n")
    assert np.allclose(extended, 1, rtol=0, atol=1e-12)


# --- sums and energies -------------------------------------------------------------------------


def test_padding() -> None:
    samples = noise_signal(1, 5)
    assert padded(samples, 5) is samples
    longer = padded(samples, 8)
    assert longer.dtype == np.float32
    assert longer.tolist() == [*samples.tolist(), 0, 0, 0]


def test_sums_are_in_order_and_in_the_type_of_the_first() -> None:
    signals = {
        "s1": noise_signal(1, 5),
        "s2": noise_signal(2, 3),
        "noise": noise_signal(3, 5).astype(float) * np.pi,
    }
    members = {"mix_both": ("s1", "s2", "noise"), "mix_clean": ("s1", "s2"), "mix_single": ("s1", "noise")}
    mixed = mix_down(signals, members, 5)
    clean = signals["s1"].copy()
    clean[:3] += signals["s2"]
    assert np.array_equal(mixed["mix_clean"], clean)
    assert np.array_equal(mixed["mix_both"], (clean + signals["noise"]).astype(np.float32))
    assert np.array_equal(mixed["mix_single"], (signals["s1"] + signals["noise"]).astype(np.float32))
    assert {samples.dtype for samples in mixed.values()} == {np.dtype(np.float32)}


def test_sums_do_not_change_their_parts() -> None:
    signals = {"s1": noise_signal(1, 5), "s2": noise_signal(2, 5)}
    before = {role: samples.copy() for role, samples in signals.items()}
    mix_down(signals, {"mix_clean": ("s1", "s2"), "alone": ("s1",)}, 5)
    assert all(np.array_equal(signals[role], before[role]) for role in signals)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=4),
    st.lists(st.integers(1, 40), min_size=1, unique=True),
)
def test_energies_of_all_pairs_at_all_lengths(sizes: list[int], lengths: list[int]) -> None:
    signals = {str(number): noise_signal(number, size) for number, size in enumerate(sizes)}
    found = cross_energies(signals, sorted(lengths))
    assert sorted(found) == sorted(lengths)
    for length, energies in found.items():
        full = np.array([np.pad(one, (0, 40))[:length] for one in signals.values()], dtype=np.float64)
        assert np.allclose(energies, full @ full.T, rtol=1e-12, atol=1e-15)


def snrs_of(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    signals = {"s1": np.array(first, dtype=np.float32), "s2": np.array(second, dtype=np.float32)}
    length = len(first)
    energies = cross_energies(signals, [length])[length]
    return component_snrs_db(energies, ("s1", "s2"), ("s1", "s2"), length)


def test_snrs_of_known_signals() -> None:
    assert snrs_of([0.5, -0.5], [0.5, 0.5]) == (0.0, 0.0)
    assert snrs_of([1.0, -1.0], [0.1, 0.1]) == pytest.approx((20, -20), abs=1e-4)


def test_silence_has_minus_100_db_and_against_silence_the_floor_decides() -> None:
    silent, loud = snrs_of([0.0, 0.0], [1.0, 1.0])
    assert silent == -100
    assert loud == 100


def test_opposite_signals_leave_no_negative_energy() -> None:
    third = {"s1": [0.1, 0.2], "s2": [0.3, -0.7], "s3": [-0.3, 0.7]}
    signals = {role: np.array(samples, dtype=np.float32) for role, samples in third.items()}
    snrs = component_snrs_db(cross_energies(signals, [2])[2], tuple(third), tuple(third), 2)
    assert snrs[0] == pytest.approx(10 * np.log10(0.025 / 1e-10), abs=1e-4)
