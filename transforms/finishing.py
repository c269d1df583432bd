"""What is merged once, when all shards of a part stand: tables, indices, rejects, statistics."""

import dataclasses
import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from transforms import ledger as ledgers
from transforms.checksums import ChecksumsWriter
from transforms.errors import StorageError
from transforms.inventory import FileRecord, NotedTree, read_inventory, stands
from transforms.plan import Part, RenderOptions
from transforms.rejects import Reject
from transforms.sharding import RenderJob, read_plan_rejects, summary_path
from transforms.sinks import sinks_for
from transforms.sinks.base import Sink
from transforms.statistics import PartStatistics, Uses
from transforms.storage import OWN_FOLDER, OutputTree

RUN_PATH = f"{OWN_FOLDER}/run.json"
_FOLDER = f"{OWN_FOLDER}/parts"


@dataclass(frozen=True)
class PartSummary:
    """What an output holds of one part.

    Attributes:
        part: which part.
        shards: how many shards.
        options: what the run that merged it made.
        written: items written.
        rejects: items that could not be made.
        files: size and CRC-32C of the tables, indices and the like beside the shards, by path.
        statistics: lengths, levels and SNRs, for summary and report.
        ledgers: CRC-32C of the ledger of each shard that it was merged from, in order.
    """

    part: Part
    shards: int
    options: RenderOptions
    written: int
    rejects: tuple[Reject, ...]
    files: Mapping[str, FileRecord]
    statistics: PartStatistics
    ledgers: tuple[int, ...] = ()

    @property
    def planned(self) -> int:
        """Items planned: every one is either written or rejected."""
        return self.written + len(self.rejects)

    def to_json(self) -> bytes:
        """Returns the summary as JSON."""
        return (json.dumps(dataclasses.asdict(self), indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> "PartSummary":
        """Reads what ``to_json`` wrote.

        Raises ValueError, KeyError, TypeError or AttributeError on anything else.
        """
        fields: dict[str, Any] = json.loads(data)
        return cls(
            part=Part(**fields["part"]),
            shards=fields["shards"],
            options=RenderOptions.from_json(fields["options"]),
            written=fields["written"],
            rejects=tuple(Reject(**reject) for reject in fields["rejects"]),
            files={path: FileRecord(**record) for path, record in fields["files"].items()},
            statistics=PartStatistics.from_json(fields["statistics"]),
            ledgers=tuple(fields["ledgers"]),
        )


def read_summary(tree: OutputTree, part_name: str) -> PartSummary | None:
    """Reads a part's summary; None where there is none, or one that cannot be understood."""
    try:
        return _summary_of(tree.read(summary_path(part_name)))
    except StorageError:
        return None


def trusted_summary(tree: OutputTree, part_name: str) -> PartSummary | None:
    """Reads a part's summary; None too where its bytes are known and are others than those written."""
    try:
        data = tree.read(summary_path(part_name))
    except StorageError:
        return None
    known = read_inventory(tree).get(summary_path(part_name))
    return _summary_of(data) if known in (None, FileRecord.of(data)) else None


def _summary_of(data: bytes) -> PartSummary | None:
    try:
        return PartSummary.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def summary_names(tree: OutputTree) -> list[str]:
    """Lists the parts of which an output holds a summary, even one that cannot be understood."""
    return [name.removesuffix(".json") for name in tree.names(_FOLDER)]


def stored_summaries(tree: OutputTree) -> list[PartSummary]:
    """Reads the summaries of all parts that an output holds, by name."""
    return [found for name in summary_names(tree) if (found := read_summary(tree, name)) is not None]


def is_finished(job: RenderJob, part_name: str, shard_count: int) -> bool:
    """Tells whether a part whose shards all stand needs no merging again."""
    summary = trusted_summary(job.tree, part_name)
    return (
        summary is not None
        and summary.shards == shard_count
        and summary.options.table_paths == job.options.table_paths
        and stands(job.tree, summary.files)
    )


def finish_part(job: RenderJob, part_name: str) -> PartSummary:
    """Reads the ledgers of a part once, in order, and writes everything that is made from all.

    Shard files of the part that no ledger knows are removed, and the record of the last run, which
    speaks of another state of the output.

    Raises:
        StorageError: a ledger is missing, or a file cannot be written.
    """
    tree = NotedTree(job.out)
    tree.remove(RUN_PATH)
    plan = job.stored_plan(part_name)
    sinks = sinks_for(tree, job.rules, job.options)
    writers = [sink.open_part(plan.part, plan.shard_count, plan.roles) for sink in sinks]
    writers.append(ChecksumsWriter(tree, plan.part))
    statistics, uses = PartStatistics(), Uses()
    rejects = read_plan_rejects(tree, part_name)
    shard_files: set[str] = set()
    ledger_sums: list[int] = []
    for index, ledger in enumerate(ledgers.read_part(tree, plan.part, plan.shard_count)):
        mixtures = plan.read_shard(index)
        for writer in writers:
            writer.add(ledger, mixtures)
        statistics.add(ledger, mixtures, recipe=job.rules, formats=job.options.formats)
        uses.add(ledger, mixtures)
        rejects += ledger.rejects
        shard_files.update(file.path for file in ledger.files)
        ledger_sums.append(ledger.crc32c)
    _remove_leftovers(sinks, plan.part, shard_files)
    for writer in writers:
        writer.close()
    statistics.add_uses(uses)
    summary = PartSummary(
        part=plan.part,
        shards=plan.shard_count,
        options=job.options,
        written=statistics.items,
        rejects=tuple(rejects),
        files={path: record for writer in writers for path in writer.files if (record := tree.noted[path])},
        statistics=statistics,
        ledgers=tuple(ledger_sums),
    )
    tree.write(summary_path(part_name), summary.to_json())
    return summary


def _remove_leftovers(sinks: Sequence[Sink], part: Part, known: Set[str]) -> None:
    """Removes shard files that killed runs and other plans or options left, in the formats at hand."""
    for sink in sinks:
        for folder in sink.folders(part):
            for path in (f"{folder}/{name}" for name in sink.tree.names(folder)):
                if sink.is_shard_file(part, path) and path not in known:
                    sink.tree.remove(path)
