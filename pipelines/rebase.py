"""``mixtape rebase``: tables that name files where they are, after a corpus has moved."""

import argparse

from pipelines.checks import Checker
from pipelines.runner import counted
from transforms import storage
from transforms.errors import UsageError
from transforms.finishing import stored_summaries
from transforms.rebasing import choose_paths, has_tables, note_paths, rewrite_tables
from transforms.record import check_finished, part_job, recorded_job


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    running = checker.running(passed_on)
    table_paths = checker.needed("paths") and checker.prefix("paths")
    checker.raise_problems()
    job = recorded_job(arguments.out, {})
    summaries = stored_summaries(job.tree)
    check_finished(job.tree, summaries)
    plans = [job.stored_plan(summary.part.name) for summary in summaries]
    jobs = [part_job(job, summary, plan) for summary, plan in zip(summaries, plans, strict=True)]
    parts = [summary for summary, own in zip(summaries, jobs, strict=True) if has_tables(summary, own)]
    if not parts:
        raise UsageError(f"{arguments.out}: holds no tables, so nothing in it depends on where it is")
    if arguments.dry_run:
        print(f"would rewrite the tables of {counted(len(parts), 'subset')}; nothing was written")
        return 0
    with storage.only_run(job.tree):
        choose_paths(job.tree, table_paths)
        changed = [rewrite_tables(job, summary, table_paths) for summary in parts]
        note_paths(job.tree, table_paths)
    tables = sum(path.endswith(".csv") for one in changed if one for path in one.files)
    running.say(
        f"{counted(tables, 'table')} rewritten, with paths {table_paths}; exports are to be made again"
    )
    return 0
