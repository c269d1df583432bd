"""What a video file promises, read from its packets: rates, lengths, offsets, and what is unusual."""

import contextlib
import dataclasses
from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from transforms.video.alignment import Timestamps
from transforms.video.containers import library
from transforms.video.decoding import LONGEST_GAP_S, UNTIMED, ClipFile, Decoder

OFFSET_LIMIT_S = Fraction(40, 1000)
FLAGS = {
    "variable_rate": "the time between pictures varies",
    "offset": "sound and pictures begin more than 40 ms apart",
    "late_pictures": "the first picture comes after the common zero; it is shown from there on",
    "negative_timestamps": "something lies before the common zero; it is not presented",
    "synthetic_timestamps": "timestamps are missing; times follow from the order of decoding and the rate",
    "repeated_timestamps": "two pictures have the same timestamp; the later one is dropped",
    "time_jump": "timestamps jump by more than a minute; what follows is left out",
    "truncated": "the file holds less than it promises",
    "anamorphic": "pixels are not square; pictures are not stretched",
}
_CLOCKS = frozenset({"mpeg", "mpegts"})
_SHORTAGE_S = Fraction(1, 10)
_FALLBACK_FPS = Fraction(25)
_MOST_FPS = 1000


@dataclass(frozen=True)
class ClipRecord:
    """What a file promises, read from its packets without decoding them. Times are from ``zero`` on.

    Attributes:
        container: FFmpeg's name of the container format, the first where it has several.
        width, height: of the pictures, in pixels.
        audio_hz: rate of the sound as the container states it.
        fps: pictures per second as the container states it; of a variable rate, the mean.
        is_vfr: whether steps between pictures differ by more than one tick.
        step: median time between pictures, in seconds.
        zero: the common zero on the clock of the container, in seconds.
        pictures_start, pictures_end: when the first picture begins and the last ends, in seconds.
        sound_start, sound_end: when the sound begins and ends, in seconds.
        pictures_promised: pictures by the container's header; 0 where it does not say.
        pictures_found: pictures that shall be shown, by their packets.
        sound_found: length of all packets of sound together, in seconds.
        flags: what is unusual, of ``FLAGS``, in their order.
    """

    container: str
    width: int
    height: int
    audio_hz: int
    fps: Fraction
    is_vfr: bool
    step: Fraction
    zero: Fraction
    pictures_start: Fraction
    pictures_end: Fraction
    sound_start: Fraction
    sound_end: Fraction
    pictures_promised: int
    pictures_found: int
    sound_found: Fraction
    flags: tuple[str, ...] = ()

    @property
    def av_start_offset(self) -> Fraction:
        """By how many seconds the sound begins after the pictures, of what is presented."""
        return max(self.sound_start, Fraction(0)) - max(self.pictures_start, Fraction(0))

    @property
    def duration_difference(self) -> Fraction:
        """By how many seconds the sound ends after the pictures."""
        return self.sound_end - self.pictures_end


@dataclass
class _Packets:
    """The packets of one stream that shall be presented, in ticks of its clock."""

    step: int
    has_times: bool
    times: "array[int]" = field(default_factory=lambda: array("q"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    hidden: int = 0
    untimed: int = 0
    corrupt: int = 0

    def add(self, packet: Any) -> None:
        if packet.size == 0:
            # In the middle of a stream it repeats the picture before; at the end it stands for nothing.
            self.hidden += packet.dts is not None
        elif packet.is_corrupt:
            self.corrupt += 1
        elif packet.is_discard:
            self.hidden += 1
        else:
            following = self.times[-1] + self.lengths[-1] if self.times else 0
            time = packet.pts if self.has_times and packet.pts is not None else packet.dts
            self.untimed += packet.pts is None or time != packet.pts
            self.times.append(following if time is None else time)
            self.lengths.append(packet.duration or self.step)

    @property
    def all(self) -> int:
        return len(self.times) + self.hidden


def probe(file: ClipFile) -> ClipRecord:
    """Reads all packets of a file; decodes none but the first of streams with a clock of their own.

    Raises:
        SourceError: not a video file, without video or sound, or without any that can be used.
        UsageError: PyAV is not installed.
    """
    failures = (library().error.FFmpegError, ValueError)
    with file.opened() as container:
        video, audio = file.streams(container)
        rate = stated_fps(video)
        has_times = container.format.name not in UNTIMED
        pictures = _Packets(round(1 / (rate * video.time_base)), has_times)
        sound = _Packets(0, has_times)
        with contextlib.suppress(*failures):
            for packet in container.demux(video, audio):
                (pictures if packet.stream is video else sound).add(packet)
        if not pictures.times or not sound.times:
            kind = "sound" if pictures.times else "pictures"
            raise file.refuse(f"holds no {kind} that can be used: its stream of them is empty or damaged")
        return _record(file, container, pictures=pictures, sound=sound)


def stated_fps(video: Any) -> Fraction:
    """Returns the rate of pictures that a container states, if it can be believed."""
    stated = (video.average_rate, video.guessed_rate, video.base_rate)
    return next((Fraction(rate) for rate in stated if rate and 0 < rate <= _MOST_FPS), _FALLBACK_FPS)


def _record(file: ClipFile, container: Any, *, pictures: _Packets, sound: _Packets) -> ClipRecord:
    video, audio = file.streams(container)
    zero = _common_zero(file, container, pictures=pictures, sound=sound)
    seen, heard = _Span.of(pictures, video.time_base, zero), _Span.of(sound, audio.time_base, zero)
    rate = stated_fps(video)
    record = ClipRecord(
        container=container.format.name.partition(",")[0],
        width=video.codec_context.width,
        height=video.codec_context.height,
        audio_hz=audio.rate or 0,
        fps=seen.mean_fps if seen.times.is_variable else rate,
        is_vfr=seen.times.is_variable,
        step=seen.step or 1 / rate,
        zero=zero,
        pictures_start=seen.start,
        pictures_end=seen.end,
        sound_start=heard.start,
        sound_end=heard.end,
        pictures_promised=video.frames,
        pictures_found=len(pictures.times),
        sound_found=sum(sound.lengths) * audio.time_base,
    )
    flags = {
        "variable_rate": record.is_vfr,
        "offset": abs(record.av_start_offset) > OFFSET_LIMIT_S,
        "late_pictures": record.pictures_start > 0,
        "negative_timestamps": min(record.pictures_start, record.sound_start) < 0,
        "synthetic_timestamps": bool(pictures.untimed + sound.untimed),
        "repeated_timestamps": seen.repeated > 0,
        "time_jump": seen.jumps or heard.jumps,
        "truncated": pictures.corrupt + sound.corrupt > 0
        or (pictures.has_times and pictures.all < video.frames)
        or any(_is_short(container, stream, span) for stream, span in ((video, seen), (audio, heard))),
        "anamorphic": (video.sample_aspect_ratio or 1) != 1,
    }
    return dataclasses.replace(record, flags=tuple(name for name in FLAGS if flags[name]))


def _common_zero(file: ClipFile, container: Any, *, pictures: _Packets, sound: _Packets) -> Fraction:
    """Returns the common zero on the clock of a container.

    That is its 0, but for the formats whose clocks run from anywhere: there the time of the first
    frame that can be decoded, of either stream. A container of another format that begins later than
    any gap that is believed was cut out of a longer one, and begins with its first packet.
    """
    video, audio = file.streams(container)
    firsts = (min(pictures.times) * video.time_base, min(sound.times) * audio.time_base)
    if container.format.name in _CLOCKS:
        decoded = [time for kind in (0, 1) if (time := _first_decoded(file, kind)) is not None]
        return min(decoded, default=min(firsts))
    return Fraction(0) if min(firsts) <= LONGEST_GAP_S else Fraction(min(firsts))


def _first_decoded(file: ClipFile, kind: int) -> Fraction | None:
    """Returns the time of the first frame of a stream (0 pictures, 1 sound) that has one."""
    with file.opened() as container:
        stream = file.streams(container)[kind]
        frames = (frame for frame in Decoder(container, stream) if frame.pts is not None)
        first = next(frames, None)
        return None if first is None else Fraction(first.pts * first.time_base)


@dataclass(frozen=True, eq=False)
class _Span:
    """What the times of one stream's packets say; those after an unbelievable gap do not count.

    Attributes:
        times: ascending and different.
        end: when the last one ends, in seconds.
        clock_end: the same on the clock of the container.
        repeated: how many stood twice.
        jumps: whether there was such a gap.
    """

    times: Timestamps
    end: Fraction
    clock_end: Fraction
    repeated: int
    jumps: bool

    @classmethod
    def of(cls, packets: _Packets, unit: Fraction, zero: Fraction) -> "_Span":
        order = np.argsort(np.asarray(packets.times), kind="stable")
        ticks, lengths = np.asarray(packets.times)[order], np.asarray(packets.lengths)[order]
        steps = np.diff(ticks)
        gaps = np.flatnonzero(steps > LONGEST_GAP_S / unit)
        count = int(gaps[0]) + 1 if len(gaps) else len(ticks)
        shift = int(zero / unit)
        kept = Timestamps(np.unique(ticks[:count]) - shift, unit)
        last = int((ticks + lengths)[:count].max())
        return cls(kept, (last - shift) * unit, last * unit, count - len(kept.ticks), bool(len(gaps)))

    @property
    def start(self) -> Fraction:
        return int(self.times.ticks[0]) * self.times.unit

    @property
    def step(self) -> Fraction:
        """Median time from one to the next; 0 where there is only one."""
        steps = np.diff(self.times.ticks)
        return int(np.sort(steps)[len(steps) // 2]) * self.times.unit if len(steps) else Fraction(0)

    @property
    def mean_fps(self) -> Fraction:
        """How many there are in a second, without the last one's length."""
        ticks = self.times.ticks
        return (len(ticks) - 1) / (int(ticks[-1] - ticks[0]) * self.times.unit)


def _is_short(container: Any, stream: Any, span: _Span) -> bool:
    """Tells whether packets end earlier than the header says; clocks that run from anywhere have none."""
    if container.format.name in _CLOCKS or not stream.duration:
        return False
    promised = ((stream.start_time or 0) + stream.duration) * stream.time_base
    return bool(span.clock_end + _SHORTAGE_S < promised)
