"""``mixtape pack``: compressed tar archives in, plain tar shards with a table of their members out."""

import argparse
import re
import time

from pipelines.checks import Checker
from pipelines.output import check_writable
from pipelines.runner import Running, counted, duration
from transforms import archives, storage
from transforms.archives import Archives
from transforms.errors import UsageError
from transforms.storage import OutputTree

_SIZE = re.compile(r"(\d+)([KMG]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_LEAST_BYTES = 10**4
_LINE_S = 10.0
_SHOWN = 3


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    out = checker.needed("out")
    running = checker.running(passed_on)
    shard_bytes = checker.attempt(lambda: size_bytes(arguments.shard_bytes), _LEAST_BYTES)
    nothing: Archives = ()
    found = checker.attempt(lambda: archives.archives_now(arguments.archives), nothing)
    checker.raise_problems()
    tree = OutputTree(out)
    total = sum(size for _, size, _ in found)
    if arguments.dry_run:
        print(f"would pack {_archives(found)} of {total / 1e9:,.2f} GB into {tree.root}; nothing was written")
        return 0
    check_writable(tree)
    with storage.only_run(tree):
        record = archives.read_record(tree)
        if record and not arguments.force and (record.archives, record.shard_bytes) == (found, shard_bytes):
            running.say(f"nothing to do: {tree.root} holds {_archives(found)} already")
            return 0
        if record and not arguments.force and record.archives != found:
            raise UsageError(
                f"--out {tree.root}: holds shards of other archives, or of what these were before; "
                "use another folder, or --force to replace them"
            )
        started = time.monotonic()
        advance = _Progress(running).advance
        made = archives.pack(arguments.archives, tree, shard_bytes=shard_bytes, advance=advance)
    running.say(_summary(made, tree, seconds=time.monotonic() - started))
    return 0


def size_bytes(text: str) -> int:
    """Reads ``--shard-bytes``. Raises UsageError.

    >>> size_bytes("512M")
    512000000
    """
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[match[2].upper()] if match else 0
    if size < _LEAST_BYTES:
        raise UsageError(f"--shard-bytes {text}: wanted a number of bytes of 10K or more, for instance 1G")
    return size


class _Progress:
    """Says every ten seconds how much was packed."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._files = self._bytes = 0
        self._said = time.monotonic()

    def advance(self, size: int) -> None:
        """Counts one more file."""
        self._files += 1
        self._bytes += size
        if time.monotonic() - self._said > _LINE_S:
            self._said = time.monotonic()
            self._running.say(f"{counted(self._files, 'file')}, {self._bytes / 1e9:,.2f} GB")


def _archives(found: Archives) -> str:
    return counted(len(found), "archive")


def _summary(made: archives.PackSummary, tree: OutputTree, *, seconds: float) -> str:
    text = (
        f"packed {counted(made.members, 'file')} of {made.size_bytes / 1e9:,.2f} GB into "
        f"{counted(made.shards, 'shard')} in {tree.root} in {duration(seconds)}"
    )
    if made.left_out:
        names = ", ".join(made.left_out[:_SHOWN])
        text += f"; left out {counted(len(made.left_out), 'link or device', 'links and devices')}: {names}"
    return text
