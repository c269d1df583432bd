"""Active speech levels of a corpus: measuring its utterances, and the tables that hold the levels."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms import storage
from transforms.activity import ActiveLevel, Measure, active_level, measure_problem, rate_problem
from transforms.audio import SourceReader
from transforms.corpora import audio_folder
from transforms.corpora.wsj0mix import utterance_id
from transforms.errors import SourceError, UsageError
from transforms.listing import limited
from transforms.plan import Source
from transforms.rejects import Reject

NAMESPACE = "activity"
# Of WSJ0's two microphones only the first (.wv1): the second has the same names and no mixtures.
SUFFIXES = (*audio_folder.SUFFIXES, ".wv1")

_LEVEL = "level"
_PARQUET = ".parquet"


@dataclass(frozen=True, slots=True)
class UtteranceLevel:
    """The active speech level of one utterance.

    Attributes:
        id: file name without folder and extension.
        path: file relative to the corpus root.
        rate_hz: the file's rate, at which the level was measured.
        samples: length at that rate.
        level: what was found.
    """

    id: str
    path: str
    rate_hz: int
    samples: int
    level: ActiveLevel


@dataclass(frozen=True, slots=True)
class ActivityFiles:
    """Where a run writes its levels.

    Attributes:
        folder: URL of the folder.
        text: name of the text file in it, in the published form.
        parquet: name of the Parquet file beside it.
    """

    folder: str
    text: str
    parquet: str

    @classmethod
    def at(cls, out: str) -> "ActivityFiles":
        """Works out the places from the URL of the text file.

        Raises:
            UsageError: the URL names no file, is chained, or is that of a Parquet file.
        """
        name = out.rpartition("/")[2]
        if "::" in out or not storage.is_safe_relative(name):
            raise UsageError(f"{out}: wanted the name of a file to write, such as levels.txt")
        parquet = PurePosixPath(name).with_suffix(_PARQUET).name
        if parquet == name:
            raise UsageError(
                f"{out}: names the text file, and {_PARQUET} is the ending of the table beside it; "
                "choose another ending, such as .txt"
            )
        return cls(storage.absolute(audio_folder.manifest_root(out)), name, parquet)

    @property
    def root_name(self) -> str:
        """What rejects call the corpus: tables in one folder keep their rejects apart by it."""
        return PurePosixPath(self.text).stem


def id_problems(paths: Iterable[str]) -> list[str]:
    """Lists ids that several files would have: levels are looked up by id alone."""
    paths_of = collections.defaultdict(list)
    for path in paths:
        paths_of[utterance_id(path)].append(path)
    shared = ((name, sorted(found)) for name, found in sorted(paths_of.items()) if len(found) > 1)
    return limited(
        [
            f"utterance id {name!r} belongs to {' and '.join(found)}; keep one of them"
            for name, found in shared
        ]
    )


def measure_utterance(root: str, path: str, *, root_name: str, measure: Measure) -> UtteranceLevel:
    """Reads an utterance and measures its level, at the rate of its file.

    Args:
        root: URL of the corpus.
        path: file relative to it.
        root_name: what rejects call the corpus.
        measure: see ``transforms.activity``.

    Raises:
        SourceError: see ``SourceReader``; also of too low a rate, without active speech, or with a
            name that the published form cannot hold.
    """
    name, source = utterance_id(path), f"{root_name}:{path}"
    if name.split() != [name] or not storage.is_safe_relative(path):
        reason = "its name holds a blank, a backslash, '::' or '://', which lists of levels cannot hold"
        raise SourceError(source, _LEVEL, reason, "rename it")
    reader = SourceReader({root_name: root}, rate_hz=None)
    samples, rate_hz = reader.read_with_rate(Source("s1", root_name, path))
    if problem := rate_problem(rate_hz):
        raise SourceError(source, _LEVEL, problem, "replace it, or leave it out")
    level = active_level(samples, rate_hz, measure=measure)
    if level.power == 0:
        reason = f"is silent: the measure {measure} finds no active speech"
        raise SourceError(source, _LEVEL, reason, "replace it, or leave it out")
    return UtteranceLevel(name, path, rate_hz, len(samples), level)


def levels_text(levels: Sequence[UtteranceLevel]) -> bytes:
    """Returns levels in the published form: ``id power`` in lines, 17 significant digits."""
    return "".join(f"{row.id} {row.level.power:.16e}\n" for row in levels).encode()


def levels_parquet(levels: Sequence[UtteranceLevel]) -> bytes:
    """Returns levels as a Parquet table with all that was measured.

    Columns: ``id``, ``path``, ``level`` (power), ``level_db``, ``activity_factor``, ``mean_power``,
    ``rate_hz``, ``samples``.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    doubles = {
        "level": [row.level.power for row in levels],
        "level_db": [row.level.level_db for row in levels],
        "activity_factor": [row.level.activity_factor for row in levels],
        "mean_power": [row.level.mean_power for row in levels],
    }
    columns = {
        "id": pa.array([row.id for row in levels], pa.string()),
        "path": pa.array([row.path for row in levels], pa.string()),
        **{name: pa.array(values, pa.float64()) for name, values in doubles.items()},
        "rate_hz": pa.array([row.rate_hz for row in levels], pa.int64()),
        "samples": pa.array([row.samples for row in levels], pa.int64()),
    }
    file = BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()


def write_levels(levels: Iterable[UtteranceLevel], files: ActivityFiles) -> list[str]:
    """Sorts levels by path and writes them, as text and as Parquet.

    Args:
        levels: in any order.
        files: where to.

    Returns:
        Names of the files written.

    Raises:
        StorageError: they cannot be written.
        UsageError: several utterances have the same id.
    """
    rows = sorted(levels, key=lambda row: row.path)
    if problems := id_problems(row.path for row in rows):
        raise UsageError(problems)
    tree = storage.OutputTree(files.folder)
    tree.write_if_changed(files.parquet, levels_parquet(rows))
    tree.write_if_changed(files.text, levels_text(rows))
    Metrics.counter(NAMESPACE, "written").inc(len(rows))
    return [files.text, files.parquet]


class _Measure(beam.DoFn):
    """Measures the level of one utterance."""

    def __init__(self, root: str, root_name: str, measure: Measure) -> None:
        self._root = root
        self._root_name = root_name
        self._measure = measure

    def process(self, path: str) -> Iterator[Any]:
        try:
            yield measure_utterance(self._root, path, root_name=self._root_name, measure=self._measure)
        except SourceError as error:
            yield beam.pvalue.TaggedOutput(MeasureActivity.REJECTS, Reject.of(utterance_id(path), error))


@dataclasses.dataclass
class MeasureActivity(beam.PTransform[beam.PCollection[str], Any]):
    """Measures active speech levels, in parallel: paths → outputs ``levels`` and ``rejects``.

    Every path comes out once: as an ``UtteranceLevel``, or as a ``Reject`` that says why not.

    Attributes:
        root: URL of the corpus.
        root_name: what rejects call the corpus.
        measure: see ``transforms.activity``.

    Raises:
        UsageError: there is no such measure.
    """

    LEVELS: ClassVar[str] = "levels"
    REJECTS: ClassVar[str] = "rejects"

    root: str
    root_name: str
    measure: Measure = "bandpass"

    def __post_init__(self) -> None:
        super().__init__()
        if problem := measure_problem(self.measure):
            raise UsageError(f"measure {self.measure!r}: {problem}")

    def expand(self, paths: beam.PCollection[str]) -> Any:
        """Returns ``levels`` and ``rejects``."""
        measure = beam.ParDo(_Measure(self.root, self.root_name, self.measure))
        return (
            paths
            | "Spread" >> beam.Reshuffle()
            # path, on whichever worker is free
            | "Measure" >> measure.with_outputs(self.REJECTS, main=self.LEVELS)
            # levels: UtteranceLevel, rejects: Reject
        )


@dataclasses.dataclass
class WriteLevels(beam.PTransform[beam.PCollection[UtteranceLevel], beam.PCollection[str]]):
    """Writes all levels of a corpus, sorted by path: ``UtteranceLevel`` → names of files written.

    The levels meet on one worker, which needs about 1 kB of memory for each.

    Attributes:
        files: where to.
    """

    files: ActivityFiles

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, levels: beam.PCollection[UtteranceLevel]) -> beam.PCollection[str]:
        """Returns the names of the files, when they are written."""
        write = beam.FlatMap(
            lambda _, rows, files: write_levels(rows, files), beam.pvalue.AsIter(levels), files=self.files
        )
        written: beam.PCollection[str] = (
            levels.pipeline
            | "Once" >> beam.Create([None], reshuffle=False)
            # None
            | "Write" >> write.with_output_types(str)
            # file name
        )
        return written
