"""Waveforms and spectrograms of the report: inline SVG whose colours follow the page.

They are drawn without a chart library, since a report has hundreds of them and each is a path, a
picture and five numbers. The same samples give the same bytes.
"""

import base64
import html
import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transforms.audio import Pcm

BANDS = 128
COLUMNS = 256
RANGE_DB = 60.0
_FULL_SCALE = 32768.0
_FLOOR = 1e-12
_ENVELOPE_POINTS = 240

# Sixteen steps of the colour map "magma" (public domain), dark to light.
_MAGMA = bytes.fromhex(
    "0000040b092420114b3b0f7057157e721f818c2981a8327dc43c75de4968f1605dfa7f5efe9f6dfebf84fddea0fcfdbf"
)
_LEVELS = len(_MAGMA) // 3

_WIDTH, _HEIGHT = 202.0, 137.0
_LEFT, _RIGHT = 18.0, 196.0
_WAVE_TOP, _WAVE_BOTTOM = 4.0, 40.0
_LEVELS_TOP, _LEVELS_BOTTOM = 45.0, 121.0


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
    seconds, top_khz = len(pcm) / rate_hz, rate_hz / 2000
    picture = (
        f'<image x="{_LEFT}" y="{_LEVELS_TOP}" width="{_RIGHT - _LEFT}" '
        f'height="{_LEVELS_BOTTOM - _LEVELS_TOP}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{_picture(spectrogram_db(pcm, rate_hz), scale.level_db)}"/>'
    )
    labels = [
        *(_label(_LEFT - 3, _frequency_y(share), f"{share * top_khz:g}", "end") for share in (0, 0.5, 1)),
        *(
            _label(_time_x(share), _LEVELS_BOTTOM + 10, f"{share * seconds:.2g}", "middle")
            for share in (0, 0.5)
        ),
        _label(_RIGHT, _LEVELS_BOTTOM + 10, f"{seconds:.2g} s", "end"),
        _label(_LEFT + 3, _LEVELS_TOP + 9, "kHz", "start", colour="#ffffff"),
    ]
    return (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{html.escape(title)}">'
        f'<path d="{_waveform(pcm, scale.amplitude)}" fill="var(--bar)"/>'
        f"{picture}{''.join(labels)}</svg>"
    )


def _time_x(share: float) -> float:
    return _LEFT + share * (_RIGHT - _LEFT)


def _frequency_y(share: float) -> float:
    """Returns the height of a label whose number stands beside a frequency, as a share of the highest."""
    return _LEVELS_BOTTOM - share * (_LEVELS_BOTTOM - _LEVELS_TOP - 7)


def _label(x: float, y: float, text: str, anchor: str, *, colour: str = "currentColor") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="8" fill="{colour}">{text}</text>'


def _waveform(pcm: Pcm, amplitude: float) -> str:
    """Returns the outline of a waveform: along its highest samples, and back along its lowest."""
    low, high = envelope(pcm)
    middle, reach = (_WAVE_TOP + _WAVE_BOTTOM) / 2, (_WAVE_BOTTOM - _WAVE_TOP) / 2 / (amplitude or 1.0)
    across = _LEFT + (_RIGHT - _LEFT) * (np.arange(len(low)) + 0.5) / len(low)
    points = [
        *zip(across, middle - reach * high, strict=True),
        *reversed(list(zip(across, middle - reach * low, strict=True))),
    ]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _picture(levels_db: NDArray[np.float64], top_db: float) -> str:
    """Returns levels as a PNG of 16 colours, the highest frequency at the top, in base64."""
    from PIL import Image

    shares = (levels_db[::-1] - top_db) / RANGE_DB + 1
    steps = np.clip(np.floor(shares * _LEVELS), 0, _LEVELS - 1).astype(np.uint8)
    picture = Image.fromarray(steps, mode="P")
    picture.putpalette(_MAGMA)
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True, bits=4)
    return base64.b64encode(written.getvalue()).decode()
