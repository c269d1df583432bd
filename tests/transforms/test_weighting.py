"""Levels of scenes: the weighting filter, the ramps, and the interferer's gain."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms.corpora.avse import to_mixture
from transforms.errors import SourceError
from transforms.plan import Mixture
from transforms.weighting import faded, speech_filter, weigh_sources, weighted_rms

RATE_HZ = 16000
RNG = np.random.default_rng(5)


def noise(samples: int, *, level: float = 0.1) -> NDArray[np.float32]:
    return (RNG.uniform(-1, 1, samples) * level).astype(np.float32)


def scene(snr_db: float = 0.0) -> Mixture:
    return to_mixture("S00001", "pretrain/a/1", kind="noise", masker="n", offset_samples=0, snr_db=snr_db)


# --- the filter --------------------------------------------------------------------------------


def test_the_filter_is_the_published_one() -> None:
    taps = speech_filter()
    assert (taps.shape, taps.dtype) == ((512,), np.float64)
    digest = hashlib.sha256(taps.astype("<f8").tobytes()).hexdigest()
    assert digest == "679b6f06886aa2e1c8f93ad79f5cd0d391d08db8f3d78c2c543fe0d56b6a1fcb"


def test_the_filter_is_symmetric_and_has_the_published_sums() -> None:
    taps = speech_filter()
    assert np.array_equal(taps, taps[::-1])
    assert taps.sum() == pytest.approx(-0.031627538574084374, abs=1e-15)
    assert np.square(taps).sum() == pytest.approx(0.19689917)
    assert np.abs(taps).sum() == pytest.approx(1.90481803)


@pytest.mark.parametrize(
    ("frequency_hz", "level_db"),
    [(50, -15.5), (100, -6.15), (250, -0.78), (1000, -0.78), (1600, -1.81), (2500, -8.62), (3150, -22.6)],
)
def test_the_response_at_16_khz(frequency_hz: float, level_db: float) -> None:
    taps = speech_filter()
    phase = np.exp(-2j * np.pi * frequency_hz / RATE_HZ * np.arange(len(taps)))
    assert 20 * math.log10(abs(np.dot(taps, phase))) == pytest.approx(level_db, abs=0.1)


def test_nothing_is_left_above_4_khz() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    fade = np.hanning(RATE_HZ)
    low, high = (np.sin(2 * np.pi * frequency_hz * time_s) * fade for frequency_hz in (1000, 5000))
    assert weighted_rms(high) < 1e-2 * weighted_rms(low)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_the_level_is_that_of_the_full_convolution(values: list[float]) -> None:
    samples = np.array(values)
    filtered = np.convolve(samples, speech_filter())
    assert len(filtered) == len(samples) + 511
    assert weighted_rms(samples) == pytest.approx(np.sqrt(np.mean(filtered**2)), abs=1e-12)


# --- the ramps ---------------------------------------------------------------------------------


def test_the_ramps_begin_at_zero_and_end_at_one() -> None:
    found = faded(np.ones(RATE_HZ * 2), RATE_HZ)
    assert (found[0], found[-1]) == (0, 0)
    assert (found[7999], found[8000], found[-8000]) == (1, 1, 1)
    assert found[4000] == pytest.approx(0.5, abs=1e-3)
    assert np.all(np.diff(found[:8000]) > 0)
    assert np.array_equal(found, found[::-1])


def test_between_the_ramps_nothing_changes() -> None:
    samples = noise(40_000)
    found = faded(samples, RATE_HZ)
    assert found.dtype == np.float64
    assert np.array_equal(found[8000:-8000], samples[8000:-8000].astype(np.float64))


@pytest.mark.parametrize("samples", [8000, 8001, 11_200, 15_999, 16_000, 16_001])
def test_ramps_that_overlap_multiply(samples: int) -> None:
    rise = [(math.cos(math.pi + math.pi * place / 7999) + 1) / 2 for place in range(8000)]
    expected = [
        (rise[place] if place < 8000 else 1)
        * (rise[samples - 1 - place] if samples - 1 - place < 8000 else 1)
        for place in range(samples)
    ]
    assert faded(np.ones(samples), RATE_HZ) == pytest.approx(expected, abs=1e-12)


def test_the_input_stays_as_it_is() -> None:
    samples = np.ones(20_000)
    faded(samples, RATE_HZ)
    assert samples.all()


# --- the levels --------------------------------------------------------------------------------


@pytest.mark.parametrize("snr_db", [-40.0, -2.3159, 0.0, 5.0, 40.0])
def test_the_target_exceeds_the_interferer_by_the_snr(snr_db: float) -> None:
    recordings = {"target": noise(30_000), "interferer": noise(30_000, level=0.7)}
    placed = weigh_sources(scene(snr_db), recordings, rate_hz=RATE_HZ)
    target, interferer = placed.signals["target"], placed.signals["interferer"]
    measured_db = 20 * math.log10(weighted_rms(target) / weighted_rms(interferer))
    assert measured_db == pytest.approx(snr_db, abs=1e-9)


def test_the_target_is_left_as_it_is() -> None:
    recordings = {"target": noise(20_000), "interferer": noise(20_000)}
    placed = weigh_sources(scene(), recordings, rate_hz=RATE_HZ)
    assert np.array_equal(placed.signals["target"], recordings["target"].astype(np.float64))
    assert placed.gains["target"] == 1


def test_gain_and_ratio_are_told() -> None:
    recordings = {"target": noise(20_000), "interferer": noise(20_000)}
    placed = weigh_sources(scene(6.0), recordings, rate_hz=RATE_HZ)
    interferer = faded(recordings["interferer"], RATE_HZ)
    ratio = weighted_rms(recordings["target"].astype(np.float64)) / weighted_rms(interferer)
    assert placed.facts == {"level_ratio": ratio, "silent_target": False}
    assert placed.gains["interferer"] == ratio * 10 ** (-6 / 20)
    assert placed.signals["interferer"] == pytest.approx(interferer * placed.gains["interferer"], rel=1e-12)
    assert placed.starts_s == {"target": 0, "interferer": 0}


def test_a_silent_target_makes_silence() -> None:
    recordings = {"target": np.zeros(20_000, np.float32), "interferer": noise(20_000)}
    placed = weigh_sources(scene(), recordings, rate_hz=RATE_HZ)
    assert not placed.signals["interferer"].any()
    assert placed.facts == {"level_ratio": 0.0, "silent_target": True}


def only_ends(samples: int) -> NDArray[np.float32]:
    """Returns a signal of which the ramps leave nothing."""
    signal = np.zeros(samples, np.float32)
    signal[0] = signal[-1] = 0.5
    return signal


@pytest.mark.parametrize("target", [noise(20_000), np.zeros(20_000, np.float32)], ids=["sound", "silence"])
@pytest.mark.parametrize(
    "interferer", [np.zeros(20_000, np.float32), only_ends(20_000)], ids=["zeros", "ends"]
)
def test_a_silent_interferer_is_refused(target: NDArray[np.float32], interferer: NDArray[np.float32]) -> None:
    with pytest.raises(SourceError, match="silent once it is faded and weighted") as caught:
        weigh_sources(scene(), {"target": target, "interferer": interferer}, rate_hz=RATE_HZ)
    assert (caught.value.source, caught.value.stage) == ("noise_maskers:n.wav", "level")


def test_a_target_shorter_than_a_ramp_is_refused() -> None:
    recordings = {"target": noise(7999), "interferer": noise(7999)}
    wanted = "is too short: it has 7999 samples, and the ramps of its interferer need 8000"
    with pytest.raises(SourceError, match=wanted) as caught:
        weigh_sources(scene(), recordings, rate_hz=RATE_HZ)
    assert caught.value.source == "lrs3:pretrain/a/1.mp4"
    longer = {role: np.append(signal, np.float32(0.1)) for role, signal in recordings.items()}
    assert len(weigh_sources(scene(), longer, rate_hz=RATE_HZ).signals["target"]) == 8000
