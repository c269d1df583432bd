"""Resampling is scipy's polyphase filter with its defaults, in the type of the samples."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import firwin, resample_poly

from tests.conftest import REPOSITORY
from transforms.resampling import _low_pass, resample


def noise(samples: int, dtype: Any = np.float32) -> np.ndarray[Any, Any]:
    return np.random.default_rng(samples).uniform(-1, 1, samples).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(16000, 8000), (8000, 16000), (16000, 11025), (44100, 16000), (41013, 16000)]
)
def test_the_type_is_kept_and_samples_are_scipys(dtype: Any, from_hz: int, to_hz: int) -> None:
    samples = noise(4001, dtype)
    resampled = resample(samples, from_hz, to_hz)
    assert resampled.dtype == dtype
    assert np.array_equal(resampled, resample_poly(samples, to_hz, from_hz))
    assert np.array_equal(resampled, resample(samples, from_hz, to_hz)), "the filter is kept as it was"


def test_equal_rates_give_the_very_same_array() -> None:
    samples = noise(10)
    assert resample(samples, 16000, 16000) is samples


@given(st.integers(1, 3000), st.sampled_from([8000, 11025, 22050, 48000]))
def test_length_is_rounded_up(count: int, to_hz: int) -> None:
    assert len(resample(noise(count), 16000, to_hz)) == -(-count * to_hz // 16000)


@pytest.mark.parametrize("count", [1, 2, 3, 40, 41, 1000])
def test_halving_is_a_41_tap_kaiser_filter(count: int) -> None:
    """The slow obvious version: filter, then take every second sample."""
    samples = noise(count, np.float64)
    taps = firwin(41, 0.5, window=("kaiser", 5.0))
    slow = np.convolve(samples, taps)[20 : 20 + count : 2]
    assert np.allclose(resample(samples, 16000, 8000), slow, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ratio", [2, 3, 5, 6, 147, 160, 441])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_filter_has_the_bits_of_scipys_design(ratio: int, dtype: str) -> None:
    wanted = firwin(20 * ratio + 1, 1 / ratio, window=("kaiser", 5.0)).astype(dtype)
    assert _low_pass(ratio, dtype).tobytes() == wanted.tobytes()


def test_halving_imports_no_filter_design() -> None:
    code = (
        "import sys, numpy\n"
        "from transforms.resampling import resample\n"
        "resample(numpy.ones(100, 'f'), 16000, 8000)\n"
        "sys.exit('scipy.signal' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0
