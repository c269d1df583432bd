"""Sound and silent video of containers: as FFmpeg extracts and copies them."""

import builtins
import csv
import hashlib
import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.clips import write_clip
from transforms.errors import SourceError, UsageError
from transforms.video.containers import (
    copy_silent,
    is_container,
    library,
    read_audio,
    read_whole_audio,
    truncation_of,
)

SOUND = (np.random.default_rng(1).uniform(-0.3, 0.3, 20_000) * 32767).astype(np.int16)
NAME = "lrs3:pretrain/a/1.mp4"

Pcm = NDArray[np.int16]


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    """A file with 12 pictures and 20000 samples of uncompressed sound."""
    return write_clip(tmp_path / "clip.mp4", SOUND, pictures=12).read_bytes()


@pytest.fixture
def compressed(tmp_path: Path) -> bytes:
    """The same with AAC sound."""
    return write_clip(tmp_path / "aac.mp4", SOUND, pictures=12, codec="aac").read_bytes()


def packets(data: bytes) -> list[tuple[Any, ...]]:
    """Returns times and payload of all packets of a file's video."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        return [
            (packet.pts * stream.time_base, packet.is_keyframe, bytes(packet))
            for packet in container.demux(stream)
            if packet.size
        ]


def streams(data: bytes) -> list[str]:
    with av.open(io.BytesIO(data)) as container:
        return [stream.type for stream in container.streams]


# --- sound -------------------------------------------------------------------------------------


def test_uncompressed_sound_comes_back_exactly(clip: bytes) -> None:
    audio = read_audio(clip, NAME, rate_hz=16000)
    assert audio.damaged == 0
    assert audio.pcm.dtype == np.int16
    assert np.array_equal(audio.pcm, SOUND)
    assert np.array_equal(read_whole_audio(clip, NAME, rate_hz=16000), SOUND)


def test_padding_at_the_end_of_compressed_sound_stays(compressed: bytes) -> None:
    audio = read_audio(compressed, NAME, rate_hz=16000)
    assert (len(audio.pcm), audio.damaged) == (20_480, 0)
    likeness = np.corrcoef(audio.pcm[:20_000], SOUND)[0, 1]
    assert likeness > 0.9


@pytest.mark.parametrize(("rate_hz", "samples"), [(8000, 10_000), (44_100, 55_125), (48_000, 60_000)])
def test_the_tail_of_the_resampler_is_there(clip: bytes, rate_hz: int, samples: int) -> None:
    assert abs(len(read_whole_audio(clip, NAME, rate_hz=rate_hz)) - samples) <= 1


def test_two_channels_become_one(tmp_path: Path) -> None:
    sound = np.stack([SOUND, np.zeros_like(SOUND)], axis=1)
    path = tmp_path / "stereo.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        container.mux(stream.encode(frame))
    pcm = read_whole_audio(path.read_bytes(), NAME, rate_hz=16000)
    assert np.abs(pcm - SOUND / 2).max() <= 1


@pytest.fixture
def golden_clips(repository: Path) -> Path:
    return repository / "tests/golden/avse/render"


GOLDEN = [
    ("trainval/spkB02/50001", 1),
    ("pretrain/spkX90/00001", 0),
    ("pretrain/spkA01/00002", 0),
]


@pytest.mark.parametrize(("name", "tolerance"), GOLDEN)
def test_sound_as_published(golden_clips: Path, name: str, tolerance: int) -> None:
    data = (golden_clips / f"LRS3/{name}.mp4").read_bytes()
    expected, _ = soundfile.read(golden_clips / f"targets/{name}.flac", dtype="int16")
    found = read_whole_audio(data, NAME, rate_hz=16000)
    assert len(found) == len(expected)
    assert np.abs(found.astype(int) - expected).max() <= tolerance


@pytest.mark.golden
def test_all_sound_as_published(shared_golden: Path) -> None:
    folder = shared_golden / "avse/inputs"
    for path in (folder / "targets_wav").rglob("*.wav"):
        name = path.relative_to(folder / "targets_wav").with_suffix(".mp4")
        expected, _ = soundfile.read(path, dtype="int16")
        found = read_whole_audio((folder / "LRS3" / name).read_bytes(), str(name), rate_hz=16000)
        assert len(found) == len(expected)
        different = found.astype(int) - expected
        assert np.abs(different).max() <= 1
        assert np.count_nonzero(different) <= 33


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("audio_delayed_500ms.mp4", 49_152),
        ("no_editlist.mp4", 49_152),
        ("ntsc2997_aac48k.mp4", 48_128),
        ("extra/audio_short.mp4", 30_720),
        ("extra/cut_copy_from_700ms.mp4", 24_640),
        ("extra/video_delayed_320ms.mp4", 48_128),
    ],
)
def test_time_stamps_place_nothing(shared_golden: Path, name: str, samples: int) -> None:
    data = (shared_golden / "video" / name).read_bytes()
    assert len(read_whole_audio(data, name, rate_hz=16000)) == samples


# --- silent video ------------------------------------------------------------------------------


def test_packets_are_copied_unchanged(compressed: bytes) -> None:
    copy = copy_silent(compressed, NAME)
    assert streams(compressed) == ["video", "audio"]
    assert streams(copy.data) == ["video"]
    assert packets(copy.data) == packets(compressed)
    assert len(packets(copy.data)) == 12
    assert copy.rate == Fraction(25)
    assert copy.times_s == pytest.approx([number / 25 for number in range(12)])
    assert copy.nbytes > len(copy.data)


def test_a_copy_has_the_same_bytes_every_time(clip: bytes) -> None:
    assert copy_silent(clip, NAME).data == copy_silent(clip, "another").data


def test_a_copy_says_nothing_of_who_made_it_when(clip: bytes) -> None:
    data = copy_silent(clip, NAME).data
    assert b"Lavf" not in data
    header = data.index(b"mvhd") + len("mvhd")
    assert struct.unpack_from(">III", data, header)[1:] == (0, 0), "creation and modification time"


def test_a_copy_of_a_copy_is_the_same(clip: bytes) -> None:
    once = copy_silent(clip, NAME)
    assert copy_silent(once.data, NAME) == once


def test_videos_as_published(golden_clips: Path) -> None:
    with (golden_clips / "expected_videos.csv").open(newline="") as file:
        rows = {row["scene"]: row for row in csv.DictReader(file)}
    targets = {"S00001": GOLDEN[0][0], "S90001": GOLDEN[1][0], "S90005": GOLDEN[2][0], "S90007": GOLDEN[2][0]}
    assert rows.keys() == targets.keys()
    for scene, row in rows.items():
        copy = copy_silent((golden_clips / f"LRS3/{targets[scene]}.mp4").read_bytes(), NAME)
        payloads = [payload for _, _, payload in packets(copy.data)]
        assert hashlib.sha256(b"".join(payloads)).hexdigest() == row["sha256"]
        assert str(len(payloads)) == row["packets"]
        first, last = (int(row[name]) * Fraction(row["time_base"]) for name in ("first_pts", "last_pts"))
        assert (copy.times_s[0], copy.times_s[-1]) == pytest.approx((float(first), float(last)))
        assert copy.rate == Fraction(row["rate"])


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "count", "first_s", "rate"),
    [
        ("extra/video_delayed_320ms.mp4", 75, 0.32, "25"),
        ("no_editlist.mp4", 75, 0.08, "25"),
        ("ntsc2997_aac48k.mp4", 90, 0.0, "30000/1001"),
        ("vfr_aac16k.mp4", 60, 0.0, "60000/3163"),
        ("extra/cut_copy_from_700ms.mp4", 39, 0.0, "25"),
    ],
)
def test_times_of_pictures(shared_golden: Path, name: str, count: int, first_s: float, rate: str) -> None:
    data = (shared_golden / "video" / name).read_bytes()
    copy = copy_silent(data, name)
    assert (len(copy.times_s), copy.times_s[0], copy.rate) == (count, first_s, Fraction(rate))
    assert list(copy.times_s) == sorted(set(copy.times_s))
    assert [payload for _, _, payload in packets(copy.data)] == [payload for _, _, payload in packets(data)]


# --- what cannot serve -------------------------------------------------------------------------

Read = Callable[[bytes, str], object]


def read_16k(data: bytes, name: str) -> object:
    return read_audio(data, name, rate_hz=16000)


@pytest.mark.parametrize("read", [read_16k, copy_silent])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"no video at all" * 40, "is no audio-visual file or is damaged (Invalid data found"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is no audio-visual file or is damaged"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "is no audio-visual file or is damaged"),
    ],
)
def test_what_is_no_container(read: Read, data: bytes, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(data, NAME)
    assert caught.value.source == NAME
    assert caught.value.reason.startswith(reason)
    assert caught.value.remedy == "fetch it again, or plan without it"


def test_a_file_without_sound_or_pictures(tmp_path: Path) -> None:
    mute = write_clip(tmp_path / "mute.mp4", None, pictures=3).read_bytes()
    with pytest.raises(SourceError, match="has no audio stream"):
        read_16k(mute, NAME)
    blind = write_clip(tmp_path / "blind.mp4", SOUND, pictures=0).read_bytes()
    with pytest.raises(SourceError, match="has no video stream"):
        copy_silent(blind, NAME)
    assert len(read_whole_audio(blind, NAME, rate_hz=16000)) == len(SOUND)


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("mjpeg", rate=25)
        cover.width = cover.height = 16
        cover.pix_fmt = "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(picture))
        frame = av.AudioFrame.from_ndarray(SOUND[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        container.mux([*sound.encode(frame), *sound.encode(None), *cover.encode(None)])
    data = path.read_bytes()
    assert streams(data).count("video") == 1
    with pytest.raises(SourceError, match="has no video stream"):
        copy_silent(data, NAME)


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_truncated_file_is_refused(clip: bytes, missing: int) -> None:
    wanted = f"is truncated: {missing} of {len(clip)} bytes are missing"
    assert truncation_of(clip[:-missing]) == wanted
    for read in (
        lambda data: read_whole_audio(data, NAME, rate_hz=16000),
        lambda data: copy_silent(data, NAME),
    ):
        with pytest.raises(SourceError, match=wanted):
            read(clip[:-missing])


@pytest.mark.golden
def test_what_can_be_decoded_of_a_truncated_file(shared_golden: Path) -> None:
    data = (shared_golden / "video/truncated_moov_first.mp4").read_bytes()
    audio = read_audio(data, NAME, rate_hz=16000)
    assert (len(audio.pcm), audio.damaged) == (24_576, 1)
    assert truncation_of(data) == "is truncated: 11411 of 28526 bytes are missing"


def test_damaged_sound_is_counted_and_refused(compressed: bytes) -> None:
    payload = bytearray(compressed)
    with av.open(io.BytesIO(compressed)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    start, size = places[len(places) // 2]
    payload[start : start + size] = b"\xff" * size
    audio = read_audio(bytes(payload), NAME, rate_hz=16000)
    assert audio.damaged >= 1
    assert 0 < len(audio.pcm) < 20_480
    with pytest.raises(SourceError, match=rf"damaged audio stream: {audio.damaged} of its packets"):
        read_whole_audio(bytes(payload), NAME, rate_hz=16000)


def test_sound_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    write_clip(path, SOUND[:0], pictures=2)
    with pytest.raises(
        SourceError, match=r"has (no audio stream|an audio stream without samples)|sampling rate"
    ):
        read_whole_audio(path.read_bytes(), NAME, rate_hz=16000)


@pytest.mark.parametrize("seed", range(40))
def test_mutated_files_end_in_samples_or_in_a_reason(compressed: bytes, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(compressed)
    for place in rng.integers(0, len(data), 1 + seed):
        data[place] = rng.integers(0, 256)
    if seed % 4 == 0:
        data = data[: rng.integers(1, len(data))]
    for read in (read_16k, copy_silent, lambda some, name: read_whole_audio(some, name, rate_hz=16000)):
        refused = outcome(read, bytes(data))
        assert refused is None or (refused.source == NAME and "\n" not in refused.reason)


def outcome(read: Read, data: bytes) -> SourceError | None:
    """Returns why a file was refused, if it was."""
    try:
        read(data, NAME)
    except SourceError as error:
        return error
    return None


# --- boxes -------------------------------------------------------------------------------------


def box(kind: bytes, content: bytes, *, size: int | None = None) -> bytes:
    return struct.pack(">I4s", 8 + len(content) if size is None else size, kind) + content


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (box(b"ftyp", b"isom") + box(b"mdat", b"12345"), None),
        (box(b"ftyp", b"isom") + box(b"mdat", b"123", size=0), None),
        (box(b"ftyp", b"isom") + box(b"mdat", b"1234", size=13), "is truncated: 1 of 25 bytes are missing"),
        (
            box(b"ftyp", b"isom") + box(b"mdat", struct.pack(">Q", 30) + b"x", size=1),
            "is truncated: 13 of 42 bytes are missing",
        ),
        (box(b"ftyp", b"isom") + box(b"mdat", struct.pack(">Q", 17) + b"x", size=1), None),
        (box(b"ftyp", b"isom") + b"trail", None),
        (box(b"ftyp", b"isom") + box(b"\0\0\0\0", b"", size=99), None),
        (box(b"ftyp", b"isom") + box(b"mdat", b"", size=3), None),
        (box(b"RIFF", b"isom", size=99), None),
        (b"", None),
    ],
)
def test_outermost_boxes(data: bytes, problem: str | None) -> None:
    assert truncation_of(data) == problem


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/b.mp4", True),
        ("A.MP4", True),
        ("a.mpg", True),
        ("a.wav", False),
        ("mp4", False),
        ("a.mp4.wav", False),
    ],
)
def test_names_of_containers(path: str, found: bool) -> None:
    assert is_container(path) is found


def test_without_pyav_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "av":
            raise ImportError("No module named 'av'")
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        library()
    (problem,) = caught.value.problems
    assert problem == (
        "reading video needs PyAV, which is not there (No module named 'av'); "
        "pip install '.[video]' in Mixtape's folder"
    )
