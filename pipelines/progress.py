"""Progress of a run: items of a local one as they are made; elsewhere, shards as their ledgers appear."""

import contextlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from pipelines.runner import SHOWING, counted, duration
from transforms import storage
from transforms.errors import StorageError, StoreUnavailableError
from transforms.ledger import ledger_path
from transforms.plan import Shard
from transforms.storage import FileStamp, OutputTree

_POLL_S = 0.5
_PLAIN_LINE_S = 10.0


class Progress:
    """Shows how many items of a local run are done, with rate and time left.

    Workers append one byte per item to ``path``; that file's size is the count.

    Args:
        total: items of the run.
        quiet: show nothing.
    """

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._started = time.monotonic()
        self.path = ""

    @contextlib.contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Shows progress while the block runs: a line rewritten on a terminal, else plain lines."""
        if self._quiet:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="mixtape-") as folder:
            self.path = os.path.join(folder, "items")
            with _lines(self._line, _POLL_S if sys.stderr.isatty() else _PLAIN_LINE_S):
                yield self

    def _line(self) -> str:
        count = os.path.getsize(self.path) if os.path.exists(self.path) else 0
        elapsed_s = time.monotonic() - self._started
        rate = count / elapsed_s
        left = f", {duration((self._total - count) / rate)} left" if 0 < count < self._total else ""
        return f"{count:,} of {self._total:,} items, {rate:.1f} per second{left}"


class ShardProgress:
    """Shows how many shards a run on a cluster has made, by the ledgers that appear in its output.

    Shards that need not be made anew keep their ledgers and are not counted. The output is listed
    every ten seconds.

    Args:
        tree: the output.
        shards: what the run may have to make.
        quiet: show nothing.
    """

    path = ""

    def __init__(self, tree: OutputTree, shards: Sequence[Shard], *, quiet: bool) -> None:
        self._tree = tree
        self._paths = frozenset(ledger_path(shard.name) for shard in shards)
        self._quiet = quiet
        self._started = time.monotonic()
        self._before: dict[str, FileStamp] = {}

    @contextlib.contextmanager
    def shown(self) -> Iterator["ShardProgress"]:
        """Shows progress while the block runs: a line rewritten on a terminal, else plain lines."""
        if self._quiet:
            yield self
            return
        self._before = self._stamps()
        with _lines(self._line, _PLAIN_LINE_S):
            yield self

    def made(self) -> int:
        """Counts the shards whose ledgers are other than before."""
        return sum(stamp != self._before.get(path) for path, stamp in self._stamps().items())

    def _stamps(self) -> dict[str, FileStamp]:
        folder = (
            os.path.commonpath(self._paths) if len(self._paths) > 1 else os.path.dirname(min(self._paths))
        )
        try:
            found = {f"{folder}/{entry.path}": entry.stamp for entry in storage.find(self._tree.url(folder))}
        except (StorageError, StoreUnavailableError):
            return {}
        return {path: stamp for path, stamp in found.items() if path in self._paths}

    def _line(self) -> str:
        elapsed = duration(time.monotonic() - self._started)
        return f"{self.made():,} of {counted(len(self._paths), 'shard')} made, {elapsed}"


@contextlib.contextmanager
def _lines(line: Callable[[], str], interval_s: float) -> Iterator[None]:
    """Shows a line again and again while the block runs."""
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(line, interval_s, done), name=SHOWING, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(line: Callable[[], str], interval_s: float, done: threading.Event) -> None:
    terminal = sys.stderr.isatty()
    while not done.wait(interval_s):
        text = line()
        end = "" if terminal else "\n"
        print(f"\r{text:<78}" if terminal else text, end=end, file=sys.stderr, flush=True)
    if terminal:
        print(f"\r{line():<78}", file=sys.stderr, flush=True)
