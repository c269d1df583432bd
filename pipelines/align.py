"""``mixtape align``: a folder of videos in; segments of sound and the frames that belong to it out."""

import argparse
import dataclasses
import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pipelines import output, render
from pipelines.checks import Checker
from pipelines.plan_inputs import PlanInput
from pipelines.recording import RunNotes, recorded_run
from pipelines.render import RenderRequest
from pipelines.runner import counted, duration, run_pipeline
from transforms.errors import UsageError
from transforms.plan import FORMATS, Part, RenderOptions
from transforms.planning.aligned import AlignPlan, ProbedFile, listed_files, probed, read_probes, stems_of
from transforms.recipes import ALIGNED
from transforms.video import containers
from transforms.video.aligned import ROOT, AlignOptions
from transforms.video.sync_table import offsets, sync_path, write_sync_table

CORPUS, SUBSET = "aligned", "all"
_PROBES_OF_DRY_RUN = 20
_OFFSETS_SHOWN = 3


@dataclass(frozen=True)
class AlignRequest:
    """A checked command line of ``align``.

    Attributes:
        corpus: URL of the videos.
        plan: how they are aligned and cut.
        rendering: output, options and limits; its plans are made once the files were looked at.
    """

    corpus: str
    plan: AlignPlan
    rendering: RenderRequest

    @property
    def part(self) -> Part:
        """What the segments make up."""
        return Part(ALIGNED.name, CORPUS, SUBSET)


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    request = make_request(Checker(arguments), passed_on)
    are_known = _are_known(request)
    if arguments.dry_run:
        _print_estimate(request)
        return 0
    tree = request.rendering.job.tree
    output.check_writable(tree)
    with recorded_run(tree, arguments.command_line) as notes:
        align(request, notes, look=not are_known)
    return notes.status


def make_request(checker: Checker, passed_on: Sequence[str]) -> AlignRequest:
    """Checks the command line. Raises UsageError with all problems."""
    checker.attempt(containers.library, None)
    corpus = checker.folder("corpus")
    plan = _read_plan(checker)
    options = RenderOptions(
        rates_hz=(plan.options.rate_hz,),
        modes=("max",),
        types=(),
        formats=checker.choices("formats", FORMATS),  # type: ignore[arg-type]
        shard_size=checker.whole_number("shard_size"),
        table_paths="relative",
    )
    roots = {ROOT: corpus}
    rendering = render.make_request(checker, ALIGNED, (), options=options, roots=roots, passed_on=passed_on)
    job = dataclasses.replace(rendering.job, settings=plan.options.settings)
    return AlignRequest(job.roots[ROOT], plan, dataclasses.replace(rendering, job=job))


def _read_plan(checker: Checker) -> AlignPlan:
    arguments = checker.arguments
    settings = {
        "rate_hz": arguments.rate,
        "fps": arguments.fps,
        "rule": arguments.rule,
        "tail": arguments.tail,
        "damaged": arguments.damaged,
        "timestamps": int(not arguments.ignore_timestamps),
        "frames": arguments.frames,
        "crop": arguments.crop,
        "size": arguments.size,
    }
    options = checker.attempt(lambda: AlignOptions.of(settings), AlignOptions())
    return AlignPlan(options, _frames_per_segment(checker, options.fps))


def _frames_per_segment(checker: Checker, fps: Fraction) -> int:
    """Returns how many frames ``--segment`` holds, 0 without it."""
    text = checker.arguments.segment
    try:
        frames = int(Fraction(text) * fps) if text else 0
    except (ValueError, ZeroDivisionError):
        frames = 0
    if text and frames < 1:
        checker.problems.append(
            f"--segment {text}: wanted seconds, at least one frame ({float(1 / fps):g} s)"
        )
    return frames


def _are_known(request: AlignRequest) -> bool:
    """Tells whether the output knows of every file, and of no other, what is in it.

    Raises:
        UsageError: there are no files.
        StorageError: the corpus cannot be listed.
    """
    known = {} if request.rendering.job.force else {file.path: file for file in _files(request)}
    files = listed_files(request.corpus, containers.SUFFIXES, known)
    if not files:
        endings = " ".join(containers.SUFFIXES)
        raise UsageError(
            f"--corpus {request.corpus}: holds no video file (looked for {endings} at any depth)"
        )
    return len(files) == len(known) and all(file.found for file in files)


def align(request: AlignRequest, notes: RunNotes, *, look: bool) -> None:
    """Looks at the files, plans their segments and renders them, in an output that this run holds.

    Args:
        request: what to align.
        notes: told what came of it.
        look: look at the files; without, all that is to be known of them is stored.

    Raises:
        MixtapeError: the run breaks off.
    """
    running, job = request.rendering.running, request.rendering.job
    if look:
        running.say("looking at the files")
        run_pipeline(functools.partial(build, request=request), running)
    planned = plan_input(request)
    output.check_fits(job.tree, [planned], prune=request.rendering.prune)
    output.check_roots(job.tree, [planned], job.roots)
    rendering = dataclasses.replace(request.rendering, plans=[planned])
    notes.status = render.render_held(rendering, notes)
    stored = job.stored_plan(request.part.name)
    write_sync_table(job.tree, stored, _files(request))
    if not running.quiet:
        print(f"sync record of every file: {job.tree.url(sync_path(stored))}")
        _warn_of_offsets(request)


def build(pipeline: Any, *, request: AlignRequest) -> None:
    """Adds the steps that look at the files to a pipeline."""
    from transforms.planning.aligned_steps import ProbeVideos

    job = request.rendering.job
    _ = pipeline | "ProbeVideos" >> ProbeVideos(request.corpus, job.out, anew=job.force)
    # number of files


def _files(request: AlignRequest) -> Iterator[ProbedFile]:
    return read_probes(request.rendering.job.tree, request.corpus)


def plan_input(request: AlignRequest) -> PlanInput:
    """Returns the plan of the files that were looked at, read anew each time it is asked for."""
    stems = stems_of(file.path for file in _files(request))
    return PlanInput(
        request.part,
        sum(1 for _ in request.plan.mixtures(_files(request), stems)),
        lambda: request.plan.mixtures(_files(request), stems),
        tuple(request.plan.rejects(_files(request), stems)),
        request.plan.options.settings,
    )


def _warn_of_offsets(request: AlignRequest) -> None:
    found = list(offsets(_files(request)))
    for path, offset_s in found[:_OFFSETS_SHOWN]:
        print(
            f"offset: {path}: its sound begins {offset_s * 1000:+.0f} ms after its pictures", file=sys.stderr
        )
    if more := len(found[_OFFSETS_SHOWN:]):
        print(f"offset: {counted(more, 'more file')} with more than 40 ms", file=sys.stderr)


def _print_estimate(request: AlignRequest) -> None:
    """Looks at a few files, evenly spread, and says how much there would be of all."""
    files = listed_files(request.corpus, containers.SUFFIXES, {})
    step = max(1, len(files) // _PROBES_OF_DRY_RUN)
    tried = [probed(request.corpus, file) for file in files[::step]]
    ends = [file.record.pictures_end for file in tried if file.record is not None]
    share = len(files) / max(1, len(tried))
    stems = stems_of(file.path for file in tried)
    segments = sum(1 for _ in request.plan.mixtures(tried, stems))
    total = output.size(sum(file.size_bytes for file in files))
    print(f"{counted(len(files), 'file')}, {total}, about {duration(float(sum(ends)) * share)} of video")
    print(f"about {counted(round(segments * share), 'segment')}, by {counted(len(tried), 'file')} looked at")
    for reject in itertools.islice(request.plan.rejects(tried, stems), _OFFSETS_SHOWN):
        print(f"would reject: {reject.source} {reject.reason}")
    print("dry run: nothing was written")
