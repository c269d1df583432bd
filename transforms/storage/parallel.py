"""Work on many files at once, where waiting for a store is most of it."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from transforms.storage.urls import local_path

_AT_ONCE = 16

A = TypeVar("A")
B = TypeVar("B")


def in_parallel(url: str, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Yields what a function gives for each item, in order: at once for files of a store, else in turn.

    Args:
        url: where the files are.
        work: may run in several threads.
        items: what to give to it; all are taken before the first result is there.

    Raises whatever the function raises, at the place of its item.
    """
    if local_path(url) is not None:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mixtape-read") as pool:
        yield from pool.map(work, items)
