"""The augmentation job: speed-changed copies of WHAM's training noises, beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

import apache_beam as beam

from pipelines.runner import counted
from transforms import storage
from transforms.augmentation import (
    ENGINES,
    NAMESPACE,
    ChangeSpeed,
    Engine,
    ListPending,
    NoiseCopies,
    engine_problem,
    list_pending,
    pending_copies,
    speed_problem,
)
from transforms.corpora import wham
from transforms.errors import MixtapeError, UsageError
from transforms.metadata import FinishRun, list_files

DEFAULT_SPEEDS = (0.8, 1.2)


@dataclass(frozen=True)
class AugmentOptions:
    """Which copies to make.

    Attributes:
        corpus: URL of the WHAM corpus; copies are written into its folder ``tr``.
        speeds: factors, multiples of 0.1.
        engine: ``sox`` for the published bits, ``soxr`` where that program is not at hand.
        force: make copies again that are there already.
    """

    corpus: str
    speeds: tuple[float, ...] = DEFAULT_SPEEDS
    engine: Engine = "sox"
    force: bool = False

    @property
    def folder(self) -> str:
        """URL of the folder that is written to."""
        return self.corpus

    def check(self) -> list[str]:
        """Lists every problem that can be found before any noise is read; writes nothing."""
        problems = self._option_problems()
        try:
            return [*problems, *self._corpus_problems()]
        except UsageError as error:
            return [*problems, *error.problems]
        except MixtapeError as error:
            return [*problems, str(error)]

    def _option_problems(self) -> list[str]:
        problems = [
            f"--speeds {speed:g}: {problem}" for speed in self.speeds if (problem := speed_problem(speed))
        ]
        if not self.speeds or len(set(self.speeds)) < len(self.speeds):
            given = " ".join(f"{speed:g}" for speed in self.speeds) or "(none)"
            problems.append(f"--speeds {given}: wanted one or more, each once")
        if self.engine not in ENGINES:
            problems.append(f"--engine {self.engine}: wanted {' or '.join(ENGINES)}")
        elif problem := engine_problem(self.engine):
            problems.append(f"--engine {self.engine}: {problem}")
        return problems

    def _corpus_problems(self) -> list[str]:
        if not storage.is_folder(self.corpus):
            return [f"{self.corpus}: no such folder; check the path"]
        folder = wham.TRAINING_FOLDER
        if folder not in wham.Wham().folders(self.corpus):
            return [f"{self.corpus}: has no folder {folder}, whose noises are to be copied"]
        if not list_files(self.corpus, folder, wham.SUFFIXES):
            wanted = ", ".join(wham.SUFFIXES)
            return [f"{storage.join(self.corpus, folder)}: holds no audio; looked for {wanted} at any depth"]
        return []

    def outlook(self) -> list[str]:
        """Says of checked options how many copies are to be made. Raises StorageError."""
        pending = list_all(self.corpus, self.speeds) if self.force else list_pending(self.corpus, self.speeds)
        copies = sum(len(one.speeds) for one in pending)
        folder = storage.join(self.corpus, wham.TRAINING_FOLDER)
        return [
            f"{counted(copies, 'copy', 'copies')} of {counted(len(pending), 'noise')} to make in {folder}"
        ]


def list_all(root: str, speeds: Sequence[float]) -> list[NoiseCopies]:
    """Lists all copies of a corpus, whether they are there or not. Raises StorageError."""
    paths = list_files(root, wham.TRAINING_FOLDER, wham.SUFFIXES)
    return pending_copies([path for path in paths if not wham.is_copy(path)], speeds)


def build(pipeline: beam.Pipeline, options: AugmentOptions) -> None:
    """Adds the steps that make the copies which are not there yet, or all of them.

    Counters, in the namespace ``augment``: planned = written + rejected.

    Args:
        pipeline: gets the steps.
        options: already checked.
    """
    root = storage.OutputTree(options.corpus).root
    if options.force:
        corpus = pipeline | "NameCorpus" >> beam.Create([root], reshuffle=False)
        # URL
        list_copies = beam.FlatMap(list_all, speeds=options.speeds).with_output_types(NoiseCopies)
        copies = corpus | "ListAll" >> list_copies
    else:
        copies = pipeline | "ListPending" >> ListPending(root, options.speeds)
    # NoiseCopies
    made = copies | "ChangeSpeed" >> ChangeSpeed(root, options.engine)
    # written: path, rejects: Reject
    looked_at = (f"{wham.Wham.name}:{wham.TRAINING_FOLDER}/",)
    _ = made.rejects | "FinishRun" >> FinishRun(root, looked_at, made.written, NAMESPACE)
    # None
