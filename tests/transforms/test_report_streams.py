"""Waveforms and spectrograms: what they measure, and how they are drawn."""

import base64
import io
import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from transforms import report_streams
from transforms.report_streams import Scale


def sine(frequency_hz: float, rate_hz: int, seconds: float, amplitude: float = 1.0) -> NDArray[np.int16]:
    phase = 2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz))
    return np.rint(amplitude * 32767 * np.sin(phase)).astype(np.int16)


def noise(samples: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-3000, 3000, samples, dtype=np.int16)


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_sine_of_full_scale_has_0_db_in_its_band(rate_hz: int) -> None:
    bin_hz = rate_hz / (256 * max(1, round(rate_hz / 8000)))
    pcm = sine(40 * bin_hz, rate_hz, seconds=0.5)
    levels = report_streams.spectrogram_db(pcm, rate_hz)
    bins_per_band = max(1, round(rate_hz / 8000))
    band = (40 - 1) // bins_per_band
    assert levels.shape[0] == report_streams.BANDS
    assert (levels.argmax(axis=0) == band).all()
    np.testing.assert_allclose(levels[band], 0.0, atol=0.1)


def test_half_the_amplitude_is_6_db_lower() -> None:
    loud, soft = (sine(1000, 8000, 0.5, amplitude) for amplitude in (1.0, 0.5))
    difference = (
        report_streams.spectrogram_db(loud, 8000).max() - report_streams.spectrogram_db(soft, 8000).max()
    )
    assert difference == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 8000, 20_000, 80_000, 1_000_003])
def test_a_spectrogram_never_has_more_columns_than_can_be_seen(samples: int) -> None:
    levels = report_streams.spectrogram_db(noise(samples), 8000)
    assert levels.shape[0] == report_streams.BANDS
    assert 1 <= levels.shape[1] <= report_streams.COLUMNS
    assert np.isfinite(levels).all()


def test_silence_has_the_lowest_level() -> None:
    levels = report_streams.spectrogram_db(np.zeros(1000, dtype=np.int16), 8000)
    np.testing.assert_allclose(levels, -120.0)


@given(st.integers(1, 2000))
def test_the_envelope_holds_the_extremes_of_every_stretch(samples: int) -> None:
    pcm = noise(samples, seed=samples)
    low, high = report_streams.envelope(pcm)
    bounds = [number * samples // len(low) for number in range(len(low) + 1)]
    stretches = [pcm[first:last] for first, last in itertools.pairwise(bounds)]
    assert len(low) == len(high) == min(240, samples)
    np.testing.assert_array_equal(low, [stretch.min() / 32768 for stretch in stretches])
    np.testing.assert_array_equal(high, [stretch.max() / 32768 for stretch in stretches])


def test_the_scale_is_of_the_loudest_stream() -> None:
    loud, soft = sine(1000, 8000, 0.5, 0.8), sine(1000, 8000, 0.5, 0.1)
    assert Scale.of([soft, loud], 8000) == Scale.of([loud], 8000)
    assert Scale.of([loud], 8000).amplitude == pytest.approx(0.8, abs=1e-4)


def _picture(svg: str) -> Image.Image:
    (encoded,) = re.findall(r"data:image/png;base64,([^\"]*)", svg)
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def test_a_spectrogram_is_a_small_picture_with_low_frequencies_at_the_bottom() -> None:
    pcm = sine(500, 8000, 2.0)
    svg = report_streams.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    levels = report_streams.spectrogram_db(pcm, 8000)
    picture = _picture(svg)
    assert picture.mode == "P"
    assert picture.size == levels.shape[::-1]
    light = np.asarray(picture.convert("L"))
    loudest_row = light.mean(axis=1).argmax()
    assert report_streams.BANDS - 1 - loudest_row == levels.mean(axis=1).argmax()


def test_a_stream_far_below_the_scale_is_drawn_dark() -> None:
    pcm = sine(1000, 8000, 1.0, amplitude=0.01)
    svg = report_streams.stream_chart("t", pcm, 8000, scale=Scale(1.0, 60.0))
    assert np.asarray(_picture(svg).convert("L")).max() < 16


@pytest.mark.parametrize("pcm", [np.zeros(4000, dtype=np.int16), noise(1), noise(100)])
def test_silent_and_very_short_streams_can_be_drawn(pcm: NDArray[np.int16]) -> None:
    svg = report_streams.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    assert ElementTree.fromstring(svg).tag == "svg"


def test_the_lightest_steps_are_the_highest_levels() -> None:
    pcm = np.concatenate([sine(1000, 8000, 1.0), sine(1000, 8000, 1.0, 0.01)])
    svg = report_streams.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    steps = np.asarray(_picture(svg)).max(axis=0)
    assert steps[: len(steps) // 3].min() == 15
    assert 4 <= steps[-len(steps) // 3 :].max() <= 6  # 40 dB below, of 60 dB in 16 steps


def test_a_waveform_stays_in_its_place() -> None:
    pcm = sine(100, 8000, 1.0)
    svg = report_streams.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    (outline,) = re.findall(r' d="M([^"]*)Z"', svg)
    points = np.array([point.split() for point in outline.split("L")], dtype=float)
    assert len(points) == 2 * 240
    assert (points[:, 1].min(), points[:, 1].max()) == pytest.approx((4.0, 40.0), abs=0.1)
    assert points[:240, 0].tolist() == sorted(points[:240, 0])


def test_numbers_stand_beside_time_and_frequency() -> None:
    pcm = noise(12_000)
    root = ElementTree.fromstring(report_streams.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000)))
    assert [text.text for text in root.iter("text")] == ["0", "2", "4", "0", "0.75", "1.5 s", "kHz"]
