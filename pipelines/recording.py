"""Keeps the history of an output: what each run that held it did, however it ended."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipelines.dataflow import HandedOver
from transforms import history, storage
from transforms import ledger as ledgers
from transforms.errors import MixtapeError, UsageError
from transforms.finishing import PartSummary
from transforms.history import RunEntry
from transforms.plan import Shard, StoredPlan
from transforms.sharding import read_plan_rejects
from transforms.storage import FileStamp, Listings, OutputTree
from transforms.version import VERSION

_BROKEN, _INTERRUPTED = 1, 130


@dataclass
class RunNotes:
    """What a run tells of itself while it goes on.

    Attributes:
        status: exit status of a run that came to its end.
        shards_made: shards that were made, or made anew.
        plans: the plans of the run, once they are stored.
        begun: the shards that the run set out to make, each with the stamp that its ledger had before.
        summaries: the parts of the run, when all are merged.
        steps: what went before rendering, by step.
    """

    status: int = 0
    shards_made: int = 0
    plans: Sequence[StoredPlan] = ()
    begun: Mapping[Shard, FileStamp | None] | None = None
    summaries: Sequence[PartSummary] = ()
    steps: dict[str, str] = field(default_factory=dict)

    def begin(self, tree: OutputTree, shards: Sequence[Shard]) -> None:
        """Notes which shards the run sets out to make."""
        self.begun = _ledger_stamps(tree, shards)


@dataclass(frozen=True)
class _Account:
    """What a run made and kept: figures of each part, and shards."""

    parts: Mapping[str, Mapping[str, int]]
    shards_made: int
    shards_kept: int

    def sum(self, figure: str) -> int:
        return sum(figures[figure] for figures in self.parts.values())


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
    entry = functools.partial(_entry, tree, notes, started=started, command=command)
    with storage.only_run(tree) as is_held:
        try:
            yield notes
        except UsageError:
            raise
        except HandedOver:
            history.append(tree, entry(outcome="handed over", status=0))
            raise
        except KeyboardInterrupt:
            if is_held():
                _note_failure(tree, lambda: entry(outcome="interrupted", status=_INTERRUPTED))
            raise
        except Exception as error:
            problem = str(error) if isinstance(error, MixtapeError) else f"{type(error).__name__}: {error}"
            if is_held():
                _note_failure(tree, lambda: entry(outcome="broken off", status=_BROKEN, problem=problem))
            raise
        outcome = "made" if notes.shards_made else "nothing to do"
        history.append(tree, entry(outcome=outcome, status=notes.status))


def _note_failure(tree: OutputTree, entry: Callable[[], RunEntry]) -> None:
    """Writes the line of a run that broke off; what broke it off may forbid that too."""
    with contextlib.suppress(MixtapeError):
        history.append(tree, entry())


def _entry(
    tree: OutputTree,
    notes: RunNotes,
    *,
    started: float,
    command: Sequence[str],
    outcome: str,
    status: int,
    problem: str = "",
) -> RunEntry:
    is_merged = notes.summaries or not notes.plans
    account = _merged_account(notes) if is_merged else _unfinished_account(tree, notes)
    return RunEntry(
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(time.time() - started, 3),
        outcome=outcome,
        status=status,
        planned=account.sum("planned"),
        written=account.sum("written"),
        rejected=account.sum("rejected"),
        shards_made=account.shards_made,
        shards_kept=account.shards_kept,
        parts=account.parts,
        steps=notes.steps,
        problem=problem,
        mixtape=VERSION,
        command=tuple(command),
    )


def _merged_account(notes: RunNotes) -> _Account:
    """Returns the account of a run of which all parts are merged."""
    parts = {
        summary.part.name: {
            "planned": summary.planned,
            "written": summary.written,
            "rejected": len(summary.rejects),
            "shards": summary.shards,
        }
        for summary in notes.summaries
    }
    shards = sum(summary.shards for summary in notes.summaries)
    return _Account(parts, notes.shards_made, max(0, shards - notes.shards_made))


def _unfinished_account(tree: OutputTree, notes: RunNotes) -> _Account:
    """Returns the account of a run that stopped on its way, from the ledgers of the shards that stand.

    A shard that the run set out to make stands if its ledger is another file than before.
    """
    begun = notes.begun or {}
    now = _ledger_stamps(tree, list(begun))
    made = {shard for shard, stamp in now.items() if stamp not in (None, begun[shard])}
    parts, kept = {}, 0
    for plan in notes.plans:
        shards = [shard for shard in plan.shards if shard not in begun] if notes.begun is not None else []
        kept += len(shards)
        parts[plan.part.name] = _unfinished_figures(tree, plan, [*shards, *made.intersection(plan.shards)])
    return _Account(parts, len(made), kept)


def _unfinished_figures(tree: OutputTree, plan: StoredPlan, shards: Sequence[Shard]) -> dict[str, int]:
    """Returns the figures of a part of which only some shards stand."""
    found = [ledger for shard in shards if (ledger := ledgers.read_ledger(tree, shard.name))]
    of_plan = len(read_plan_rejects(tree, plan.part.name))
    return {
        "planned": plan.mixture_count + of_plan,
        "written": sum(len(ledger.items) for ledger in found),
        "rejected": sum(len(ledger.rejects) for ledger in found) + of_plan,
        "shards": plan.shard_count,
    }


def _ledger_stamps(tree: OutputTree, shards: Sequence[Shard]) -> dict[Shard, FileStamp | None]:
    listings = Listings()
    return {shard: listings.stamp(tree.url(ledgers.ledger_path(shard.name))) for shard in shards}
