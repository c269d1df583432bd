"""The wids reader, which finds any item of a corpus by its number."""

import importlib
from pathlib import Path

import pytest

from tests.consumers.conftest import Made, archives, assert_wav
from transforms.plan import Variant
from transforms.sinks.description import item_key

pytestmark = pytest.mark.consumers


def test_wids_reads_any_item_by_its_number(made: Made, narrow: Variant, tmp_path: Path) -> None:
    part = made.parts[0]
    (index,) = {path.parent / f"{part.subset}.json" for path in archives(made, part, narrow)}
    wids = importlib.import_module("wids")
    dataset = wids.ShardListDataset(str(index), cache_dir=str(tmp_path), keep=True, transformations=[])
    records = list(made.records(part, narrow))
    assert len(dataset) == len(records)
    for number in reversed(range(len(records))):
        item_id, record = records[number]
        assert dataset[number]["__key__"] == item_key(item_id)
        for stream in record.crc32c:
            data = dataset[number][f".{stream}.wav"]
            assert_wav(data.read() if hasattr(data, "read") else data, made, part, stream, item_id, narrow)
