"""Audio-visual containers: their audio as samples, their video copied without sound, both from bytes.

This is what a call of FFmpeg that extracts 16-bit mono audio does, and what one that copies the video
stream does: time stamps do not place any sample, and no picture is decoded. PyAV, which brings FFmpeg's
libraries, is imported when it is first needed.
"""

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.errors import SourceError, UsageError

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts")

_DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,nut,ivf,dv,rm,m4v,"
    "h264,hevc,wav,mp3,flac,aac,ac3"
)

_READ = "read"
_COPY = "copy video"
_FETCH = "fetch it again, or plan without it"
_LOWEST_RATE_HZ, _HIGHEST_RATE_HZ = 1000, 768000
_BOX_HEADER_BYTES, _LARGE_BOX_HEADER_BYTES = 8, 16
_TO_THE_END, _LARGE = 0, 1
_MP4_BEGINNINGS = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"})
_TIME_DECIMALS = 9
_TIME_BYTES = 32


@dataclass(frozen=True)
class ContainerAudio:
    """The audio of a container.

    Attributes:
        pcm: shape (n,), int16, the first sample being the first that was decoded.
        damaged: packets that could not be decoded; 0 for a sound file.
    """

    pcm: NDArray[np.int16]
    damaged: int


@dataclass(frozen=True)
class SilentVideo:
    """A video stream without its sound.

    Attributes:
        data: an MP4 file with the packets of the stream unchanged; the same bytes every time.
        times_s: presentation time of every picture, ascending, on the clock of the copied file.
        rate: pictures per second as the container states them; 0 if it does not.
    """

    data: bytes
    times_s: tuple[float, ...]
    rate: Fraction

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return len(self.data) + _TIME_BYTES * len(self.times_s)


def is_container(path: str) -> bool:
    """Tells by its name whether a file is an audio-visual container."""
    return path.lower().endswith(SUFFIXES)


def library() -> Any:
    """Returns the module ``av``. Raises UsageError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise UsageError(
            f"reading video needs PyAV, which is not there ({error}); "
            "pip install '.[video]' in Mixtape's folder"
        ) from error
    return av


def open_container(file: Any) -> Any:
    """Opens a path or a file object with PyAV, only as containers of their own data.

    Play lists would lead to files that nobody named.

    Raises:
        FFmpegError, ValueError, OSError: it is none of these, or cannot be read.
    """
    return library().open(file, options={"format_whitelist": _DEMUXERS}, metadata_errors="replace")


def is_cover(stream: Any) -> bool:
    """Tells a picture that is attached to a sound file from a stream of pictures."""
    return bool(stream.type == "video" and stream.disposition & stream.disposition.attached_pic)


def told(error: Exception) -> str:
    """Says what FFmpeg says of an error, without the names of its functions."""
    return str(getattr(error, "strerror", None) or error)


def truncation_of(data: bytes) -> str | None:
    """Says by how much an MP4 or QuickTime file is cut short; None for a whole one and other formats.

    Its outermost boxes state their sizes (ISO/IEC 14496-12, 4.2), and must end within the file.
    """
    position = 0
    if data[4:8] not in _MP4_BEGINNINGS:
        return None
    while position + _BOX_HEADER_BYTES <= len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == _TO_THE_END or not kind.isalnum():
            return None
        if size == _LARGE and position + _LARGE_BOX_HEADER_BYTES <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + _BOX_HEADER_BYTES)
        if size < _BOX_HEADER_BYTES:
            return None
        if position + size > len(data):
            missing = position + size - len(data)
            return f"is truncated: {missing} of {position + size} bytes are missing"
        position += size
    return None


def read_audio(data: bytes, name: str, *, rate_hz: int) -> ContainerAudio:
    """Decodes the first audio stream of a container to mono, 16 bit, one rate.

    What is decoded follows one after the other, wherever its time stamps say it belongs: so does
    the published extraction. Packets that cannot be decoded are left out and counted.

    Args:
        data: the whole file.
        name: the source, for messages.
        rate_hz: wanted rate; the resampler and the mixing to mono are FFmpeg's, with its defaults.

    Raises:
        SourceError: not a container, or without audio.
        UsageError: PyAV is not installed.
    """
    av = library()
    with _opened(data, name, _READ) as container:
        stream = _first(container.streams.audio, name, "audio")
        own_hz = stream.rate or 0
        if not _LOWEST_RATE_HZ <= own_hz <= _HIGHEST_RATE_HZ:
            reason = f"has a sampling rate of {own_hz} Hz, wanted {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ}"
            raise SourceError(name, _READ, reason, _FETCH)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
        pieces, damaged = _decoded(container.demux(stream), resampler, av.error.FFmpegError)
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    return ContainerAudio(pcm, damaged)


def read_whole_audio(data: bytes, name: str, *, rate_hz: int) -> NDArray[np.int16]:
    """Does what ``read_audio`` does, and refuses a file of which anything is missing.

    Raises:
        SourceError: not a container, without audio, cut short or damaged.
        UsageError: PyAV is not installed.
    """
    if problem := truncation_of(data):
        raise SourceError(name, _READ, problem, _FETCH)
    audio = read_audio(data, name, rate_hz=rate_hz)
    if audio.damaged:
        reason = f"has a damaged audio stream: {audio.damaged} of its packets cannot be decoded"
        raise SourceError(name, _READ, reason, _FETCH)
    if not len(audio.pcm):
        raise SourceError(name, _READ, "has an audio stream without samples", _FETCH)
    return audio.pcm


def _decoded(
    packets: Iterator[Any], resampler: Any, failure: type[Exception]
) -> tuple[list[NDArray[np.int16]], int]:
    """Decodes and resamples packets, and what the resampler holds back; counts those that fail."""
    pieces: list[NDArray[np.int16]] = []
    damaged = 0
    packet: Any = None
    while True:
        try:
            packet = next(packets, None)
            frames = [None] if packet is None else packet.decode()
            for frame in frames:
                if frame is not None:
                    frame.pts = None
                pieces += [one.to_ndarray().reshape(-1) for one in resampler.resample(frame)]
        except (failure, ValueError):
            damaged += 1
        if packet is None:
            return pieces, damaged


def copy_silent(data: bytes, name: str) -> SilentVideo:
    """Copies the first video stream of a container, packet for packet, into an MP4 file without sound.

    Args:
        data: the whole file.
        name: the source, for messages.

    Raises:
        SourceError: not a container, without video, cut short or damaged.
        UsageError: PyAV is not installed.
    """
    av = library()
    if problem := truncation_of(data):
        raise SourceError(name, _COPY, problem, _FETCH)
    file = BytesIO()
    times: list[Fraction] = []
    with _opened(data, name, _COPY) as container:
        moving = [one for one in container.streams.video if not is_cover(one)]
        stream = _first(moving, name, "video")
        rate = Fraction(stream.average_rate or 0)
        try:
            with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as copy:
                target = copy.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.dts is not None:
                        if packet.pts is not None and not packet.is_discard:
                            times.append(packet.pts * packet.time_base)
                        packet.stream = target
                        copy.mux(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise SourceError(name, _COPY, f"has a damaged video stream ({told(error)})", _FETCH) from error
    if not times:
        raise SourceError(name, _COPY, "has a video stream without pictures", _FETCH)
    return SilentVideo(
        file.getvalue(), tuple(round(float(time), _TIME_DECIMALS) for time in sorted(times)), rate
    )


@contextlib.contextmanager
def _opened(data: bytes, name: str, stage: str) -> Iterator[Any]:
    """Opens a container. Raises SourceError when it is none, or cut short."""
    av = library()
    if not data:
        raise SourceError(name, stage, "the file is empty (0 bytes)", _FETCH)
    try:
        container = open_container(BytesIO(data))
    except (av.error.FFmpegError, ValueError) as error:
        reason = f"is no audio-visual file or is damaged ({told(error)})"
        raise SourceError(name, stage, reason, _FETCH) from error
    with container:
        yield container


def _first(streams: Sequence[Any], name: str, kind: str) -> Any:
    if not streams:
        reason = f"has no {kind} stream"
        raise SourceError(name, _READ, reason, f"choose a file with {kind}, or plan without it")
    if streams[0].codec_context is None:
        raise SourceError(name, _READ, f"has {kind} of an unknown kind", _FETCH)
    return streams[0]
