"""ESPnet's readers, on the Kaldi folders that are exported for it."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.consumers.conftest import WITH_VIDEO, Made, Make
from transforms.plan import Variant
from transforms.recipes import recipe_named

pytestmark = pytest.mark.consumers


def test_separation(made: Made, narrow: Variant, tmp_path: Path) -> None:
    dataset = importlib.import_module("espnet2.train.dataset").ESPnetDataset
    made.export("espnet", "--to", tmp_path)
    for part in made.parts:
        records = dict(made.records(part, narrow))
        for mix_type in recipe_named(made.recipe).types:
            folder = tmp_path / part.corpus / narrow.folder / narrow.mode / "enh" / mix_type / part.subset
            files = {"speech_mix": "wav.scp", "speech_ref1": "spk1.scp", "speech_ref2": "spk2.scp"}
            streams = {"speech_mix": mix_type, "speech_ref1": "s1", "speech_ref2": "s2"}
            if mix_type == "mix_single":
                assert not (folder / files.pop("speech_ref2")).exists()
                del streams["speech_ref2"]
            if mix_type in ("mix_both", "mix_single"):
                files["noise_ref1"], streams["noise_ref1"] = "noise1.scp", "noise"
            paths = [(str(folder / file), name, "sound") for name, file in files.items()]
            rows = dataset(paths, preprocess=None)
            assert list(rows) == sorted(records)
            for item_id in records:
                _, found = rows[item_id]
                assert set(found) == set(streams)
                for name, stream in streams.items():
                    expected = made.pcm(part, stream, item_id, narrow)
                    np.testing.assert_array_equal(np.round(found[name] * 32768), expected)


def test_the_interferer_of_a_scene_is_noise(make: Make, tmp_path: Path) -> None:
    dataset = importlib.import_module("espnet2.train.dataset").ESPnetDataset
    made, variant = make("avse"), WITH_VIDEO["avse"]
    made.export("espnet", "--to", tmp_path)
    (part,) = made.parts
    folder = tmp_path / part.corpus / variant.folder / variant.mode / "enh/mixed" / part.subset
    streams = {"wav.scp": "mixed", "spk1.scp": "target", "noise1.scp": "interferer"}
    rows = dataset([(str(folder / file), name, "sound") for file, name in streams.items()], preprocess=None)
    assert list(rows) == sorted(item.id for item in made.items(part))
    for item_id in rows:
        _, found = rows[item_id]
        for stream in streams.values():
            expected = made.pcm(part, stream, item_id, variant)
            np.testing.assert_array_equal(np.round(found[stream] * 32768), expected)


def test_diarisation(make: Make, tmp_path: Path) -> None:
    reader: Any = importlib.import_module("espnet2.fileio.rttm").RttmReader
    suppress_type_checks = importlib.import_module("typeguard").suppress_type_checks
    made = make("librimix")
    made.export("espnet", "--to", tmp_path)
    variant = Variant(8000, "min")
    for part in made.parts:
        folder = tmp_path / "Libri2Mix/wav8k/min/diar/mix_both" / part.subset
        with suppress_type_checks():  # what the reader returns is not what its own annotation says
            labels = reader(str(folder / "espnet_rttm"))
        records = dict(made.records(part, variant))
        assert list(labels) == sorted(records)
        for item_id, record in records.items():
            found = labels[item_id]
            assert found.shape == (record.samples, 2)
            assert found.all()
