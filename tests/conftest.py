"""Fixtures shared by all tests: golden data, local running modes, and tiny corpora on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from transforms.corpora import synthetic
from transforms.storage import OutputTree

REPOSITORY = Path(__file__).resolve().parents[1]

WriteWav = Callable[..., Path]


@dataclass(frozen=True)
class TinyCorpora:
    """Roots of two small generated corpora; tests must not write into them.

    Attributes:
        librispeech: train-clean-100, dev-clean and test-clean, 4 readers with 2 utterances each.
        wham: tr, cv and tt with 6 noises each.
    """

    librispeech: Path
    wham: Path


def _mode(name: str, workers: int) -> Any:
    flags = ["--runner=FnApiRunner", f"--direct_running_mode={name}", f"--direct_num_workers={workers}"]
    return pytest.param(flags, id=name)


@pytest.fixture(params=[_mode("in_memory", 1), _mode("multi_threading", 2), _mode("multi_processing", 2)])
def beam_mode(request: pytest.FixtureRequest) -> list[str]:
    """Pipeline flags of one local running mode; a test that takes it runs in all three."""
    flags: list[str] = request.param
    return flags


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """Folder of the full golden data, for tests marked ``golden``; skips where it is absent."""
    folder = REPOSITORY.parent / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip(f"the full golden data are not there (looked for {folder})")
    return folder


@pytest.fixture
def write_wav() -> WriteWav:
    """Returns ``write_wav(path, samples, rate_hz=16000)``: writes a 16-bit file, makes its folders.

    The samples have shape (n,) or (n, channels): int16, or floats in -1..1. The suffix of the path
    chooses the container (``.wav`` or ``.flac``). The path is returned.
    """

    def write(path: Path, samples: NDArray[Any], rate_hz: int = 16000) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate_hz, subtype="PCM_16")
        return path

    return write


@pytest.fixture
def tone() -> Callable[..., NDArray[np.float32]]:
    """Returns ``tone(samples, frequency_hz=440.0, amplitude=0.1)`` at 16 kHz, shape (samples,)."""

    def make(samples: int, frequency_hz: float = 440.0, amplitude: float = 0.1) -> NDArray[np.float32]:
        phase = 2 * np.pi * frequency_hz / 16000 * np.arange(samples)
        return np.asarray(amplitude * np.sin(phase), dtype=np.float32)

    return make


@pytest.fixture(scope="session")
def tiny_corpora(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpora:
    """Generated LibriSpeech-like and WHAM-like corpora, made once per test process."""
    root = tmp_path_factory.mktemp("corpora")
    corpora = TinyCorpora(root / "LibriSpeech", root / "wham")
    synthetic.make_librispeech(
        OutputTree(str(corpora.librispeech)),
        subsets=("train-clean-100", "dev-clean", "test-clean"),
        readers_per_subset=4,
        utterances_per_reader=2,
        seconds=(3.1, 4.0),
        seed=1,
    )
    synthetic.make_wham(OutputTree(str(corpora.wham)), noises_per_subset=6, seconds=(3.1, 5.0), seed=1)
    return corpora
