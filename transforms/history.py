"""The history of an output: one line of JSON per run, in the order in which they ended."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from transforms.storage import OWN_FOLDER, OutputTree

HISTORY_PATH = f"{OWN_FOLDER}/history.jsonl"


@dataclass(frozen=True)
class RunEntry:
    """What is kept of a run that held the output, whether it ended well or not.

    A run that was killed leaves no line; neither does one that was refused before it held the output.

    Attributes:
        started: time in UTC, ISO 8601.
        seconds: how long it took.
        outcome: ``made``, ``nothing to do``, ``handed over`` (as a template), ``broken off`` or
            ``interrupted``.
        status: exit status; 1 also where items were rejected beyond the limit.
        planned: items of the plans at hand; 0 for runs that ended before they had any.
        written: items that the output now holds of them; of a run that broke off, those of whole shards.
        rejected: items that could not be made.
        shards_made: shards that were made, or made anew.
        shards_kept: shards that stood and were left as they are.
        parts: ``planned``, ``written``, ``rejected`` and ``shards`` of each part.
        steps: what went before rendering, in runs that list and plan too, by step.
        problem: why the run broke off.
        mixtape: version.
        command: the command line.
    """

    started: str
    seconds: float
    outcome: str
    status: int
    planned: int = 0
    written: int = 0
    rejected: int = 0
    shards_made: int = 0
    shards_kept: int = 0
    parts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    steps: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    mixtape: str = ""
    command: tuple[str, ...] = ()

    def to_line(self) -> bytes:
        """Returns the entry as a line of JSON."""
        return (json.dumps(dataclasses.asdict(self)) + "\n").encode()


def append(tree: OutputTree, entry: RunEntry) -> None:
    """Adds a line; readers see the file with it or without it, never with half of it.

    Only the launching machine may do so, while it holds the output.

    Raises:
        StorageError: it cannot be read or written.
    """
    before = tree.read(HISTORY_PATH) if tree.exists(HISTORY_PATH) else b""
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    tree.write(HISTORY_PATH, before, gap, entry.to_line())
