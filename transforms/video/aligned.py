"""What a corpus of aligned video segments is like: its options, its facts, and its segments' lengths."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast, get_args

from transforms.attachments import AttachmentType, FactKind, Facts
from transforms.errors import UsageError
from transforms.plan import Settings
from transforms.video.alignment import RULES, TAILS, FrameRange, Rule, Tail, floor_of, segments, whole_frames
from transforms.video.clip_record import ClipRecord
from transforms.video.decoding import LONGEST_GAP_S

Damaged = Literal["reject", "prefix"]
Frames = Literal["jpg", "npy"]
DAMAGED: tuple[Damaged, ...] = get_args(Damaged)
FRAMES: tuple[Frames, ...] = get_args(Frames)

ROLE, ROOT = "audio", "video"
LONGEST_SIDE = 8192
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 768000
_SIZE = re.compile(r"(\d+)x(\d+)")
_CROP = re.compile(r"(\d+)x(\d+)(?:\+(\d+)\+(\d+))?")
_MOST_FPS = 1000

FACTS: Mapping[str, FactKind] = {
    "fps": "text",
    "frame_start": "int",
    "frame_count": "int",
    "sample_start": "int",
    "frame_sources": "ints",
    "frame_times_s": "floats",
    "width": "int",
    "height": "int",
    "rotation_degrees": "int",
    "source_fps": "text",
    "variable_rate": "flag",
    "clock_zero_s": "float",
    "av_start_offset_s": "float",
    "duration_difference_s": "float",
    "pictures_promised": "int",
    "pictures_found": "int",
    "pictures_decoded": "int",
    "pictures_dropped": "int",
    "frames_repeated": "int",
    "packets_lost": "int",
    "gap_samples": "int",
    "overlap_samples": "int",
    "flags": "text",
}


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a picture in pixels: its size, and its left upper corner; None puts it in the middle."""

    width: int
    height: int
    left: int | None = None
    top: int | None = None

    def __str__(self) -> str:
        corner = "" if self.left is None else f"+{self.left}+{self.top}"
        return f"{self.width}x{self.height}{corner}"


@dataclass(frozen=True)
class AlignOptions:
    """How files are aligned; all of it changes the bytes of the corpus.

    Attributes:
        rate_hz: sampling rate of the sound.
        fps: frames per second.
        rule: which picture a frame shows, see ``transforms.video.alignment.slot_of``.
        tail: what becomes of frames whose sound is not complete; not more than a minute is padded.
        damaged: what becomes of a segment of which something cannot be decoded: ``reject`` it, or keep
            the ``prefix`` before it.
        timestamps: False counts samples and pictures instead, as published recipes do.
        frames: ``jpg`` makes a JPEG file of each, ``npy`` one array of all.
        crop: what of each picture is taken; None for all of it.
        size: width and height in pixels to which that is resized; None to leave it.
    """

    rate_hz: int = 16000
    fps: Fraction = Fraction(25)
    rule: Rule = "hold"
    tail: Tail = "drop"
    damaged: Damaged = "reject"
    timestamps: bool = True
    frames: Frames = "jpg"
    crop: Box | None = None
    size: Box | None = None

    @property
    def settings(self) -> Settings:
        """The same as a plan keeps it."""
        return {
            "rate_hz": self.rate_hz,
            "fps": str(self.fps),
            "rule": self.rule,
            "tail": self.tail,
            "damaged": self.damaged,
            "timestamps": int(self.timestamps),
            "frames": self.frames,
            "crop": str(self.crop or ""),
            "size": str(self.size or ""),
        }

    @classmethod
    def of(cls, settings: Settings) -> "AlignOptions":
        """Reads the settings of a plan. Raises UsageError, naming all that is wrong."""
        if settings.keys() != cls().settings.keys():
            raise UsageError(f"settings {dict(settings)}: wanted {', '.join(cls().settings)}")
        problems: list[str] = []
        read = functools.partial(_read, settings=settings, problems=problems)
        made = cls(
            rate_hz=read("rate_hz", parse_rate),
            fps=read("fps", parse_fps),
            rule=read("rule", functools.partial(_parse_word, RULES)),
            tail=read("tail", functools.partial(_parse_word, TAILS)),
            damaged=read("damaged", functools.partial(_parse_word, DAMAGED)),
            timestamps=settings["timestamps"] != 0,
            frames=read("frames", functools.partial(_parse_word, FRAMES)),
            crop=read("crop", parse_crop),
            size=read("size", parse_size),
        )
        if problems:
            raise UsageError(problems)
        return made

    @property
    def attachment(self) -> AttachmentType:
        """What kind of file the frames are."""
        return AttachmentType("frames", self.frames, numbered=self.frames == "jpg")

    def promised_samples(self, record: ClipRecord) -> int:
        """Returns how many samples of sound a file promises from the common zero on."""
        end = record.sound_end if self.timestamps else record.sound_found
        return max(0, floor_of(end * self.rate_hz))

    def ranges(self, record: ClipRecord, frames_per_segment: int) -> Iterator[FrameRange]:
        """Yields the segments of a file; 0 frames per segment make one of all of it."""
        samples = self.promised_samples(record)
        end = record.pictures_end if self.timestamps else record.pictures_found / self.fps
        end = min(end, Fraction(samples, self.rate_hz) + LONGEST_GAP_S)
        frames = whole_frames(end, samples, self.fps, rate_hz=self.rate_hz, tail=self.tail)
        return segments(frames, frames_per_segment)


def _read(name: str, parse: Callable[[str], Any], *, settings: Settings, problems: list[str]) -> Any:
    """Reads one setting, noting what is wrong with it under the name of its flag."""
    text = str(settings[name])
    try:
        return parse(text)
    except (ValueError, ZeroDivisionError) as error:
        problems.append(f"--{name.removesuffix('_hz')} {text}: wanted {error}")
        return None


def parse_rate(text: str) -> int:
    """Reads a sampling rate in Hz. Raises ValueError with what is wanted."""
    if not text.isdecimal() or not LOWEST_RATE_HZ <= int(text) <= HIGHEST_RATE_HZ:
        raise ValueError(f"a whole number of {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}")
    return int(text)


def parse_fps(text: str) -> Fraction:
    """Reads a rate such as ``25``, ``29.97`` or ``30000/1001``. Raises ValueError with what is wanted."""
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if not 0 < fps <= _MOST_FPS:
        raise ValueError(f"a rate of up to {_MOST_FPS}, such as 25 or 30000/1001")
    return fps


def parse_crop(text: str) -> Box | None:
    """Reads ``WxH`` (in the middle) or ``WxH+LEFT+TOP`` in pixels, or nothing. Raises ValueError."""
    return _parse_box(_CROP, "WxH or WxH+LEFT+TOP", text)


def parse_size(text: str) -> Box | None:
    """Reads ``WxH`` in pixels, or nothing. Raises ValueError with what is wanted."""
    return _parse_box(_SIZE, "WxH", text)


def _parse_box(pattern: re.Pattern[str], form: str, text: str) -> Box | None:
    if not text:
        return None
    match = pattern.fullmatch(text)
    numbers = [None if group is None else int(group) for group in match.groups()] if match else []
    if not numbers or not all(0 < (side or 0) <= LONGEST_SIDE for side in numbers[:2]):
        raise ValueError(f"{form} in pixels, such as 96x96, up to {LONGEST_SIDE}")
    return Box(*cast(list[int], numbers))


def _parse_word(known: Sequence[str], text: str) -> str:
    if text not in known:
        raise ValueError(f"one of {', '.join(known)}")
    return text


def charted(facts: Facts) -> dict[str, float]:
    """Returns what the report charts of a file, from the facts of its first segment; else nothing."""
    if not FACTS.keys() <= {*facts, "frame_sources", "frame_times_s"} or facts["frame_start"]:
        return {}
    offset_s, fps = cast(float, facts["av_start_offset_s"]), cast(str, facts["source_fps"])
    return {"av_offset_ms": 1000 * offset_s, "source_fps": float(Fraction(fps))}
