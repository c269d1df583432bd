"""An item's files out of every format: the same samples whatever holds them."""

import dataclasses
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import trees
from transforms import ledger as ledgers
from transforms.errors import StorageError
from transforms.extraction import Place, files_of, parse_example, read_record
from transforms.plan import FORMATS, Format
from transforms.sharding import samples_crc32c
from transforms.sinks.tfrecord import example_pieces, record_pieces

RECIPES = list(trees.KINDS)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Place]]:
    """Returns ``places(recipe)``: all items of a rendered corpus of five mixtures in three shards."""
    made: dict[str, list[Place]] = {}

    def make(recipe: str) -> list[Place]:
        if recipe not in made:
            folder = tmp_path_factory.mktemp(recipe)
            corpus = trees.make_corpus(folder / "corpus", recipe=recipe)
            settings: dict[str, Any] = {"rate_hz": 16000, "clip": "scale"} if recipe == "mixtures" else {}
            options = dataclasses.replace(trees.SMALL, types=corpus.kind.types)
            job = corpus.job(folder / "out", options, settings=settings)
            found = []
            for shard in trees.render(job, corpus.mixtures).plan.shards:
                ledger = ledgers.read_ledger(job.tree, shard.name)
                assert ledger is not None
                found += [Place(job, shard, ledger, item) for item in ledger.items]
            made[recipe] = found
        return made[recipe]

    return make


def only(place: Place, *formats: Format) -> Place:
    """Returns the place as of an output that was made with some formats only."""
    options = dataclasses.replace(place.job.options, formats=formats)
    return dataclasses.replace(place, job=dataclasses.replace(place.job, options=options))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_samples_of_the_ledger(
    places: Callable[[str], list[Place]], recipe: str, form: Format
) -> None:
    for place in places(recipe):
        for record in place.item.variants:
            files = files_of(only(place, form), record)
            assert list(files) == [f"{stream}.wav" for stream in record.crc32c]
            for stream, crc in record.crc32c.items():
                samples, rate_hz = soundfile.read(io.BytesIO(files[f"{stream}.wav"]), dtype="int16")
                assert (len(samples), rate_hz) == (record.samples, record.variant.rate_hz)
                assert samples_crc32c(np.asarray(samples, np.int16)) == crc


def damaged(place: Place, folder: Path, name: str) -> Place:
    """Returns the place in a copy of its output that lacks the files of a name."""
    trees_there = place.job.tree
    for path in Path(trees_there.root).rglob("*"):
        if path.is_file() and name not in path.name:
            copy = folder / path.relative_to(trees_there.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return dataclasses.replace(place, job=dataclasses.replace(place.job, out=str(folder)))


@pytest.mark.parametrize("gone", ["s1", "m0001.wav", ".tar"])
def test_what_one_format_lacks_comes_from_the_next(
    places: Callable[[str], list[Place]], tmp_path: Path, gone: str
) -> None:
    place = places("librimix")[1]
    record = place.item.variants[0]
    assert files_of(damaged(place, tmp_path, gone), record) == files_of(place, record)


def test_an_item_that_no_format_has(places: Callable[[str], list[Place]], tmp_path: Path) -> None:
    place = damaged(places("librimix")[0], tmp_path, "")
    with pytest.raises(StorageError, match=r"s1/m0000\.wav: no such file or folder"):
        files_of(place, place.item.variants[0])
    with pytest.raises(StorageError, match="holds no format that items could be read from"):
        files_of(only(place), place.item.variants[0])


def test_an_archive_without_the_item(places: Callable[[str], list[Place]]) -> None:
    first, *_, last = places("librimix")
    wrong = dataclasses.replace(only(first, "webdataset"), item=last.item)
    with pytest.raises(StorageError, match=r"train-100-000000\.tar: holds no sample m0004; render with"):
        files_of(wrong, last.item.variants[0])


# Records.


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def records(*sizes: int) -> tuple[bytes, list[bytes]]:
    """A TFRecord file of records with some sizes, and their data."""
    data = [bytes([number]) * size for number, size in enumerate(sizes)]
    return b"".join(bytes(piece) for one in data for piece in record_pieces([one])), data


def test_records_are_found_by_number(tf: Any, tmp_path: Path) -> None:
    file, data = records(5, 0, 100_000, 3)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(file)
    assert [read_record(str(path), number) for number in range(4)] == data
    assert [one.numpy() for one in tf.data.TFRecordDataset(str(path))] == data
    with pytest.raises(StorageError, match=r"x\.tfrecord: has no record 4; render with --force"):
        read_record(str(path), 4)


def test_a_truncated_record_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    path.write_bytes(records(5, 6)[0][:30])
    with pytest.raises(StorageError, match="has no record 1"):
        read_record(str(path), 1)


NAMES = st.text(st.characters(codec="ascii"), max_size=12)


@settings(deadline=None)
@given(features=st.dictionaries(NAMES, st.lists(st.binary(max_size=300), min_size=1, max_size=3)))
def test_examples_of_tensorflow_are_parsed(tf: Any, features: dict[str, list[bytes]]) -> None:
    example = tf.train.Example()
    for name, values in features.items():
        example.features.feature[name].bytes_list.value.extend(values)
    assert parse_example(example.SerializeToString()) == features


@given(features=st.dictionaries(NAMES, st.binary(max_size=300)))
def test_examples_of_our_own_are_parsed(features: dict[str, bytes]) -> None:
    data = b"".join(bytes(piece) for piece in example_pieces(features))
    assert parse_example(data) == {name: [value] for name, value in features.items()}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x0a\x05ab", "field 1 ends after its message"),
        (b"\x08\x05", "field 1 has wire type 0, wanted 2"),
        (struct.pack("<BB", 0x0D, 0), "field 1 has wire type 5, wanted 2"),
    ],
)
def test_bytes_that_are_no_example(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_example(data)
