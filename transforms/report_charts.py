"""Histograms and tables of the report as inline SVG whose colours follow the page, light or dark.

Text is drawn in the page's ink, areas in the page's CSS variables ``--bar`` and ``--line``. The same
data give the same bytes: no dates, no random ids, no settings of the user.
"""

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.statistics import Histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that stand for what the page decides; no chart has another use for them.
_INK, _BAR, _LINE = "#010203", "#040506", "#070809"
_PAGE_COLOURS = {_INK: "currentColor", _BAR: "var(--bar)", _LINE: "var(--line)"}

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "xtick.color": _LINE,
    "xtick.labelcolor": _INK,
    "ytick.color": _LINE,
    "ytick.labelcolor": _INK,
    "svg.fonttype": "none",
}

_PANEL_WIDTH_IN = 3.4
_ROW_HEIGHT_IN = 0.68
_AXIS_HEIGHT_IN = 0.42
_TABLE_SIZE_IN = (3.4, 2.2)
_TABLE_PLACE = {"left": 0.13, "right": 0.97, "top": 0.95, "bottom": 0.19}
# In the darkest cell the number must be readable, light and dark; the lightest must be seen.
_FAINTEST, _STRONGEST = 0.12, 0.6
_FEWEST_BINS = 8
_RARE = 0.001
_MANY = 10_000


def quantile(histogram: Histogram, share: float) -> float:
    """Estimates a quantile of what a histogram counted, evenly spread within each bin and the extremes.

    Args:
        histogram: holds at least one count.
        share: 0..1; 0.5 gives the median.

    Returns:
        A value in the histogram's unit, less than one bin from the exact quantile.
    """
    edges, counts = histogram.bars()
    wanted = share * sum(counts)
    below = 0
    for edge, count in zip(edges, counts, strict=True):
        if count and below + count >= wanted:
            return _within(histogram, edge + histogram.width * (wanted - below) / count)
        below += count
    return _within(histogram, edges[-1] + histogram.width)


def _within(histogram: Histogram, value: float) -> float:
    """Brings an estimate between the extremes that were counted, where these are known."""
    low = value if histogram.lowest is None else histogram.lowest
    high = value if histogram.highest is None else histogram.highest
    return min(max(value, low), high)


def common_limits(histograms: Sequence[Histogram]) -> tuple[float, float]:
    """Returns the range that shows histograms of one quantity side by side.

    All but 0.1 % at either end of the pooled counts is inside, and never fewer than 8 bins.

    Args:
        histograms: of one unit and bin width, with at least one count between them.

    Returns:
        Lower and upper bin edge.
    """
    width = histograms[0].width
    pooled = Histogram(histograms[0].unit, width)
    for histogram in histograms:
        for number, count in histogram.counts.items():
            pooled.counts[number] = pooled.counts.get(number, 0) + count
    low = int(np.floor(quantile(pooled, _RARE) / width))
    high = int(np.ceil(quantile(pooled, 1 - _RARE) / width))
    missing = max(0, _FEWEST_BINS - (high - low))
    low, high = low - missing // 2, high + missing - missing // 2
    if min(pooled.counts) >= 0:
        low, high = max(low, 0), high - min(low, 0)
    return low * width, high * width


@dataclass(frozen=True, slots=True)
class HistogramRow:
    """One row of a panel: the name at its left end, and what to draw (at least one count)."""

    label: str
    histogram: Histogram

    @property
    def counts_things(self) -> bool:
        """Whether the quantity is a whole number, which has no unit and is its bin's left edge."""
        return not self.histogram.unit

    def outside(self, limits: tuple[float, float]) -> int:
        """Counts what lies in bins beyond the limits, which are bin edges."""
        first, last = (round(limit / self.histogram.width) for limit in limits)
        return sum(count for number, count in self.histogram.counts.items() if not first <= number < last)

    def summary(self, limits: tuple[float, float]) -> str:
        """Says the median in the histogram's unit, and how many values lie beyond the limits."""
        beyond = self.outside(limits)
        middle = quantile(self.histogram, 0.5)
        if self.counts_things:
            median = f"median {math.floor(middle)}"
        else:
            median = f"median {_number(middle)} {self.histogram.unit}"
        return f"{median}, {beyond:,} beyond" if beyond else median


def _number(value: float) -> str:
    """Writes a number with one decimal and a true minus sign, and never ``-0.0``."""
    return f"{round(value, 1) + 0.0:.1f}".replace("-", "−")


def histogram_panel(title: str, rows: Sequence[HistogramRow], *, limits: tuple[float, float]) -> str:
    """Draws histograms under each other on one axis, each scaled to its highest bin.

    Args:
        title: what the panel shows, for people who cannot see it; unique in a page.
        rows: from top to bottom.
        limits: range of the axis, both of them bin edges.

    Returns:
        An ``<svg>`` element.
    """
    with _style():
        size_in = (_PANEL_WIDTH_IN, len(rows) * _ROW_HEIGHT_IN + _AXIS_HEIGHT_IN)
        figure, axes = _stacked(len(rows), size_in)
        for axis, row in zip(axes, rows, strict=True):
            _draw_row(axis, row, limits)
        axes[-1].set_xlabel(rows[0].histogram.unit, labelpad=1)
        described = "; ".join(f"{row.label}: {row.summary(limits)}" for row in rows)
        return _inline_svg(figure, f"{title}. {described}")


def _draw_row(axis: Any, row: HistogramRow, limits: tuple[float, float]) -> None:
    left_edges, counts = row.histogram.bars()
    shift = -row.histogram.width / 2 if row.counts_things else 0.0
    edges = [edge + shift for edge in (*left_edges, left_edges[-1] + row.histogram.width)]
    axis.stairs(counts, edges, fill=True, color=_BAR)
    axis.set_xlim(*(limit + shift for limit in limits))
    axis.set_ylim(0, 1.05 * max(counts))
    axis.set_yticks([])
    axis.locator_params(axis="x", nbins=6)
    axis.tick_params(axis="x", length=3)
    place = {"transform": axis.transAxes, "va": "bottom"}
    axis.text(0, 1.04, row.label, ha="left", **place)
    axis.text(1, 1.04, row.summary(limits), ha="right", **place)


@dataclass(frozen=True, slots=True)
class TableAxis:
    """One axis of a table of counts: what it shows, and the name of each edge between its cells.

    Where a cell holds one whole number only, ``centred``, the edges' names stand in the middle of the
    cells that they begin.
    """

    title: str
    edges: tuple[str, ...]
    centred: bool = False

    @property
    def cells(self) -> int:
        """Count of cells along the axis."""
        return len(self.edges) - 1

    @property
    def ticks(self) -> tuple[list[float], tuple[str, ...]]:
        """Places in cells, and what stands there."""
        if self.centred:
            return [cell + 0.5 for cell in range(self.cells)], self.edges[:-1]
        return [float(edge) for edge in range(self.cells + 1)], self.edges


def shaded_table(
    title: str, counts: Mapping[tuple[int, int], int], *, across: TableAxis, upwards: TableAxis
) -> str:
    """Draws counts of pairs as a table whose cells are the darker the more they hold.

    Args:
        title: what the table shows, for people who cannot see it; unique in a page.
        counts: by column and row, rows counted upwards; empty cells may be left out.
        across: the columns.
        upwards: the rows.

    Returns:
        An ``<svg>`` element.
    """
    from matplotlib.figure import Figure

    with _style():
        figure = Figure(figsize=_TABLE_SIZE_IN)
        axes = figure.subplots(gridspec_kw=_TABLE_PLACE)
        _draw_cells(axes, {cell: count for cell, count in counts.items() if count})
        axes.set(xlim=(0, across.cells), ylim=(0, upwards.cells))
        axes.set_xticks(*across.ticks)
        axes.set_yticks(*upwards.ticks)
        axes.set_xlabel(across.title, labelpad=2)
        axes.set_ylabel(upwards.title, labelpad=2)
        axes.tick_params(length=3)
        return _inline_svg(figure, title)


def _draw_cells(axes: Any, counts: Mapping[tuple[int, int], int]) -> None:
    from matplotlib.patches import Rectangle

    most = max(counts.values(), default=0)
    for (column, row), count in sorted(counts.items()):
        alpha = _FAINTEST + (_STRONGEST - _FAINTEST) * count / most
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_BAR, alpha=alpha, linewidth=0))
        text = f"{count}" if count < _MANY else f"{count / 1000:.0f}k"
        axes.text(column + 0.5, row + 0.47, text, ha="center", va="center", fontsize=7)


def _style() -> Any:
    from matplotlib import style

    return style.context(_STYLE, after_reset=True)


def _stacked(rows: int, size_in: tuple[float, float]) -> tuple["Figure", list[Any]]:
    """Returns a figure with axes under each other that share their x axis, and these axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in)
    place = {"left": 0.05, "right": 0.96, "top": 1 - 0.18 / size_in[1], "bottom": 0.36 / size_in[1]}
    axes = figure.subplots(
        rows,
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={**place, "hspace": 0.7},
    )
    return figure, list(axes[:, 0])


_PREAMBLE = re.compile(r"\A.*?<svg[^>]*>", re.DOTALL)
_PAGE_WIDE = re.compile(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)
_PATH_DATA = re.compile(r' d="[^"]*"')
_LONG_FRACTION = re.compile(r"(\.\d\d)\d+")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^")]+)')


def _inline_svg(figure: "Figure", description: str) -> str:
    """Returns a figure as an ``<svg>`` element that may stand in a page beside others."""
    from matplotlib import rcParams

    rcParams["svg.hashsalt"] = description
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    width, height = figure.get_size_inches() * 72
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(description)}" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    body = _PAGE_WIDE.sub("", _PREAMBLE.sub("", written.getvalue(), count=1))
    body = _PATH_DATA.sub(lambda path: _LONG_FRACTION.sub(r"\1", path[0]), body)
    referenced = set(_REFERENCE.findall(body))
    body = _ID.sub(lambda found: found[0] if found[1] in referenced else "", body)
    for stand_in, colour in _PAGE_COLOURS.items():
        body = body.replace(stand_in, colour)
    return opening + body.rstrip()
