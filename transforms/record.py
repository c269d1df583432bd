"""What an output records of itself: how its last run and each of its parts were made."""

import dataclasses
import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

from transforms.errors import StorageError, UsageError
from transforms.finishing import RUN_PATH, PartSummary
from transforms.plan import RenderOptions, StoredPlan
from transforms.sharding import RenderJob, plan_path
from transforms.storage import OutputTree


def read_run(tree: OutputTree) -> dict[str, Any]:
    """Reads what the last run recorded of itself; nothing where no run has ended well."""
    try:
        return dict(json.loads(tree.read(RUN_PATH)))
    except (StorageError, ValueError, TypeError):
        return {}


def recorded_job(out: str, moved_roots: Mapping[str, str]) -> RenderJob:
    """Reads from an output how its last run made it.

    Args:
        out: the output.
        moved_roots: where roots are now that are no longer where they were.

    Raises:
        UsageError: there is no finished output.
    """
    tree = OutputTree(out)
    facts = read_run(tree)
    try:
        roots = {**facts["roots"], **moved_roots}
        return RenderJob(tree.root, facts["recipe"], roots, RenderOptions.from_json(facts["options"]))
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"{out}: holds no finished corpus (looked for {RUN_PATH}); check the path, or render again"
        ) from error


def part_job(job: RenderJob, summary: PartSummary, plan: StoredPlan) -> RenderJob:
    """Returns how one part of an output was made, which may be otherwise than its last run went.

    Args:
        job: the last run.
        summary: what the output says of the part.
        plan: the part's stored plan.
    """
    return dataclasses.replace(job, recipe=plan.part.recipe, options=summary.options, settings=plan.settings)


def check_finished(tree: OutputTree, summaries: Sequence[PartSummary]) -> None:
    """Raises UsageError where a part of the output is planned and not all there."""
    finished = {plan_path(summary.part.name) for summary in summaries}
    folder = posixpath.dirname(plan_path(""))
    if unfinished := [name for name in tree.names(folder) if f"{folder}/{name}" not in finished]:
        raise unfinished_parts(tree, [name.removesuffix(".parquet") for name in unfinished])


def unfinished_parts(tree: OutputTree, names: Sequence[str]) -> UsageError:
    """Returns what to raise where parts of an output are planned and not all there."""
    return UsageError(
        f"{tree.root}: a run broke off before {', '.join(names)} was complete; run its command again"
    )
