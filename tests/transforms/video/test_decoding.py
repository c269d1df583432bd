"""Video files as decoded: times of pictures and clicks, damage, and what is no video."""

import itertools
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import write_clip
from tests.flashes import GOLDEN, clicks, decode, truth
from transforms.errors import SourceError
from transforms.video.alignment import Timestamps, shown_pictures
from transforms.video.clip_record import probe
from transforms.video.decoding import ClipFile, Clock, Lost, LostTimes, Pictures, Sounds, mono

WITH_SOUND = [path for path in sorted(GOLDEN.rglob("*.m[op][4v]")) if path.name != "no_audio.mp4"]
UNCUT = [path for path in WITH_SOUND if path.name not in ("cut_copy_from_700ms.mp4", "audio_short.mp4")]
ONSET_S, ONSET_AAC_S = Fraction(1, 10000), Fraction(1, 1000)


def clip(name: str) -> Path:
    return next(GOLDEN.rglob(name))


@pytest.mark.parametrize("path", WITH_SOUND, ids=lambda path: path.name)
def test_pictures_come_in_order_with_the_numbers_they_show(path: Path) -> None:
    seen = decode(path)
    first = 18 if path.name == "cut_copy_from_700ms.mp4" else 0
    assert seen.numbers == list(range(first, first + len(seen.times)))
    assert seen.times == sorted(set(seen.times))
    assert len(seen.times) == seen.pictures.decoded == seen.record.pictures_found


def _flash_times(facts: dict[str, Any]) -> list[float]:
    return list(facts.get("flash_times_s") or facts["event_times_s"])


@pytest.mark.parametrize("path", UNCUT, ids=lambda path: path.name)
def test_flashes_and_clicks_are_where_they_are_known_to_be(path: Path) -> None:
    facts, seen = truth()[str(path.relative_to(GOLDEN))], decode(path)
    flashes = _flash_times(facts)[: len(seen.flashes)]
    heard = clicks(seen.samples, 16000)
    count = 2 if path.name == "truncated_moov_first.mp4" else 3
    assert (len(flashes), len(heard)) == (count, count)
    assert [seen.numbers[place] for place in seen.flashes] == facts["event_frames"][: len(flashes)]
    for place, time, click in zip(seen.flashes, flashes, heard, strict=False):
        assert float(seen.times[place]) == pytest.approx(time, abs=1e-9)
        latency = ONSET_S if path.suffix == ".mov" else ONSET_AAC_S
        offset = Fraction(click, 16000) - seen.times[place] - Fraction(str(facts["true_av_offset_s"]))
        assert 0 <= offset <= Fraction(1, 16000) + latency


def test_pcm_at_25_is_exact() -> None:
    seen = decode(clip("cfr25_pcm16k.mov"))
    firsts = [int(seen.times[place] * 16000) for place in seen.flashes]
    assert firsts == [640 * 12, 640 * 37, 640 * 62]
    assert clicks(seen.samples, 16000) == [first + 1 for first in firsts]
    assert len(seen.samples) == 48000


def test_variable_rate() -> None:
    seen = decode(clip("vfr_aac16k.mp4"))
    facts = truth()["vfr_aac16k.mp4"]
    assert [int(time * 1000) for time in seen.times] == facts["frame_times_ms"]
    stamps = Timestamps(np.array(facts["frame_times_ms"]), Fraction(1, 1000))
    hold = [0, 0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    nearest = [0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert shown_pictures(stamps.slots(Fraction(25), "hold"), 0, 20).tolist() == hold
    assert shown_pictures(stamps.slots(Fraction(25), "nearest"), 0, 20).tolist() == nearest


@pytest.mark.parametrize(
    ("rate_hz", "firsts"), [(48000, (24024, 72072, 120120)), (16000, (8008, 24024, 40040))]
)
def test_ntsc(rate_hz: int, firsts: tuple[int, ...]) -> None:
    seen = decode(clip("ntsc2997_aac48k.mp4"), rate_hz)
    ticks = np.array([int(time * 30000) for time in seen.times])
    samples = Timestamps(ticks, Fraction(1, 30000)).first_samples(rate_hz)
    assert tuple(samples[[15, 45, 75]]) == firsts
    assert seen.flashes == [15, 45, 75]
    assert len(seen.samples) == 144384 * rate_hz // 48000


def test_delayed_sound_begins_with_silence() -> None:
    seen = decode(clip("audio_delayed_500ms.mp4"))
    assert not seen.samples[:6976].any()
    assert seen.samples[6976:8000].any()
    assert (clicks(seen.samples, 16000)[0], seen.sound.gap_samples) == (15681, 6976)


def test_a_hole_after_the_first_frame_is_filled() -> None:
    seen = decode(clip("no_editlist.mp4"))
    assert clicks(seen.samples, 16000)[0] == 8961
    assert int(seen.times[seen.flashes[0]] * 16000) == 8960
    assert seen.sound.gap_samples == 256
    assert not seen.samples[1024:1280].any()


def test_a_stream_copy_cut_hides_what_comes_before() -> None:
    seen = decode(clip("cut_copy_from_700ms.mp4"))
    assert (len(seen.times), seen.numbers[0], seen.times[0]) == (39, 18, 0)
    assert seen.record.pictures_promised == 57
    first = seen.flashes[0]
    assert (float(seen.times[first]), clicks(seen.samples, 16000)[0]) == (0.76, 12481)


def test_a_truncated_file_keeps_what_is_valid() -> None:
    seen = decode(clip("truncated_moov_first.mp4"))
    assert (len(seen.times), seen.sound.decoded_samples) == (41, 24576)
    assert seen.pictures.lost == LostTimes()
    assert (seen.sounds.lost.packets, seen.sounds.lost.stretches) == (1, [Lost(Fraction(24576, 16000))])
    assert "truncated" in seen.record.flags


def test_bytes_in_memory_are_as_good_as_a_path() -> None:
    path = clip("ntsc2997_aac48k.mp4")
    in_memory = ClipFile("a", path.read_bytes())
    assert probe(in_memory) == probe(ClipFile("a", str(path)))


# What is no video, or not all of one.


def test_an_index_that_is_missing(tmp_path: Path) -> None:
    data = clip("cfr25_pcm16k.mov").read_bytes()
    file = ClipFile("video:cut.mov", data[: len(data) // 2])
    with pytest.raises(
        SourceError, match=r"video:cut\.mov: is not a video file or is damaged \(Invalid data"
    ) as error:
        probe(file)
    assert "moov" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"this is text\n" * 200, "is not a video file or is damaged"),
        (bytes(5000), "is not a video file or is damaged"),
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n",
            "is not a video file or is damaged",
        ),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "is not a video file or is damaged"),
    ],
)
def test_other_files(data: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        probe(ClipFile("video:x.mp4", data))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"x\.mp4: is not a video file or is damaged \(No such file"):
        probe(ClipFile("x.mp4", str(tmp_path / "x.mp4")))


def test_without_sound() -> None:
    with pytest.raises(SourceError, match=r"has no sound \(its streams: video\).*name files with sound only"):
        probe(ClipFile("x", str(clip("no_audio.mp4"))))


def test_without_video(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mov", np.zeros(1600, dtype=np.int16), pictures=0)
    with pytest.raises(SourceError, match=r"has no video \(its streams: audio\).*name files with video only"):
        probe(ClipFile("x", str(path)))


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        audio = container.add_stream("aac", rate=16000, layout="mono")
        container.mux(
            cover.encode(av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24"))
        )
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    with pytest.raises(SourceError, match=r"has no video \(its streams: audio, cover picture\)"):
        probe(ClipFile("x", str(path)))


def test_a_wrong_ending_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    shutil.copy(clip("cfr25_pcm16k.mov"), path)
    assert probe(ClipFile("x", str(path))).container == "mov"


# Damage inside.


def damaged(path: Path, *, stream: str, number: int) -> bytes:
    """Returns a file in which one packet of a stream is full of ones."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(getattr(container.streams, stream)[0]) if packet.size]
        place, size = packets[number].pos, packets[number].size
    data = bytearray(path.read_bytes())
    data[place : place + size] = b"\xff" * size
    return bytes(data)


@pytest.mark.parametrize(("number", "first", "after"), [(20, 20, 32), (40, 39, 64), (60, 60, 64)], ids=str)
def test_pictures_after_a_lost_one_wait_for_a_key_picture(number: int, first: int, after: int) -> None:
    clock, path = Clock(Fraction(0), Fraction(1, 25)), clip("cfr25_pcm16k.mov")
    keys = [one.number for one in Pictures(ClipFile("x", str(path)), clock) if one.frame.key_frame]
    assert keys == [0, 32, 64]
    pictures = Pictures(ClipFile("x", damaged(path, stream="video", number=number)), clock)
    assert [int(picture.time * 25) for picture in pictures] == [*range(first), *range(after, 75)]
    assert pictures.lost.packets == 1
    assert pictures.lost.stretches == [Lost(Fraction(first, 25), Fraction(after, 25))]


def test_sound_goes_on_after_a_lost_packet() -> None:
    file = ClipFile("x", damaged(clip("ntsc2997_aac48k.mp4"), stream="audio", number=50))
    sounds = Sounds(file, Clock(Fraction(0), Fraction(1, 25)))
    indices = [sound.index for sound in sounds]
    assert [b - a for a, b in itertools.pairwise(indices) if b - a != 1024] == [2048]
    start = Fraction(49 * 1024, 48000)
    assert sounds.lost.stretches == [Lost(start, start + Fraction(1024, 48000))]


@pytest.mark.parametrize(
    ("start", "stop", "first"),
    [(0, 1, None), (0, 3, 2), (2, 3, 2), (3, 5, 3), (4, 5, None), (4, 9, 8), (9, 10, 9), (1, 2, None)],
)
def test_what_is_lost_between_two_times(start: int, stop: int, first: int | None) -> None:
    lost = LostTimes()
    lost.begin(Fraction(2))
    lost.begin(Fraction(3))
    lost.end(Fraction(4))
    lost.end(Fraction(5))
    lost.begin(Fraction(8))
    assert lost.first_in(Fraction(start), Fraction(stop)) == first
    assert (lost.packets, lost.is_open) == (3, True)


def test_an_earlier_loss_makes_a_stretch_longer() -> None:
    lost = LostTimes()
    lost.begin(Fraction(3))
    lost.begin(Fraction(2))
    assert lost.stretches == [Lost(Fraction(2))]


# Sound of all kinds becomes mono.


@pytest.mark.parametrize(
    ("form", "scale", "dtype"),
    [
        ("s16", 32768, np.int16),
        ("s16p", 32768, np.int16),
        ("s32", 2**31, np.int32),
        ("flt", 1, np.float32),
        ("fltp", 1, np.float32),
        ("dbl", 1, np.float64),
        ("u8", 128, np.uint8),
    ],
)
def test_mono_is_the_mean_of_channels(form: str, scale: int, dtype: Any) -> None:
    left, right = np.array([0.5, -0.25, 0.0]), np.array([0.25, -0.25, -1.0])
    shift = 128 if form == "u8" else 0
    values = (np.stack([left, right]) * scale + shift).astype(dtype)
    array = values if form.endswith("p") else values.T.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(array), format=form, layout="stereo")
    found = mono(frame)
    assert found.dtype == np.float32
    assert found.tolist() == ((left + right) / 2).tolist()
