"""WebDataset archives in the hands of webdataset, mlcroissant, and a reader of DALI's index."""

import hashlib
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import mlcroissant
import pytest
import webdataset

from tests.consumers.conftest import Made, archives, assert_wav
from transforms.plan import Variant
from transforms.sinks.description import item_key

pytestmark = pytest.mark.consumers


def test_webdataset(made: Made, narrow: Variant) -> None:
    part = made.parts[0]
    urls = list(map(str, archives(made, part, narrow)))
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    records = list(made.records(part, narrow))
    assert [json.loads(sample["json"])["id"] for sample in samples] == [item_id for item_id, _ in records]
    for sample, (item_id, record) in zip(samples, records, strict=True):
        assert {name[:-4] for name in sample if name.endswith(".wav")} == set(record.crc32c)
        for stream in record.crc32c:
            assert_wav(sample[f"{stream}.wav"], made, part, stream, item_id, narrow)


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


def test_dali_index_leads_to_the_data_of_each_member(made: Made, narrow: Variant) -> None:
    part = made.parts[0]
    records = made.records(part, narrow)
    for path in archives(made, part, narrow):
        data = path.read_bytes()
        for members in dali_members(path.with_suffix(".idx")):
            item_id, record = next(records)
            assert [extension for extension, *_ in members] == [
                *(f"{one}.wav" for one in record.crc32c),
                "json",
            ]
            for extension, start, size, name in members[:-1]:
                assert name == f"{item_key(item_id)}.{extension}"
                stream = extension.removesuffix(".wav")
                assert_wav(data[start : start + size], made, part, stream, item_id, narrow)
    assert next(records, None) is None


def described(paths: list[Path], stream: str) -> mlcroissant.Metadata:
    """Describes archives in Croissant, with the key and one stream of every item."""
    files = [
        mlcroissant.FileObject(
            id=path.name,
            name=path.name,
            content_url=path.name,
            encoding_formats=["application/x-tar"],
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in paths
    ]
    members = mlcroissant.FileSet(
        id="members",
        name="members",
        contained_in=[path.name for path in paths],
        encoding_formats=["audio/wav"],
        includes=[f"*.{stream}.wav"],
    )
    extracted = {
        "key": (mlcroissant.DataType.TEXT, mlcroissant.FileProperty.filename),
        "audio": (mlcroissant.DataType.AUDIO_OBJECT, mlcroissant.FileProperty.content),
    }
    transforms = {"key": [mlcroissant.Transform(regex=rf"^(.*)\.{stream}\.wav$")]}
    fields = [
        mlcroissant.Field(
            id=f"items/{name}",
            name=f"items/{name}",
            data_types=kind,
            source=mlcroissant.Source(
                file_set="members",
                extract=mlcroissant.Extract(file_property=what),
                transforms=transforms.get(name, []),
            ),
        )
        for name, (kind, what) in extracted.items()
    ]
    return mlcroissant.Metadata(
        name="tiny",
        description="A tiny corpus.",
        license=["https://creativecommons.org/licenses/by/4.0/"],
        url="https://example.org/tiny",
        version="1.0.0",
        date_published="2026-01-01",
        cite_as="none",
        distribution=[*files, members],
        record_sets=[mlcroissant.RecordSet(id="items", name="items", fields=fields)],
    )


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps mlcroissant from the user's cache, where archives of equal relative paths are the same."""
    extract = importlib.import_module("mlcroissant._src.operation_graph.operations.extract")
    monkeypatch.setattr(extract, "EXTRACT_PATH", type(extract.EXTRACT_PATH)(tmp_path / "extracted"))


@pytest.mark.usefixtures("own_cache")
@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated")
def test_mlcroissant_iterates_the_records_of_all_archives(
    made: Made, narrow: Variant, tmp_path: Path
) -> None:
    part = made.parts[0]
    paths = archives(made, part, narrow)
    stream = next(iter(next(made.records(part, narrow))[1].crc32c))
    for path in paths:
        (tmp_path / path.name).symlink_to(path)
    page = tmp_path / "croissant.json"
    page.write_text(json.dumps(described(paths, stream).to_json(), default=str))
    found = list(mlcroissant.Dataset(jsonld=str(page)).records("items"))
    ids = {item_key(item_id): item_id for item_id, _ in made.records(part, narrow)}
    assert sorted(record["items/key"].decode() for record in found) == sorted(ids)
    for record in found:
        item_id = ids[record["items/key"].decode()]
        assert_wav(record["items/audio"], made, part, stream, item_id, narrow)
