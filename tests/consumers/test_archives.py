"""WebDataset archives in the hands of webdataset, mlcroissant, and a reader of DALI's index."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import mlcroissant
import pytest
import webdataset

from tests.consumers.conftest import WITH_VIDEO, Made, archives, assert_wav
from transforms.plan import Variant
from transforms.sinks.description import item_key

pytestmark = pytest.mark.consumers


def test_webdataset(variety: tuple[Made, Variant]) -> None:
    made, variant = variety
    part = made.parts[0]
    urls = list(map(str, archives(made, part, variant)))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    items = made.items(part)
    assert [json.loads(sample["json"])["id"] for sample in samples] == [item.id for item in items]
    for sample, item, (_, record) in zip(samples, items, made.records(part, variant), strict=True):
        assert {name[:-4] for name in sample if name.endswith(".wav")} == set(record.crc32c)
        for stream in record.crc32c:
            assert_wav(sample[f"{stream}.wav"], made, part, stream, item.id, variant)
        attached = made.attached(part, item)
        assert bool(attached) == (made.recipe in WITH_VIDEO)
        assert {name: sample[name] for name in attached} == attached
        members = {name for name in sample if not name.startswith("__")}
        assert len(members) == len(record.crc32c) + len(attached) + len(["json"])


def dali_members(index: Path) -> Iterator[list[tuple[str, int, int, str]]]:
    """Yields the members of each sample as NVIDIA's documentation of the index v1.2 describes them."""
    head, *lines = index.read_bytes().decode("ascii").removesuffix("\n").split("\n")
    version, count = head.split(" ")
    assert (version, int(count)) == ("v1.2", len(lines))
    for line in lines:
        words = line.split(" ")
        assert len(words) % 4 == 0
        yield [
            (words[place], int(words[place + 1]), int(words[place + 2]), words[place + 3])
            for place in range(0, len(words), 4)
        ]


def test_dali_index_leads_to_the_data_of_each_member(variety: tuple[Made, Variant]) -> None:
    made, variant = variety
    part = made.parts[0]
    records = zip(made.items(part), made.records(part, variant), strict=True)
    for path in archives(made, part, variant):
        data = path.read_bytes()
        for members in dali_members(path.with_suffix(".idx")):
            item, (item_id, record) = next(records)
            attached = made.attached(part, item)
            wavs = [f"{one}.wav" for one in record.crc32c]
            assert [extension for extension, *_ in members] == [*wavs, *attached, "json"]
            for extension, start, size, name in members[:-1]:
                assert name == f"{item_key(item_id)}.{extension}"
                member = data[start : start + size]
                if extension in attached:
                    assert member == attached[extension]
                else:
                    assert_wav(member, made, part, extension.removesuffix(".wav"), item_id, variant)
    assert next(records, None) is None


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps mlcroissant from the user's cache, where archives of equal relative paths are the same."""
    extract = importlib.import_module("mlcroissant._src.operation_graph.operations.extract")
    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "extracted"))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
def test_mlcroissant_iterates_the_records_of_the_description(variety: tuple[Made, Variant]) -> None:
    made, variant = variety
    dataset = mlcroissant.Dataset(jsonld=str(made.out / "croissant.json"))
    for part in made.parts:
        records = dict(made.records(part, variant))
        ids = {item_key(item_id): item_id for item_id in records}
        for stream in next(iter(records.values())).crc32c:
            name = f"{part.name}/{variant.folder}_{variant.mode}/{stream}"
            found = {row[f"{name}/id"].decode(): row[f"{name}/audio"] for row in dataset.records(name)}
            assert set(found) == set(ids)
            for key, wav in found.items():
                assert_wav(wav, made, part, stream, ids[key], variant)
