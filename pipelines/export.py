"""``mixtape export``: lists of a finished corpus for other tools, without rendering anything again."""

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.checks import Checker
from pipelines.runner import counted, run_pipeline
from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.exports import EXPORTS
from transforms.exports.base import View, views_of
from transforms.exports.lhotse import shar_shards
from transforms.exports.written import note_written
from transforms.finishing import stored_summaries
from transforms.record import check_finished, part_job, recorded_job
from transforms.storage import OutputTree


@dataclass(frozen=True)
class ExportRequest:
    """A checked command line of ``export``.

    Attributes:
        target: the tool, by its name among the exports.
        out: URL of the corpus.
        to: URL of the folder that the lists go to.
        views: what is listed.
        shar: pack the audio too.
    """

    target: str
    out: str
    to: str
    views: tuple[View, ...]
    shar: bool = False

    @property
    def corpus(self) -> str:
        """The corpus as the folder's record names it: ``.`` for a folder within, which moves with it."""
        return "." if f"{self.to}/".startswith(f"{self.out}/") else self.out


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    running = checker.running(passed_on)
    checker.raise_problems()
    request = make_request(arguments)
    subsets = {view.part: sum(view.counts) for view in request.views}
    amount = f"{counted(sum(subsets.values()), 'mixture')} in {counted(len(subsets), 'subset')}"
    if arguments.dry_run:
        print(f"would list {amount} in {request.to}; nothing was written")
        return 0
    to = OutputTree(request.to)
    try:
        to.check_writable()
    except StorageError as error:
        raise UsageError(f"--to {to.root}: cannot be written to: {error.problem}") from error
    with storage.only_run(to):
        counters = run_pipeline(functools.partial(build, request=request), running)
    lists, archives = counters.get("lists_written", 0), counters.get("archives_written", 0)
    made = f"{counted(lists, 'file')} for {EXPORTS[request.target].title}"
    packed = f" and {counted(archives, 'file')} of Shar" if archives else ""
    running.say(f"{amount}: {made}{packed}; in {request.to}")
    return 0


def make_request(arguments: argparse.Namespace) -> ExportRequest:
    """Reads what there is to list. Raises UsageError with all problems."""
    target = arguments.kind
    job = recorded_job(arguments.out, {})
    summaries = stored_summaries(job.tree)
    check_finished(job.tree, summaries)
    found: list[View] = []
    for summary in summaries:
        if "wav" in summary.options.formats and summary.written:
            own = part_job(job, summary, job.stored_plan(summary.part.name))
            found += views_of(own, summary.part)
    if not found:
        raise UsageError(f"{arguments.out}: holds no WAV files, which lists name; render with --formats wav")
    views = tuple(_alike(found))
    problems = [problem for view in views if (problem := EXPORTS[target].problem(view))]
    if problems:
        raise UsageError(problems)
    inside = "" if EXPORTS[target].in_place else f"exports/{target}"
    to = OutputTree(getattr(arguments, "to", None) or job.tree.url(inside)).root
    return ExportRequest(target, job.tree.root, to, views, getattr(arguments, "shar", False))


def _alike(views: Sequence[View]) -> list[View]:
    """Gives all subsets of a corpus the same streams, so that readers find the same columns in each."""
    alike = []
    for view in views:
        others = [one for one in views if one.part.corpus == view.part.corpus]
        streams = dict.fromkeys(stream for one in others for stream in one.streams)
        alike.append(dataclasses.replace(view, streams=tuple(streams)))
    return alike


def build(pipeline: Any, *, request: ExportRequest) -> None:
    """Adds the writing of lists, and of the record of them, to a pipeline."""
    import apache_beam as beam

    from transforms.export_steps import PackShar, ShardOfView, WriteLists

    shards = [
        ShardOfView(view, index) for view in request.views if request.shar for index in shar_shards(view)
    ]
    lists = (
        pipeline
        | "Views" >> beam.Create(request.views, reshuffle=False).with_output_types(View)
        # View
        | "Lists" >> WriteLists(request.target, request.to)
        # place of a file
    )
    archives = (
        pipeline
        | "Shards" >> beam.Create(shards, reshuffle=False).with_output_types(ShardOfView)
        # ShardOfView
        | "Shar" >> PackShar(request.to)
        # place of a file
    )
    written = (lists, archives) | "JoinFiles" >> beam.Flatten()
    # place of a file
    (
        pipeline
        | "Once" >> beam.Create([None], reshuffle=False)
        | "NoteWritten" >> beam.Map(_note, request, beam.pvalue.AsList(written))
        # number of files removed
    )


def _note(_: None, request: ExportRequest, paths: Sequence[str]) -> int:
    return note_written(OutputTree(request.to), request.target, request.corpus, paths)
