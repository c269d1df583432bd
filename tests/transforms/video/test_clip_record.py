"""What files promise: rates, offsets, lengths and flags, from their packets alone."""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.flashes import GOLDEN, clicks, decode, truth
from transforms.errors import SourceError
from transforms.video.clip_record import FLAGS, ClipRecord, probe
from transforms.video.decoding import ClipFile

SIDE = 96
PICTURE = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)


def record_of(path: Path) -> ClipRecord:
    return probe(ClipFile(f"video:{path.name}", str(path)))


def golden(name: str) -> ClipRecord:
    return record_of(next(GOLDEN.rglob(name)))


EXPECTED: dict[str, dict[str, Any]] = {
    "cfr25_pcm16k.mov": {"fps": Fraction(25), "av_start_offset": 0, "duration_difference": 0, "flags": ()},
    "ntsc2997_aac48k.mp4": {
        "fps": Fraction(30000, 1001),
        "av_start_offset": 0,
        "flags": (),
        "audio_hz": 48000,
    },
    "vfr_aac16k.mp4": {
        "fps": Fraction(59000, 3096),
        "is_vfr": True,
        "pictures_end": Fraction(3136, 1000),
        "flags": ("variable_rate",),
    },
    "audio_delayed_500ms.mp4": {
        "av_start_offset": Fraction(436, 1000),
        "duration_difference": Fraction(1, 2),
        "flags": ("offset",),
    },
    "no_editlist.mp4": {
        "pictures_start": Fraction(8, 100),
        "av_start_offset": Fraction(-8, 100),
        "flags": ("offset", "late_pictures"),
    },
    "truncated_moov_first.mp4": {
        "pictures_promised": 75,
        "pictures_found": 41,
        "pictures_end": Fraction(164, 100),
        "sound_end": Fraction(24576, 16000),
        "flags": ("truncated",),
    },
    "video_delayed_320ms.mp4": {
        "av_start_offset": Fraction(-32, 100),
        "pictures_start": Fraction(32, 100),
        "flags": ("offset", "late_pictures"),
    },
    "cut_copy_from_700ms.mp4": {
        "pictures_promised": 57,
        "pictures_found": 39,
        "av_start_offset": 0,
        "flags": ("negative_timestamps",),
    },
    "audio_short.mp4": {"duration_difference": Fraction(-11, 10), "flags": ()},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_clips(name: str) -> None:
    record = golden(name)
    assert {field: getattr(record, field) for field in EXPECTED[name]} == EXPECTED[name]
    assert (record.container, record.width, record.height, record.zero) == ("mov", 96, 96, 0)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "vfr_aac16k.mp4"])
def test_counts_and_times_are_those_that_decoding_gives(name: str) -> None:
    path = next(GOLDEN.rglob(name))
    facts = truth()[str(path.relative_to(GOLDEN))]["pyav"]
    record = golden(name)
    assert record.pictures_found == facts["video"]["decoded"]
    assert record.pictures_promised == facts["video"]["frames"]
    assert max(record.sound_start, Fraction(0)) == pytest.approx(
        Fraction(str(facts["audio"]["atime0"])), abs=1e-6
    )
    assert not record.is_vfr


def test_flags_are_explained_and_in_order() -> None:
    for name in EXPECTED:
        flags = golden(name).flags
        assert list(flags) == [flag for flag in FLAGS if flag in flags]


def test_sound_that_ends_early_is_truncated_too(tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(next(GOLDEN.rglob("audio_short.mp4")).read_bytes()[:-150])
    record = record_of(cut)
    assert (record.pictures_found, record.sound_end) == (75, Fraction(168, 125))
    assert record.flags == ("truncated",)


# Clips of other containers, made here.


def remuxed(name: str, path: Path, **options: Any) -> Path:
    """Copies the packets of a golden clip into another container."""
    with av.open(str(next(GOLDEN.rglob(name)))) as source, av.open(str(path), "w", **options) as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    return path


@pytest.mark.parametrize("name", ["ntsc2997_aac48k.mp4", "audio_delayed_500ms.mp4"])
def test_a_clock_that_runs_from_anywhere(name: str, tmp_path: Path) -> None:
    record = record_of(remuxed(name, tmp_path / "a.ts"))
    assert record.container == "mpegts"
    assert record.zero > 0
    assert min(record.pictures_start, record.sound_start) == 0
    offset = record.av_start_offset - golden(name).av_start_offset
    # Priming is audible where there is no edit list: 1024 samples at 48 kHz, none with a delay.
    assert float(offset) == pytest.approx(-1024 / 48000 if "ntsc" in name else 0, abs=2 / 90000)
    assert record.pictures_promised == 0
    assert record.pictures_found == golden(name).pictures_found


def test_flash_and_click_stay_together_in_a_transport_stream(tmp_path: Path) -> None:
    seen = decode(remuxed("ntsc2997_aac48k.mp4", tmp_path / "a.ts"))
    assert seen.flashes == [15, 45, 75]
    for place, click in zip(seen.flashes, clicks(seen.samples, 16000), strict=True):
        assert 0 <= Fraction(click, 16000) - seen.times[place] <= Fraction(1, 1000)


def test_milliseconds_of_matroska_are_no_variable_rate(tmp_path: Path) -> None:
    record = record_of(remuxed("ntsc2997_aac48k.mp4", tmp_path / "a.mkv"))
    assert (record.container, record.fps, record.is_vfr) == ("matroska", Fraction(30000, 1001), False)
    assert record.zero == 0
    seen = decode(tmp_path / "a.mkv")
    assert (seen.sound.gap_samples, seen.sound.overlap_samples) == (0, 0)
    for place, click in zip(seen.flashes, clicks(seen.samples, 16000), strict=True):
        assert abs(Fraction(click, 16000) - seen.times[place]) <= Fraction(2, 1000)


def timed_clip(path: Path, ticks: list[int], *, sound_from: int = 0, gap_from: int = 0) -> Path:
    """Writes pictures at the given milliseconds, and two seconds of sound from another one on.

    Args:
        path: a Matroska file.
        ticks: time of each picture.
        sound_from: time of the first sample.
        gap_from: when above 0, sound after one second goes on here instead.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width = video.height = SIDE
        video.pix_fmt = "yuvj420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for tick in ticks:
            frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for second in range(2):
            sound = av.AudioFrame.from_ndarray(np.ones((1, 16000), np.int16), format="s16", layout="mono")
            start = gap_from if gap_from and second else sound_from + 1000 * second
            sound.sample_rate, sound.pts, sound.time_base = 16000, 16 * start, Fraction(1, 16000)
            container.mux(audio.encode(sound))
    return path


def test_a_jump_ends_a_file(tmp_path: Path) -> None:
    record = record_of(timed_clip(tmp_path / "a.mkv", [0, 40, 80, 120, 90_000, 90_040]))
    assert (record.pictures_end, record.pictures_found) == (Fraction(16, 100), 6)
    assert record.flags == ("time_jump",)
    assert len(decode(tmp_path / "a.mkv").times) == 4


def test_a_jump_of_the_sound_ends_it(tmp_path: Path) -> None:
    record = record_of(timed_clip(tmp_path / "a.mkv", [0, 40, 80], gap_from=100_000))
    assert record.sound_end == 1
    assert record.flags == ("time_jump",)


def test_a_piece_of_a_longer_recording_begins_with_itself(tmp_path: Path) -> None:
    ticks = [500_000 + 40 * k for k in range(10)]
    record = record_of(timed_clip(tmp_path / "a.mkv", ticks, sound_from=500_020))
    assert (record.zero, record.pictures_start, record.sound_start) == (500, 0, Fraction(2, 100))
    assert record.flags == ()


def test_a_late_start_within_a_minute_is_believed(tmp_path: Path) -> None:
    record = record_of(timed_clip(tmp_path / "a.mkv", [2000, 2040, 2080], sound_from=2000))
    assert (record.zero, record.pictures_start, record.sound_start) == (0, 2, 2)
    assert record.flags == ("late_pictures",)


def test_one_picture(tmp_path: Path) -> None:
    record = record_of(timed_clip(tmp_path / "a.mkv", [0]))
    assert (record.pictures_found, record.is_vfr, record.step) == (1, False, Fraction(1, 25))
    assert record.pictures_end == Fraction(40, 1000)


def test_pictures_without_times_come_in_the_order_of_decoding(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        video.codec_context.max_b_frames = 2
        audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for _ in range(25):
            container.mux(video.encode(av.VideoFrame.from_ndarray(PICTURE, format="rgb24")))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray(np.ones((1, 16000), np.int16), format="s16", layout="mono")
        sound.sample_rate = 16000
        container.mux(audio.encode(sound))
    record = record_of(path)
    assert (record.container, record.pictures_found, record.pictures_end) == ("avi", 25, 1)
    assert record.flags == ("synthetic_timestamps",)
    seen = decode(path)
    assert seen.times == [Fraction(k, 25) for k in range(25)]


def test_empty_streams(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", rate=25)
        video.width = video.height = SIDE
        video.pix_fmt = "yuvj420p"
        container.add_stream("pcm_s16le", rate=16000, layout="mono")
        frame = av.VideoFrame.from_ndarray(PICTURE, format="rgb24").reformat(format="yuvj420p")
        container.mux(video.encode(frame))
        container.mux(video.encode(None))
    with pytest.raises(SourceError, match="holds no sound that can be used"):
        record_of(path)


def test_records_are_values() -> None:
    one, other = golden("cfr25_pcm16k.mov"), golden("cfr25_pcm16k.mov")
    assert one == other
    assert dataclasses.replace(one, audio_hz=1) != other


@pytest.mark.golden
def test_all_clips_of_the_full_set(shared_golden: Path) -> None:
    folder = shared_golden / "video"
    for name, facts in truth(folder).items():
        if "audio" not in facts["pyav"] or not facts["pyav"]["audio"]:
            with pytest.raises(SourceError, match="has no sound"):
                record_of(folder / name)
            continue
        record = record_of(folder / name)
        assert record.pictures_found == facts["pyav"]["video"]["decoded"], name
        assert decode(folder / name).sound.decoded_samples == facts["pyav"]["audio"]["samples"], name
