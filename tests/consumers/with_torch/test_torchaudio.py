"""torchaudio's LibriMix, in all its tasks."""

import importlib
from typing import Any

import numpy as np
import pytest

from tests.consumers.conftest import Made
from transforms.plan import Part, Variant

pytestmark = pytest.mark.consumers

TASKS = {
    "sep_clean": ("mix_clean", ("s1", "s2")),
    "sep_noisy": ("mix_both", ("s1", "s2")),
    "enh_both": ("mix_both", ("mix_clean",)),
    "enh_single": ("mix_single", ("s1", "s2")),
}


@pytest.fixture(scope="module")
def reader() -> Any:
    return importlib.import_module("torchaudio.datasets").LibriMix


@pytest.mark.parametrize("rate_hz", [8000, 16000])
@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("task", TASKS)
def test_librimix(reader: Any, librimix: Made, task: str, mode: Any, rate_hz: int) -> None:
    mix_type, references = TASKS[task]
    variant = Variant(rate_hz, mode)
    for part in librimix.parts:
        dataset = reader(
            librimix.out, subset=part.subset, num_speakers=2, sample_rate=rate_hz, task=task, mode=mode
        )
        ids = sorted(item_id for item_id, _ in librimix.records(part, variant))
        assert len(dataset) == len(ids) >= 2
        for (found_hz, mixture, sources), item_id in zip(dataset, ids, strict=True):
            assert found_hz == rate_hz
            assert_equal(mixture, librimix, part, mix_type, item_id, variant)
            assert len(sources) == len(references)
            for tensor, stream in zip(sources, references, strict=True):
                assert_equal(tensor, librimix, part, stream, item_id, variant)


def assert_equal(tensor: Any, made: Made, part: Part, stream: str, item_id: str, variant: Variant) -> None:
    values = np.asarray(tensor)
    assert values.shape[0] == 1
    np.testing.assert_array_equal(np.round(values[0] * 32768), made.pcm(part, stream, item_id, variant))
