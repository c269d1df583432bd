"""SpeechBrain's data sets, on the lists that are exported for it."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.consumers.conftest import Made
from transforms.plan import Variant
from transforms.recipes import recipe_named

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def dataset() -> Any:
    return importlib.import_module("speechbrain.dataio.dataset").DynamicItemDataset


@pytest.mark.parametrize("form", ["csv", "json"])
def test_lists(dataset: Any, mixing: tuple[Made, Variant], form: str, tmp_path: Path) -> None:
    made, variant = mixing
    made.export("speechbrain", "--to", tmp_path)
    for part in made.parts:
        records = dict(made.records(part, variant))
        roles = recipe_named(made.recipe).roles_of(next(iter(records.values())).crc32c)
        for mix_type, rule in recipe_named(made.recipe).types.items():
            path = tmp_path / part.corpus / variant.folder / variant.mode / mix_type / f"{part.subset}.{form}"
            rows = getattr(dataset, f"from_{form}")(str(path))
            assert rows.data_ids == list(records)
            columns = {"mix_wav": mix_type, **{f"{role}_wav": role for role in rule(roles)}}
            rows.set_output_keys(["id", "duration", *columns])
            for row in rows:
                assert float(row["duration"]) == records[row["id"]].samples / variant.rate_hz
                for column, stream in columns.items():
                    samples, _ = soundfile.read(row[column], dtype="int16")
                    np.testing.assert_array_equal(samples, made.pcm(part, stream, row["id"], variant))


def test_its_own_reader_of_audio(dataset: Any, librimix: Made, narrow: Variant, tmp_path: Path) -> None:
    read_audio = importlib.import_module("speechbrain.dataio.dataio").read_audio
    librimix.export("speechbrain", "--to", tmp_path)
    part = librimix.parts[0]
    rows = dataset.from_csv(str(tmp_path / f"Libri2Mix/wav8k/{narrow.mode}/mix_both/{part.subset}.csv"))
    rows.add_dynamic_item(read_audio, takes="mix_wav", provides="mix_sig")
    rows.set_output_keys(["id", "mix_sig"])
    for row in rows:
        expected = librimix.pcm(part, "mix_both", row["id"], narrow)
        np.testing.assert_array_equal(np.round(np.asarray(row["mix_sig"]) * 32768), expected)
