"""The steps that look at a video corpus: its root in, what was found out about every file stored."""

import dataclasses
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms.planning.aligned import ProbedFile, listed_files, probed, read_probes, write_probes
from transforms.storage import OutputTree
from transforms.video.containers import SUFFIXES

_BATCH_FILES = 20


class _List(beam.DoFn):
    """Lists the corpus, with what the output knows of unchanged files."""

    def __init__(self, out: str, *, anew: bool) -> None:
        self._out = out
        self._anew = anew

    def process(self, root: str) -> list[ProbedFile]:
        stored = () if self._anew else read_probes(OutputTree(self._out), root)
        return listed_files(root, SUFFIXES, {file.path: file for file in stored})


class _Probe(beam.DoFn):
    """Reads the packets of a batch of files."""

    def __init__(self, root: str) -> None:
        self._root = root

    def process(self, files: list[ProbedFile]) -> Iterator[ProbedFile]:
        for file in files:
            Metrics.counter(ProbeVideos, "kept" if file.found else "probed").inc()
            yield probed(self._root, file)


def _write(files: Iterable[ProbedFile], out: str, root: str) -> int:
    return write_probes(OutputTree(out), root, files)


@dataclasses.dataclass
class ProbeVideos(beam.PTransform[beam.pvalue.PBegin, beam.PCollection[int]]):
    """Reads the packets of every video file of a corpus, decoding none, and stores what they promise.

    The rows of all files meet on one worker, which needs about 1 kB of memory for each. A file whose
    stamp is the stored one is not read again.

    Attributes:
        root: URL of the corpus.
        out: URL of the output, which gets ``_mixtape/stamps/probes.parquet``.
        anew: read unchanged files too.
    """

    root: str
    out: str
    anew: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[int]:
        """Returns the number of files, once all is stored."""
        counted: beam.PCollection[int] = (
            begin
            | "NameRoot" >> beam.Create([self.root], reshuffle=False)
            # URL of the corpus
            | "List" >> beam.ParDo(_List(self.out, anew=self.anew)).with_output_types(ProbedFile)
            # ProbedFile, not looked at unless it is known
            | "Batch" >> beam.BatchElements(min_batch_size=_BATCH_FILES, max_batch_size=_BATCH_FILES)
            # [ProbedFile, ...]
            | "Spread" >> beam.Reshuffle()
            # [ProbedFile, ...], on whichever worker is free
            | "Probe" >> beam.ParDo(_Probe(self.root)).with_output_types(ProbedFile)
            # ProbedFile
            | "Gather" >> beam.combiners.ToList()
            # [ProbedFile, ...] of the corpus
            | "Write" >> beam.Map(_write, out=self.out, root=self.root).with_output_types(int)
            # number of files
        )
        return counted
