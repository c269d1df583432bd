"""Histograms and tables of the report as inline SVG whose colours follow the page, light or dark.

They are drawn without a chart library, which would take longer to load than a small corpus to make.
Text is in the page's ink, areas in its CSS variables ``--bar`` and ``--line``. The same data give the
same bytes. Lengths are in points, of which the page makes as many pixels as it has room for.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transforms.statistics import Histogram

_WIDTH = 244.8
_LEFT, _RIGHT = 0.05 * _WIDTH, 0.96 * _WIDTH
_ROW_HEIGHT, _AXIS_HEIGHT = 49.0, 30.2
_ABOVE, _BELOW = 13.0, 26.0
_GAP = 0.7
_MOST_STEPS = 6
_NEARLY = 1 - 1e-9
_TABLE_HEIGHT = 158.4
_TABLE_LEFT, _TABLE_RIGHT = 0.13 * _WIDTH, 0.97 * _WIDTH
_TABLE_TOP, _TABLE_BOTTOM = 0.05 * _TABLE_HEIGHT, 0.81 * _TABLE_HEIGHT
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
    height = len(rows) * _ROW_HEIGHT + _AXIS_HEIGHT
    row_height = (height - _ABOVE - _BELOW) / (len(rows) + (len(rows) - 1) * _GAP)
    shift = -rows[0].histogram.width / 2 if rows[0].counts_things else 0.0
    across = _Scale(limits[0] + shift, limits[1] + shift, _LEFT, _RIGHT)
    drawn = []
    for number, row in enumerate(rows):
        top = _ABOVE + number * row_height * (1 + _GAP)
        drawn += [_row(row, limits, across, top, top + row_height), _marks(across, top + row_height)]
    drawn += _numbers(across, height - _BELOW)
    drawn.append(_text((_LEFT + _RIGHT) / 2, height - 3, rows[0].histogram.unit, "middle"))
    described = "; ".join(f"{row.label}: {row.summary(limits)}" for row in rows)
    return _svg(_WIDTH, height, f"{title}. {described}", drawn)


@dataclass(frozen=True, slots=True)
class _Scale:
    """Where values are on an axis that runs from one place to another."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Returns multiples of 1, 2 or 5 times a power of ten, with at most six steps between them."""
        least = (self.high - self.low) / _MOST_STEPS
        power = 10.0 ** math.floor(math.log10(least))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * _NEARLY)
        slack = step * (1 - _NEARLY)
        first, last = math.ceil((self.low - slack) / step), math.floor((self.high + slack) / step)
        return [number * step for number in range(first, last + 1)]


def _row(row: HistogramRow, limits: tuple[float, float], across: _Scale, top: float, bottom: float) -> str:
    """Draws what lies within the limits, and says above what it is."""
    edges, counts = row.histogram.bars()
    width = row.histogram.width
    upwards = _Scale(0.0, 1.05 * max(counts), bottom, top)
    shift = across.low - limits[0]
    first, last = (round((limit - edges[0]) / width) for limit in limits)
    shown = [(edges[k] + shift, counts[k]) for k in range(max(0, first), min(last, len(counts)))]
    points = [
        (across.place(place), upwards.place(count)) for edge, count in shown for place in (edge, edge + width)
    ]
    area = [(points[0][0], bottom), *points, (points[-1][0], bottom)] if points else []
    path = f'<path d="{_outline(area)}" style="fill: var(--bar)"/>' if area else ""
    label = _text(_LEFT, top - 2, row.label, "start")
    return path + label + _text(_RIGHT, top - 2, row.summary(limits), "end")


def _outline(points: Sequence[tuple[float, float]]) -> str:
    return "M " + " L ".join(f"{x:.2f} {y:.2f}" for x, y in points) + " Z"


def _marks(across: _Scale, bottom: float) -> str:
    """Draws the axis below a row, with a mark at each number."""
    marks = "".join(f" M {across.place(tick):.2f} {bottom:.2f} v 3" for tick in across.ticks())
    return _line(f"M {across.start:.2f} {bottom:.2f} H {across.end:.2f}{marks}")


def _numbers(across: _Scale, bottom: float) -> list[str]:
    return [_text(across.place(tick), bottom + 11, _plain(tick), "middle") for tick in across.ticks()]


def _plain(value: float) -> str:
    """Writes a number of an axis with a true minus sign."""
    return f"{value:g}".replace("-", "−")


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
    columns = _Scale(0, across.cells, _TABLE_LEFT, _TABLE_RIGHT)
    rows = _Scale(0, upwards.cells, _TABLE_BOTTOM, _TABLE_TOP)
    drawn = _cells({cell: count for cell, count in counts.items() if count}, columns, rows)
    drawn.append(_frame(columns, rows, across.ticks[0], upwards.ticks[0]))
    drawn += [
        _text(columns.place(tick), _TABLE_BOTTOM + 11, name, "middle")
        for tick, name in zip(*across.ticks, strict=True)
    ]
    drawn += [
        _text(_TABLE_LEFT - 5, rows.place(tick) + 3, name, "end")
        for tick, name in zip(*upwards.ticks, strict=True)
    ]
    drawn.append(_text((_TABLE_LEFT + _TABLE_RIGHT) / 2, _TABLE_HEIGHT - 4, across.title, "middle"))
    drawn.append(_text(8, (_TABLE_TOP + _TABLE_BOTTOM) / 2, upwards.title, "middle", upright=True))
    return _svg(_WIDTH, _TABLE_HEIGHT, title, drawn)


def _cells(counts: Mapping[tuple[int, int], int], columns: _Scale, rows: _Scale) -> list[str]:
    """Draws the cells that hold anything, and what they hold."""
    most = max(counts.values(), default=0)
    drawn = []
    for (column, row), count in sorted(counts.items()):
        opacity = _FAINTEST + (_STRONGEST - _FAINTEST) * count / most
        left, right = columns.place(column), columns.place(column + 1)
        bottom, top = rows.place(row), rows.place(row + 1)
        outline = _outline([(left, bottom), (right, bottom), (right, top), (left, top)])
        drawn.append(f'<path d="{outline}" style="fill: var(--bar); opacity: {opacity:.3f}"/>')
        text = f"{count}" if count < _MANY else f"{count / 1000:.0f}k"
        drawn.append(_text((left + right) / 2, (bottom + top) / 2 + 2.5, text, "middle", size=7))
    return drawn


def _frame(columns: _Scale, rows: _Scale, column_ticks: Sequence[float], row_ticks: Sequence[float]) -> str:
    """Draws the line below a table, and marks below and beside it."""
    marks = "".join(f" M {columns.place(tick):.2f} {_TABLE_BOTTOM:.2f} v 3" for tick in column_ticks)
    marks += "".join(f" M {_TABLE_LEFT:.2f} {rows.place(tick):.2f} h -3" for tick in row_ticks)
    return _line(f"M {_TABLE_LEFT:.2f} {_TABLE_BOTTOM:.2f} H {_TABLE_RIGHT:.2f}{marks}")


def _line(path: str) -> str:
    return f'<path d="{path}" style="fill: none; stroke: var(--line); stroke-width: 0.8"/>'


def _text(x: float, y: float, text: str, anchor: str, *, size: float = 8, upright: bool = False) -> str:
    turned = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if upright else ""
    return (
        f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" font-size="{size:g}" '
        f'fill="currentColor"{turned}>{html.escape(text)}</text>'
    )


def _svg(width: float, height: float, description: str, drawn: Sequence[str]) -> str:
    opening = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{html.escape(description)}">'
    return f"{opening}{''.join(drawn)}</svg>"
