"""Lengths of videos, lists and masker files, as functions and in small pipelines."""

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import soundfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from tests.clips import write_clip
from transforms.errors import SourceError
from transforms.lrs3_steps import (
    MaskerFile,
    MeasureVideos,
    VideoLength,
    WriteAvseLists,
    WriteMaskers,
    read_video_audio,
    write_lists,
    write_masker,
)
from transforms.storage import OutputTree

LENGTHS = {
    "pretrain/a/1.mp4": 9000,
    "trainval/a/2.mp4": 9100,
    "pretrain/m/1.mp4": 9200,
    "trainval/m/1.mp4": 9300,
}


def sound(path: str) -> Any:
    return np.random.default_rng(LENGTHS[path]).integers(-3000, 3000, LENGTHS[path], dtype=np.int16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("LRS3")
    for path in LENGTHS:
        write_clip(root / path, sound(path), pictures=2)
    write_clip(root / "pretrain/bad/1.mp4", None, pictures=2)
    return root


def pipeline(mode: list[str]) -> Any:
    return test_pipeline.TestPipeline(options=PipelineOptions(mode))


# --- lengths -----------------------------------------------------------------------------------


def test_the_sound_of_a_video(corpus: Path) -> None:
    for path in LENGTHS:
        assert np.array_equal(read_video_audio(str(corpus), path), sound(path))


def test_videos_that_cannot_serve(corpus: Path) -> None:
    with pytest.raises(SourceError, match="has no audio stream") as caught:
        read_video_audio(str(corpus), "pretrain/bad/1.mp4")
    assert caught.value.source == "lrs3:pretrain/bad/1.mp4"
    with pytest.raises(SourceError, match="no such file") as caught:
        read_video_audio(str(corpus), "pretrain/none/1.mp4")
    assert caught.value.remedy == "restore the file or leave it out"


def test_measuring(beam_mode: list[str], corpus: Path) -> None:
    with pipeline(beam_mode) as steps:
        paths = steps | beam.Create([*LENGTHS, "pretrain/bad/1.mp4"])
        found = paths | MeasureVideos(str(corpus))
        lengths = [VideoLength(path, length) for path, length in LENGTHS.items()]
        assert_that(found.lengths, equal_to(lengths), label="Lengths")
        items = found.rejects | beam.Map(lambda reject: (reject.item, reject.stage))
        assert_that(items, equal_to([("pretrain/bad/1.mp4", "read")]), label="Rejects")


# --- lists -------------------------------------------------------------------------------------


def lengths(**more: int) -> list[VideoLength]:
    return [VideoLength(path, length) for path, length in {**LENGTHS, **more}.items()]


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / name).read_bytes())
    return rows


def test_lists_by_given_durations(tmp_path: Path) -> None:
    durations = {"a": 541.0, "m": 400.0, "n": 401.0}
    made = write_lists(reversed(lengths()), out=str(tmp_path), durations=durations)
    assert read(tmp_path, "target_speech_list.json") == [
        {"wavfile": "pretrain/a/1", "speaker": "a", "dataset": "train", "nsamples": 9000, "fs": 16000},
        {"wavfile": "trainval/a/2", "speaker": "a", "dataset": "train", "nsamples": 9100, "fs": 16000},
    ]
    speakers = (tmp_path / "speakers.csv").read_text().splitlines()
    assert speakers[:2] == ["dursecs,speakers,amount,group,dataset", "541.0,a,long,target,train"]
    assert made.rejects == ()


def test_maskers_are_as_long_as_all_their_videos(tmp_path: Path) -> None:
    durations = {"a": 541.0, **dict.fromkeys("mnop", 400.0)}
    write_lists(lengths(), out=str(tmp_path), durations=durations)
    assert (tmp_path / "speakers.csv").read_text().splitlines()[2:] == ["400.0,m,mid,masker,train"]
    expected = {"speaker": "m", "dataset": "train", "nsamples": 18_500, "fs": 16000, "type": "speech"}
    assert read(tmp_path, "masker_speech_list.json") == [expected]


def test_durations_are_measured_where_none_are_given(tmp_path: Path) -> None:
    videos = [VideoLength(f"pretrain/a/{number}.mp4", 16000 * 100) for number in range(6)]
    write_lists([*videos, VideoLength("pretrain/b/1.mp4", 16000 * 100)], out=str(tmp_path), durations=None)
    rows = (tmp_path / "speakers.csv").read_text().splitlines()[1:]
    assert rows == ["600.0,a,long,target,train"]
    assert len(read(tmp_path, "target_speech_list.json")) == 6


def test_writing_lists(beam_mode: list[str], tmp_path: Path) -> None:
    with pipeline(beam_mode) as steps:
        written = steps | beam.Create(lengths()) | WriteAvseLists(str(tmp_path), {"a": 541.0, "gone": 600.0})
        names = ["target_speech_list.json", "masker_speech_list.json", "speakers.csv"]
        assert_that(written.names, equal_to(names), label="Names")
        items = written.rejects | beam.Map(lambda reject: reject.item)
        assert_that(items, equal_to(["gone"]), label="Rejects")
    assert {path.name for path in tmp_path.iterdir()} >= set(names)


def test_lists_of_nothing(tmp_path: Path) -> None:
    with pipeline(["--runner=FnApiRunner"]) as steps:
        none = steps | beam.Create([]).with_output_types(VideoLength)
        written = none | WriteAvseLists(str(tmp_path))
        assert_that(written.rejects, equal_to([]))
    assert read(tmp_path, "target_speech_list.json") == []


# --- maskers -----------------------------------------------------------------------------------

MASKER = MaskerFile("m", ("pretrain/m/1.mp4", "trainval/m/1.mp4"), 18_500)


def test_a_masker_is_all_videos_one_after_the_other(corpus: Path, tmp_path: Path) -> None:
    write_masker(MASKER, root=str(corpus), tree=OutputTree(str(tmp_path)))
    samples, rate_hz = soundfile.read(tmp_path / "m.wav", dtype="int16")
    assert rate_hz == 16000
    assert np.array_equal(samples, np.concatenate([sound(path) for path in MASKER.paths]))


def test_a_masker_of_another_length_is_refused(corpus: Path, tmp_path: Path) -> None:
    other = MaskerFile("m", MASKER.paths[:1], 18_500)
    with pytest.raises(SourceError) as caught:
        write_masker(other, root=str(corpus), tree=OutputTree(str(tmp_path)))
    assert caught.value.reason == "the 1 videos have 9200 samples, masker_speech_list.json says 18500"
    assert caught.value.source == "lrs3:*/m/*.mp4"
    assert not (tmp_path / "m.wav").exists()


def test_a_masker_with_a_damaged_video_is_refused(corpus: Path, tmp_path: Path) -> None:
    bad = MaskerFile("bad", ("pretrain/bad/1.mp4",), 1)
    with pytest.raises(SourceError, match="has no audio stream"):
        write_masker(bad, root=str(corpus), tree=OutputTree(str(tmp_path)))


def test_writing_maskers(beam_mode: list[str], corpus: Path, tmp_path: Path) -> None:
    with pipeline(beam_mode) as steps:
        work = steps | beam.Create([MASKER, MaskerFile("none", (), 5)])
        written = work | WriteMaskers(str(corpus), str(tmp_path))
        assert_that(written.names, equal_to(["m.wav"]), label="Names")
        items = written.rejects | beam.Map(lambda reject: (reject.item, reject.stage))
        assert_that(items, equal_to([("none", "masker")]), label="Rejects")
    assert soundfile.info(tmp_path / "m.wav").frames == 18_500
