"""Charts: what they measure, and that their SVG stands well in any page."""

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

from transforms import report_charts, report_streams
from transforms.report_charts import HistogramRow
from transforms.report_streams import Scale
from transforms.statistics import Histogram

VALUES = st.lists(st.floats(-60, 60), min_size=1, max_size=200)
WIDTHS = st.sampled_from([0.5, 1.0])


def histogram(values: list[float], width: float = 1.0, unit: str = "dB") -> Histogram:
    counted = Histogram(unit, width)
    for value in values:
        counted.add(value)
    return counted


def panel(title: str = "SNR, s1 in mix_clean", label: str = "Libri2Mix-train-100") -> str:
    counted = histogram([-3.5, -1.2, 0.4, 0.6, 2.0, 7.9])
    limits = report_charts.common_limits([counted])
    return report_charts.histogram_panel(title, [HistogramRow(label, counted)] * 2, limits=limits)


def stream(title: str = "Waveform and spectrogram of s1") -> str:
    pcm = np.random.default_rng(0).integers(-3000, 3000, 12_000, dtype=np.int16)
    return report_streams.stream_chart(title, pcm, 8000, scale=Scale.of([pcm], 8000))


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


@given(st.floats(-60, 60), st.integers(1, 9), WIDTHS)
def test_a_quantile_of_equal_values_is_their_value(value: float, count: int, width: float) -> None:
    assert report_charts.quantile(histogram([value] * count, width), 0.5) == value


def test_the_median_of_one_bin_is_its_middle() -> None:
    assert report_charts.quantile(histogram([3.1, 3.9]), 0.5) == 3.5


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
        ([-3.2, -3.4], "median −3.4 dB"),
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


def test_whole_numbers_stand_in_the_middle_of_their_bars() -> None:
    counted = histogram([2, 2, 3], unit="")
    row = HistogramRow("p", counted)
    assert row.summary((0.0, 8.0)) == "median 2"
    svg = report_charts.histogram_panel("t", [row], limits=(0.0, 8.0))
    (bars,) = re.findall(r'<path d="([^"]*)"[^>]*fill: var\(--bar\)', svg)
    left, *_, right = sorted({float(x) for x, _ in re.findall(r"[ML] (\S+) (\S+)", bars)})
    width = 72 * 3.4 * 0.91 / 8
    assert (left, right) == pytest.approx((72 * 3.4 * 0.05 + 2 * width, 72 * 3.4 * 0.05 + 4 * width), abs=0.5)


def test_a_panel_draws_bins_in_proportion() -> None:
    counted = histogram([0.5, 2.5, 2.5, 2.5, 2.5])
    svg = report_charts.histogram_panel("t", [HistogramRow("p", counted)], limits=(0.0, 8.0))
    (bars,) = re.findall(r'<path d="([^"]*)"[^>]*fill: var\(--bar\)', svg)
    heights = sorted({float(y) for _, y in re.findall(r"[ML] (\S+) (\S+)", bars)}, reverse=True)
    base, single, fourfold = heights
    assert (base - fourfold) / (base - single) == pytest.approx(4, rel=0.01)


def test_the_name_of_a_part_is_never_taken_for_a_formula() -> None:
    assert "cost $5$ &lt;b&gt;" in panel(label="cost $5$ <b>")


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
        assert len(ids) == len(set(ids))
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
