"""Starts ``mixtape`` or a worker of it with a diary of which process made which shard when.

    python -m tests.runners.recorded mixtape render librimix ...
    python -m tests.runners.recorded worker --id ... --provision_endpoint ...

The diary is the file that MIXTAPE_DIARY names. Before each shard a process waits MIXTAPE_PAUSE_S, so that
shards made at the same time can be told from shards made one after the other on any machine.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIARY = "MIXTAPE_DIARY"
PAUSE_S = "MIXTAPE_PAUSE_S"


@dataclass(frozen=True)
class Entry:
    """Beginning or end of the making of a shard.

    Attributes:
        shard: its name.
        pid: the process.
        time_s: on this machine's clock since it started.
        ended: whether this is the end.
    """

    shard: str
    pid: int
    time_s: float
    ended: bool


def read_diary(path: Path) -> list[Entry]:
    """Reads what has been noted so far, in order of time."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted((Entry(*json.loads(line)) for line in lines), key=lambda entry: entry.time_s)


def unfinished(entries: list[Entry]) -> list[Entry]:
    """Returns the beginnings without an end."""
    ended = {(entry.shard, entry.pid) for entry in entries if entry.ended}
    return [entry for entry in entries if not entry.ended and (entry.shard, entry.pid) not in ended]


def most_at_once(entries: list[Entry]) -> int:
    """Returns how many shards were in the making at the same time, at most."""
    now = most = 0
    for entry in entries:
        now += -1 if entry.ended else 1
        most = max(most, now)
    return most


def _note(shard: str, *, ended: bool) -> None:
    line = json.dumps([shard, os.getpid(), time.monotonic(), ended]) + "\n"
    descriptor = os.open(os.environ[DIARY], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def _recorded(process_shard: Callable[..., Any]) -> Callable[..., Any]:
    def process(job: Any, shard: Any, *more: Any, **named: Any) -> Any:
        _note(shard.name, ended=False)
        time.sleep(float(os.environ.get(PAUSE_S, "0")))
        result = process_shard(job, shard, *more, **named)
        _note(shard.name, ended=True)
        return result

    return process


def main() -> int:
    """Runs what is named with a diary."""
    from pipelines import cli, worker
    from transforms import steps

    if DIARY in os.environ:
        vars(steps)["process_shard"] = _recorded(vars(steps)["process_shard"])
    kind, *words = sys.argv[1:]
    return {"mixtape": cli.main, "worker": worker.main}[kind](words)


if __name__ == "__main__":
    sys.exit(main())
