"""Segments of video files on the one renderer: sound as samples, frames and facts attached.

A shard's reader goes through a file once: it decodes on from one segment to the next, and holds what
the present one needs.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from transforms import storage
from transforms.attachments import Attachment, Fact
from transforms.audio import SourceReader, content_of
from transforms.errors import SourceError, StorageError
from transforms.plan import WHOLE, Mixture, RenderOptions, Source
from transforms.video.aligned import AlignOptions
from transforms.video.alignment import (
    FrameRange,
    Placer,
    Rule,
    ceil_of,
    clock_tolerance,
    first_sample_of_frame,
    floor_of,
    frame_count,
    frame_of_sample,
    slot_of,
)
from transforms.video.clip_record import probe
from transforms.video.containers import read_audio
from transforms.video.decoding import ClipFile, Clock, LostTimes, Picture, Pictures, Sounds
from transforms.video.frames import FrameMaker, Pixels, jpeg, npy
from transforms.video.soundtrack import Sound, Soundtrack

_DECODE, _FRAMES = "decode", "frames"
_BLOCK_BYTES = 1 << 20
_PADDING_S = Fraction(1, 10)
_REMEDY = "fetch it again, leave it out, or keep what is good of it with --damaged prefix"


@dataclass
class PictureTrack:
    """Says which picture an output frame shows; frames are asked for in ascending order.

    Attributes:
        pictures: decoded pictures, in order.
        fps: output frames per second.
        rule: how pictures are chosen.
        dropped: pictures that no frame asked for so far has shown.
    """

    pictures: Iterator[Picture]
    fps: Fraction
    rule: Rule
    dropped: int = 0
    _shown: Picture | None = None
    _next: Picture | None = None
    _asked: int = -1

    def at(self, frame: int) -> Picture | None:
        """Returns what a frame shows; before the first picture the first, None after the last one."""
        if self._shown is None and self._next is None:
            self._next = next(self.pictures, None)
        while self._next is not None and slot_of(self._next.time, self.fps, self.rule) <= frame:
            if self._shown is not None and slot_of(self._shown.time, self.fps, self.rule) > self._asked:
                self.dropped += 1
            self._shown, self._next = self._next, next(self.pictures, None)
        self._asked = frame
        if self._next is not None:
            return self._shown or self._next
        ended = self._shown is None or frame >= frame_count(self._shown.end, self.fps)
        return None if ended else self._shown

    def drain(self) -> None:
        """Decodes the rest, to count it."""
        for _ in self.pictures:
            pass


@dataclass(frozen=True)
class Segment:
    """A segment that was decoded.

    Attributes:
        samples: its sound, shape (n,), float32 in -1..1.
        frames: the frames as files: one each, or one of all.
        facts: what is known of it, see ``transforms.video.aligned.FACTS``.
    """

    samples: NDArray[np.float32]
    frames: tuple[bytes, ...]
    facts: Mapping[str, Fact]


class OpenClip:
    """A file that is being decoded, segment by segment.

    Args:
        file: the file.
        options: how it is aligned.

    Raises:
        SourceError: it cannot serve.
    """

    def __init__(self, file: ClipFile, options: AlignOptions) -> None:
        self.file = file
        self.position = 0
        self._options = options
        self.record = probe(file)
        counted = None if options.timestamps else options.fps
        clock = Clock(self.record.zero, self.record.step, counted)
        self._pictures = Pictures(file, clock)
        self._track = PictureTrack(iter(self._pictures), options.fps, options.rule)
        self._frames = FrameMaker(options)
        self._lost_sound = LostTimes()
        self._sound = self._counted_sound() if counted else self._timed_sound(clock)
        self._last = max((one.stop for one in options.ranges(self.record, 0)), default=0)

    def _timed_sound(self, clock: Clock) -> Soundtrack:
        sounds = Sounds(self.file, clock, self._lost_sound)
        decoded = iter(sounds)
        first = next(decoded, None)
        if first is None:
            raise self.file.refuse("none of its sound can be decoded", stage=_DECODE)
        placer = Placer(clock_tolerance(sounds.unit, sounds.own_hz))
        return Soundtrack(itertools.chain([first], decoded), sounds.own_hz, self._options.rate_hz, placer)

    def _counted_sound(self) -> Soundtrack:
        """Takes the sound as FFmpeg extracts it, from the first sample that is decoded on."""
        place = self.file.place
        data = storage.read_bytes(place) if isinstance(place, str) else place
        audio = read_audio(data, self.file.name, rate_hz=self._options.rate_hz)
        self._lost_sound.packets = audio.damaged
        samples = (audio.pcm / np.float32(32768.0)).astype(np.float32)
        rate_hz = self._options.rate_hz
        return Soundtrack(iter([Sound(None, samples)]), rate_hz, rate_hz, Placer(0))

    def segment(self, frames: FrameRange) -> Segment:
        """Decodes a segment that does not begin before the end of the one before.

        Raises:
            SourceError: something of it cannot be decoded and it shall be rejected then, or nothing can.
        """
        options = self._options
        self._advance(frames.start)
        before, self.position = self._counts(), frames.stop
        shown = self._shown(frames)
        samples = self._sound.read(*frames.samples(options.fps, options.rate_hz))
        stop = self._delivered(frames, len(shown))
        is_bad = stop < frames.stop and options.damaged == "reject" and not self._is_padding(frames)
        if stop <= frames.start or is_bad:
            raise self._refusal(frames, stop)
        kept = FrameRange(frames.start, stop)
        if frames.stop >= self._last:
            self._track.drain()
            self._sound.drain()
        counts = {name: now - before[name] for name, now in self._counts().items()}
        facts = {**self._facts(kept, shown[: stop - frames.start]), **counts, **self._record_facts()}
        facts["flags"] = self._flags(cut=stop < frames.stop)
        return Segment(
            samples[: kept.samples(options.fps, options.rate_hz)[1]],
            self._files([one.content for one in shown[: stop - frames.start]]),
            facts,
        )

    def _advance(self, frame: int) -> None:
        """Decodes as far as the segment before would have, so that counts tell of one segment."""
        if frame:
            self._track.at(frame - 1)
            self._sound.skip(first_sample_of_frame(frame, self._options.fps, self._options.rate_hz))

    def _shown(self, frames: FrameRange) -> list["_ShownFrame"]:
        """Returns what the frames of a segment show, up to the first that shows nothing."""
        shown: list[_ShownFrame] = []
        for frame in range(frames.start, frames.stop):
            picture = self._track.at(frame)
            if picture is None:
                break
            if not shown or shown[-1].number != picture.number:
                last = self._developed(picture)
            shown.append(last)
        return shown

    def _developed(self, picture: Picture) -> "_ShownFrame":
        try:
            found = self._frames.pixels(picture.frame)
        except ValueError as error:
            raise self.file.refuse(str(error), "name another --crop", stage=_FRAMES) from error
        height, width = found.shape[:2]
        content = jpeg(found) if self._options.frames == "jpg" else found
        return _ShownFrame(picture.number, picture.time, width, height, content)

    def _files(self, contents: Sequence[bytes | Pixels]) -> tuple[bytes, ...]:
        if self._options.frames == "jpg":
            return tuple(cast(Sequence[bytes], contents))
        try:
            return (npy(cast(Sequence[Pixels], contents)),)
        except ValueError as error:
            raise self.file.refuse(str(error), "name a --size", stage=_FRAMES) from error

    def _delivered(self, frames: FrameRange, shown: int) -> int:
        """Returns the number after the last frame before which everything could be decoded."""
        fps, rate_hz = self._options.fps, self._options.rate_hz
        start, stop = frames.start / fps, frames.stop / fps
        promised = self._options.promised_samples(self.record)
        wanted = min(sum(frames.samples(fps, rate_hz)), promised)
        stops = [frames.start + shown]
        padded = self._options.tail == "pad" and self._is_padding(frames)
        if self._sound.samples + self._slack < wanted and not padded:
            stops.append(frame_of_sample(self._sound.samples, fps, rate_hz))
        heard_stop = min(stop, Fraction(promised, rate_hz))
        lost = (self._pictures.lost.first_in(start, stop), self._lost_sound.first_in(start, heard_stop))
        stops += [floor_of(time * fps) for time in lost if time is not None]
        return max(frames.start, min(stops))

    def _is_padding(self, frames: FrameRange) -> bool:
        """Tells whether sound is missing only because it ends a little before its packets say.

        Encoders fill the last packet; some containers tell its length without that, some only decoders.
        """
        lost = self._lost_sound.packets + self._pictures.lost.packets
        missing = self._options.promised_samples(self.record) - self._sound.samples
        return not lost and missing <= _PADDING_S * self._options.rate_hz and frames.stop <= self._last

    @property
    def _slack(self) -> int:
        """Samples by which lengths of sound may be off on a clock that cannot tell samples apart."""
        return ceil_of(Fraction(2 * self._sound.placer.tolerance * self._options.rate_hz, self._sound.own_hz))

    def _refusal(self, frames: FrameRange, stop: int) -> SourceError:
        missing = frames.stop - stop
        reason = f"is damaged: {missing} of {frames.stop - frames.start} frames cannot be made"
        pictures, sound = self._pictures.lost.packets, self._lost_sound.packets
        reason += f" ({pictures} packets of pictures and {sound} of sound cannot be decoded so far)"
        return self.file.refuse(reason, _REMEDY, stage=_DECODE)

    def _counts(self) -> dict[str, int]:
        """Returns what is counted from the beginning of the file on."""
        return {
            "pictures_decoded": self._pictures.decoded,
            "pictures_dropped": self._track.dropped + self._pictures.repeated,
            "packets_lost": self._pictures.lost.packets + self._lost_sound.packets,
            "gap_samples": self._sound.gap_samples,
            "overlap_samples": self._sound.overlap_samples,
        }

    def _facts(self, frames: FrameRange, shown: Sequence["_ShownFrame"]) -> dict[str, Fact]:
        numbers = [one.number for one in shown]
        return {
            "fps": str(self._options.fps),
            "frame_start": frames.start,
            "frame_count": len(shown),
            "sample_start": frames.samples(self._options.fps, self._options.rate_hz)[0],
            "frame_sources": numbers,
            "frame_times_s": [float(one.time) for one in shown],
            "frames_repeated": len(numbers) - len(set(numbers)),
            "width": shown[0].width,
            "height": shown[0].height,
            "rotation_degrees": self._pictures.rotation,
        }

    def _record_facts(self) -> dict[str, Fact]:
        record = self.record
        return {
            "source_fps": str(record.fps),
            "variable_rate": record.is_vfr,
            "clock_zero_s": float(record.zero),
            "av_start_offset_s": float(record.av_start_offset),
            "duration_difference_s": float(record.duration_difference),
            "pictures_promised": record.pictures_promised,
            "pictures_found": record.pictures_found,
        }

    def _flags(self, *, cut: bool) -> str:
        lost = self._pictures.lost.packets + self._lost_sound.packets
        more = {"damaged": lost > 0, "cut": cut}
        return " ".join([*self.record.flags, *(name for name, is_set in more.items() if is_set)])


@dataclass(frozen=True, slots=True)
class _ShownFrame:
    """What an output frame shows: number and time of the picture, its size, and its bytes or pixels."""

    number: int
    time: Fraction
    width: int
    height: int
    content: bytes | Pixels


@dataclass
class ClipReader(SourceReader):
    """Reads segments of video files: the sound of each, and what is attached to it.

    Attributes:
        align: how files are aligned.
    """

    align: AlignOptions = field(default_factory=AlignOptions)
    _clip: OpenClip | None = field(default=None, repr=False)
    _done: tuple[Source, Segment] | None = field(default=None, repr=False)

    def read(self, source: Source, at_most_samples: int = WHOLE) -> NDArray[np.float32]:
        """Returns the sound of a segment: shape (n,), float32 in -1..1. Raises SourceError."""
        samples = self.segment(source).samples
        return samples if at_most_samples == WHOLE else samples[:at_most_samples]

    def segment(self, source: Source) -> Segment:
        """Decodes a segment, or returns the one that was asked for last again. Raises SourceError."""
        if self._done is None or self._done[0] != source:
            fps, rate_hz = self.align.fps, self.align.rate_hz
            end = source.offset_samples + source.length_samples
            frames = FrameRange(
                frame_of_sample(source.offset_samples, fps, rate_hz), frame_of_sample(end, fps, rate_hz)
            )
            self._done = None
            self._done = (source, self._opened(source, frames.start).segment(frames))
        return self._done[1]

    def _opened(self, source: Source, frame: int) -> OpenClip:
        """Returns the file of a source, decoded up to a frame at most."""
        clip = self._clip
        if clip is None or clip.file.name != source.name or clip.position > frame:
            self._clip = None
            clip = self._clip = OpenClip(self._file(source), self.align)
        return clip

    def _file(self, source: Source) -> ClipFile:
        """Finds a file and notes what it holds: one of another store in memory, a local one in place."""
        url = self.url_of(source.name)
        try:
            stamp, place = storage.stamp(url), storage.local_path(url) or storage.read_bytes(url)
            content = _content(place)
        except StorageError as error:
            self.note(source.name, storage.MISSING)
            reason, remedy = error.problem, "restore the file or plan without it"
            raise SourceError(source.name, "read", reason, remedy) from error
        self.note(source.name, content, stamp)
        return ClipFile(source.name, place)

    def content(self, name: str) -> str:
        """Reads a file only to tell its content: ``size-crc32c``, or ``missing``."""
        url = self.url_of(name)
        try:
            return _content(storage.local_path(url) or storage.read_bytes(url))
        except StorageError:
            return storage.MISSING


def _content(place: str | bytes) -> str:
    """Returns ``size-crc32c`` of a local file, read in pieces, or of bytes."""
    if isinstance(place, bytes):
        return content_of(place)
    size = crc = 0
    with storage.open_ranges(place, block_bytes=_BLOCK_BYTES) as file:
        while block := file.read(_BLOCK_BYTES):
            size += len(block)
            crc = google_crc32c.extend(crc, block)
    return f"{size}-{crc:08x}"


def attach_frames(
    mixture: Mixture, reader: SourceReader, options: RenderOptions
) -> tuple[Sequence[Attachment], Mapping[str, Fact]]:
    """Returns the frames and facts of a segment: what the recipe ``aligned`` attaches.

    Args:
        mixture: the segment.
        reader: a ``ClipReader``.
        options: of the run; nothing of them matters here.

    Raises:
        SourceError: the segment cannot be decoded.
    """
    del options
    clips = cast(ClipReader, reader)
    segment = clips.segment(mixture.sources[0])
    kind = clips.align.attachment
    return [Attachment(kind.name, kind.extension, segment.frames, kind.numbered)], segment.facts
