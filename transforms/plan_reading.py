"""Parquet files of plans: where each shard's rows are in them, and reading with few open files.

The first shards of a plan have a row group each. In a plan of a hundred thousand shards the footer
alone would need gigabytes so, in the writer and in every worker; from ``SINGLE_SHARDS`` on, therefore,
``SHARDS_TOGETHER`` shards share a row group, and the footer tells how many rows each of them has.
"""

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
SHARDS_TOGETHER = 128
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
    """An open plan.

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
        self._last: tuple[Any, Any] = (None, None)

    def rows_in(self, index: int) -> int:
        """Returns how many rows a shard has."""
        if index < self._single:
            return int(self._parquet.metadata.row_group(index).num_rows)
        return self._end(index) - self._end(index - 1)

    def _end(self, index: int) -> int:
        """Returns the rows of all shards that share row groups, up to and with this one."""
        return self._ends[index - self._single] if index >= self._single else 0

    def read_shard(self, index: int, columns: Sequence[str] | None = None) -> Any:
        """Reads the rows of a shard as a table; the row group read last is kept for the next."""
        if index < self._single:
            return self._parquet.read_row_group(index, columns=columns, use_threads=False)
        number, place = divmod(index - self._single, SHARDS_TOGETHER)
        asked = (number, tuple(columns or ()))
        if self._last[0] != asked:
            table = self._parquet.read_row_group(self._single + number, columns=columns, use_threads=False)
            self._last = (asked, table)
        before = self._end(index - place - 1)
        return self._last[1].slice(self._end(index - 1) - before, self.rows_in(index))


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
    """Opens a plan; the same file object again while the file is the same (footers can be large).

    Raises UsageError where it is missing, or no Parquet file.
    """
    return _opened_parquet(url, storage.stamp(url), os.getpid(), threading.get_ident())


@functools.lru_cache(maxsize=8)
def _opened_parquet(url: str, stamp: storage.FileStamp | None, process: int, thread: int) -> PlanFile:
    del process, thread
    import pyarrow as pa
    import pyarrow.parquet as pq

    if stamp is None:
        raise UsageError(f"{url}: no such plan; check the path")
    try:
        return PlanFile(pq.ParquetFile(storage.open_ranged(url)))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise UsageError(f"{url}: is not a Parquet plan ({error}); plan again") from error
