"""``mixtape verify``: compares a finished output with its ledger, on disk and rendered again."""

import argparse
import functools
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.checks import Checker
from pipelines.output import RUN_PATH
from pipelines.runner import Running, run_pipeline
from transforms import ledger as ledgers
from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.finishing import stored_summaries
from transforms.plan import RenderOptions
from transforms.sharding import RenderJob
from transforms.storage import OutputTree
from transforms.verification import FINDINGS_PATH, ShardCheck, write_findings


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns 0 if all is as it should be, else 1."""
    checker = Checker(arguments)
    sample = 0 if arguments.all or arguments.items else checker.whole_number("sample")
    checker.raise_problems()
    job = recorded_job(arguments.out, _moved_roots(arguments.root))
    checks = list(choose_checks(job, sample=sample, ids=arguments.items))
    if arguments.dry_run:
        print(f"{sum(len(check.ids) for check in checks):,} items in {len(checks):,} shards would be checked")
        return 0
    counters = run_pipeline(
        functools.partial(build, job=job, checks=checks), Running.of(arguments, passed_on)
    )
    mismatches = counters.get("mismatches", 0)
    print(
        f"checked {counters.get('items_checked', 0):,} items and {counters.get('files_checked', 0):,} files: "
        f"{mismatches:,} mismatches"
    )
    if mismatches:
        print(job.tree.read(FINDINGS_PATH).decode(), end="")
    return 1 if mismatches else 0


def _moved_roots(words: Sequence[str]) -> dict[str, str]:
    """Reads ``--root NAME=URL ...``. Raises UsageError."""
    pairs = [word.partition("=") for word in words]
    if bad := [word for word, (name, _, url) in zip(words, pairs, strict=True) if not (name and url)]:
        raise UsageError(
            f"--root {' '.join(bad)}: wanted NAME=URL, for instance librispeech=/data/LibriSpeech"
        )
    return {name: storage.absolute(url) for name, _, url in pairs}


def recorded_job(out: str, moved_roots: Mapping[str, str]) -> RenderJob:
    """Reads from an output how it was made.

    Args:
        out: the output.
        moved_roots: where roots are now that are no longer where they were.

    Raises:
        UsageError: there is no finished output.
    """
    tree = OutputTree(out)
    try:
        facts: dict[str, Any] = json.loads(tree.read(RUN_PATH))
        return RenderJob(
            tree.root,
            facts["recipe"],
            {**facts["roots"], **moved_roots},
            RenderOptions.from_json(facts["options"]),
        )
    except (StorageError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{out}: holds no finished corpus (looked for {RUN_PATH}); check the path"
        ) from error


def choose_checks(job: RenderJob, *, sample: int, ids: Sequence[str] | None) -> Iterator[ShardCheck]:
    """Yields what to check of each shard.

    Args:
        job: the output.
        sample: items per part, evenly spread; 0 for all.
        ids: only these items, if given.

    Raises:
        UsageError: the output has no such item.
    """
    missing = set(ids or ())
    for summary in stored_summaries(job.tree):
        plan = job.stored_plan(summary.part.name)
        written = [
            (shard, item.id)
            for shard, ledger in zip(
                plan.shards, ledgers.read_part(job.tree, plan.part, plan.shard_count), strict=True
            )
            for item in ledger.items
            if not ids or item.id in missing
        ]
        chosen = written[:: max(1, len(written) // sample)][:sample] if sample else written
        missing -= {item_id for _, item_id in chosen}
        for shard, group in itertools.groupby(chosen, key=lambda pair: pair[0]):
            yield ShardCheck(shard, tuple(item_id for _, item_id in group))
    if missing:
        raise UsageError(f"{job.out}: has no written item {', '.join(sorted(missing))}")


def build(pipeline: Any, *, job: RenderJob, checks: Sequence[ShardCheck]) -> None:
    """Adds the checking of shards, and the writing of what was found, to a pipeline."""
    import apache_beam as beam

    from transforms.steps import VerifyShards

    mismatches = (
        pipeline
        | "Checks" >> beam.Create(list(checks), reshuffle=False).with_output_types(ShardCheck)
        # ShardCheck
        | "Verify" >> VerifyShards(job)
        # Mismatch
    )
    (
        pipeline
        | "Once" >> beam.Create([None], reshuffle=False)
        | "WriteFindings"
        >> beam.Map(lambda _, found: write_findings(job.tree, found), beam.pvalue.AsList(mismatches))
        # None
    )
