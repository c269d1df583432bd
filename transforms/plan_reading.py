"""Parquet files of plans: where each shard's rows are in them, and reading with few open files.

The first shards of a plan have a row group each. In a plan of a hundred thousand shards the footer
alone would need gigabytes so, in the writer and in every worker; from ``SINGLE_SHARDS`` on, therefore,
``SHARDS_TOGETHER`` shards share a row group, and the footer tells how many rows each of them has. How
many share one is not taken for granted when a plan is read: it follows from the rows of the groups.
"""

import bisect
import contextlib
import functools
import itertools
import json
import os
import threading
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from transforms import storage
from transforms.errors import StorageError, UsageError

SINGLE_SHARDS = 512
SHARDS_TOGETHER = 32
_BLOCK_BYTES = 1 << 22
_GROUPS_KEPT = 2
# By process: a forked one must not wait for a thread of its parent.
_opening: dict[int, threading.Lock] = {}
_ROWS = "mixtape.rows_of_further_shards"


class ShardTables:
    """Writes the rows of one shard after the other into row groups.

    Args:
        writer: a ``pyarrow.parquet.ParquetWriter``.
    """

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._waiting: list[Any] = []
        self._rows = array("q")
        self.count = 0

    def add(self, table: Any) -> None:
        """Takes the rows of the next shard."""
        self.count += 1
        if self.count <= SINGLE_SHARDS:
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            return
        self._rows.append(table.num_rows)
        self._waiting.append(table)
        if len(self._waiting) == SHARDS_TOGETHER:
            self._write_waiting()

    def finish(self) -> dict[str, str]:
        """Writes what waits; returns what the footer must say, nothing for a plan of few shards."""
        if not self._rows:
            return {}
        self._write_waiting()
        return {_ROWS: json.dumps(list(self._rows), separators=(",", ":"))}

    def _write_waiting(self) -> None:
        import pyarrow as pa

        if self._waiting:
            together = pa.concat_tables(self._waiting)
            self._writer.write_table(together, row_group_size=max(1, together.num_rows))
            self._waiting = []


class PlanFile:
    """An open plan, which threads may share: one of them reads at a time.

    Those that walk through a plan side by side are in no more than two shared row groups at once,
    so these are kept.

    Attributes:
        facts: what the footer says beside the rows.
        shard_count: how many shards it has.
    """

    def __init__(self, parquet: Any) -> None:
        self._parquet = parquet
        stored = parquet.metadata.metadata or {}
        self.facts = {key.decode(): value.decode() for key, value in stored.items()}
        further = array("q", json.loads(self.facts.pop(_ROWS, "[]")))
        groups = parquet.metadata.num_row_groups
        single = SINGLE_SHARDS if further else groups
        self.shard_count = single + len(further)
        self._single = single
        self._ends = array("q", itertools.accumulate(further))
        shared = (parquet.metadata.row_group(number).num_rows for number in range(single, groups))
        self._starts = array("q", itertools.accumulate(shared, initial=0))
        self._reading = threading.Lock()
        read = functools.partial(parquet.read_row_group, use_threads=False)
        self._read = read
        self._read_shared = functools.lru_cache(maxsize=_GROUPS_KEPT)(read)

    def rows_in(self, index: int) -> int:
        """Returns how many rows a shard has."""
        if index < self._single:
            return int(self._parquet.metadata.row_group(index).num_rows)
        return self._end(index) - self._end(index - 1)

    def _end(self, index: int) -> int:
        """Returns the rows of all shards that share row groups, up to and with this one."""
        return self._ends[index - self._single] if index >= self._single else 0

    def read_shard(self, index: int, columns: Sequence[str] | None = None) -> Any:
        """Reads the rows of a shard as a table, of all columns or of some."""
        wanted = None if columns is None else tuple(columns)
        if index < self._single:
            with self._reading:
                return self._read(index, columns=wanted)
        start = self._end(index - 1)
        place = bisect.bisect_right(self._starts, start) - 1
        with self._reading:
            table = self._read_shared(self._single + place, columns=wanted)
        return table.slice(start - self._starts[place], self.rows_in(index))


@contextlib.contextmanager
def readable_plan(url: str) -> Iterator[PlanFile]:
    """Yields an opened plan and says which it is when its rows cannot be read.

    Raises:
        StorageError: it is damaged.
        UsageError: as ``open_plan`` does.
    """
    try:
        yield open_plan(url)
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(url, f"is damaged ({error}); plan again") from error


def open_plan(url: str) -> PlanFile:
    """Opens a plan; for all threads the same while the file is the same (footers can be large).

    Raises UsageError where it is missing, or no Parquet file.
    """
    stamp = storage.stamp(url)
    process = os.getpid()
    with _opening.setdefault(process, threading.Lock()):
        return _opened_parquet(url, stamp, process)


@functools.lru_cache(maxsize=8)
def _opened_parquet(url: str, stamp: storage.FileStamp | None, process: int) -> PlanFile:
    """Opens a plan. A forked process opens its own: the parent's may be being read."""
    del process
    import pyarrow as pa
    import pyarrow.parquet as pq

    if stamp is None:
        raise UsageError(f"{url}: no such plan; check the path")
    try:
        return PlanFile(pq.ParquetFile(storage.open_ranged(url, block_bytes=_BLOCK_BYTES)))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UsageError(f"{url}: is not a Parquet plan ({error}); plan again") from error
