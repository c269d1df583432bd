"""Keeps the history of an output: what each run that held it did, however it ended."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipelines.dataflow import HandedOver
from transforms import history, storage
from transforms.errors import MixtapeError, UsageError
from transforms.finishing import PartSummary
from transforms.history import RunEntry
from transforms.storage import OutputTree
from transforms.version import VERSION

_BROKEN, _INTERRUPTED = 1, 130


@dataclass
class RunNotes:
    """What a run tells of itself while it goes on.

    Attributes:
        status: exit status of a run that came to its end.
        shards_made: shards that were made, or made anew.
        summaries: the parts of the run, when all are merged.
        steps: what went before rendering, by step.
    """

    status: int = 0
    shards_made: int = 0
    summaries: Sequence[PartSummary] = ()
    steps: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def recorded_run(tree: OutputTree, command: Sequence[str]) -> Iterator[RunNotes]:
    """Holds an output for one run, and adds the run to the output's history when it ends.

    Bad input (exit status 2) ends a run before it begins, and leaves no line.

    Args:
        tree: the output.
        command: the command line.

    Raises:
        UsageError: another run is writing to the same output.
        StorageError: the output cannot be held, or the history of a good run cannot be written.
    """
    started = time.time()
    notes = RunNotes()
    with storage.only_run(tree) as is_held:
        try:
            yield notes
        except UsageError:
            raise
        except HandedOver:
            history.append(tree, _entry(notes, started, command, outcome="handed over", status=0))
            raise
        except KeyboardInterrupt:
            if is_held():
                entry = _entry(notes, started, command, outcome="interrupted", status=_INTERRUPTED)
                _note_failure(tree, entry)
            raise
        except Exception as error:
            problem = str(error) if isinstance(error, MixtapeError) else f"{type(error).__name__}: {error}"
            entry = _entry(notes, started, command, outcome="broken off", status=_BROKEN, problem=problem)
            if is_held():
                _note_failure(tree, entry)
            raise
        outcome = "made" if notes.shards_made else "nothing to do"
        history.append(tree, _entry(notes, started, command, outcome=outcome, status=notes.status))


def _note_failure(tree: OutputTree, entry: RunEntry) -> None:
    """Writes the line of a run that broke off; what broke it off may forbid that too."""
    with contextlib.suppress(MixtapeError):
        history.append(tree, entry)


def _entry(
    notes: RunNotes, started: float, command: Sequence[str], *, outcome: str, status: int, problem: str = ""
) -> RunEntry:
    shards = sum(summary.shards for summary in notes.summaries)
    return RunEntry(
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        outcome=outcome,
        status=status,
        planned=sum(summary.planned for summary in notes.summaries),
        written=sum(summary.written for summary in notes.summaries),
        rejected=sum(len(summary.rejects) for summary in notes.summaries),
        shards_made=notes.shards_made,
        shards_kept=max(0, shards - notes.shards_made),
        parts={summary.part.name: _figures(summary) for summary in notes.summaries},
        steps=notes.steps,
        problem=problem,
        mixtape=VERSION,
        command=tuple(command),
    )


def _figures(summary: PartSummary) -> dict[str, int]:
    return {
        "planned": summary.planned,
        "written": summary.written,
        "rejected": len(summary.rejects),
        "shards": summary.shards,
    }
