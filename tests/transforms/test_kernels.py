"""Compiled loops against the slow versions that they stand for, to the last bit."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import firwin, lfilter, resample_poly

from transforms import kernels

TYPES = st.sampled_from([np.float32, np.float64])


def drawn(count: int, dtype: Any, seed: int = 0) -> NDArray[Any]:
    """Noise with silence, single steps of 16 bit and full scale in it."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-1, 1, count) * rng.choice([0, 2.0**-15, 1e-4, 1.0], count)
    return samples.astype(dtype)


@given(count=st.integers(1, 9000), factor=st.integers(2, 6), dtype=TYPES, seed=st.integers(0, 99))
def test_decimation_has_the_bits_of_scipys_filter(count: int, factor: int, dtype: Any, seed: int) -> None:
    samples = drawn(count, dtype, seed)
    taps = firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0)).astype(dtype)
    out = np.full(-(-count // factor), np.nan, dtype)
    kernels.decimate(samples, taps, factor, out)
    wanted = resample_poly(samples, 1, factor, window=taps)
    assert out.tobytes() == (wanted + dtype(0)).tobytes()


@given(count=st.integers(0, 2000), first=TYPES, second=TYPES, seed=st.integers(0, 99))
def test_an_inner_product_is_the_exact_one_to_the_last_digits(
    count: int, first: Any, second: Any, seed: int
) -> None:
    a, b = drawn(count, first, seed), drawn(count, second, seed + 1)
    exact = math.fsum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    size = math.fsum(abs(float(x) * float(y)) for x, y in zip(a, b, strict=True))
    assert kernels.inner_product(a, b) == pytest.approx(exact, rel=0, abs=1e-14 * size)


def test_an_inner_product_adds_up_in_a_fixed_order() -> None:
    a, b = drawn(1000, np.float32, 1), drawn(1000, np.float32, 2)
    lanes = [0.0] * 256
    for i in range(768):
        lanes[i % 256] += float(a[i]) * float(b[i])
    total = 0.0
    for lane in lanes:
        total += lane
    for i in range(768, 1000):
        total += float(a[i]) * float(b[i])
    assert kernels.inner_product(a, b) == total


@pytest.mark.parametrize(
    ("kernel", "slow"),
    [
        (kernels.floor_to_16_bit, lambda x: math.floor(round(x * 2**31) / 2**16)),
        (kernels.round_to_16_bit, lambda x: round(x * 2**15)),
        (kernels.truncate_to_16_bit, lambda x: math.trunc(x * 32767)),
    ],
    ids=["floor", "round", "truncate"],
)
@given(values=st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=40))
def test_sixteen_bit_rounding_is_that_of_whole_numbers(
    kernel: Callable[..., None], slow: Callable[[float], int], values: list[float]
) -> None:
    for dtype in (np.float32, np.float64):
        out = np.zeros(len(values), np.int16)
        kernel(np.array(values, dtype), out)
        if kernel is kernels.truncate_to_16_bit and dtype is np.float32:
            wanted = [math.trunc(float(np.float32(value) * np.float32(32767))) for value in values]
        else:
            wanted = [slow(value) for value in values]
        assert out.tolist() == [min(max(value, -32768), 32767) for value in wanted]


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e30, -1e30])
def test_what_is_beyond_sixteen_bit_is_limited(value: float) -> None:
    for kernel in (kernels.floor_to_16_bit, kernels.round_to_16_bit, kernels.truncate_to_16_bit):
        out = np.zeros(1, np.int16)
        kernel(np.array([value], np.float32), out)
        assert out.tolist() == [32767 if value > 0 else -32768]


COEFFICIENTS = (np.array([1.4, -1.8, 0.7, -1.1, 0.4]), np.array([0.985, -1.970, 0.985, -1.9703, 0.9706]))


@given(
    lengths=st.lists(st.integers(1, 6000), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_signals_side_by_side_are_filtered_as_each_alone(lengths: list[int], seed: int) -> None:
    together = np.zeros((max(lengths), len(lengths)), np.float32)
    for column, length in enumerate(lengths):
        together[:length, column] = drawn(length, np.float32, seed + column)
    out = np.empty(together.shape[::-1], np.float32)
    stops = np.full((2, len(lengths)), len(together))
    kernels.weigh(together, stops, *COEFFICIENTS, out)
    for column in range(len(lengths)):
        wanted = together[:, column]
        for b0, b1, b2, a1, a2 in COEFFICIENTS:
            wanted = lfilter((b0, b1, b2), (1, a1, a2), wanted.astype(np.float64)).astype(np.float32)
        assert np.array_equal(out[column], wanted)


def test_tails_end_with_their_block() -> None:
    together = np.zeros((3 * 2048, 1), np.float32)
    together[0] = 1
    stops = np.array([[10], [3000]])
    out = np.empty((1, len(together)), np.float32)
    kernels.weigh(together, stops, *COEFFICIENTS, out)
    wanted = together[:, 0].astype(np.float64)
    wanted[:2048] = lfilter(COEFFICIENTS[0][:3], (1, *COEFFICIENTS[0][3:]), wanted[:2048]).astype(np.float32)
    wanted = lfilter(COEFFICIENTS[1][:3], (1, *COEFFICIENTS[1][3:]), wanted)
    assert np.array_equal(out[0, :4096], wanted[:4096].astype(np.float32))
    assert not out[0, 4096:].any(), "the state of both filters is zero by then"


def test_kernels_work_where_nothing_can_be_kept_on_disk(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from transforms import kernels\n"
        "assert kernels.inner_product(np.ones(3), np.ones(3)) == 3\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(kernels.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
