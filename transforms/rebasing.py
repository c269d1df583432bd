"""Rewriting the tables of a corpus that moved, and remembering how they name files."""

import dataclasses
import json

from transforms import ledger as ledgers
from transforms.errors import StorageError
from transforms.finishing import RUN_PATH, PartSummary
from transforms.inventory import NotedTree, take_inventory
from transforms.record import part_job, read_run
from transforms.sharding import RenderJob, summary_path
from transforms.sinks.tables import TablesWriter
from transforms.storage import OWN_FOLDER, OutputTree

REBASE_PATH = f"{OWN_FOLDER}/rebase.json"
DEFAULT_PATHS = "absolute"


def chosen_paths(tree: OutputTree) -> str:
    """Returns how tables of an output name files unless a command says otherwise.

    It is what the last rebasing chose: that outlives the record of a run, which is gone while the next
    one works.
    """
    try:
        return str(json.loads(tree.read(REBASE_PATH))["table_paths"])
    except (StorageError, ValueError, KeyError, TypeError):
        return DEFAULT_PATHS


def choose_paths(tree: OutputTree, table_paths: str) -> None:
    """Records how tables of an output shall name files from now on. Raises StorageError."""
    tree.write(REBASE_PATH, (json.dumps({"table_paths": table_paths}) + "\n").encode())


def has_tables(summary: PartSummary, job: RenderJob) -> bool:
    """Tells whether a part has tables: its recipe publishes some, and its WAV files were written."""
    return job.rules.table_path is not None and "wav" in summary.options.formats


def rewrite_tables(job: RenderJob, summary: PartSummary, table_paths: str) -> PartSummary | None:
    """Writes the tables of a part anew from its ledgers, and its summary to match.

    Args:
        job: the output.
        summary: the part.
        table_paths: ``absolute``, ``relative`` to the table, or a prefix.

    Returns:
        The new summary, or None for a part that has no tables.

    Raises:
        StorageError: a ledger is missing, or a table cannot be written.
    """
    plan = job.stored_plan(summary.part.name)
    own = part_job(job, summary, plan)
    if not has_tables(summary, own):
        return None
    options = dataclasses.replace(summary.options, table_paths=table_paths)
    beside = NotedTree(job.out)
    writer = TablesWriter(beside, own.rules, options, part=plan.part, roles=plan.roles)
    for ledger in ledgers.read_part(job.tree, plan.part, plan.shard_count):
        writer.add(ledger)
    writer.close()
    tables = {path: record for path in writer.files if (record := beside.noted[path])}
    changed = dataclasses.replace(summary, options=options, files={**summary.files, **tables})
    tree = NotedTree(job.out)
    tree.write(summary_path(summary.part.name), changed.to_json())
    take_inventory(tree)
    return changed


def note_paths(tree: OutputTree, table_paths: str) -> None:
    """Brings the record of the last run up to date, so that the next one finds nothing to do."""
    facts = read_run(tree)
    facts["options"] = {**facts["options"], "table_paths": table_paths}
    noted = NotedTree(tree.root)
    noted.write(RUN_PATH, (json.dumps(facts, indent=1) + "\n").encode())
    take_inventory(noted)
