"""The activity job: from a corpus on disk to the active speech level of every utterance."""

from dataclasses import dataclass

import apache_beam as beam

from pipelines.metadata import unreadable_names
from pipelines.runner import counted
from transforms import storage
from transforms.activity import Measure, measure_problem
from transforms.activity_steps import (
    NAMESPACE,
    SUFFIXES,
    ActivityFiles,
    MeasureActivity,
    WriteLevels,
    id_problems,
)
from transforms.errors import MixtapeError, UsageError
from transforms.listing import limited
from transforms.metadata import FinishRun, ListFiles, list_files


@dataclass(frozen=True)
class ActivityOptions:
    """What to measure and where to write it.

    Attributes:
        corpus: URL of the folder with the utterances, at any depth.
        out: URL of the text file to write; a Parquet file stands beside it.
        measure: ``bandpass`` for the levels of wsj0-mix, ``plain`` for those of ITU-T G.191.
    """

    corpus: str
    out: str
    measure: Measure = "bandpass"

    @property
    def files(self) -> ActivityFiles:
        """The places of all that is written. Raises UsageError when ``out`` names no file."""
        return ActivityFiles.at(self.out)

    @property
    def folder(self) -> str:
        """URL of the folder that is written to. Raises UsageError when ``out`` names no file."""
        return self.files.folder

    def outlook(self) -> list[str]:
        """Says of checked options how many utterances are to be measured. Raises StorageError."""
        count = len(list_files(self.corpus, "", SUFFIXES))
        return [f"{counted(count, 'utterance')} to measure into {self.out}"]

    def check(self) -> list[str]:
        """Lists every problem that can be found before any utterance is read; writes nothing.

        The corpus is listed once for that, by the machine that this is called on.
        """
        problem = measure_problem(self.measure)
        problems = [f"--measure {self.measure}: {problem}"] if problem else []
        for find in (self._out_problems, self._corpus_problems):
            try:
                problems += find()
            except UsageError as error:
                problems += error.problems
            except MixtapeError as error:
                problems.append(str(error))
        return problems

    def _out_problems(self) -> list[str]:
        files = self.files
        return [
            f"{url}: is a folder; name a file to write, such as {storage.join(url, 'levels.txt')}"
            for url in (storage.join(files.folder, name) for name in (files.text, files.parquet))
            if storage.is_folder(url)
        ]

    def _corpus_problems(self) -> list[str]:
        paths = list_files(self.corpus, "", SUFFIXES)
        if not paths:
            return [f"{self.corpus}: holds no audio; looked for {', '.join(SUFFIXES)} at any depth"]
        return [*limited(unreadable_names(paths)), *id_problems(paths)]


def build(pipeline: beam.Pipeline, options: ActivityOptions) -> None:
    """Adds the steps that measure a corpus and write its levels.

    Counters, in the namespace ``activity``: found = written + rejected.

    Args:
        pipeline: gets the steps.
        options: already checked.
    """
    files, root = options.files, storage.absolute(options.corpus)
    paths = pipeline | "ListFiles" >> ListFiles(root, SUFFIXES)
    # path
    measure = MeasureActivity(root, files.root_name, options.measure)
    measured = paths | "MeasureActivity" >> measure
    # levels: UtteranceLevel, rejects: Reject
    written = measured.levels | "WriteLevels" >> WriteLevels(files)
    # file name
    looked_at = (f"{files.root_name}:",)
    _ = measured.rejects | "FinishRun" >> FinishRun(files.folder, looked_at, written, NAMESPACE)
    # None
