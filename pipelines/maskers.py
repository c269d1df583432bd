"""The job behind ``mixtape maskers avse``: one long WAV file per speech masker."""

import argparse
import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam

from pipelines.checks import Checker
from pipelines.output import check_writable, conclude
from pipelines.runner import counted, duration, run_pipeline
from transforms import storage
from transforms.audio import WAV_HEADER_BYTES
from transforms.corpora import lrs3
from transforms.corpora.avse import LRS3
from transforms.corpora.avse_lists import SPEECH_MASKERS, Masker, read_speech_maskers
from transforms.errors import UsageError
from transforms.listing import limited
from transforms.lrs3_steps import NAMESPACE, MaskerFile, WriteMaskers, masker_path
from transforms.metadata import FinishRun, list_files
from transforms.storage import OutputTree
from transforms.video.containers import library


@dataclass(frozen=True)
class MaskerOptions:
    """Which maskers to make, and where to.

    Attributes:
        lrs3: URL of LRS3.
        out: URL of the folder that the maskers are written to.
        maskers: as listed.
        force: make maskers again that are there already.
    """

    lrs3: str
    out: str
    maskers: tuple[Masker, ...]
    force: bool = False

    def check(self) -> list[str]:
        """Lists what forbids making the maskers, whatever the videos hold."""
        library()
        problems = [
            f"{SPEECH_MASKERS}: the speaker {masker.name!r} cannot name a file"
            for masker in self.maskers
            if "/" in masker.name or not storage.is_safe_relative(masker.name)
        ]
        if not self.maskers:
            problems.append(
                f"{SPEECH_MASKERS}: names no speaker; list the corpus anew (mixtape metadata lrs3)"
            )
        return limited(problems)

    def work(self) -> list[MaskerFile]:
        """Lists the maskers to be made: all but those that are there at their full length.

        Raises:
            StorageError: the corpus or the output cannot be listed.
            UsageError: the corpus is not LRS3.
        """
        tree = OutputTree(self.out)
        wanted = [
            masker
            for masker in self.maskers
            if self.force or tree.size(masker_path(masker.name)) != _size_bytes(masker)
        ]
        if not wanted:
            return []
        folders = lrs3.set_folders(self.lrs3)
        videos = lrs3.by_speaker(
            path for folder in folders for path in list_files(self.lrs3, folder, (lrs3.SUFFIX,))
        )
        return [
            MaskerFile(masker.name, tuple(videos.get(masker.name, ())), masker.length_samples)
            for masker in wanted
        ]


def _size_bytes(masker: Masker) -> int:
    return WAV_HEADER_BYTES + 2 * masker.length_samples


def build(pipeline: beam.Pipeline, options: MaskerOptions, work: Sequence[MaskerFile]) -> None:
    """Adds the steps that write maskers.

    Counters, in the namespace ``lrs3``: ``written``, ``rejected``.

    Args:
        pipeline: gets the steps.
        options: already checked.
        work: which maskers to make.
    """
    written = (
        pipeline
        | "Maskers" >> beam.Create(work, reshuffle=False).with_output_types(MaskerFile)
        # MaskerFile
        | "WriteMaskers" >> WriteMaskers(storage.absolute(options.lrs3), options.out)
        # names: file name, rejects: Reject
    )
    _ = written.rejects | "FinishRun" >> FinishRun(options.out, (f"{LRS3}:",), written.names, NAMESPACE)
    # None


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    url, metadata, out = checker.folder("lrs3"), checker.folder("metadata"), checker.needed("out")
    limit, running = checker.reject_limit(), checker.running(passed_on)
    none: tuple[Masker, ...] = ()
    listed = (
        checker.attempt(lambda: read_speech_maskers(storage.join(metadata, SPEECH_MASKERS)), none)
        if metadata
        else none
    )
    checker.raise_problems()
    options = MaskerOptions(url, out, listed, arguments.force)
    if problems := options.check():
        raise UsageError(problems)
    work = options.work()
    if arguments.dry_run:
        print(f"{counted(len(work), 'masker')} to make in {out}\ndry run: nothing was written")
        return 0
    if not work:
        running.say(f"nothing to do: all maskers are in {out} already (--force makes them anew)")
        return 0
    started = time.monotonic()
    tree = OutputTree(out)
    check_writable(tree)
    with storage.only_run(tree):
        counters = run_pipeline(functools.partial(_build, options=options, work=work), running)
    rejected, written = counters.get("rejected", 0), counters.get("written", 0)
    running.say(
        f"wrote {counted(written, 'masker')}, rejected {rejected:,}, in "
        f"{duration(time.monotonic() - started)}; see {tree.root}"
    )
    return conclude(tree, limit, rejected=rejected, planned=rejected + written, quiet=running.quiet)


def _build(pipeline: beam.Pipeline, *, options: MaskerOptions, work: Sequence[MaskerFile]) -> None:
    build(pipeline, options, work)
