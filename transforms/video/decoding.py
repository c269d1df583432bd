"""Video files as they are decoded: pictures and sound, each with its exact time.

Every stream is decoded once, packet by packet, in one thread. A packet that cannot be decoded is left
out and its time noted, and what follows is used again as soon as it can be trusted; so nothing of a
damaged file ends in an exception but what makes all of it useless, and that is a ``SourceError``.
PyAV, which brings FFmpeg's libraries, is imported when it is first needed.
"""

import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms import storage
from transforms.errors import SourceError
from transforms.video.alignment import nearest_sample
from transforms.video.containers import is_cover, library, open_container, told
from transforms.video.soundtrack import Sound

LONGEST_GAP_S = 60
UNTIMED = frozenset({"avi"})
_OPEN = "open"
_EMPTY = "the file is empty (0 bytes)"
_FETCH = "fetch it again, or leave it out"
_MOST_PIXELS = 8192 * 8192


@dataclass(frozen=True)
class ClipFile:
    """A video file that can be opened several times.

    Attributes:
        name: the source, for messages.
        place: path on a local disk, or the bytes of the whole file.
    """

    name: str
    place: str | bytes

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """Yields PyAV's container. Raises SourceError when it is none of those that hold video."""
        av = library()
        if not self.place:
            raise self.refuse(_EMPTY)
        file = self.place if isinstance(self.place, str) else BytesIO(self.place)
        try:
            container = open_container(file)
        except (av.error.FFmpegError, ValueError, OSError) as error:
            if isinstance(file, str) and (stamp := storage.stamp(file)) and not stamp.size_bytes:
                raise self.refuse(_EMPTY) from error
            raise self.refuse(f"is not a video file or is damaged ({told(error)})") from error
        with container:
            yield container

    def refuse(self, reason: str, remedy: str = _FETCH, *, stage: str = _OPEN) -> SourceError:
        """Returns the error that says why the file cannot serve."""
        return SourceError(self.name, stage, reason, remedy)

    def streams(self, container: Any) -> tuple[Any, Any]:
        """Returns the first stream of moving pictures and the first of sound.

        Raises:
            SourceError: one of them is not there; a cover picture is no video.
        """
        moving = [one for one in container.streams.video if not is_cover(one)]
        held = ", ".join("cover picture" if is_cover(one) else str(one.type) for one in container.streams)
        if not moving:
            raise self.refuse(f"has no video (its streams: {held or 'none'})", "name files with video only")
        if not container.streams.audio:
            raise self.refuse(f"has no sound (its streams: {held})", "name files with sound only")
        for stream, kind in ((moving[0], "pictures"), (container.streams.audio[0], "sound")):
            if stream.codec_context is None:
                raise self.refuse(
                    f"holds its {kind} in a form that cannot be decoded", "convert or leave it out"
                )
            stream.codec_context.thread_count = 1
        moving[0].codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
        return moving[0], container.streams.audio[0]


@dataclass
class Lost:
    """A stretch of time of which something could not be decoded; without an end while nothing follows."""

    start: Fraction
    stop: Fraction | None = None


@dataclass
class LostTimes:
    """What could not be decoded of one stream.

    Attributes:
        stretches: in the order in which they were found.
        packets: packets that could not be decoded.
    """

    stretches: list[Lost] = field(default_factory=list)
    packets: int = 0

    def begin(self, time: Fraction) -> None:
        """Notes that something is missing from a time on."""
        self.packets += 1
        if self.is_open:
            self.stretches[-1].start = min(self.stretches[-1].start, time)
        else:
            self.stretches.append(Lost(time))

    def end(self, time: Fraction) -> None:
        """Notes that nothing is missing from a time on."""
        if self.is_open:
            self.stretches[-1].stop = max(time, self.stretches[-1].start)

    @property
    def is_open(self) -> bool:
        """Whether something is missing up to here."""
        return bool(self.stretches) and self.stretches[-1].stop is None

    def first_in(self, start: Fraction, stop: Fraction) -> Fraction | None:
        """Returns from when on something is missing between two times, or None if nothing is."""
        times = [
            max(start, one.start)
            for one in self.stretches
            if one.start < stop and (one.stop is None or one.stop > start)
        ]
        return min(times, default=None)


@dataclass
class Decoder:
    """Decodes one stream, its frames in the order in which they are presented.

    Attributes:
        container: PyAV's, opened for this stream alone.
        stream: the stream.
        lost: timestamps, as far as known, of packets that were lost since somebody took them.
        order: decoding timestamps of packets of pictures, whose frames have not been taken yet.
    """

    container: Any
    stream: Any
    lost: list[int | None] = field(default_factory=list)
    order: deque[int | None] = field(default_factory=deque)

    def __iter__(self) -> Iterator[Any]:
        """Yields decoded frames."""
        failures = (library().error.FFmpegError, ValueError)
        packets = self.container.demux(self.stream)
        at_end = False
        while not at_end:
            packet: Any = None
            try:
                packet = next(packets, None)
                at_end = packet is None or (packet.size == 0 and packet.dts is None)
                frames = self.stream.decode() if at_end else self._decoded(packet)
            except failures:
                at_end = at_end or packet is None
                frames = []
                if packet is None or packet.size:
                    self.lost.append(packet.pts if packet else None)
            yield from frames

    def _decoded(self, packet: Any) -> list[Any]:
        """Decodes one packet; an empty one in the middle of a stream would end it."""
        if packet.is_corrupt:
            self.lost.append(packet.pts)
            return []
        if not packet.size:
            return []
        frames = list(self.stream.decode(packet))
        if self.stream.type == "video":
            self.order.append(packet.dts)
        return frames

    def time_of(self, frame: Any) -> int | None:
        """Returns the timestamp of the next frame, in ticks; None if there is none.

        Pictures of containers that hold no presentation timestamps (what FFmpeg tells of them is a
        guess), and frames without one, have the decoding timestamp that is theirs by order.
        """
        ordered = self.order.popleft() if self.order else None
        untimed = frame.pts is None or self.container.format.name in UNTIMED
        return ordered if untimed else int(frame.pts)

    def take_lost(self) -> list[int | None]:
        """Returns the timestamps lost since the last call."""
        lost, self.lost = self.lost, []
        return lost


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    Attributes:
        number: its place among all decoded pictures of the file, from 0.
        time: when it becomes visible, in seconds since the common zero.
        end: when it is gone, if no other picture comes before.
        frame: PyAV's frame.
    """

    number: int
    time: Fraction
    end: Fraction
    frame: Any


@dataclass(frozen=True, slots=True)
class Clock:
    """How times are told.

    Attributes:
        zero: the common zero, in seconds on the clock of the container.
        step: seconds from one picture to the next where nothing else tells.
        counted_fps: pictures per second by which they are counted, whatever their timestamps; then
            sound follows sound, too. None where timestamps count.
    """

    zero: Fraction
    step: Fraction
    counted_fps: Fraction | None = None


@dataclass
class Pictures:
    """The pictures of a file, decoded while they are asked for.

    Attributes:
        file: the file.
        clock: how their times are told.
        lost: what could not be decoded.
        decoded: pictures decoded so far.
        repeated: pictures left out so far because their timestamps did not rise.
        rotation: by how many degrees players are asked to turn the last picture.
    """

    file: ClipFile
    clock: Clock
    lost: LostTimes = field(default_factory=LostTimes)
    decoded: int = 0
    repeated: int = 0
    rotation: int = 0
    _time: Fraction | None = None
    _end: Fraction = Fraction(0)

    def __iter__(self) -> Iterator[Picture]:
        """Yields pictures whose times rise. Raises SourceError when the file cannot be opened."""
        with self.file.opened() as container:
            stream, _ = self.file.streams(container)
            decoder = Decoder(container, stream)
            for frame in decoder:
                self._note(decoder)
                picture = self._timed(frame, decoder.time_of(frame), stream.time_base)
                if picture.time > self._end + LONGEST_GAP_S:
                    self.lost.begin(self._end)
                    return
                if self._is_good(picture):
                    self._time, self._end = picture.time, picture.end
                    yield picture
            self._note(decoder)

    def _note(self, decoder: Decoder) -> None:
        for pts in decoder.take_lost():
            known = pts is not None and self.clock.counted_fps is None
            self.lost.begin((pts or 0) * decoder.stream.time_base - self.clock.zero if known else self._end)

    def _timed(self, frame: Any, tick: int | None, unit: Fraction) -> Picture:
        number, clock = self.decoded, self.clock
        self.decoded += 1
        self.rotation = int(frame.rotation)
        if clock.counted_fps is not None:
            return Picture(number, number / clock.counted_fps, (number + 1) / clock.counted_fps, frame)
        time = self._end if tick is None else tick * unit - clock.zero
        length = (frame.duration or 0) * unit
        return Picture(number, time, time + (length or clock.step), frame)

    def _is_good(self, picture: Picture) -> bool:
        """Tells whether a picture can be shown: not after a lost one before the next key picture."""
        if picture.frame.is_corrupt:
            self.lost.begin(picture.time)
            return False
        if self.lost.is_open and picture.time >= self.lost.stretches[-1].start:
            if not picture.frame.key_frame:
                return False
            self.lost.end(picture.time)
        if self._time is not None and picture.time <= self._time:
            self.repeated += 1
            return False
        return True


@dataclass
class Sounds:
    """The sound of a file, decoded while it is asked for, mono: the mean of its channels.

    Attributes:
        file: the file.
        clock: how times are told.
        lost: what could not be decoded.
        own_hz: its rate, known once the first frame is decoded.
        unit: seconds per tick of its stream, known then too.
    """

    file: ClipFile
    clock: Clock
    lost: LostTimes = field(default_factory=LostTimes)
    own_hz: int = 0
    unit: Fraction = Fraction(1)
    _end: Fraction = Fraction(0)

    def __iter__(self) -> Iterator[Sound]:
        """Yields decoded frames. Raises SourceError when the file cannot be opened."""
        with self.file.opened() as container:
            _, stream = self.file.streams(container)
            decoder = Decoder(container, stream)
            for frame in decoder:
                self._note(decoder)
                self.own_hz, self.unit = self.own_hz or frame.sample_rate, stream.time_base
                time = self._time(frame)
                if frame.sample_rate != self.own_hz or time > self._end + LONGEST_GAP_S:
                    self.lost.begin(self._end)
                    return
                self.lost.end(time)
                self._end = max(self._end, time + Fraction(frame.samples, self.own_hz))
                index = None if self._is_counted(frame) else nearest_sample(time, self.own_hz)
                yield Sound(index, mono(frame))
            self._note(decoder)

    def _is_counted(self, frame: Any) -> bool:
        return frame.pts is None or self.clock.counted_fps is not None

    def _time(self, frame: Any) -> Fraction:
        if self._is_counted(frame):
            return self._end
        return Fraction(frame.pts * self.unit - self.clock.zero)

    def _note(self, decoder: Decoder) -> None:
        for pts in decoder.take_lost():
            known = pts is not None and self.clock.counted_fps is None
            self.lost.begin((pts or 0) * decoder.stream.time_base - self.clock.zero if known else self._end)


def mono(frame: Any) -> NDArray[np.float32]:
    """Returns the mean of an audio frame's channels: shape (samples,), float32 in -1..1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "u":
        values = values.astype(np.float32) - 128.0
        full_scale = 128.0
    else:
        full_scale = float(-np.iinfo(values.dtype).min) if values.dtype.kind == "i" else 1.0
    mixed = values.sum(axis=0, dtype=np.float32 if values.dtype.itemsize <= 2 else np.float64)
    return np.asarray(mixed / (full_scale * len(values)), dtype=np.float32)
