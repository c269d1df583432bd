"""Asteroid's readers of LibriMix, wsj0-mix and WHAM, on the views that are exported for it."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.consumers.conftest import Made, Make
from transforms.plan import Part, Variant

pytestmark = pytest.mark.consumers

TASKS = {
    "sep_clean": ("mix_clean", ("s1", "s2")),
    "sep_noisy": ("mix_both", ("s1", "s2")),
    "enh_both": ("mix_both", ("mix_clean",)),
    "enh_single": ("mix_single", ("s1",)),
}


@pytest.fixture(scope="module")
def data() -> Any:
    return importlib.import_module("asteroid.data")


def exported(made: Made, part: Part, variant: Variant, to: Path) -> str:
    made.export("asteroid", "--to", to)
    return str(to / part.corpus / variant.folder / variant.mode / part.subset)


def assert_rows(rows: Any, streams: tuple[str, ...], made: Made, part: Part, variant: Variant) -> None:
    """Compares mixture and sources of each row with the ledger, sample by sample."""
    item_ids = [item_id for item_id, _ in made.records(part, variant)]
    assert len(rows) == len(item_ids) >= 2
    for row, item_id in zip(range(len(rows)), item_ids, strict=True):
        mixture, sources = rows[row][:2]
        found = [mixture, *sources]
        assert len(found) == len(streams)
        for values, stream in zip(found, streams, strict=True):
            expected = made.pcm(part, stream, item_id, variant)
            np.testing.assert_array_equal(np.round(np.asarray(values) * 32768), expected)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("recipe", ["librimix", "mixtures"])
def test_librimix_takes_the_right_table(
    data: Any, make: Make, recipe: str, task: str, narrow: Variant, tmp_path: Path
) -> None:
    made = make(recipe)
    mix_type, references = TASKS[task]
    for part in made.parts:
        folder = exported(made, part, narrow, tmp_path)
        n_src = len(references)
        rows = data.LibriMix(folder, task=task, sample_rate=8000, n_src=n_src, segment=None)
        assert_rows(rows, (mix_type, *references), made, part, narrow)


def test_librimix_cuts_segments_and_splits_ids(data: Any, librimix: Made, tmp_path: Path) -> None:
    part, variant = librimix.parts[0], Variant(8000, "min")
    folder = exported(librimix, part, variant, tmp_path)
    rows = data.LibriMix(folder, task="sep_noisy", sample_rate=8000, segment=3, return_id=True)
    ids = [item_id for item_id, _ in librimix.records(part, variant)]
    assert len(rows) == len(ids)
    for row, item_id in zip(range(len(rows)), ids, strict=True):
        mixture, sources, parts = rows[row]
        assert "_".join(parts) == item_id
        assert mixture.shape == (24000,)
        assert sources.shape == (2, 24000)
        whole = librimix.pcm(part, "mix_both", item_id, variant)
        windows = np.lib.stride_tricks.sliding_window_view(whole, 24000)
        assert (windows == np.round(np.asarray(mixture) * 32768)).all(axis=1).any()


def test_wsj0mix(data: Any, make: Make, narrow: Variant, tmp_path: Path) -> None:
    made = make("wsj0mix")
    (part,) = made.parts
    folder = exported(made, part, narrow, tmp_path)
    rows = data.Wsj0mixDataset(folder, n_src=2, sample_rate=8000, segment=None)
    assert_rows(rows, ("mix", "s1", "s2"), made, part, narrow)
