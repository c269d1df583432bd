"""Charts of the report as inline SVG whose colours follow the page, light or dark.

Text is drawn in the page's ink, areas in the page's CSS variables ``--bar`` and ``--line``. The same
data give the same bytes: no dates, no random ids, no settings of the user.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transforms.audio import Pcm
from transforms.statistics import Histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BANDS = 128
COLUMNS = 256
RANGE_DB = 60.0
_FULL_SCALE = 32768.0
_FLOOR = 1e-12
_LEVELS = 16
_ENVELOPE_POINTS = 240

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
    "image.composite_image": False,
}

_PANEL_WIDTH_IN = 3.4
_ROW_HEIGHT_IN = 0.68
_AXIS_HEIGHT_IN = 0.42
_STREAM_SIZE_IN = (2.8, 1.9)
_FEWEST_BINS = 8
_RARE = 0.001


def quantile(histogram: Histogram, share: float) -> float:
    """Estimates a quantile of what a histogram counted, evenly spread within each bin.

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
            return edge + histogram.width * (wanted - below) / count
        below += count
    return edges[-1] + histogram.width


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

    def outside(self, limits: tuple[float, float]) -> int:
        """Counts what lies in bins beyond the limits, which are bin edges."""
        first, last = (round(limit / self.histogram.width) for limit in limits)
        return sum(count for number, count in self.histogram.counts.items() if not first <= number < last)

    def summary(self, limits: tuple[float, float]) -> str:
        """Says the median in the histogram's unit, and how many values lie beyond the limits."""
        beyond = self.outside(limits)
        median = f"median {_number(quantile(self.histogram, 0.5))} {self.histogram.unit}"
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
        figure, axes = _stacked([1.0] * len(rows), size_in, left=0.05, gap=0.7)
        for axis, row in zip(axes, rows, strict=True):
            _draw_row(axis, row, limits)
        axes[-1].set_xlabel(rows[0].histogram.unit, labelpad=1)
        described = "; ".join(f"{row.label}: {row.summary(limits)}" for row in rows)
        return _inline_svg(figure, f"{title}. {described}")


def _draw_row(axis: Any, row: HistogramRow, limits: tuple[float, float]) -> None:
    left_edges, counts = row.histogram.bars()
    axis.stairs(counts, [*left_edges, left_edges[-1] + row.histogram.width], fill=True, color=_BAR)
    axis.set_xlim(*limits)
    axis.set_ylim(0, 1.05 * max(counts))
    axis.set_yticks([])
    axis.locator_params(axis="x", nbins=6)
    axis.tick_params(axis="x", length=3)
    place = {"transform": axis.transAxes, "va": "bottom"}
    axis.text(0, 1.04, row.label, ha="left", **place)
    axis.text(1, 1.04, row.summary(limits), ha="right", **place)


def spectrogram_db(pcm: Pcm, rate_hz: int) -> NDArray[np.float64]:
    """Measures the level of a signal over time in 128 bands of equal width.

    Frames of 32 ms under a Hann window; a band holds the highest of its bins.

    Args:
        pcm: shape (samples,), int16.
        rate_hz: its rate.

    Returns:
        Shape (128, frames), at most 256 frames: power in dB, 0 for a sine of full scale (-120 is
        the lowest), lowest band first.
    """
    size = 2 * BANDS * max(1, round(rate_hz / 8000))
    samples = np.pad(pcm / _FULL_SCALE, (0, max(0, size - len(pcm))))
    spare = len(samples) - size
    hop = max(size // 4, -(-spare // (COLUMNS - 1)))
    window = np.hanning(size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * window
    power = (2 * np.abs(np.fft.rfft(frames)[:, 1:]) / window.sum()) ** 2
    bands = power.reshape(len(frames), BANDS, -1).max(axis=-1)
    levels: NDArray[np.float64] = 10 * np.log10(bands.T + _FLOOR)
    return levels


def envelope(pcm: Pcm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the lowest and highest sample of at most 240 stretches of equal length.

    Args:
        pcm: shape (samples,), int16.

    Returns:
        Two arrays of shape (stretches,), full scale being -1..1.
    """
    points = min(_ENVELOPE_POINTS, len(pcm))
    starts = np.arange(points) * len(pcm) // points
    return np.minimum.reduceat(pcm, starts) / _FULL_SCALE, np.maximum.reduceat(pcm, starts) / _FULL_SCALE


@dataclass(frozen=True, slots=True)
class Scale:
    """What makes the charts of an item's streams comparable.

    Attributes:
        amplitude: the highest sample of any stream, full scale being 1.
        level_db: the highest level in any stream's spectrogram.
    """

    amplitude: float
    level_db: float

    @classmethod
    def of(cls, streams: Iterable[Pcm], rate_hz: int) -> "Scale":
        """Measures the streams of one item."""
        peaks = [
            (float(np.abs(pcm / _FULL_SCALE).max()), spectrogram_db(pcm, rate_hz).max()) for pcm in streams
        ]
        amplitudes, levels = zip(*peaks, strict=True)
        return cls(max(amplitudes), float(max(levels)))


def stream_chart(title: str, pcm: Pcm, rate_hz: int, *, scale: Scale) -> str:
    """Draws the waveform of a stream above its spectrogram.

    Args:
        title: what the chart shows, for people who cannot see it; unique in a page.
        pcm: shape (samples,), int16, at least one sample.
        rate_hz: its rate.
        scale: of the item that the stream belongs to; 60 dB below its level are shown.

    Returns:
        An ``<svg>`` element.
    """
    with _style():
        figure, (wave, levels) = _stacked([1.0, 2.2], _STREAM_SIZE_IN, left=0.08, gap=0.1)
        seconds = len(pcm) / rate_hz
        _draw_waveform(wave, pcm, seconds, scale)
        _draw_spectrogram(levels, spectrogram_db(pcm, rate_hz), (seconds, rate_hz / 2000), scale)
        return _inline_svg(figure, title)


def _draw_waveform(axis: Any, pcm: Pcm, seconds: float, scale: Scale) -> None:
    low, high = envelope(pcm)
    axis.fill_between(np.linspace(0, seconds, len(low)), low, high, color=_BAR, linewidth=0.5)
    axis.set_xlim(0, seconds)
    limit = scale.amplitude or 1.0
    axis.set_ylim(-limit, limit)
    axis.axis("off")


def _draw_spectrogram(
    axis: Any, levels_db: NDArray[np.float64], extent: tuple[float, float], scale: Scale
) -> None:
    from matplotlib import colormaps

    seconds, top_khz = extent
    axis.imshow(
        levels_db,
        aspect="auto",
        origin="lower",
        extent=(0, seconds, 0, top_khz),
        vmin=scale.level_db - RANGE_DB,
        vmax=scale.level_db,
        cmap=colormaps["magma"].resampled(_LEVELS),
        interpolation="none",
    )
    axis.set_yticks([0, top_khz / 2, top_khz])
    axis.tick_params(length=3)
    axis.set_xlabel("s", labelpad=1)
    axis.text(0.01, 0.96, "kHz", transform=axis.transAxes, ha="left", va="top", color="white")


def _style() -> Any:
    from matplotlib import style

    return style.context(_STYLE, after_reset=True)


def _stacked(
    heights: Sequence[float], size_in: tuple[float, float], *, left: float, gap: float
) -> tuple["Figure", list[Any]]:
    """Returns a figure with axes under each other that share their x axis, and these axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_in)
    place = {"left": left, "right": 0.96, "top": 1 - 0.18 / size_in[1], "bottom": 0.36 / size_in[1]}
    axes = figure.subplots(
        len(heights),
        1,
        sharex=True,
        squeeze=False,
        height_ratios=heights,
        gridspec_kw={**place, "hspace": gap},
    )
    return figure, list(axes[:, 0])


_PREAMBLE = re.compile(r"\A.*?<svg[^>]*>", re.DOTALL)
_PAGE_WIDE = re.compile(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", re.DOTALL)
_PATH_DATA = re.compile(r' d="[^"]*"')
_LONG_FRACTION = re.compile(r"(\.\d\d)\d+")
_ID = re.compile(r' id="([^"]*)"')
_EMBEDDED_PNG = re.compile(r"(?<=data:image/png;base64,)[^\"]*")
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
    body = _EMBEDDED_PNG.sub(lambda image: _with_palette(image[0]), body)
    referenced = set(_REFERENCE.findall(body))
    body = _ID.sub(lambda found: found[0] if found[1] in referenced else "", body)
    for stand_in, colour in _PAGE_COLOURS.items():
        body = body.replace(stand_in, colour)
    return opening + body.rstrip()


def _with_palette(encoded: str) -> str:
    """Returns a base64 PNG of at most 16 colours as the same picture with a palette: a third the size."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB").quantize(_LEVELS)
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True, bits=4)
    return base64.b64encode(written.getvalue()).decode()
