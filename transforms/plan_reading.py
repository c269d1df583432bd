"""Parquet files of plans, kept open while they are the same."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any

from transforms import storage
from transforms.errors import StorageError, UsageError


@contextlib.contextmanager
def readable_plan(url: str) -> Iterator[Any]:
    """Yields an opened plan and says which it is when its rows cannot be read.

    Raises:
        StorageError: it is damaged.
        UsageError: as ``open_plan`` does.
    """
    try:
        yield open_plan(url)
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(url, f"is damaged ({error}); plan again") from error


def open_plan(url: str) -> Any:
    """Opens a plan; the same file object again while the file is the same (footers can be large).

    Raises UsageError where it is missing, or no Parquet file.
    """
    return _opened_parquet(url, storage.stamp(url), os.getpid(), threading.get_ident())


@functools.lru_cache(maxsize=8)
def _opened_parquet(url: str, stamp: storage.FileStamp | None, process: int, thread: int) -> Any:
    del process, thread
    import pyarrow as pa
    import pyarrow.parquet as pq

    if stamp is None:
        raise UsageError(f"{url}: no such plan; check the path")
    try:
        return pq.ParquetFile(storage.open_ranged(url))
    except (pa.ArrowInvalid, OSError) as error:
        raise UsageError(f"{url}: is not a Parquet plan ({error}); plan again") from error
