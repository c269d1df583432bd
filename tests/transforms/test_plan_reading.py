"""Plans of many shards: the first have row groups of their own, the others share them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from transforms import plan_reading
from transforms.errors import StorageError, UsageError
from transforms.plan import Mixture, Part, Source, StoredPlan, write_plan
from transforms.plan_reading import open_plan, readable_plan
from transforms.storage import OutputTree

PART = Part("librimix", "Libri2Mix", "train-360")
PATH = "plan.parquet"


@pytest.fixture
def tree(tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path))


@pytest.fixture(autouse=True)
def _small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_reading, "SINGLE_SHARDS", 3)
    monkeypatch.setattr(plan_reading, "SHARDS_TOGETHER", 4)


def source(number: int, place: int) -> Source:
    return Source(f"s{place}", "speech", f"{number}-{place}.flac")


def mixtures(count: int) -> list[Mixture]:
    """Mixtures of one to three sources, so that shards differ in rows."""
    return [
        Mixture(f"m{number}", tuple(map(source, [number] * (1 + number % 3), (1, 2, 3))))
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 5, 6, 7, 8, 13, 14, 15, 29, 30, 31, 60])
def test_shards_come_back_whatever_shares_a_row_group(tree: OutputTree, count: int) -> None:
    planned = mixtures(count)
    written = write_plan(tree, PATH, PART, planned, shard_size=2)
    plan = StoredPlan.open(tree.url(PATH))
    shards = [planned[start : start + 2] for start in range(0, count, 2)]
    assert (written, plan.shard_count, plan.mixture_count) == (len(shards), len(shards), count)
    assert [plan.read_shard(index) for index in range(len(shards))] == shards
    assert [plan.read_shard(index) for index in reversed(range(len(shards)))] == shards[::-1]
    assert [plan.sources_in(index) for index in range(len(shards))] == [
        sum(len(one.sources) for one in shard) for shard in shards
    ]
    assert list(plan.read_all()) == planned
    assert plan.read_ids() == [one.id for one in planned]
    assert plan.shard_starts() == list(range(0, count, 2))


def test_row_groups_are_few_however_many_the_shards(tree: OutputTree) -> None:
    write_plan(tree, PATH, PART, mixtures(2 * (3 + 9)), shard_size=2)
    footer = pq.ParquetFile(tree.url(PATH)).metadata
    assert footer.num_row_groups == 3 + 3
    assert open_plan(tree.url(PATH)).shard_count == 12


def test_a_plan_of_few_shards_says_nothing_of_shared_groups(tree: OutputTree) -> None:
    write_plan(tree, PATH, PART, mixtures(6), shard_size=2)
    assert b"rows_of_further_shards" not in tree.read(PATH)
    write_plan(tree, PATH, PART, mixtures(8), shard_size=2)
    assert b"rows_of_further_shards" in tree.read(PATH)


def test_a_longer_plan_has_the_shards_of_the_shorter(tree: OutputTree) -> None:
    write_plan(tree, "short.parquet", PART, mixtures(16), shard_size=2)
    write_plan(tree, "long.parquet", PART, mixtures(40), shard_size=2)
    short, long = (StoredPlan.open(tree.url(name)) for name in ("short.parquet", "long.parquet"))
    assert [short.read_shard(index) for index in range(8)] == [long.read_shard(index) for index in range(8)]


def test_the_row_group_that_shards_share_is_read_once(
    tree: OutputTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plan(tree, PATH, PART, mixtures(22), shard_size=2)
    read: list[int] = []
    genuine = pq.ParquetFile.read_row_group

    def noting(file: pq.ParquetFile, number: int, **more: object) -> object:
        read.append(number)
        return genuine(file, number, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noting)
    list(StoredPlan.open(tree.url(PATH)).read_all())
    assert read == [0, 1, 2, 3, 4]


def test_a_plan_that_is_missing_or_something_else_is_named(tree: OutputTree) -> None:
    with pytest.raises(UsageError, match=r"plan\.parquet: no such plan; check the path"):
        open_plan(tree.url(PATH))
    tree.write(PATH, b"id,path\n")
    with pytest.raises(UsageError, match=r"plan\.parquet: is not a Parquet plan .*; plan again"):
        open_plan(tree.url(PATH))


def test_rows_that_cannot_be_read_are_a_damaged_plan(tree: OutputTree) -> None:
    write_plan(tree, PATH, PART, mixtures(30), shard_size=2)
    data = bytearray(tree.read(PATH))
    data[4:200] = bytes(196)
    tree.write(PATH, bytes(data))
    with (
        pytest.raises(StorageError, match=r"(?s)is damaged \(.+; plan again"),
        readable_plan(tree.url(PATH)) as file,
    ):
        file.read_shard(0).to_pydict()
