"""Plans of many shards: the first have row groups of their own, the others share them."""

import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
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


def stored_format(tree: OutputTree) -> bytes:
    """The number of the form that a plan says to have."""
    return bytes(pq.ParquetFile(tree.url(PATH)).metadata.metadata[b"mixtape.format"])


def test_plans_whose_shards_share_groups_say_that_they_have_another_form(tree: OutputTree) -> None:
    """Versions that know of no shared groups would take each for a shard; they refuse format 2."""
    write_plan(tree, PATH, PART, mixtures(6), shard_size=2)
    assert stored_format(tree) == b"1"
    write_plan(tree, PATH, PART, mixtures(8), shard_size=2)
    assert stored_format(tree) == b"2"
    assert StoredPlan.open(tree.url(PATH)).shard_count == 4


@pytest.mark.parametrize("together", [1, 2, 7, 128])
def test_a_plan_is_read_whatever_number_of_shards_shared_a_group_then(
    tree: OutputTree, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = mixtures(45)
    with monkeypatch.context() as patch:
        patch.setattr(plan_reading, "SHARDS_TOGETHER", together)
        patch.setattr("transforms.plan.SHARED_GROUPS_FORMAT", 1)
        write_plan(tree, PATH, PART, planned, shard_size=2)
    assert stored_format(tree) == b"1"
    assert list(StoredPlan.open(tree.url(PATH)).read_all()) == planned


def test_a_longer_plan_has_the_shards_of_the_shorter(tree: OutputTree) -> None:
    write_plan(tree, "short.parquet", PART, mixtures(16), shard_size=2)
    write_plan(tree, "long.parquet", PART, mixtures(40), shard_size=2)
    short, long = (StoredPlan.open(tree.url(name)) for name in ("short.parquet", "long.parquet"))
    assert [short.read_shard(index) for index in range(8)] == [long.read_shard(index) for index in range(8)]


@pytest.fixture
def groups_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the row groups that are read from files, in order."""
    read: list[int] = []
    genuine = pq.ParquetFile.read_row_group

    def noting(file: pq.ParquetFile, number: int, **more: object) -> object:
        read.append(number)
        return genuine(file, number, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noting)
    return read


def test_the_row_group_that_shards_share_is_read_once(tree: OutputTree, groups_read: list[int]) -> None:
    write_plan(tree, PATH, PART, mixtures(22), shard_size=2)
    list(StoredPlan.open(tree.url(PATH)).read_all())
    assert groups_read == [0, 1, 2, 3, 4]


def test_some_columns_are_not_taken_for_all(tree: OutputTree) -> None:
    write_plan(tree, PATH, PART, mixtures(22), shard_size=2)
    plan = open_plan(tree.url(PATH))
    assert plan.read_shard(5, ["path"]).column_names == ["path"]
    assert plan.read_shard(5, ["role", "path"]).column_names == ["role", "path"]
    assert plan.read_shard(5).num_columns > 10


# --- threads and processes ---------------------------------------------------------------------


def test_threads_share_an_open_plan_and_its_row_groups(tree: OutputTree, groups_read: list[int]) -> None:
    """More threads than plans are kept open: each shared group is read once all the same."""
    planned = mixtures(6 + 2 * 4 * 20)
    write_plan(tree, PATH, PART, planned, shard_size=2)
    url, threads = tree.url(PATH), 16
    together = threading.Barrier(threads)

    def opened(_: int) -> plan_reading.PlanFile:
        together.wait(30)
        return open_plan(url)

    with ThreadPoolExecutor(threads) as pool:
        files = list(pool.map(opened, range(threads)))
        assert len(set(map(id, files))) == 1
        for group in range(20):
            shards = range(3 + 4 * group, 7 + 4 * group)
            read = [
                one for shard in pool.map(StoredPlan.open(url).read_shard, [*shards] * 4) for one in shard
            ]
            assert read == planned[2 * shards.start : 2 * shards.stop] * 4
    assert groups_read == list(range(3, 23))


def test_two_shared_groups_are_kept_for_those_who_walk_side_by_side(
    tree: OutputTree, groups_read: list[int]
) -> None:
    write_plan(tree, PATH, PART, mixtures(30), shard_size=2)
    plan = StoredPlan.open(tree.url(PATH))
    for index in (6, 7, 5, 8, 6, 10):
        plan.read_shard(index)
    assert groups_read == [3, 4]


def test_one_thread_reads_at_a_time(tree: OutputTree, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a Parquet file nor the file below can be read by two threads."""
    write_plan(tree, PATH, PART, mixtures(60), shard_size=2)
    reading = threading.Lock()
    genuine = pq.ParquetFile.read_row_group

    def alone(file: pq.ParquetFile, number: int, **more: object) -> object:
        assert reading.acquire(blocking=False), "another thread is reading"
        try:
            return genuine(file, number, **more)
        finally:
            reading.release()

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", alone)
    plan = StoredPlan.open(tree.url(PATH))
    with ThreadPoolExecutor(16) as pool:
        assert [one for shard in pool.map(plan.read_shard, range(30)) for one in shard] == mixtures(60)


def test_a_plan_that_was_read_may_be_pickled(tree: OutputTree) -> None:
    write_plan(tree, PATH, PART, mixtures(30), shard_size=2)
    plan = StoredPlan.open(tree.url(PATH))
    shard = plan.read_shard(9)
    assert pickle.loads(pickle.dumps(plan)).read_shard(9) == shard


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_waits_for_no_thread_of_its_parent(tree: OutputTree) -> None:
    """While the parent opens one plan and reads another, the child does both for itself."""
    write_plan(tree, PATH, PART, mixtures(30), shard_size=2)
    plan = StoredPlan.open(tree.url(PATH))
    shard = plan.read_shard(9)
    opened = open_plan(plan.url)
    with plan_reading._opening[os.getpid()], opened._reading:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            os._exit(plan.read_shard(9) != shard)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# --- what is no plan ---------------------------------------------------------------------------


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
