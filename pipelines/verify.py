"""``mixtape verify``: compares a finished output with its ledger, on disk and rendered again."""

import argparse
import functools
import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from pipelines.checks import Checker
from pipelines.runner import counted, run_pipeline
from transforms import ledger as ledgers
from transforms import storage
from transforms.errors import UsageError
from transforms.finishing import stored_summaries
from transforms.plan import Shard
from transforms.recipes import recipe_named
from transforms.record import check_finished, part_job, recorded_job, unfinished_parts
from transforms.sharding import RenderJob
from transforms.storage import OutputTree
from transforms.story import near_matches
from transforms.verification import (
    FINDINGS_PATH,
    CheckResult,
    Mismatch,
    ShardCheck,
    check_files,
    check_output,
    write_findings,
)


@dataclass(frozen=True)
class Checks:
    """What to check of one part.

    Attributes:
        job: how it was made.
        part: its name.
        shards: all of its shards.
    """

    job: RenderJob
    part: str
    shards: tuple[ShardCheck, ...]


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns 0 if all is as it should be, else 1."""
    checker = Checker(arguments)
    sample = 0 if arguments.all or arguments.items else checker.whole_number("sample")
    moved_roots = checker.roots(arguments.root)
    running = checker.running(passed_on)
    checker.raise_problems()
    job = recorded_job(arguments.out, moved_roots)
    checks = choose_checks(job, sample=sample, ids=arguments.items)
    if arguments.dry_run:
        shards = [shard for group in checks for shard in group.shards if shard.ids]
        items = sum(len(shard.ids) for shard in shards)
        print(f"{counted(items, 'item')} in {counted(len(shards), 'shard')} would be checked")
        return 0
    found = check_merged(job.tree)
    merged = found.mismatches
    counters = run_pipeline(functools.partial(build, out=job.out, checks=checks, merged=merged), running)
    mismatches = counters.get("mismatches", 0) + len(merged)
    running.say(
        f"checked {counted(counters.get('items_checked', 0), 'item')} and "
        f"{counted(counters.get('files_checked', 0) + found.files, 'file')}: "
        f"{counted(mismatches, 'mismatch', 'mismatches')}"
    )
    if mismatches:
        print(job.tree.read(FINDINGS_PATH).decode(), end="")
    return 1 if mismatches else 0


def choose_checks(job: RenderJob, *, sample: int, ids: Sequence[str] | None) -> list[Checks]:
    """Chooses what to check of each shard.

    Args:
        job: the output.
        sample: items per part, evenly spread; 0 for all.
        ids: only these items, if given.

    Raises:
        StorageError: a ledger is missing.
        UsageError: the output has no such item, or a corpus is not where it was.
    """
    checks: list[Checks] = []
    missing, roots = set(ids or ()), set[str]()
    near: list[str] = []
    summaries = stored_summaries(job.tree)
    check_finished(job.tree, summaries)
    for summary in summaries:
        plan = job.stored_plan(summary.part.name)
        if plan.shard_count != len(summary.ledgers):
            raise unfinished_parts(job.tree, [summary.part.name])
        written: list[tuple[Shard, str]] = []
        read = ledgers.read_part(job.tree, plan.part, plan.shard_count)
        for shard, ledger in zip(plan.shards, read, strict=True):
            roots |= {name.partition(":")[0] for name in ledger.sources}
            written += [(shard, item.id) for item in ledger.items]
        chosen = _chosen(written, sample=sample, ids=ids)
        missing -= {item_id for _, item_id in chosen}
        near += [one for name in missing for one in near_matches(name, (item_id for _, item_id in written))]
        grouped = itertools.groupby(chosen, key=lambda pair: pair[0])
        ids_of = {shard: tuple(item_id for _, item_id in pairs) for shard, pairs in grouped}
        shards = [
            ShardCheck(shard, ids_of.get(shard, ()), crc)
            for shard, crc in zip(plan.shards, summary.ledgers, strict=True)
        ]
        checks.append(Checks(part_job(job, summary, plan), summary.part.name, tuple(shards)))
    _check_roots(job, roots)
    if missing:
        like = f"; ids like it: {', '.join(dict.fromkeys(near))}" if near else ""
        raise UsageError(f"{job.out}: has no written item {', '.join(sorted(missing))}{like}")
    return checks


def _chosen(
    written: list[tuple[Shard, str]], *, sample: int, ids: Sequence[str] | None
) -> list[tuple[Shard, str]]:
    """Chooses among the written items of one part, each with its shard; keeps their order."""
    if ids:
        wanted = set(ids)
        return [(shard, item_id) for shard, item_id in written if item_id in wanted]
    return written[:: max(1, len(written) // sample)][:sample] if sample else written


def _check_roots(job: RenderJob, needed: Set[str]) -> None:
    """Raises UsageError where a corpus is not where it should be, or a root is named in vain."""
    problems = [
        f"--root {name}: this output was made from {', '.join(sorted(needed))} only"
        for name in sorted(job.roots.keys() - needed)
        if name not in recipe_named(job.recipe).roots
    ]
    for name in sorted(needed):
        url = job.roots.get(name, "")
        if not url or not storage.is_folder(url):
            found = f"is no longer in {url}" if url else "is in a place that no run recorded"
            problems.append(f"the corpus {name} {found}; say where it is now: --root {name}=URL")
    if problems:
        raise UsageError(problems)


def check_merged(tree: OutputTree) -> CheckResult:
    """Checks all that is not of one shard: tables and the like of parts, and what speaks of the whole."""
    results = [check_files(tree, one.part.name, one.files) for one in stored_summaries(tree)]
    results.append(check_output(tree))
    mismatches = tuple(found for result in results for found in result.mismatches)
    return CheckResult(0, sum(result.files for result in results), mismatches)


def build(pipeline: Any, *, out: str, checks: Sequence[Checks], merged: Sequence[Mismatch]) -> None:
    """Adds the checking of shards, and the writing of what was found, to a pipeline."""
    import apache_beam as beam

    from transforms.steps import VerifyShards

    found = [
        pipeline
        | f"Choose {group.part}" >> beam.Create(group.shards, reshuffle=False).with_output_types(ShardCheck)
        # ShardCheck
        | f"Verify {group.part}" >> VerifyShards(group.job)
        # Mismatch
        for group in checks
    ]
    found.append(pipeline | "Merged" >> beam.Create(merged, reshuffle=False).with_output_types(Mismatch))
    # Mismatch
    mismatches = found | "JoinMismatches" >> beam.Flatten(pipeline=pipeline)
    # Mismatch
    (
        pipeline
        | "Once" >> beam.Create([None], reshuffle=False)
        | "WriteFindings"
        >> beam.Map(lambda _, found: write_findings(OutputTree(out), found), beam.pvalue.AsList(mismatches))
        # None
    )
