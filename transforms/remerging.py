"""Parts of earlier runs whose summaries cannot be relied on: merged again from their ledgers."""

import dataclasses
import json
from collections.abc import Set

from transforms import ledger as ledgers
from transforms.errors import StorageError, UsageError
from transforms.finishing import finish_part, summary_names, trusted_summary
from transforms.inventory import NotedTree
from transforms.plan import RenderOptions, StoredPlan
from transforms.sharding import RenderJob, shard_fingerprint, summary_path
from transforms.storage import OutputTree


def merge_earlier_parts(tree: NotedTree, job: RenderJob, current: Set[str]) -> list[str]:
    """Merges parts of earlier runs whose summaries are damaged, or of the form of an earlier version.

    They are merged with the options that they were made with: those that the summary still tells, or
    else those of this run, if the ledgers of all shards agree. No shard is made again.

    Args:
        tree: the output; notes summaries that are removed.
        job: the run.
        current: names of its parts, which it has merged itself.

    Returns:
        A line for each part that cannot be merged so; its summary is gone, which marks it as unfinished.

    Raises:
        StorageError: a file cannot be written.
    """
    lines = []
    for name in summary_names(tree):
        if name in current or trusted_summary(tree, name) is not None:
            continue
        own = _as_it_was_made(job, name)
        if own is not None:
            finish_part(own, name)
            continue
        tree.remove(summary_path(name))
        lines.append(
            f"{name}: its summary is damaged or of an earlier version, and cannot be made from its shards as "
            "they stand; card, report and checksums leave it out: render it again"
        )
    return lines


def _as_it_was_made(job: RenderJob, part_name: str) -> RenderJob | None:
    """Returns the job that made all shards of a part; None where none is known or not all shards stand."""
    try:
        plan = job.stored_plan(part_name)
        jobs = (
            dataclasses.replace(job, recipe=plan.part.recipe, options=options, settings=plan.settings)
            for options in (_told_options(job.tree, part_name), job.options)
            if options is not None
        )
        return next((one for one in jobs if _made(one, plan)), None)
    except (StorageError, UsageError):
        return None


def _told_options(tree: OutputTree, part_name: str) -> RenderOptions | None:
    """Reads the options alone from a summary that is not relied on otherwise."""
    try:
        return RenderOptions.from_json(json.loads(tree.read(summary_path(part_name)))["options"])
    except (StorageError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _made(job: RenderJob, plan: StoredPlan) -> bool:
    """Tells whether a job's options made every shard of a plan. Raises StorageError without a ledger."""
    read = ledgers.read_part(job.tree, plan.part, plan.shard_count)
    return all(
        ledger.fingerprint == shard_fingerprint(job, shard, plan.read_shard(shard.index))
        for shard, ledger in zip(plan.shards, read, strict=True)
    )
