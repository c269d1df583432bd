"""Metadata for audiofolder: place, columns, rows."""

import dataclasses
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.transforms.exports.conftest import ViewsOf
from transforms.exports import huggingface
from transforms.exports.huggingface import metadata_path, write_metadata
from transforms.plan import Mixture


def test_rows_name_files_beside_them(views: ViewsOf) -> None:
    view = views()[0]
    tree = view.job.tree
    (path,) = write_metadata(view, tree)
    assert path == metadata_path(view) == "Libri2Mix/wav8k/min/train-100/metadata.parquet"
    rows = pq.read_table(io.BytesIO(tree.read(path))).to_pylist()
    items = list(view.items())
    assert [row["id"] for row in rows] == [item.id for item in items]
    folder = Path(tree.url(path)).parent
    for row, item in zip(rows, items, strict=True):
        names = {
            key.removesuffix("_file_name"): name for key, name in row.items() if key.endswith("_file_name")
        }
        assert set(names) == set(item.record.crc32c)
        assert all((folder / name).is_file() and "/" in name and ".." not in name for name in names.values())
        assert (row["samples"], row["rate_hz"], row["duration_s"]) == (
            item.record.samples, 8000, item.record.samples / 8000
        )  # fmt: skip
        assert row["speakers"] == [source.speaker for source in item.mixture.speech]


def test_a_thousand_rows_at_a_time(views: ViewsOf, monkeypatch: pytest.MonkeyPatch) -> None:
    view = views()[0]
    whole = pq.read_table(io.BytesIO(view.job.tree.read(write_metadata(view, view.job.tree)[0])))
    monkeypatch.setattr(huggingface, "_ROWS", 2)
    (path,) = write_metadata(view, view.job.tree)
    file = pq.ParquetFile(io.BytesIO(view.job.tree.read(path)))
    assert file.metadata.num_row_groups == 3
    assert file.read().equals(whole)


def test_a_stream_that_is_not_there_is_null(views: ViewsOf) -> None:
    def without_second(mixtures: tuple[Mixture, ...]) -> list[Mixture]:
        kept = tuple(source for source in mixtures[0].sources if source.role != "s2")
        return [dataclasses.replace(mixtures[0], sources=kept), mixtures[1]]

    view = views("mixtures", without_second)[0]
    (path,) = write_metadata(view, view.job.tree)
    columns = pq.read_table(io.BytesIO(view.job.tree.read(path))).to_pydict()
    assert columns["s2_file_name"] == [None, "s2/train-0000001.wav"]
    assert columns["s1_dry_file_name"] == ["s1_dry/train-0000000.wav", "s1_dry/train-0000001.wav"]
    assert [len(one) for one in columns["speakers"]] == [1, 2]
