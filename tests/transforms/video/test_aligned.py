"""Options of alignment, and how many frames a file gives."""

import dataclasses
from fractions import Fraction
from typing import Any

import pytest

from tests.flashes import GOLDEN
from transforms.attachments import AttachmentType
from transforms.errors import UsageError
from transforms.video.aligned import FACTS, AlignOptions, Box
from transforms.video.alignment import FrameRange
from transforms.video.clip_record import ClipRecord, probe
from transforms.video.decoding import ClipFile

CHANGED = AlignOptions(
    rate_hz=48000,
    fps=Fraction(30000, 1001),
    rule="nearest",
    tail="pad",
    damaged="prefix",
    timestamps=False,
    frames="npy",
    crop=Box(96, 80, 3, 0),
    size=Box(88, 44),
)


def record(name: str) -> ClipRecord:
    return probe(ClipFile(name, str(next(GOLDEN.rglob(name)))))


@pytest.mark.parametrize("options", [AlignOptions(), CHANGED, AlignOptions(crop=Box(8, 8))])
def test_settings_of_a_plan_hold_all_options(options: AlignOptions) -> None:
    assert AlignOptions.of(options.settings) == options
    assert all(isinstance(value, (int, str)) for value in options.settings.values())


def test_every_option_is_a_setting() -> None:
    assert [field.name for field in dataclasses.fields(AlignOptions)] == list(AlignOptions().settings)
    for name in AlignOptions().settings:
        assert CHANGED.settings[name] != AlignOptions().settings[name]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("rate_hz", 500, "--rate 500: wanted a whole number of 1000 to 768000"),
        ("rate_hz", "16k", "--rate 16k: wanted a whole number"),
        ("fps", "0", "--fps 0: wanted a rate of up to 1000, such as 25 or 30000/1001"),
        ("fps", "1/0", "--fps 1/0: wanted a rate"),
        ("fps", "-25", "--fps -25: wanted a rate"),
        ("fps", "film", "--fps film: wanted a rate"),
        ("rule", "last", "--rule last: wanted one of hold, nearest"),
        ("tail", "loop", "--tail loop: wanted one of drop, pad"),
        ("damaged", "keep", "--damaged keep: wanted one of reject, prefix"),
        ("frames", "png", "--frames png: wanted one of jpg, npy"),
        ("crop", "96", r"--crop 96: wanted WxH or WxH\+LEFT\+TOP in pixels, such as 96x96, up to 8192"),
        ("crop", "0x96", "--crop 0x96: wanted"),
        ("crop", "96x96+1", "wanted WxH or"),
        ("size", "96x96+0+0", "--size 96x96.0.0: wanted WxH in pixels, such as 96x96"),
        ("size", "9000x10", "up to 8192"),
    ],
)
def test_settings_that_cannot_be(name: str, value: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        AlignOptions.of({**AlignOptions().settings, name: value})


def test_all_problems_are_named_together() -> None:
    with pytest.raises(UsageError) as error:
        AlignOptions.of({**AlignOptions().settings, "fps": "x", "rule": "x", "size": "x"})
    assert [problem.split()[0] for problem in error.value.problems] == ["--fps", "--rule", "--size"]


@pytest.mark.parametrize("change", [{"more": 1}, {"fps": None}])
def test_settings_of_another_kind(change: dict[str, Any]) -> None:
    settings = {**AlignOptions().settings, **change}
    settings = {name: value for name, value in settings.items() if value is not None}
    with pytest.raises(UsageError, match="wanted rate_hz, fps, rule"):
        AlignOptions.of(settings)


@pytest.mark.parametrize(
    ("text", "fps"), [("29.97", Fraction(2997, 100)), ("30000/1001", Fraction(30000, 1001))]
)
def test_rates_are_rational(text: str, fps: Fraction) -> None:
    assert AlignOptions.of({**AlignOptions().settings, "fps": text}).fps == fps


def test_boxes_are_written_as_they_are_read() -> None:
    assert (str(Box(96, 80)), str(Box(96, 80, 0, 5))) == ("96x80", "96x80+0+5")


def test_forms_of_frames() -> None:
    assert AlignOptions().attachment == AttachmentType("frames", "jpg", numbered=True)
    assert AlignOptions(frames="npy").attachment == AttachmentType("frames", "npy")
    assert "frames" not in FACTS


@pytest.mark.parametrize(
    ("name", "options", "frames"),
    [
        ("cfr25_pcm16k.mov", {}, 75),
        ("cfr25_pcm16k.mov", {"fps": Fraction(50)}, 150),
        ("cfr25_pcm16k.mov", {"timestamps": False}, 75),
        ("ntsc2997_aac48k.mp4", {}, 75),
        ("ntsc2997_aac48k.mp4", {"tail": "pad"}, 76),
        ("ntsc2997_aac48k.mp4", {"fps": Fraction(30000, 1001)}, 90),
        ("vfr_aac16k.mp4", {}, 79),
        ("truncated_moov_first.mp4", {}, 38),
        ("truncated_moov_first.mp4", {"tail": "pad"}, 41),
        ("audio_short.mp4", {}, 47),
        ("audio_short.mp4", {"tail": "pad"}, 75),
        ("audio_delayed_500ms.mp4", {}, 75),
        ("audio_delayed_500ms.mp4", {"timestamps": False}, 75),
        ("no_editlist.mp4", {}, 77),
        ("no_editlist.mp4", {"timestamps": False}, 75),
    ],
)
def test_frames_of_a_file(name: str, options: dict[str, Any], frames: int) -> None:
    ranges = list(AlignOptions(**options).ranges(record(name), 0))
    assert ranges == [FrameRange(0, frames)]


def test_segments_of_a_file() -> None:
    found = list(AlignOptions().ranges(record("cfr25_pcm16k.mov"), 30))
    assert found == [FrameRange(0, 30), FrameRange(30, 60), FrameRange(60, 75)]


def test_nothing_to_align() -> None:
    empty = dataclasses.replace(record("cfr25_pcm16k.mov"), sound_end=Fraction(1, 100))
    assert not list(AlignOptions().ranges(empty, 0))
    before = dataclasses.replace(empty, sound_end=Fraction(-1), pictures_end=Fraction(-1))
    assert not list(AlignOptions(tail="pad").ranges(before, 0))
    assert AlignOptions().promised_samples(before) == 0


def test_not_more_than_a_minute_is_padded() -> None:
    long = dataclasses.replace(record("cfr25_pcm16k.mov"), pictures_end=Fraction(5000))
    assert list(AlignOptions(tail="pad").ranges(long, 0)) == [FrameRange(0, 63 * 25)]
