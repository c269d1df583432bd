"""Charts: what they measure, and that their SVG stands well in any page."""

import base64
import io
import itertools
import math
import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from transforms import report_charts
from transforms.report_charts import HistogramRow, Scale
from transforms.statistics import Histogram

VALUES = st.lists(st.floats(-60, 60), min_size=1, max_size=200)
WIDTHS = st.sampled_from([0.5, 1.0])


def histogram(values: list[float], width: float = 1.0, unit: str = "dB") -> Histogram:
    counted = Histogram(unit, width)
    for value in values:
        counted.add(value)
    return counted


def sine(frequency_hz: float, rate_hz: int, seconds: float, amplitude: float = 1.0) -> NDArray[np.int16]:
    phase = 2 * np.pi * frequency_hz / rate_hz * np.arange(round(seconds * rate_hz))
    return np.rint(amplitude * 32767 * np.sin(phase)).astype(np.int16)


def noise(samples: int, seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-3000, 3000, samples, dtype=np.int16)


def panel(title: str = "SNR, s1 in mix_clean", label: str = "Libri2Mix-train-100") -> str:
    counted = histogram([-3.5, -1.2, 0.4, 0.6, 2.0, 7.9])
    limits = report_charts.common_limits([counted])
    return report_charts.histogram_panel(title, [HistogramRow(label, counted)] * 2, limits=limits)


def stream(title: str = "Waveform and spectrogram of s1") -> str:
    pcm = noise(12_000)
    return report_charts.stream_chart(title, pcm, 8000, scale=Scale.of([pcm], 8000))


@pytest.fixture(params=[panel, stream], ids=["panel", "stream"])
def chart(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Draws one of the two kinds of chart, given its title."""
    made: Callable[..., str] = request.param
    return made


# --- histograms ---


@given(VALUES, WIDTHS, st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
def test_a_quantile_is_less_than_a_bin_from_the_exact_one(
    values: list[float], width: float, share: float
) -> None:
    exact = np.quantile(values, share, method="inverted_cdf")
    assert abs(report_charts.quantile(histogram(values, width), share) - exact) <= width


def test_the_median_of_one_bin_is_its_middle() -> None:
    assert report_charts.quantile(histogram([3.1, 3.2]), 0.5) == 3.5


@given(st.lists(VALUES, min_size=1, max_size=4), WIDTHS)
def test_common_limits_show_nearly_everything(groups: list[list[float]], width: float) -> None:
    low, high = report_charts.common_limits([histogram(values, width) for values in groups])
    values = [value for group in groups for value in group]
    inside = sum(low <= value <= high for value in values)
    assert inside >= 0.998 * len(values) - 2
    assert low % width == high % width == 0
    assert high - low >= 8 * width


@given(st.lists(st.floats(0, 20), min_size=1), WIDTHS)
def test_common_limits_of_lengths_begin_at_no_negative_length(values: list[float], width: float) -> None:
    low, _ = report_charts.common_limits([histogram(values, width)])
    assert low >= 0


def test_common_limits_leave_out_a_few_strays() -> None:
    values = [float(value % 10) for value in range(10_000)]
    assert report_charts.common_limits([histogram([*values, -100.0, 90.0])]) == (0.0, 10.0)


@given(VALUES, WIDTHS, st.integers(-20, 0), st.integers(1, 20))
def test_outside_counts_what_the_limits_cut_off(
    values: list[float], width: float, first: int, last: int
) -> None:
    limits = (first * width, last * width)
    expected = sum(not first <= math.floor(value / width) < last for value in values)
    assert HistogramRow("a part", histogram(values, width)).outside(limits) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([-3.2, -3.4], "median −3.5 dB"),
        ([0.0, -1.0], "median 0.0 dB"),
        ([2.5, 2.5, 99.0], "median 2.8 dB, 1 beyond"),
    ],
)
def test_a_row_says_its_median_and_what_is_not_shown(values: list[float], expected: str) -> None:
    assert HistogramRow("a part", histogram(values)).summary((-10.0, 10.0)) == expected


def test_a_panel_can_be_read_without_seeing_it() -> None:
    root = ElementTree.fromstring(panel())
    row = "Libri2Mix-train-100: median 0.5 dB"
    assert root.get("aria-label") == f"SNR, s1 in mix_clean. {row}; {row}"
    texts = [text.text for text in root.iter("text")]
    assert texts.count("Libri2Mix-train-100") == texts.count("median 0.5 dB") == 2
    assert texts.count("dB") == 1


def test_a_panel_draws_bins_in_proportion() -> None:
    counted = histogram([0.5, 2.5, 2.5, 2.5, 2.5])
    svg = report_charts.histogram_panel("t", [HistogramRow("p", counted)], limits=(0.0, 8.0))
    (bars,) = re.findall(r'<path d="([^"]*)"[^>]*fill: var\(--bar\)', svg)
    heights = sorted({float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", bars)}, reverse=True)
    base, single, fourfold = heights
    assert (base - fourfold) / (base - single) == pytest.approx(4, rel=0.01)


def test_the_name_of_a_part_is_never_taken_for_a_formula() -> None:
    assert "cost $5$ &lt;b&gt;" in panel(label="cost $5$ <b>")


# --- signals ---


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_sine_of_full_scale_has_0_db_in_its_band(rate_hz: int) -> None:
    bin_hz = rate_hz / (256 * max(1, round(rate_hz / 8000)))
    pcm = sine(40 * bin_hz, rate_hz, seconds=0.5)
    levels = report_charts.spectrogram_db(pcm, rate_hz)
    bins_per_band = max(1, round(rate_hz / 8000))
    band = (40 - 1) // bins_per_band
    assert levels.shape[0] == report_charts.BANDS
    assert (levels.argmax(axis=0) == band).all()
    np.testing.assert_allclose(levels[band], 0.0, atol=0.1)


def test_half_the_amplitude_is_6_db_lower() -> None:
    loud, soft = (sine(1000, 8000, 0.5, amplitude) for amplitude in (1.0, 0.5))
    difference = (
        report_charts.spectrogram_db(loud, 8000).max() - report_charts.spectrogram_db(soft, 8000).max()
    )
    assert difference == pytest.approx(6.02, abs=0.01)


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 8000, 20_000, 80_000, 1_000_003])
def test_a_spectrogram_never_has_more_columns_than_can_be_seen(samples: int) -> None:
    levels = report_charts.spectrogram_db(noise(samples), 8000)
    assert levels.shape[0] == report_charts.BANDS
    assert 1 <= levels.shape[1] <= report_charts.COLUMNS
    assert np.isfinite(levels).all()


def test_silence_has_the_lowest_level() -> None:
    levels = report_charts.spectrogram_db(np.zeros(1000, dtype=np.int16), 8000)
    np.testing.assert_allclose(levels, -120.0)


@given(st.integers(1, 2000))
def test_the_envelope_holds_the_extremes_of_every_stretch(samples: int) -> None:
    pcm = noise(samples, seed=samples)
    low, high = report_charts.envelope(pcm)
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
    svg = report_charts.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    levels = report_charts.spectrogram_db(pcm, 8000)
    picture = _picture(svg)
    assert picture.mode == "P"
    assert picture.size == levels.shape[::-1]
    light = np.asarray(picture.convert("L"))
    (y_step,) = re.findall(r'<image[^>]*transform="matrix\(\S+ 0 0 (\S+) ', svg)
    loudest_row = light.mean(axis=1).argmax()
    from_bottom = loudest_row if float(y_step) < 0 else report_charts.BANDS - 1 - loudest_row
    assert from_bottom == levels.mean(axis=1).argmax()


def test_a_stream_far_below_the_scale_is_drawn_dark() -> None:
    pcm = sine(1000, 8000, 1.0, amplitude=0.01)
    svg = report_charts.stream_chart("t", pcm, 8000, scale=Scale(1.0, 60.0))
    assert np.asarray(_picture(svg).convert("L")).max() < 16


@pytest.mark.parametrize("pcm", [np.zeros(4000, dtype=np.int16), noise(1), noise(100)])
def test_silent_and_very_short_streams_can_be_drawn(pcm: NDArray[np.int16]) -> None:
    svg = report_charts.stream_chart("t", pcm, 8000, scale=Scale.of([pcm], 8000))
    assert ElementTree.fromstring(svg).tag == "svg"


# --- SVG in a page ---


def test_a_chart_is_one_element_that_says_what_it_is(chart: Callable[..., str]) -> None:
    root = ElementTree.fromstring(chart('a "b" <c> & d'))
    assert (root.tag, root.get("role")) == ("svg", "img")
    assert str(root.get("aria-label")).startswith('a "b" <c> & d')
    assert root.get("width") is None
    assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", str(root.get("viewBox")))


def test_a_chart_takes_its_colours_from_the_page(chart: Callable[..., str]) -> None:
    svg = chart("t")
    assert "currentColor" in svg
    assert "var(--bar)" in svg
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#ffffff"}


def test_ids_are_only_those_referred_to_and_differ_between_charts(chart: Callable[..., str]) -> None:
    found = []
    for title in ("first", "second"):
        svg = chart(title)
        ids = re.findall(r' id="([^"]*)"', svg)
        assert set(ids) == set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
        assert len(ids) == len(set(ids)) > 0
        found.append(set(ids))
    assert found[0].isdisjoint(found[1])


def test_a_chart_brings_no_style_or_metadata_for_the_whole_page(chart: Callable[..., str]) -> None:
    assert not re.search(r"<style|<metadata|<\?xml|<!DOCTYPE", chart("t"))


@pytest.mark.parametrize(
    "settings",
    [{"font.size": 20.0}, {"svg.fonttype": "path", "axes.facecolor": "red"}, {"svg.hashsalt": "x"}],
)
def test_a_persons_own_settings_change_nothing(chart: Callable[..., str], settings: dict[str, Any]) -> None:
    expected = chart("t")
    with matplotlib.rc_context(settings):
        before = dict(matplotlib.rcParams)
        assert chart("t") == expected
        assert dict(matplotlib.rcParams) == before
