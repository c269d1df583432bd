"""``mixtape report``: makes the report of a finished output anew."""

import argparse

from pipelines.checks import Checker
from pipelines.output import REPORT_PATH
from transforms import report
from transforms.finishing import stored_summaries
from transforms.inventory import NotedTree, take_inventory
from transforms.record import check_finished, recorded_job
from transforms.storage import only_run


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns 0."""
    del passed_on
    checker = Checker(arguments)
    moved_roots = checker.roots(arguments.root)
    checker.raise_problems()
    job = recorded_job(arguments.out, moved_roots)
    tree = NotedTree(job.out)
    with only_run(tree):
        summaries = stored_summaries(tree)
        check_finished(tree, summaries)
        tree.write(REPORT_PATH, report.make_report(job, summaries).encode())
        take_inventory(tree)
    print(f"report: {tree.url(REPORT_PATH)}")
    return 0
