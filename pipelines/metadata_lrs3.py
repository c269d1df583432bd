"""The job behind ``mixtape metadata lrs3``: from LRS3 to the lists of targets and speech maskers."""

import argparse
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import apache_beam as beam

from pipelines.checks import Checker
from pipelines.output import check_writable, conclude
from pipelines.runner import counted, duration, run_pipeline
from transforms import storage
from transforms.corpora import lrs3
from transforms.corpora.avse import LRS3
from transforms.corpora.avse_lists import SPEECH_MASKERS, TARGETS
from transforms.errors import MixtapeError, UsageError
from transforms.lrs3_steps import NAMESPACE, MeasureVideos, WriteAvseLists
from transforms.metadata import FinishRun, ListFiles, list_files
from transforms.storage import OutputTree
from transforms.video.containers import library

_FILES = (TARGETS, SPEECH_MASKERS, lrs3.SPEAKERS_FILE)


@dataclass(frozen=True)
class Lrs3Options:
    """What to list, and where to.

    Attributes:
        corpus: URL of LRS3.
        out: URL of the folder that the lists are written to.
        durations: seconds of talk by speaker, which decide about targets and maskers; measured if None.
        force: make lists again that are there already.
    """

    corpus: str
    out: str
    durations: Mapping[str, float] | None = None
    force: bool = False

    def check(self) -> list[str]:
        """Lists every problem that can be found before any video is read; writes nothing."""
        try:
            library()
            if not self.is_done() and not self.videos():
                return [
                    f"{self.corpus}: holds no video of a wanted speaker (looked for <set>/<speaker>/*.mp4)"
                ]
        except UsageError as error:
            return list(error.problems)
        except MixtapeError as error:
            return [str(error)]
        return []

    def is_done(self) -> bool:
        """Tells whether all lists are there and shall stay. Raises StorageError."""
        tree = OutputTree(self.out)
        return not self.force and all(tree.exists(name) for name in _FILES)

    def videos(self) -> list[str]:
        """Lists the videos that must be measured. Raises StorageError or UsageError."""
        folders = lrs3.set_folders(self.corpus)
        paths = (path for folder in folders for path in list_files(self.corpus, folder, (lrs3.SUFFIX,)))
        return [path for path in paths if is_wanted(path, self.used_speakers)]

    @property
    def used_speakers(self) -> frozenset[str] | None:
        """Speakers whose videos count; all if None."""
        if self.durations is None:
            return None
        return frozenset(speaker.name for speaker in lrs3.split_speakers(self.durations))


def is_wanted(path: str, speakers: frozenset[str] | None) -> bool:
    """Tells whether a path is a video of one of some speakers (of any if None)."""
    speaker = lrs3.speaker_of(path)
    return speaker is not None and (speakers is None or speaker in speakers)


def build(pipeline: beam.Pipeline, options: Lrs3Options) -> None:
    """Adds the steps that measure the videos and write the lists.

    Counters, in the namespace ``lrs3``: ``measured``, ``rejected``, ``targets``, ``maskers``,
    ``speakers_dropped``.

    Args:
        pipeline: gets the steps.
        options: already checked.
    """
    root = storage.absolute(options.corpus)
    listing = ListFiles(root, (lrs3.SUFFIX,), lrs3.set_folders(root))
    wanted = beam.Filter(is_wanted, options.used_speakers).with_output_types(str)
    paths = pipeline | "ListFiles" >> listing | "KeepWanted" >> wanted
    # path
    measured = paths | "MeasureVideos" >> MeasureVideos(root)
    # lengths: VideoLength, rejects: Reject
    written = measured.lengths | "WriteAvseLists" >> WriteAvseLists(options.out, options.durations)
    # names: file name, rejects: Reject
    rejects = (measured.rejects, written.rejects) | "JoinRejects" >> beam.Flatten()
    # Reject
    _ = rejects | "FinishRun" >> FinishRun(options.out, (f"{LRS3}:",), written.names, NAMESPACE)
    # None


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    corpus, out = checker.folder("corpus"), checker.needed("out")
    limit, running = checker.reject_limit(), checker.running(passed_on)
    durations: dict[str, float] | None = None
    if url := arguments.speaker_durations:
        durations = checker.attempt(lambda: lrs3.read_durations(url), None)
    checker.raise_problems()
    options = Lrs3Options(corpus, out, durations, arguments.force)
    if problems := options.check():
        raise UsageError(problems)
    if options.is_done():
        running.say(f"nothing to do: all lists are in {out} already (--force makes them anew)")
        return 0
    if arguments.dry_run:
        print(f"{counted(len(options.videos()), 'video')} to measure\ndry run: nothing was written")
        return 0
    started = time.monotonic()
    tree = OutputTree(out)
    check_writable(tree)
    with storage.only_run(tree):
        counters = run_pipeline(functools.partial(_build, options=options), running)
    running.say(_summary(counters, tree, seconds=time.monotonic() - started))
    rejected = counters.get("rejected", 0)
    planned = rejected + counters.get("measured", 0)
    return conclude(tree, limit, rejected=rejected, planned=planned, quiet=running.quiet)


def _build(pipeline: beam.Pipeline, *, options: Lrs3Options) -> None:
    build(pipeline, options)


def _summary(counters: Mapping[str, int], tree: OutputTree, *, seconds: float) -> str:
    count = {name: counters.get(name, 0) for name in ("targets", "maskers", "measured", "rejected")}
    dropped = counters.get("speakers_dropped", 0)
    left_out = (
        f"; left out {counted(dropped, 'speaker')} with a video above {lrs3.LONGEST_TARGET_S} s"
        if dropped
        else ""
    )
    if not count["targets"] and not count["maskers"]:
        left_out += "; no speaker has enough talk (300 s)"
    return (
        f"listed {counted(count['targets'], 'target')} and {counted(count['maskers'], 'speech masker')} from "
        f"{counted(count['measured'], 'video')}, rejected {count['rejected']:,}{left_out}, in "
        f"{duration(seconds)}; see {tree.root}"
    )
