"""Segments of video files: frames, sound and facts, whole, in pieces, counted, and damaged."""

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.flashes import GOLDEN, clicks, counter, is_flash, truth
from tests.transforms.video.test_decoding import damaged
from transforms import storage
from transforms.attachments import typed_facts
from transforms.audio import content_of
from transforms.errors import SourceError
from transforms.plan import Mixture, RenderOptions, Source
from transforms.storage import OutputTree
from transforms.video.aligned import FACTS, ROLE, ROOT, AlignOptions, Box
from transforms.video.alignment import FrameRange
from transforms.video.clip_record import probe
from transforms.video.clips import ClipReader, OpenClip, Segment, attach_frames
from transforms.video.containers import read_audio
from transforms.video.decoding import ClipFile

FPS_25 = Fraction(25)


def golden(name: str) -> Path:
    return next(GOLDEN.rglob(name))


def opened(place: str | bytes | Path, **options: Any) -> OpenClip:
    file = place if isinstance(place, bytes) else str(place)
    return OpenClip(ClipFile(f"{ROOT}:clip", file), AlignOptions(**options))


def whole(place: bytes | Path, **options: Any) -> Segment:
    """Decodes all that a file promises."""
    clip = opened(place, **options)
    (frames,) = AlignOptions(**options).ranges(clip.record, 0)
    return clip.segment(frames)


def lumas(segment: Segment) -> list[Any]:
    return [np.asarray(Image.open(BytesIO(file)).convert("L")) for file in segment.frames]


def numbers(segment: Segment) -> list[int]:
    return list(segment.facts["frame_sources"])  # type: ignore[arg-type]


UNIFORM = ("cfr25_pcm16k.mov", "audio_delayed_500ms.mp4", "no_editlist.mp4")
HOLD = [0, 0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
NEAREST = [0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]


@pytest.mark.parametrize("name", [*UNIFORM, "ntsc2997_aac48k.mp4", "vfr_aac16k.mp4"])
def test_frames_show_the_pictures_that_the_map_names(name: str) -> None:
    segment = whole(golden(name))
    assert [counter(luma) for luma in lumas(segment)] == numbers(segment)
    times = truth()[name].get("frame_times_ms")
    if times:
        shown = [times[number] / 1000 for number in numbers(segment)]
        assert segment.facts["frame_times_s"] == pytest.approx(shown)


@pytest.mark.parametrize(
    ("name", "click"),
    [("cfr25_pcm16k.mov", 7681), ("audio_delayed_500ms.mp4", 15681), ("no_editlist.mp4", 8961)],
)
def test_sound_belongs_to_the_frames(name: str, click: int) -> None:
    segment = whole(golden(name))
    assert clicks(segment.samples, 16000)[0] == click
    assert len(segment.samples) == 640 * len(segment.frames)
    flash = [is_flash(luma) for luma in lumas(segment)].index(True)
    offset = truth()[name]["true_av_offset_s"]
    assert click - 640 * flash == pytest.approx(offset * 16000 + 1)


@pytest.mark.parametrize(("rule", "members"), [("hold", HOLD), ("nearest", NEAREST)])
def test_a_variable_rate(rule: str, members: list[int]) -> None:
    segment = whole(golden("vfr_aac16k.mp4"), rule=rule)
    assert numbers(segment)[:20] == members
    repeated = len(numbers(segment)) - len(set(numbers(segment)))
    assert segment.facts["frames_repeated"] == repeated
    assert segment.facts["pictures_dropped"] == 60 - len(set(numbers(segment)))


def test_late_pictures_are_shown_from_the_beginning() -> None:
    segment = whole(golden("video_delayed_320ms.mp4"))
    assert numbers(segment)[:10] == [0] * 9 + [1]
    assert "late_pictures" in str(segment.facts["flags"])


def test_facts_are_those_that_are_declared() -> None:
    facts = whole(golden("cfr25_pcm16k.mov")).facts
    typed = typed_facts(FACTS, facts, item="x")
    assert {name: typed[name] for name in typed if not isinstance(typed[name], list)} == {
        "fps": "25",
        "frame_start": 0,
        "frame_count": 75,
        "sample_start": 0,
        "width": 96,
        "height": 96,
        "rotation_degrees": 0,
        "source_fps": "25",
        "variable_rate": False,
        "clock_zero_s": 0.0,
        "av_start_offset_s": 0.0,
        "duration_difference_s": 0.0,
        "pictures_promised": 75,
        "pictures_found": 75,
        "pictures_decoded": 75,
        "pictures_dropped": 0,
        "frames_repeated": 0,
        "packets_lost": 0,
        "gap_samples": 0,
        "overlap_samples": 0,
        "flags": "",
    }


@pytest.mark.parametrize(
    "name", ["ntsc2997_aac48k.mp4", "vfr_aac16k.mp4", "no_editlist.mp4", "audio_short.mp4"]
)
@pytest.mark.parametrize("fps", [FPS_25, Fraction(30000, 1001)])
def test_segments_are_pieces_of_the_whole(name: str, fps: Fraction) -> None:
    together = whole(golden(name), fps=fps)
    options, clip = AlignOptions(fps=fps), opened(golden(name), fps=fps)
    pieces = [clip.segment(frames) for frames in options.ranges(clip.record, 17)]
    assert np.array_equal(np.concatenate([piece.samples for piece in pieces]), together.samples)
    assert sum((piece.frames for piece in pieces), ()) == together.frames
    for count in ("pictures_decoded", "gap_samples", "overlap_samples", "pictures_dropped", "frame_count"):
        assert sum(piece.facts[count] for piece in pieces) == together.facts[count]  # type: ignore[misc]


@pytest.mark.parametrize("name", ["ntsc2997_aac48k.mp4", "vfr_aac16k.mp4", "truncated_moov_first.mp4"])
def test_a_segment_does_not_depend_on_those_before_it(name: str) -> None:
    options, clip = AlignOptions(), opened(golden(name))
    for frames in options.ranges(clip.record, 10):
        in_order, alone = clip.segment(frames), opened(golden(name)).segment(frames)
        assert np.array_equal(in_order.samples, alone.samples)
        assert (in_order.frames, in_order.facts) == (alone.frames, alone.facts)


def test_arrays_in_place_of_files() -> None:
    segment = whole(golden("cfr25_pcm16k.mov"), frames="npy", crop=Box(96, 48), size=Box(24, 12))
    (file,) = segment.frames
    assert np.load(BytesIO(file)).shape == (75, 12, 24, 3)
    assert (segment.facts["width"], segment.facts["height"]) == (24, 12)


def test_a_crop_outside_the_pictures() -> None:
    with pytest.raises(
        SourceError, match=r"the crop 97x10 is not inside its pictures of 96x96.*another --crop"
    ):
        whole(golden("cfr25_pcm16k.mov"), crop=Box(97, 10))


# Counting in place of timestamps.


def test_counting_gives_the_same_for_clean_files_at_25() -> None:
    by_time, counted = (whole(golden("cfr25_pcm16k.mov"), timestamps=one) for one in (True, False))
    assert np.array_equal(by_time.samples, counted.samples)
    assert by_time.frames == counted.frames
    assert by_time.facts == counted.facts


def test_counting_is_what_ffmpeg_extracts_and_pictures_by_number() -> None:
    path = golden("audio_delayed_500ms.mp4")
    segment = whole(path, timestamps=False)
    pcm = read_audio(path.read_bytes(), "x", rate_hz=16000).pcm
    assert np.array_equal(segment.samples * 32768, pcm[:48000])
    assert clicks(segment.samples, 16000)[0] == 8705
    assert numbers(segment) == list(range(75))


def test_counting_ignores_a_variable_rate() -> None:
    segment = whole(golden("vfr_aac16k.mp4"), timestamps=False)
    assert numbers(segment) == list(range(60))
    assert segment.facts["frame_times_s"] == [pytest.approx(k / 25) for k in range(60)]


# Damage.


def test_a_truncated_file() -> None:
    segment = whole(golden("truncated_moov_first.mp4"))
    assert (len(segment.frames), segment.facts["pictures_decoded"]) == (38, 41)
    assert (segment.facts["packets_lost"], segment.facts["flags"]) == (1, "truncated damaged")
    assert segment.facts["pictures_promised"] == 75


def test_a_padded_tail() -> None:
    segment = whole(golden("audio_short.mp4"), tail="pad")
    assert len(segment.samples) == 48000
    assert not segment.samples[30720:].any()
    assert segment.facts["flags"] == ""


def hurt(stream: str, number: int, name: str = "cfr25_pcm16k.mov") -> bytes:
    return damaged(golden(name), stream=stream, number=number)


def test_a_lost_picture_rejects_its_segment_and_no_other() -> None:
    clip = opened(hurt("video", 40))
    assert clip.segment(FrameRange(0, 30)).facts["flags"] == ""
    with pytest.raises(
        SourceError,
        match=r"video:clip: is damaged: 11 of 20 frames cannot be made \(1 packets of pictures and 0 of "
        r"sound cannot be decoded so far\) \(while: decode\); .*--damaged prefix",
    ):
        clip.segment(FrameRange(30, 50))
    with pytest.raises(SourceError, match="14 of 14 frames"):
        clip.segment(FrameRange(50, 64))
    after = clip.segment(FrameRange(64, 75))
    assert [counter(luma) for luma in lumas(after)] == list(range(64, 75))
    assert after.facts["flags"] == "damaged"


def test_a_prefix_is_kept_where_that_is_wanted() -> None:
    clip = opened(hurt("video", 40), damaged="prefix")
    segment = clip.segment(FrameRange(30, 50))
    assert (numbers(segment), len(segment.samples)) == (list(range(30, 39)), 9 * 640)
    assert (segment.facts["frame_count"], segment.facts["flags"]) == (9, "damaged cut")
    with pytest.raises(SourceError, match="14 of 14 frames cannot be made"):
        clip.segment(FrameRange(50, 64))


def test_lost_sound() -> None:
    data = hurt("audio", 60, "ntsc2997_aac48k.mp4")
    with pytest.raises(SourceError, match="0 packets of pictures and 1 of sound"):
        whole(data)
    segment = whole(data, damaged="prefix")
    assert len(segment.frames) == int(59 * 1024 / 48000 * 25)
    undamaged = whole(golden("ntsc2997_aac48k.mp4"))
    assert np.array_equal(segment.samples[:-640], undamaged.samples[: len(segment.samples) - 640])
    assert segment.frames == undamaged.frames[: len(segment.frames)]


def test_a_file_that_holds_less_than_when_it_was_planned() -> None:
    with pytest.raises(SourceError, match="25 of 100 frames cannot be made"):
        opened(golden("cfr25_pcm16k.mov")).segment(FrameRange(0, 100))
    with pytest.raises(SourceError, match="20 of 20 frames cannot be made"):
        opened(golden("cfr25_pcm16k.mov"), damaged="prefix").segment(FrameRange(80, 100))


def test_sound_of_which_nothing_can_be_decoded() -> None:
    blank = bytearray(golden("ntsc2997_aac48k.mp4").read_bytes())
    with av.open(str(golden("ntsc2997_aac48k.mp4"))) as container:
        for packet in container.demux(container.streams.audio[0]):
            if packet.size:
                blank[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    with pytest.raises(SourceError, match="none of its sound can be decoded"):
        opened(bytes(blank))


@pytest.mark.parametrize(("fps", "promised", "kept"), [(25, 22, 22), (100, 91, 90), (500, 457, 450)])
def test_padding_of_the_last_packet_is_no_damage(fps: int, promised: int, kept: int) -> None:
    """The packets of this clip last 0.914 s; 0.9 s of sound come out, and nothing is lost."""
    clip = opened(golden("opus_padding.webm"), fps=Fraction(fps))
    (frames,) = AlignOptions(fps=Fraction(fps)).ranges(clip.record, 0)
    segment = clip.segment(frames)
    assert (frames.stop, len(segment.frames), len(segment.samples)) == (promised, kept, kept * 16000 // fps)
    assert segment.facts["packets_lost"] == 0
    assert ("cut" in str(segment.facts["flags"]).split()) == (kept < promised)


def test_a_padded_tail_is_whole_whatever_the_last_packet_held() -> None:
    segment = whole(golden("opus_padding.webm"), tail="pad", fps=Fraction(500))
    assert len(segment.samples) == 504 * 32
    assert not segment.samples[14400 + 16 :].any()
    assert "cut" not in str(segment.facts["flags"])


# The reader of a shard.


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("cfr25_pcm16k.mov", "ntsc2997_aac48k.mp4"):
        (tmp_path / name).write_bytes(golden(name).read_bytes())
    return tmp_path


def source(path: str, first: int, frames: int) -> Source:
    return Source(ROLE, ROOT, path, offset_samples=640 * first, length_samples=640 * frames)


def reader(corpus: Path | str, **options: Any) -> ClipReader:
    return ClipReader({ROOT: str(corpus)}, 16000, align=AlignOptions(**options))


def test_sources_are_ranges_of_samples(corpus: Path) -> None:
    clips = reader(corpus)
    segment = clips.segment(source("cfr25_pcm16k.mov", 30, 20))
    assert numbers(segment) == list(range(30, 50))
    assert np.array_equal(clips.read(source("cfr25_pcm16k.mov", 30, 20)), segment.samples)
    assert len(clips.read(source("cfr25_pcm16k.mov", 30, 20), 100)) == 100


def test_rates_that_fit_no_whole_samples(corpus: Path) -> None:
    fps = Fraction(30000, 1001)
    clips = reader(corpus, fps=fps)
    for frames in (FrameRange(0, 10), FrameRange(10, 25), FrameRange(25, 26)):
        first, count = frames.samples(fps, 16000)
        asked = Source(ROLE, ROOT, "ntsc2997_aac48k.mp4", offset_samples=first, length_samples=count)
        segment = clips.segment(asked)
        assert numbers(segment) == list(range(frames.start, frames.stop))
        assert len(segment.samples) == count


def test_a_file_is_opened_once_for_segments_in_order(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened_files: list[str] = []
    original = OpenClip.__init__

    def note(self: OpenClip, file: ClipFile, options: AlignOptions) -> None:
        opened_files.append(file.name)
        original(self, file, options)

    monkeypatch.setattr(OpenClip, "__init__", note)
    clips = reader(corpus)
    for name in ("cfr25_pcm16k.mov", "ntsc2997_aac48k.mp4"):
        for first in (0, 20, 40):
            clips.read(source(name, first, 20))
            clips.segment(source(name, first, 20))
    assert opened_files == [f"{ROOT}:cfr25_pcm16k.mov", f"{ROOT}:ntsc2997_aac48k.mp4"]
    clips.read(source("ntsc2997_aac48k.mp4", 20, 20))
    assert len(opened_files) == 3


def test_what_was_read_is_remembered(corpus: Path) -> None:
    clips = reader(corpus)
    clips.read(source("cfr25_pcm16k.mov", 0, 10))
    name, path = f"{ROOT}:cfr25_pcm16k.mov", corpus / "cfr25_pcm16k.mov"
    assert clips.contents == {name: content_of(path.read_bytes())}
    assert clips.stamps == {name: storage.stamp(str(path))}
    assert clips.content(name) == content_of(path.read_bytes())
    assert clips.content(f"{ROOT}:missing.mp4") == storage.MISSING


def test_a_missing_file(corpus: Path) -> None:
    clips = reader(corpus)
    with pytest.raises(SourceError, match=r"video:gone\.mp4: no such file or folder.*while: read"):
        clips.read(source("gone.mp4", 0, 10))
    assert clips.contents == {f"{ROOT}:gone.mp4": storage.MISSING}


def test_files_of_another_store() -> None:
    name = "cfr25_pcm16k.mov"
    OutputTree("memory://clips").write(name, golden(name).read_bytes())
    clips = reader("memory://clips")
    assert np.array_equal(clips.read(source(name, 0, 75)), whole(golden(name)).samples)
    assert clips.contents == {f"{ROOT}:{name}": content_of(golden(name).read_bytes())}
    assert clips.content(f"{ROOT}:{name}") == content_of(golden(name).read_bytes())


def test_attachments_of_a_segment(corpus: Path) -> None:
    mixture = Mixture("a", (source("cfr25_pcm16k.mov", 0, 10),))
    (frames,), facts = attach_frames(mixture, reader(corpus), RenderOptions())
    assert (frames.name, frames.extension, frames.numbered, len(frames.pieces)) == ("frames", "jpg", True, 10)
    assert facts["frame_count"] == 10
    (frames,), _ = attach_frames(mixture, reader(corpus, frames="npy"), RenderOptions())
    assert (frames.type, len(frames.pieces)) == (AlignOptions(frames="npy").attachment, 1)


@pytest.mark.golden
def test_real_recordings_of_program_streams(shared_golden: Path) -> None:
    folder = shared_golden.parent / "data" / "real" / "av"
    if not folder.is_dir():
        pytest.skip(f"the real recordings are not there (looked for {folder})")
    for path in sorted(folder.glob("*.mpg")):
        segment = whole(path)
        assert (segment.facts["frame_count"], segment.facts["packets_lost"], segment.facts["flags"]) == (
            74,
            0,
            "",
        )
        assert numbers(segment) == list(range(74))
        assert abs(probe(ClipFile("x", str(path))).av_start_offset) < Fraction(2, 100)
        assert np.abs(segment.samples).max() > 0.05
