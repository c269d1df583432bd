"""Sorting of any number of lines in little memory."""

import contextlib
import heapq
import itertools
import tempfile
from collections.abc import Iterable, Iterator


def sorted_lines(lines: Iterable[bytes], *, in_memory: int = 500_000) -> Iterator[bytes]:
    """Yields lines in the order of their bytes, as Kaldi wants its lists (``LC_ALL=C sort``).

    More lines than fit are sorted in pieces, which are kept in temporary files and merged.

    Args:
        lines: each ending in a line feed, with none within.
        in_memory: lines that are held at a time.
    """
    rest = iter(lines)
    with contextlib.ExitStack() as stack:
        pieces: list[Iterable[bytes]] = []
        while piece := sorted(itertools.islice(rest, in_memory)):
            if not pieces and len(piece) < in_memory:
                pieces.append(piece)
                break
            file = stack.enter_context(tempfile.TemporaryFile(prefix="mixtape-"))
            file.writelines(piece)
            file.seek(0)
            pieces.append(file)
        yield from heapq.merge(*pieces)
