"""Strips of frames for the report."""

import base64
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clips import write_clip
from tests.flashes import GOLDEN
from transforms.attachments import Attachment
from transforms.finishing import finish_part
from transforms.plan import Part, RenderOptions
from transforms.planning.aligned import AlignPlan, listed_files, probed, stems_of
from transforms.report import make_report
from transforms.report_strips import FRAMES, HEIGHT, strip_uri
from transforms.sharding import RenderJob, process_shard, store_plan
from transforms.video.aligned import ROOT, AlignOptions
from transforms.video.containers import SUFFIXES
from transforms.video.frames import jpeg, npy

_START = "data:image/jpeg;base64,"


def greys(count: int, height: int = 36, width: int = 48) -> list[np.ndarray]:
    return [np.full((height, width, 3), 2 * k, dtype=np.uint8) for k in range(count)]


def shown(uri: str) -> list[int]:
    """Returns the grey in the middle of each frame of a strip."""
    assert uri.startswith(_START)
    image = np.asarray(Image.open(BytesIO(base64.b64decode(uri.removeprefix(_START)))).convert("L"))
    assert image.shape[0] == HEIGHT
    width = image.shape[1] // FRAMES
    return [round(float(image[30:40, k * width + 30 : k * width + 60].mean()) / 2) for k in range(FRAMES)]


def as_files(pictures: Sequence[np.ndarray]) -> Attachment:
    return Attachment("frames", "jpg", tuple(map(jpeg, pictures)), numbered=True)


def as_array(pictures: Sequence[np.ndarray]) -> Attachment:
    return Attachment("frames", "npy", (npy(pictures),))


@pytest.mark.parametrize("form", [as_files, as_array])
def test_frames_are_spread_evenly(form) -> None:  # type: ignore[no-untyped-def]
    assert shown(strip_uri([form(greys(120))], 1.0)) == list(range(5, 120, 10))
    assert shown(strip_uri([form(greys(120))], 0.5)) == [2, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57]


def test_fewer_frames_than_places() -> None:
    assert shown(strip_uri([as_files(greys(3))], 1.0)) == [0] * 4 + [1] * 4 + [2] * 4


def test_video_files(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", None, pictures=30)
    uri = strip_uri([Attachment("video", "mp4", (path.read_bytes(),))], 1.0)
    image = Image.open(BytesIO(base64.b64decode(uri.removeprefix(_START))))
    assert image.size == (FRAMES * HEIGHT, HEIGHT)


def test_the_same_bytes_every_time() -> None:
    assert strip_uri([as_files(greys(50))], 1.0) == strip_uri([as_files(greys(50))], 1.0)


@pytest.mark.parametrize("attachments", [[], [Attachment("notes", "txt", (b"x",))], [as_files([])]])
def test_without_pictures(attachments: list[Attachment]) -> None:
    assert strip_uri(attachments, 1.0) == ""


def test_the_report_of_an_aligned_corpus(tmp_path: Path) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    for name in ("cfr25_pcm16k.mov", "audio_delayed_500ms.mp4", "ntsc2997_aac48k.mp4"):
        shutil.copy(GOLDEN / name, root)
    files = [probed(str(root), file) for file in listed_files(str(root), SUFFIXES, {})]
    align = AlignOptions()
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=(), formats=("wav",))
    job = RenderJob(str(tmp_path / "out"), "aligned", {ROOT: str(root)}, options, settings=align.settings)
    stems = stems_of(file.path for file in files)
    part = Part("aligned", "aligned", "all")
    plan = store_plan(job, part, AlignPlan(align, 30).mixtures(files, stems))
    for shard in plan.shards:
        process_shard(job, shard)
    summary = finish_part(job, part.name)
    histograms = summary.statistics.histograms
    assert sum(histograms["av_offset_ms file"].counts.values()) == len(files)
    assert histograms["av_offset_ms file"].counts == {0: 2, 43: 1}
    assert histograms["source_fps file"].counts == {25: 2, 29: 1}
    page = make_report(job, [summary])
    assert page.count(f'src="{_START}') == 9
    assert page.index('class="strip"') < page.index("Waveform and spectrogram of audio")
    for title in ("Offset of sound", "Pictures per second"):
        assert f"<h3>{title}</h3>" in page
