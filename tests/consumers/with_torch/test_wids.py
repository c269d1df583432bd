"""The wids reader, which finds any item of a corpus by its number."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.consumers.conftest import Made, archives, assert_wav
from transforms.plan import Variant
from transforms.sinks.description import item_key

pytestmark = pytest.mark.consumers


def content(member: Any) -> bytes:
    return bytes(member.read() if hasattr(member, "read") else member)


def test_wids_reads_any_item_by_its_number(variety: tuple[Made, Variant], tmp_path: Path) -> None:
    made, variant = variety
    part = made.parts[0]
    (index,) = {path.parent / f"{part.subset}.json" for path in archives(made, part, variant)}
    wids = importlib.import_module("wids")
    dataset = wids.ShardListDataset(str(index), cache_dir=str(tmp_path), keep=True, transformations=[])
    records, items = list(made.records(part, variant)), made.items(part)
    assert len(dataset) == len(records)
    for number in reversed(range(len(records))):
        item_id, record = records[number]
        assert dataset[number]["__key__"] == item_key(item_id)
        for stream in record.crc32c:
            assert_wav(content(dataset[number][f".{stream}.wav"]), made, part, stream, item_id, variant)
        for ending, data in made.attached(part, items[number]).items():
            assert content(dataset[number][f".{ending}"]) == data
