"""Looking at the files of a corpus on Beam."""

import shutil
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from tests.flashes import GOLDEN
from transforms.planning.aligned import read_probes
from transforms.planning.aligned_steps import ProbeVideos
from transforms.storage import OutputTree


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    (root / "deep").mkdir(parents=True)
    for name in ("cfr25_pcm16k.mov", "vfr_aac16k.mp4", "extra/no_audio.mp4"):
        shutil.copy(GOLDEN / name, root / "deep" / Path(name).name)
    (root / "broken.mp4").write_text("not a video")
    return root


def look(corpus: Path, out: Path, flags: list[str], *, anew: bool = False) -> dict[str, int]:
    """Runs the transform; returns its counters."""
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    pipeline | "ProbeVideos" >> ProbeVideos(str(corpus), str(out), anew=anew)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter())["counters"]
    return {counter.key.metric.name: counter.result for counter in counters}


def test_every_file_is_looked_at(corpus: Path, tmp_path: Path, beam_mode: list[str]) -> None:
    assert look(corpus, tmp_path / "out", beam_mode) == {"probed": 4}
    files = list(read_probes(OutputTree(str(tmp_path / "out")), str(corpus)))
    assert [(file.path, file.record is not None) for file in files] == [
        ("broken.mp4", False),
        ("deep/cfr25_pcm16k.mov", True),
        ("deep/no_audio.mp4", False),
        ("deep/vfr_aac16k.mp4", True),
    ]


def test_only_changed_files_are_looked_at_again(corpus: Path, tmp_path: Path) -> None:
    flags = ["--runner=FnApiRunner"]
    look(corpus, tmp_path / "out", flags)
    assert look(corpus, tmp_path / "out", flags) == {"kept": 4}
    (corpus / "broken.mp4").unlink()
    shutil.copy(GOLDEN / "ntsc2997_aac48k.mp4", corpus / "deep/vfr_aac16k.mp4")
    shutil.copy(GOLDEN / "ntsc2997_aac48k.mp4", corpus / "new.mp4")
    assert look(corpus, tmp_path / "out", flags) == {"kept": 2, "probed": 2}
    files = {file.path: file.record for file in read_probes(OutputTree(str(tmp_path / "out")), str(corpus))}
    assert list(files) == ["deep/cfr25_pcm16k.mov", "deep/no_audio.mp4", "deep/vfr_aac16k.mp4", "new.mp4"]
    assert files["new.mp4"] == files["deep/vfr_aac16k.mp4"]
    assert look(corpus, tmp_path / "out", flags, anew=True) == {"probed": 4}


def test_an_empty_corpus(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    assert look(tmp_path / "videos", tmp_path / "out", ["--runner=FnApiRunner"]) == {}
    assert not list(read_probes(OutputTree(str(tmp_path / "out")), str(tmp_path / "videos")))
