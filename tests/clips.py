"""Small video files made for tests."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

SIDE = 16


def write_clip(
    path: Path,
    pcm: NDArray[np.int16] | None,
    *,
    pictures: int,
    seed: int = 0,
    rate_hz: int = 16000,
    codec: str = "pcm_s16le",
) -> Path:
    """Writes a QuickTime file of 16x16 pictures at 25 per second, with mono sound.

    Args:
        path: the file, whose name may end in ``.mp4`` too; its folders are made.
        pcm: the sound, shape (n,), which may be empty; None for a file without.
        pictures: how many; 0 for a file without video.
        seed: changes every picture.
        rate_hz: rate of the sound.
        codec: of the sound.

    Returns:
        The path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mov", options={"fflags": "+bitexact"}) as container:
        video = _video_stream(container) if pictures else None
        audio = None if pcm is None else container.add_stream(codec, rate=rate_hz, layout="mono")
        if video:
            _add_pictures(container, video, pictures, seed)
        if audio and pcm is not None and len(pcm):
            _add_sound(container, audio, pcm, rate_hz)
    return path


def _video_stream(container: Any) -> Any:
    stream = container.add_stream("mpeg4", rate=25)
    stream.width = stream.height = SIDE
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    return stream


def _add_pictures(container: Any, stream: Any, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        picture = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    container.mux(stream.encode(None))


def _add_sound(container: Any, stream: Any, pcm: Any, rate_hz: int) -> None:
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.sample_rate, frame.time_base, frame.pts = rate_hz, Fraction(1, rate_hz), 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
