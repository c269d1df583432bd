"""Active speech levels: reference values, a slow obvious version, and what a level must not depend on."""

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly, sosfreqz

from transforms import activity
from transforms.activity import MEASURES, SILENCE, ActiveLevel, Measure, active_level

Doubles = NDArray[np.float64]

measures = pytest.mark.parametrize("measure", MEASURES)


def segments(seed: int, samples: int) -> Doubles:
    """Noise in pieces of very different level, some of them zero."""
    random = np.random.default_rng(seed)
    gains = 10.0 ** random.uniform(-4, -0.5, 6) * (random.random(6) < 0.7)
    noise = random.standard_normal(samples)
    return noise * np.repeat(gains, math.ceil(samples / 6))[:samples]


def gated_tone(rate_hz: int, *, on_s: float, off_s: float, frequency_hz: float = 1000.0) -> Doubles:
    """Ten periods of a tone of power 0.02 and a pause."""
    time_s = np.arange(round(10 * (on_s + off_s) * rate_hz)) / rate_hz
    return 0.2 * np.sin(2 * np.pi * frequency_hz * time_s) * (time_s % (on_s + off_s) < on_s)


# --- the slow version: loops over samples, nothing shared with the code it checks


def slow_filter(
    samples: list[float], zeros: list[complex], poles: list[complex], unit_at: int
) -> list[float]:
    signal: list[complex] = [complex(sample) for sample in samples]
    for zero, pole in zip(zeros, poles, strict=True):
        previous_in = previous_out = 0j
        gain = (unit_at - pole) / (unit_at - zero)
        for i, sample in enumerate(signal):
            previous_out = gain * (sample - zero * previous_in) + pole * previous_out
            previous_in = sample
            signal[i] = previous_out
    return [sample.real for sample in signal]


def slow_prototype() -> tuple[list[complex], list[complex]]:
    def attenuation_db(edge: float) -> float:
        chebyshev = math.cosh(5 * math.acosh(1 / edge))
        return 10 * math.log10(1 + (10**5 - 1) / chebyshev**2)

    low, high = 0.01, 0.99
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if attenuation_db(middle) > 0.25 else (middle, high)
    bend = math.asinh(math.sqrt(10**5 - 1)) / 5
    angles = [math.pi * (2 * k + 1) / 10 for k in range(5)]
    zeros = [low * 1j * math.cos(angle) for angle in angles]
    poles = [
        low * complex(-math.sinh(bend) * math.sin(angle), math.cosh(bend) * math.cos(angle))
        for angle in angles
    ]
    return zeros, poles


def slow_envelope(samples: list[float], rate_hz: int) -> list[float]:
    g = math.exp(-1 / (0.03 * rate_hz))
    first = second = 0.0
    envelope = []
    for sample in samples:
        first = g * first + (1 - g) * abs(sample)
        second = g * second + (1 - g) * first
        envelope.append(second)
    return envelope


def slow_bandpass(samples: Doubles, rate_hz: int) -> tuple[float, float, float]:
    padded = [*map(float, samples), *[0.0] * math.ceil(0.35 * rate_hz)]
    zeros, poles = slow_prototype()
    warp = math.tan(math.pi * 200 / rate_hz)
    filtered = slow_filter(
        padded, [2 / (1 - s * warp) - 1 for s in zeros], [2 / (1 - s * warp) - 1 for s in poles], -1
    )
    if rate_hz >= 2.2 * 5500:
        warp = math.tan(math.pi * 5500 / rate_hz)
        filtered = slow_filter(
            filtered, [2 / (s / warp - 1) + 1 for s in zeros], [2 / (s / warp - 1) + 1 for s in poles], 1
        )
    energy = math.fsum(sample * sample for sample in filtered)
    scale = len(filtered) / energy
    levels = [scale * value * value for value in slow_envelope(filtered, rate_hz)]
    classes = [math.floor(math.log2(value)) + 1 if value else None for value in levels]
    top = max(found for found in classes if found is not None) + 1
    bins = [0] * 21
    hold = math.ceil(0.2 * rate_hz)
    last_seen: dict[int, int] = {}
    for i, found in enumerate(classes):
        if found is not None:
            last_seen[found] = i
        held = [value for value, place in last_seen.items() if i - place <= hold]
        bins[min(top - max(held), 20) if held else 20] += 1
    active_db = [10 * math.log10(energy / sum(bins[1 : k + 1])) for k in range(1, 21)]
    margin = [
        active_db[k - 1] - (10 * math.log10(2) * (top - k - 1) - 10 * math.log10(scale)) - 15.9
        for k in range(1, 21)
    ]
    level_db = active_db[19] if margin[19] <= 0 else active_db[0]
    for k in range(19):
        if margin[k] < 0 <= margin[k + 1]:
            level_db = active_db[k] + (active_db[k + 1] - active_db[k]) / (1 - margin[k + 1] / margin[k])
            break
    power = 10 ** (level_db / 10)
    return power, energy / (len(samples) * power), energy / len(filtered)


def slow_plain(samples: Doubles, rate_hz: int) -> tuple[float, float, float]:
    energy = math.fsum(sample * sample for sample in samples)
    hold = math.floor(0.2 * rate_hz + 0.5)
    envelope = slow_envelope([*map(float, samples)], rate_hz)
    found: list[tuple[float, float]] = []
    mean_power = energy / len(samples)
    for j in range(1, 16):
        threshold, active, inactive = 2.0 ** (j - 16), 0, hold
        for value in envelope:
            inactive = 0 if value >= threshold else inactive + 1
            active += value >= threshold or inactive <= hold
        if not active:
            break
        active_db = 10 * math.log10(energy / active)
        found.append((active_db, active_db - 20 * math.log10(threshold)))
        if found[0][1] < 15.9:
            break
        if j > 1 and found[-1][1] <= 15.9:
            (before_db, above), (after_db, below) = found[-2:]
            level_db = before_db + (after_db - before_db) * (above - 15.9) / (above - below)
            power = 10 ** (level_db / 10)
            return power, mean_power / power, mean_power
    return 0.0, 0.0, mean_power


def check_against_slow(measure: Measure, samples: Doubles, rate_hz: int) -> None:
    found = active_level(samples, rate_hz, measure=measure)
    slow = {"bandpass": slow_bandpass, "plain": slow_plain}[measure](samples, rate_hz)
    expected = pytest.approx(slow, rel=1e-9, abs=1e-300)
    assert (found.power, found.activity_factor, found.mean_power) == expected


@measures
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_the_slow_version_agrees_at_the_rates_of_speech(measure: Measure, rate_hz: int) -> None:
    for seed in range(3):
        check_against_slow(measure, segments(seed, rate_hz // 2), rate_hz)


@measures
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 3000),
    rate_hz=st.sampled_from([500, 1000, 1003, 3999]),
)
def test_the_slow_version_agrees(measure: Measure, seed: int, samples: int, rate_hz: int) -> None:
    signal = segments(seed, samples)
    if signal.any():
        check_against_slow(measure, signal, rate_hz)


@pytest.mark.parametrize("gain", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("place", [0, 700, 1999])
def test_the_slow_version_agrees_on_a_click(gain: float, place: int) -> None:
    click = np.zeros(2000)
    click[place] = gain
    for measure in MEASURES:
        check_against_slow(measure, click, 1000)


@pytest.mark.parametrize("rate_hz", [12099, 12100, 12101])
def test_the_slow_version_agrees_where_the_low_pass_begins(rate_hz: int) -> None:
    check_against_slow("bandpass", segments(5, 3000), rate_hz)


# --- reference values


def golden_rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def check_golden(row: dict[str, str], path: Path) -> float:
    """Checks both measures and returns how far the tool is from the exact crossing, in dB."""
    samples, rate_hz = soundfile.read(path)
    assert (rate_hz, len(samples)) == (int(row["sample_rate"]), int(row["frames"]))
    found = active_level(samples, rate_hz, measure="bandpass")
    expected = [float(row[name]) for name in ("active_level_power", "activity_factor", "mean_power")]
    assert [found.power, found.activity_factor, found.mean_power] == pytest.approx(expected, rel=1e-9, abs=0)
    plain = active_level(samples, rate_hz, measure="plain")
    tool_db = float(row["itu_tool_active_level_dbov"])
    assert (plain.power == 0) == (tool_db == -math.inf)
    assert plain.activity_factor * plain.power == pytest.approx(plain.mean_power if plain.power else 0)
    return abs(plain.level_db - tool_db) if plain.power else 0.0


def test_reference_values(repository: Path) -> None:
    folder = repository / "tests" / "golden" / "active_level"
    rows = golden_rows(folder / "levels.csv")
    assert len(rows) == 9
    distances_db = [check_golden(row, folder / row["path"]) for row in rows]
    assert max(distances_db) < 0.2
    assert np.median(distances_db) < 0.01


@pytest.mark.golden
def test_all_reference_values(shared_golden: Path) -> None:
    folder = shared_golden / "active_level"
    rows = golden_rows(folder / "levels.csv")
    places = {"signals": folder, "real": shared_golden.parent / "data"}
    distances_db = [check_golden(row, places[row["path"].partition("/")[0]] / row["path"]) for row in rows]
    assert len(rows) == 40
    assert max(distances_db) < 0.2
    assert np.median(distances_db) < 0.01


# --- what a level is


@measures
@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_pauses_do_not_lower_the_level(measure: Measure, rate_hz: int) -> None:
    found = active_level(gated_tone(rate_hz, on_s=1.0, off_s=1.0), rate_hz, measure=measure)
    assert found.mean_power == pytest.approx(0.01, rel=0.03)
    assert 0.5 < found.activity_factor < 0.75
    assert found.power == pytest.approx(0.02 * 0.5 / found.activity_factor, rel=0.03)


@measures
def test_a_steady_tone_is_active_all_the_time(measure: Measure) -> None:
    found = active_level(gated_tone(16000, on_s=1.0, off_s=0.0), 16000, measure=measure)
    assert found.power == pytest.approx(0.02, rel=0.05)
    assert found.activity_factor == pytest.approx(1.0, abs=0.05)


@measures
def test_silence_around_speech_changes_nothing_but_the_mean(measure: Measure) -> None:
    speech = gated_tone(16000, on_s=0.5, off_s=0.1)
    alone = active_level(speech, 16000, measure=measure)
    longer = active_level(np.pad(speech, (16000, len(speech))), 16000, measure=measure)
    assert longer.level_db == pytest.approx(alone.level_db, abs=0.2)
    assert longer.mean_power < 0.5 * alone.mean_power


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), exponent=st.integers(-60, 20))
def test_bandpass_scales_with_the_signal(seed: int, exponent: int) -> None:
    samples = segments(seed, 4000)
    samples[0] = 0.1
    found = active_level(samples, 8000, measure="bandpass")
    scaled = active_level(samples * 2.0**exponent, 8000, measure="bandpass")
    assert scaled.power == pytest.approx(found.power * 4.0**exponent, rel=1e-9, abs=0)
    assert scaled.mean_power == pytest.approx(found.mean_power * 4.0**exponent, rel=1e-9, abs=0)
    assert scaled.activity_factor == pytest.approx(found.activity_factor, rel=1e-9)


@pytest.mark.parametrize("name", ["1688-142285-0009.flac", "2414-128291-0008.flac"])
def test_bandpass_hardly_depends_on_the_rate_of_real_speech(repository: Path, name: str) -> None:
    samples, rate_hz = soundfile.read(repository / "tests" / "golden" / "active_level" / name)
    at_16k = active_level(samples, rate_hz, measure="bandpass")
    at_48k = active_level(resample_poly(samples, 3, 1), 3 * rate_hz, measure="bandpass")
    assert at_48k.level_db == pytest.approx(at_16k.level_db, abs=0.2)
    assert at_48k.activity_factor == pytest.approx(at_16k.activity_factor, abs=0.05)


@pytest.mark.parametrize(
    "hum", [np.full(32000, 0.1), 0.1 * np.sin(np.arange(32000) * 2 * np.pi * 50 / 16000)]
)
def test_only_plain_counts_what_is_below_speech(hum: Doubles) -> None:
    speech = gated_tone(16000, on_s=0.2, off_s=0.0)
    clean, noisy = (
        {measure: active_level(signal, 16000, measure=measure).level_db for measure in MEASURES}
        for signal in (speech, speech + hum)
    )
    assert noisy["bandpass"] == pytest.approx(clean["bandpass"], abs=0.05)
    assert noisy["plain"] > clean["plain"] + 0.8


def test_only_plain_counts_what_is_above_speech() -> None:
    whistle = gated_tone(16000, on_s=0.2, off_s=0.0, frequency_hz=7500.0)
    levels_db = [active_level(whistle, 16000, measure=measure).level_db for measure in ("bandpass", "plain")]
    assert levels_db[0] < levels_db[1] - 30


@pytest.mark.parametrize(("rate_hz", "sections"), [(8000, 3), (12100, 3), (12101, 6), (16000, 6), (48000, 6)])
def test_the_band_of_speech(rate_hz: int, sections: int) -> None:
    band = activity._speech_band(rate_hz)
    assert band.shape == (sections, 6)
    assert activity._speech_band(rate_hz) is band
    frequencies_hz = np.array([0.0, 100.0, 200.0, 1000.0, min(5500.0, rate_hz / 2 - 200.0), rate_hz / 2])
    _, response = sosfreqz(band, worN=frequencies_hz, fs=rate_hz)
    gains_db = 20 * np.log10(np.abs(response) + 1e-30)
    assert gains_db[0] < -100
    assert gains_db[1] < -20
    assert gains_db[2] == pytest.approx(-0.25, abs=1e-6 if sections == 3 else 0.02)
    assert gains_db[3] == pytest.approx(0.0, abs=0.1)
    if sections == 6:
        assert gains_db[4] == pytest.approx(-0.25, abs=0.02)
        assert gains_db[5] < -100
    else:
        assert gains_db[5] == pytest.approx(0.0, abs=1e-9)


def test_the_prototype_stops_by_50_db() -> None:
    zeros, poles = activity._prototype()
    slow_zeros, slow_poles = slow_prototype()
    for found, expected in ((zeros, slow_zeros), (poles, slow_poles)):
        by_height = sorted(found, key=lambda root: root.imag), sorted(expected, key=lambda root: root.imag)
        np.testing.assert_allclose(*by_height, rtol=1e-12, atol=1e-15)


# --- the edges


@measures
@pytest.mark.parametrize("samples", [0, 1, 100, 16000])
def test_digital_silence(measure: Measure, samples: int) -> None:
    found = active_level(np.zeros(samples), 16000, measure=measure)
    assert found == SILENCE == ActiveLevel(0.0, 0.0, 0.0)
    assert found.level_db == -math.inf


def test_plain_calls_silent_what_is_too_faint_or_too_short() -> None:
    faint = 1e-5 * gated_tone(16000, on_s=0.2, off_s=0.0)
    click = np.zeros(16000)
    click[8000] = 1.0
    for samples in (faint, click):
        found = active_level(samples, 16000, measure="plain")
        assert (found.power, found.activity_factor, found.level_db) == (0.0, 0.0, -math.inf)
        assert found.mean_power == pytest.approx(np.mean(samples**2))
        assert active_level(samples, 16000, measure="bandpass").power > 0


@pytest.mark.parametrize("gain", [1e-200, 1e-160, 1e-154])
def test_energies_that_vanish_are_silent(gain: float) -> None:
    for measure in MEASURES:
        assert active_level(np.full(2000, gain), 16000, measure=measure).power == 0


@measures
def test_a_single_sample(measure: Measure) -> None:
    found = active_level(np.array([0.5]), 16000, measure=measure)
    assert found.power >= 0
    assert math.isfinite(found.activity_factor)


@measures
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e200])
def test_samples_that_are_no_finite_numbers(measure: Measure, wrong: float) -> None:
    samples = np.full(1000, 0.1)
    samples[500] = wrong
    with pytest.raises(ValueError, match="holds samples that are no finite numbers"):
        active_level(samples, 16000, measure=measure)


@measures
def test_single_precision_counts_as_the_same_numbers(measure: Measure) -> None:
    single = segments(3, 8000).astype(np.float32)
    kept = single.copy()
    assert active_level(single, 8000, measure=measure) == active_level(
        single.astype(np.float64), 8000, measure=measure
    )
    np.testing.assert_array_equal(single, kept)


@measures
def test_the_lowest_rate_gives_numbers(measure: Measure) -> None:
    assert activity.rate_problem(401) is None
    found = active_level(np.random.default_rng(1).standard_normal(2000) * 0.1, 401, measure=measure)
    assert 0 < found.power < 1
    assert found.activity_factor > 0


@pytest.mark.parametrize("rate_hz", [1, 400])
def test_rates_below_the_band(rate_hz: int) -> None:
    assert activity.rate_problem(rate_hz) == f"has {rate_hz} Hz, wanted more than 400 Hz"


def test_names_of_measures() -> None:
    assert [activity.measure_problem(measure) for measure in ("bandpass", "plain")] == [None, None]
    assert activity.measure_problem("rms") == "wanted bandpass or plain"


def test_a_level_in_db() -> None:
    level: Any = ActiveLevel(0.01, 0.5, 0.005)
    assert level.level_db == pytest.approx(-20.0)
    with pytest.raises(AttributeError):
        level.power = 1.0
