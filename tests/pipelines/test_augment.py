"""The augmentation job: complete, resumed, and with bad input."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline

from pipelines.augment import AugmentOptions, build

WriteWav = Callable[..., Path]

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="the program sox is not installed")


def run(options: AugmentOptions, flags: list[str] | None = None) -> dict[str, int]:
    """Runs the job and returns its counters."""
    with test_pipeline.TestPipeline(options=PipelineOptions(flags or ["--runner=FnApiRunner"])) as pipeline:
        build(pipeline, options)
    found = pipeline.result.metrics().query()["counters"]
    return {
        counter.key.metric.name: counter.committed
        for counter in found
        if counter.key.metric.namespace == "augment"
    }


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def corpus(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Two stereo training noises, one at any depth, and a noise of another folder."""
    random = np.random.default_rng(7)
    for name in ("tr/a_0.5.wav", "tr/deep/b.wav", "tt/c.wav"):
        write_wav(tmp_path / "wham" / name, random.uniform(-0.2, 0.2, (1200, 2)))
    return tmp_path / "wham"


COPIES = ["tr/a_0.5sp08.wav", "tr/a_0.5sp12.wav", "tr/deep/bsp08.wav", "tr/deep/bsp12.wav"]


@pytest.mark.parametrize("engine", [pytest.param("sox", marks=needs_sox), "soxr"])
def test_copies_stand_beside_the_training_noises(beam_mode: list[str], corpus: Path, engine: Any) -> None:
    before = tree(corpus)
    options = AugmentOptions(str(corpus), engine=engine)
    assert options.check() == []
    assert tree(corpus) == before
    assert run(options, beam_mode) == {"planned": 4, "written": 4, "rejected": 0}
    after = tree(corpus)
    assert sorted(set(after) - set(before)) == COPIES
    assert all(after[name] == before[name] for name in before)
    assert [len(after[name]) for name in COPIES] == [44 + 2 * 1500, 44 + 2 * 1000] * 2


def test_a_rerun_makes_only_what_is_missing(corpus: Path) -> None:
    options = AugmentOptions(str(corpus), engine="soxr")
    run(options)
    whole = tree(corpus)
    (corpus / COPIES[1]).unlink()
    (corpus / COPIES[2]).write_bytes(b"mine")
    assert run(options)["written"] == 1
    assert tree(corpus) == whole | {COPIES[2]: b"mine"}
    assert run(options) == {"rejected": 0}


def test_other_speeds_make_other_copies_of_originals_only(corpus: Path) -> None:
    run(AugmentOptions(str(corpus), engine="soxr"))
    assert run(AugmentOptions(str(corpus), (0.9,), "soxr"))["written"] == 2
    assert {"tr/a_0.5sp09.wav", "tr/deep/bsp09.wav"} < set(tree(corpus))
    assert run(AugmentOptions(str(corpus), (0.8, 0.9, 1.2), "soxr")) == {"rejected": 0}


def test_unusable_noises_are_rejected_until_they_are_mended(
    beam_mode: list[str], corpus: Path, write_wav: WriteWav
) -> None:
    (corpus / "tr" / "bad.wav").write_text("words")
    options = AugmentOptions(str(corpus), engine="soxr")
    assert run(options, beam_mode) == {"planned": 6, "written": 4, "rejected": 2}
    with (corpus / "_mixtape" / "rejects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == ["tr/badsp08.wav", "tr/badsp12.wav"]
    assert {row["source"] for row in rows} == {"wham:tr/bad.wav"}
    assert rows[0]["reason"].startswith("is not decodable audio")
    write_wav(corpus / "tr" / "bad.wav", np.full(120, 0.1))
    assert run(options, beam_mode)["written"] == 2
    assert not (corpus / "_mixtape").exists()


@pytest.mark.parametrize(
    ("speeds", "problem"),
    [
        ((0.8, 1.0), "--speeds 1: wanted 0.1 to 10, and not 1"),
        ((0.01,), "--speeds 0.01: wanted 0.1 to 10"),
        ((0.85,), "--speeds 0.85: wanted a multiple of 0.1"),
        ((0.8, 0.8), "--speeds 0.8 0.8: wanted one or more, each once"),
        ((), "--speeds (none): wanted one or more"),
    ],
)
def test_bad_speeds(corpus: Path, speeds: tuple[float, ...], problem: str) -> None:
    (found,) = AugmentOptions(str(corpus), speeds, "soxr").check()
    assert found.startswith(problem)


def test_all_problems_are_named_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problems = AugmentOptions(str(tmp_path / "none"), (1.0, 0.85)).check()
    assert [problem.partition(":")[0] for problem in problems] == [
        "--speeds 1", "--speeds 0.85", "--engine sox", str(tmp_path / "none"),
    ]  # fmt: skip


def test_an_unknown_engine(corpus: Path) -> None:
    engine: Any = "ffmpeg"
    assert AugmentOptions(str(corpus), engine=engine).check() == ["--engine ffmpeg: wanted sox or soxr"]


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ("train", "is not WHAM: looked for a folder cv or tr or tt, found train"),
        ("tt", "has no folder tr, whose noises are to be copied"),
        ("tr", "/tr: holds no audio; looked for .wav at any depth"),
    ],
)
def test_folders_that_are_not_wham(tmp_path: Path, folder: str, problem: str) -> None:
    (tmp_path / folder).mkdir()
    (found,) = AugmentOptions(str(tmp_path), engine="soxr").check()
    assert found.startswith(str(tmp_path))
    assert problem in found
