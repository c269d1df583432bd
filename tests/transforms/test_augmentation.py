"""Speed-changed copies: bits of SoX, lengths of both engines, what is pending, what is refused."""

import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import soundfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms import augmentation, storage
from transforms.augmentation import ChangeSpeed, Engine, ListPending, NoiseCopies
from transforms.errors import SourceError, StorageError, UsageError
from transforms.rejects import Reject

WriteWav = Callable[..., Path]

NOISE = "40na010x_0.5_01xo031a_-0.5.wav"

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="the program sox is not installed")
engines = pytest.mark.parametrize("engine", [pytest.param("sox", marks=needs_sox), "soxr"])


@pytest.fixture
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden" / "listings" / "noises"


def expected_hashes(manifest: Path) -> dict[str, str]:
    with manifest.open(newline="") as file:
        return {row["path"]: row["sha256_pcm"] for row in csv.DictReader(file)}


def pcm_hash(path: Path) -> str:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert (rate_hz, samples.ndim) == (16000, 1)
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()


def white(length: int, seed: int = 1) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, length)


@needs_sox
def test_copies_by_sox_have_the_published_bits(golden: Path, tmp_path: Path) -> None:
    (tmp_path / "tr").mkdir()
    shutil.copyfile(golden / NOISE, tmp_path / "tr" / NOISE)
    copies = NoiseCopies(f"tr/{NOISE}", (0.8, 1.2))
    made = list(augmentation.make_copies(str(tmp_path), copies, engine="sox"))
    expected = expected_hashes(golden / "expected_augmentation.csv")
    assert made == list(expected)
    assert {path: pcm_hash(tmp_path / path) for path in expected} == expected


@needs_sox
@pytest.mark.golden
def test_all_golden_copies_by_sox_have_the_published_bits(shared_golden: Path, tmp_path: Path) -> None:
    corpus = shared_golden / "librimix" / "corpus" / "wham_noise"
    expected = expected_hashes(shared_golden / "librimix" / "expected_augmentation.csv")
    shutil.copytree(corpus / "tr", tmp_path / "tr", copy_function=shutil.copyfile)
    for path in expected:
        (tmp_path / path).unlink()
    for copies in augmentation.list_pending(str(tmp_path), (0.8, 1.2)):
        assert all(
            isinstance(made, str) for made in augmentation.make_copies(str(tmp_path), copies, engine="sox")
        )
    assert {path: pcm_hash(tmp_path / path) for path in expected} == expected
    for path in expected:
        assert (tmp_path / path).read_bytes() == (corpus / path).read_bytes()


@needs_sox
@pytest.mark.parametrize("speed", [0.8, 1.2])
def test_the_library_is_as_near_to_sox_as_stated(golden: Path, speed: float) -> None:
    samples, _ = soundfile.read(golden / NOISE, always_2d=True)
    first = np.ascontiguousarray(samples[:, 0])
    by_sox, by_soxr = (
        augmentation.quantise_floor(augmentation.change_speed(first, speed, engine=engine)).astype(float)
        for engine in augmentation.ENGINES
    )
    difference = by_sox - by_soxr
    assert 0 < np.abs(difference).max() <= 3
    assert np.sqrt(np.mean(difference**2)) < 0.28


@engines
@pytest.mark.parametrize("length", [7, 999, 1000, 16001])
@pytest.mark.parametrize("speed", [0.1, 0.8, 1.2, 3.0, 10.0])
def test_lengths_are_rounded_half_up(engine: Engine, length: int, speed: float) -> None:
    changed = augmentation.change_speed(white(length), speed, engine=engine)
    assert len(changed) == int(np.floor(length / speed + 0.5))


@engines
def test_a_copy_without_samples_is_refused(engine: Engine) -> None:
    assert len(augmentation.change_speed(white(1), 2.0, engine=engine)) == 1
    with pytest.raises(ValueError, match="of 4 samples none are left at speed 10"):
        augmentation.change_speed(white(4), 10.0, engine=engine)


@settings(max_examples=50)
@given(length=st.integers(10, 5000), tenths=st.integers(1, 100).filter(lambda tenths: tenths != 10))
def test_lengths_of_the_library_are_exact(length: int, tenths: int) -> None:
    changed = augmentation.change_speed(white(length), tenths / 10, engine="soxr")
    assert changed.shape == (augmentation.output_length(length, tenths / 10),)


@engines
@pytest.mark.parametrize("speed", [0.8, 1.2])
def test_pitch_follows_the_speed(engine: Engine, tone: Any, speed: float) -> None:
    changed = augmentation.change_speed(tone(16000, 1000.0).astype(np.float64), speed, engine=engine)
    spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
    peak_hz = np.argmax(spectrum) * 16000 / len(changed)
    assert peak_hz == pytest.approx(1000 * speed, abs=2)


@pytest.mark.parametrize("speed", [0.1, 0.8, 1.2, 0.9, 1.1, 10.0])
def test_good_speeds(speed: float) -> None:
    assert augmentation.speed_problem(speed) is None


@pytest.mark.parametrize(
    ("speed", "problem"),
    [
        (1.0, "wanted 0.1 to 10, and not 1"),
        (0.0, "wanted 0.1 to 10, and not 1"),
        (-0.8, "wanted 0.1 to 10, and not 1"),
        (10.1, "wanted 0.1 to 10, and not 1"),
        (float("nan"), "wanted 0.1 to 10, and not 1"),
        (0.85, "wanted a multiple of 0.1"),
    ],
)
def test_bad_speeds(speed: float, problem: str) -> None:
    assert (augmentation.speed_problem(speed) or "").startswith(problem)


def test_a_missing_program_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = augmentation.engine_problem("sox") or ""
    assert problem.startswith("the program sox is not installed here; install it (apt-get install sox")
    assert "--engine soxr" in problem
    assert augmentation.engine_problem("soxr") is None
    with pytest.raises(UsageError, match="the program sox is not installed here"):
        augmentation.change_speed(white(10), 0.8, engine="sox")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no such effect >&2; exit 2", "SoX failed with status 2: no such effect"),
        ("cat > /dev/null; printf '01234567'", "SoX made 1 samples, wanted 13"),
    ],
)
def test_a_program_that_fails_rejects_the_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_wav: WriteWav, script: str, reason: str
) -> None:
    program = tmp_path / "bin" / "sox"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    write_wav(tmp_path / "tr" / "a.wav", white(10))
    (made,) = augmentation.make_copies(str(tmp_path), NoiseCopies("tr/a.wav", (0.8,)), engine="sox")
    assert isinstance(made, Reject)
    assert (made.item, made.source, made.stage, made.reason) == (
        "tr/asp08.wav", "wham:tr/a.wav", "speed", reason,
    )  # fmt: skip
    assert not (tmp_path / "tr" / "asp08.wav").exists()


def test_pending_copies() -> None:
    paths = [
        "tr/a.wav",
        "tr/asp08.wav",
        "tr/b.wav",
        "tr/bsp08.wav",
        "tr/bsp12.wav",
        "tr/c.wav",
        "tr/sp/d.wav",
    ]
    assert augmentation.pending_copies(paths, (0.8, 1.2)) == [
        NoiseCopies("tr/a.wav", (1.2,)),
        NoiseCopies("tr/c.wav", (0.8, 1.2)),
        NoiseCopies("tr/sp/d.wav", (0.8, 1.2)),
    ]


def test_copies_at_other_speeds_are_no_originals() -> None:
    paths = ["tr/a.wav", "tr/asp08.wav", "tr/asp11.wav", "tr/asp100.wav"]
    assert augmentation.pending_copies(paths, (1.1,)) == []
    assert augmentation.pending_copies(paths, (1.3,)) == [NoiseCopies("tr/a.wav", (1.3,))]


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_first_channel_is_read_as_doubles(tmp_path: Path, write_wav: WriteWav, channels: int) -> None:
    samples = np.arange(-3000, 3000, dtype=np.int16).reshape(-1, channels)
    write_wav(tmp_path / "a.wav", samples)
    read = augmentation.read_noise(str(tmp_path), "a.wav")
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, samples[:, 0] / 32768)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda whole: b"", r"the file is empty \(0 bytes\)"),
        (lambda whole: b"words" * 30, "is not decodable audio or is damaged"),
        (lambda whole: whole[:100], "is truncated: its header promises more samples"),
        (lambda whole: whole[:40] + bytes(4), "holds no samples"),
        (lambda whole: whole[:24] + b"\x40\x1f\0\0" + whole[28:], "has 8000 Hz, wanted 16000 Hz"),
        (None, "no such file or folder"),
    ],
)
def test_unusable_noises(tmp_path: Path, write_wav: WriteWav, make: Any, reason: str) -> None:
    whole = write_wav(tmp_path / "whole.wav", white(500)).read_bytes()
    if make is not None:
        (tmp_path / "a.wav").write_bytes(make(whole))
    with pytest.raises(SourceError, match=rf"wham:a\.wav: {reason}") as caught:
        augmentation.read_noise(str(tmp_path), "a.wav")
    assert caught.value.stage == "read"


def test_samples_beyond_full_scale_are_clipped(tmp_path: Path) -> None:
    tree = storage.OutputTree(str(tmp_path))
    augmentation.write_copy(tree, "a.wav", np.array([1.5, -1.5, 0.6 / 32768, -0.4 / 32768]))
    samples, rate_hz = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert (samples.tolist(), rate_hz) == ([32767, -32768, 0, -1], 16000)


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "tr").write_text("a file")
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        augmentation.write_copy(storage.OutputTree(str(tmp_path)), "tr/a.wav", white(5))


def test_the_steps_in_a_pipeline(beam_mode: list[str], tmp_path: Path, write_wav: WriteWav) -> None:
    write_wav(tmp_path / "tr" / "a.wav", white(600))
    write_wav(tmp_path / "tr" / "asp08.wav", white(750))
    write_wav(tmp_path / "cv" / "b.wav", white(600))
    (tmp_path / "tr" / "bad.wav").touch()
    with test_pipeline.TestPipeline(options=PipelineOptions(beam_mode)) as root:
        copies = root | ListPending(str(tmp_path), (0.8, 1.2))
        expected = [NoiseCopies("tr/a.wav", (1.2,)), NoiseCopies("tr/bad.wav", (0.8, 1.2))]
        assert_that(copies, equal_to(expected), label="Pending")
        made = copies | ChangeSpeed(str(tmp_path), "soxr")
        assert_that(made.written, equal_to(["tr/asp12.wav"]), label="Written")
        rejects = made.rejects | beam.Map(lambda reject: (reject.item, reject.source))
        pairs = [("tr/badsp08.wav", "wham:tr/bad.wav"), ("tr/badsp12.wav", "wham:tr/bad.wav")]
        assert_that(rejects, equal_to(pairs), label="Rejects")
    assert soundfile.info(tmp_path / "tr" / "asp12.wav").frames == 500


def test_noises_in_another_store(tmp_path: Path, write_wav: WriteWav) -> None:
    root = "memory://augmentation-test/wham"
    data = write_wav(tmp_path / "a.wav", white(600)).read_bytes()
    storage.OutputTree(root).write("tr/a.wav", data)
    (copies,) = augmentation.list_pending(root, (1.2,))
    assert list(augmentation.make_copies(root, copies, engine="soxr")) == ["tr/asp12.wav"]
    assert augmentation.list_pending(root, (1.2,)) == []
