"""What goes with a scene, and containers as sources: read once, checked like all others."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_clip
from transforms.attachments import typed_facts
from transforms.audio import SourceReader
from transforms.corpora.avse import to_mixture
from transforms.errors import SourceError
from transforms.plan import Source
from transforms.recipes import AVSE
from transforms.storage import MISSING
from transforms.video.containers import copy_silent
from transforms.video.scenes import silent_video

SOUND = (np.random.default_rng(3).uniform(-0.3, 0.3, 12_000) * 32767).astype(np.int16)
TARGET = Source("target", "lrs3", "pretrain/a/1.mp4")
SCENE = to_mixture("S00001", "pretrain/a/1", kind="noise", masker="n", offset_samples=0, snr_db=0.0)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_clip(tmp_path / TARGET.path, SOUND, pictures=8)


@pytest.fixture
def reader(video: Path, tmp_path: Path) -> SourceReader:
    return SourceReader({"lrs3": str(tmp_path)}, 16000)


# --- the silent video --------------------------------------------------------------------------


def test_a_scene_goes_with_its_silent_video(video: Path, reader: SourceReader) -> None:
    (attachment,), facts = silent_video(SCENE, reader)
    copy = copy_silent(video.read_bytes(), TARGET.name)
    assert attachment.pieces == (copy.data,)
    assert (attachment.type,) == AVSE.attachments
    assert facts == {"frame_count": 8, "frame_rate": "25", "frame_times_s": copy.times_s}
    own = {name: AVSE.facts[name] for name in facts}
    assert typed_facts(own, facts, item="S00001")["frame_times_s"][-1] == 0.28  # type: ignore[index]


def test_the_video_is_among_the_sources_of_the_ledger(reader: SourceReader) -> None:
    silent_video(SCENE, reader)
    assert reader.contents.keys() == {"lrs3:pretrain/a/1.mp4"}


def test_a_scene_without_its_video_is_refused(video: Path, reader: SourceReader) -> None:
    video.unlink()
    with pytest.raises(SourceError, match="no such file"):
        silent_video(SCENE, reader)
    assert reader.contents == {"lrs3:pretrain/a/1.mp4": MISSING}


# --- containers as sources ---------------------------------------------------------------------


def test_the_sound_of_a_video_is_a_source(reader: SourceReader) -> None:
    found = reader.read(TARGET)
    assert found.dtype == np.float32
    assert np.array_equal(found, SOUND.astype(np.float32) / 32768)


@pytest.mark.parametrize(
    ("offset", "length", "limit", "stop"),
    [
        (0, -1, -1, 12_000),
        (100, -1, -1, 12_000),
        (100, 50, -1, 150),
        (100, -1, 70, 170),
        (0, -1, 20_000, 12_000),
    ],
)
def test_a_part_of_it(reader: SourceReader, offset: int, length: int, limit: int, stop: int) -> None:
    source = dataclasses.replace(TARGET, offset_samples=offset, length_samples=length)
    expected = SOUND[offset:stop].astype(np.float32) / 32768
    assert np.array_equal(reader.read(source, limit), expected)


def test_another_rate_is_made_on_the_way(video: Path, tmp_path: Path) -> None:
    reader = SourceReader({"lrs3": str(tmp_path)}, 8000)
    samples, rate_hz = reader.read_with_rate(TARGET)
    assert (len(samples), rate_hz) == (6000, 8000)
    assert SourceReader({"lrs3": str(tmp_path)}, None).read_with_rate(TARGET)[1] == 16000


def test_a_file_is_decoded_once(video: Path, reader: SourceReader) -> None:
    first = reader.read(TARGET)
    copied = silent_video(SCENE, reader)
    video.write_bytes(b"something else")
    assert np.array_equal(reader.read(TARGET), first)
    assert silent_video(SCENE, reader) == copied
    with pytest.raises(SourceError, match="is no audio-visual file"):
        SourceReader(reader.roots, 16000).read(TARGET)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offset_samples": 12_000}, "has 12000 samples, the plan begins at 12000"),
        ({"offset_samples": 11_990, "length_samples": 20}, "is truncated: 10 of 20 samples can be read"),
    ],
)
def test_parts_that_are_not_there(reader: SourceReader, changes: dict[str, int], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        reader.read(dataclasses.replace(TARGET, **changes))


def test_silence_is_refused_unless_it_may_be(tmp_path: Path) -> None:
    write_clip(tmp_path / TARGET.path, np.zeros(9000, np.int16), pictures=2)
    roots = {"lrs3": str(tmp_path)}
    with pytest.raises(SourceError, match="is silent: every sample is zero"):
        SourceReader(roots, 16000).read(TARGET)
    assert not SourceReader(roots, 16000, silence=True).read(TARGET).any()


def test_a_truncated_video_is_refused(video: Path, reader: SourceReader) -> None:
    video.write_bytes(video.read_bytes()[:-7])
    with pytest.raises(SourceError, match=r"is truncated: 7 of \d+ bytes are missing"):
        reader.read(TARGET)
    with pytest.raises(SourceError, match=r"is truncated: 7 of \d+ bytes are missing"):
        silent_video(SCENE, reader)
