"""The ``datasets`` library: archives with its WebDataset loader, folders with audiofolder."""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines import cli
from tests import trees
from tests.consumers.conftest import WITH_VIDEO, Made, Make, archives, assert_wav
from transforms.card import split_name
from transforms.plan import MODES, Mixture, Part, Variant

pytestmark = pytest.mark.consumers


@pytest.fixture(scope="module")
def datasets() -> Any:
    return importlib.import_module("datasets")


def assert_audio(audio: Any, made: Made, part: Part, stream: str, item_id: str, variant: Variant) -> None:
    """Compares what the library decodes with the ledger, sample by sample."""
    decoded = audio.get_all_samples()
    assert decoded.sample_rate == variant.rate_hz
    values = np.asarray(decoded.data)
    assert values.shape[0] == 1
    np.testing.assert_array_equal(np.round(values[0] * 32768), made.pcm(part, stream, item_id, variant))


def test_archives_of_each_split_of_the_card(
    datasets: Any, variety: tuple[Made, Variant], tmp_path: Path
) -> None:
    made, variant = variety
    head = yaml.safe_load((made.out / "README.md").read_text().split("---\n")[1])
    (told,) = (one for one in head["configs"] if one["config_name"] == f"{variant.folder}_{variant.mode}")
    files = {one["split"]: str(made.out / one["path"]) for one in told["data_files"]}
    splits = {split_name(part.subset): part for part in made.parts}
    assert set(files) == set(splits)
    loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))
    assert set(loaded) == set(splits)
    for name, part in splits.items():
        records = list(made.records(part, variant))
        assert [facts["id"] for facts in loaded[name]["json"]] == [item_id for item_id, _ in records]
        raw = loaded[name]
        for stream in records[0][1].crc32c:
            raw = raw.cast_column(f"{stream}.wav", datasets.Audio(decode=False))
        for ending in made.attached(part, made.items(part)[0]):
            kind = datasets.Video if made.recipe == "avse" else datasets.Image
            raw = raw.cast_column(ending, kind(decode=False))
        for row, item, (item_id, record) in zip(raw, made.items(part), records, strict=True):
            assert row["json"]["duration_s"] == record.samples / variant.rate_hz
            for stream in record.crc32c:
                assert_wav(row[f"{stream}.wav"]["bytes"], made, part, stream, item_id, variant)
            for ending, data in made.attached(part, item).items():
                assert row[ending]["bytes"] == data


def test_archives_are_decoded(datasets: Any, librimix: Made, narrow: Variant, tmp_path: Path) -> None:
    part = librimix.parts[0]
    files = list(map(str, archives(librimix, part, narrow)))
    loaded = datasets.load_dataset("webdataset", data_files=files, cache_dir=str(tmp_path))["train"]
    for row in loaded:
        assert_audio(row["mix_both.wav"], librimix, part, "mix_both", row["json"]["id"], narrow)


SPLITS = {"train-100": "train", "dev": "validation", "test": "test"}


def test_audiofolder_finds_splits_streams_and_facts(
    datasets: Any, librimix: Made, narrow: Variant, tmp_path: Path
) -> None:
    librimix.export("hf")
    folder = librimix.folder(librimix.parts[0], narrow)
    loaded = datasets.load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(tmp_path))
    assert set(loaded) == set(SPLITS.values())
    for part in librimix.parts:
        rows = loaded[SPLITS[part.subset]]
        records = list(librimix.records(part, narrow))
        mixtures = librimix.mixtures(part)
        assert rows["id"] == [item_id for item_id, _ in records]
        for row, (item_id, record) in zip(rows, records, strict=True):
            assert row["speakers"] == [source.speaker for source in mixtures[item_id].speech]
            assert (row["samples"], row["rate_hz"]) == (record.samples, narrow.rate_hz)
            for stream in record.crc32c:
                assert_audio(row[stream], librimix, part, stream, item_id, narrow)


@pytest.mark.parametrize(
    ("recipe", "variant"),
    [
        *((recipe, Variant(8000, mode)) for recipe in ("wsj0mix", "mixtures") for mode in MODES),
        *WITH_VIDEO.items(),
    ],
    ids=str,
)
def test_audiofolder_takes_the_folder_of_a_subset_for_a_split(
    datasets: Any, make: Make, recipe: str, variant: Variant, tmp_path: Path
) -> None:
    made = make(recipe)
    made.export("hf")
    (part,) = made.parts
    records = list(made.records(part, variant))
    folders = [made.wav(part, stream, "id", variant).parent for stream in records[0][1].crc32c]
    files = {"train": f"{os.path.commonpath(folders)}/**"}
    rows = datasets.load_dataset("audiofolder", data_files=files, cache_dir=str(tmp_path))["train"]
    for row, (item_id, record) in zip(rows, records, strict=True):
        assert row["id"] == item_id
        for stream in record.crc32c:
            assert_audio(row[stream], made, part, stream, item_id, variant)


def test_audiofolder_has_null_where_a_mixture_lacks_a_talker(datasets: Any, tmp_path: Path) -> None:
    corpus = trees.make_corpus(tmp_path / "in", recipe="mixtures", mixtures=3)
    lone = corpus.mixtures[1]
    lone = Mixture(lone.id, tuple(source for source in lone.sources if source.role != "s2"))
    corpus = corpus.with_mixtures([corpus.mixtures[0], lone, corpus.mixtures[2]])
    assert trees.run(corpus, tmp_path / "out", "--rates", "8000", "--modes", "min", "--formats", "wav") == 0
    assert cli.main(["export", "hf", str(tmp_path / "out"), "--quiet", "--workers", "1"]) == 0
    folder = tmp_path / "out/mixtures/wav8k/min"
    rows = datasets.load_dataset("audiofolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"))
    assert [row["s2"] is None for row in rows["train"]] == [False, True, False]
