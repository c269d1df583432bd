"""Active speech levels of a corpus: measuring its utterances, and the tables that hold the levels."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any, ClassVar

import apache_beam as beam
import numpy as np
import soundfile
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms import storage
from transforms.activity import ActiveLevel, Measure, active_level, measure_problem, rate_problem
from transforms.audio import promises_more_samples
from transforms.corpora import audio_folder
from transforms.errors import SourceError, StorageError, UsageError
from transforms.listing import limited
from transforms.rejects import Reject

NAMESPACE = "activity"
# Of WSJ0's two microphones only the first (.wv1): the second has the same names and no mixtures.
SUFFIXES = (*audio_folder.SUFFIXES, ".wv1")

_READ = "read"
_LEVEL = "level"
_FETCH = "fetch it again, or remove it"
_PARQUET = ".parquet"
_SPH_MAGIC = b"NIST_1A\n"
_SPH_HEADER_BYTES = 1024
_LENGTH_UNKNOWN = 2**63 - 1


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


def utterance_id(path: str) -> str:
    """Returns what the published levels call an utterance.

    >>> utterance_id("si_tr_s/01t/01to030v.wav")
    '01to030v'
    """
    return PurePosixPath(path).stem


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


def sph_problem(data: bytes) -> tuple[str, str] | None:
    """Finds what libsndfile does not see or does not say of a NIST SPHERE file.

    Args:
        data: the whole file, of any format.

    Returns:
        What is wrong and what to do about it; None for a good file, and for other formats.
    """
    if not data.startswith(_SPH_MAGIC):
        return None
    lines = data[:_SPH_HEADER_BYTES].decode("latin-1").partition("end_head")[0].splitlines()
    fields = {words[0]: words[2] for words in (line.split(maxsplit=2) for line in lines) if len(words) == 3}
    coding = fields.get("sample_coding", "pcm")
    if "embedded" in coding:
        reason = f"is a SPHERE file with compressed samples ({coding}), which cannot be decoded"
        return reason, "decompress it with the program sph2pipe (sph2pipe -p -f wav IN OUT)"
    counts = [fields.get(name, "") for name in ("sample_count", "sample_n_bytes", "channel_count")]
    if not all(count.isascii() and count.isdigit() for count in counts):
        return None
    frames, sample_bytes, channels = map(int, counts)
    held = max(0, len(data) - _SPH_HEADER_BYTES) // max(1, sample_bytes * channels)
    if held < frames:
        return f"is truncated: {held} of {frames} samples are there", _FETCH
    return None


def read_utterance(root: str, path: str, *, root_name: str) -> tuple[NDArray[np.float64], int]:
    """Decodes a mono file of any rate.

    Args:
        root: URL of the corpus.
        path: file relative to it.
        root_name: what rejects call the corpus.

    Returns:
        Samples, shape (n,), float64 in -1..1 (16-bit samples divided by 32768), and the rate in Hz.

    Raises:
        SourceError: missing, empty, not audio, compressed SPHERE, truncated, or not mono.
    """
    source = f"{root_name}:{path}"
    try:
        data = storage.read_bytes(storage.join(root, path))
        if problem := sph_problem(data):
            raise SourceError(source, _READ, *problem)
        return _decode(source, data)
    except StorageError as error:
        reason = error.problem
    except soundfile.LibsndfileError as error:
        reason = f"is not decodable audio or is damaged ({error.error_string or 'broken stream'})"
    raise SourceError(source, _READ, reason, _FETCH)


def _decode(source: str, data: bytes) -> tuple[NDArray[np.float64], int]:
    if not data:
        raise SourceError(source, _READ, "the file is empty (0 bytes)", _FETCH)
    with soundfile.SoundFile(BytesIO(data)) as file:
        if file.channels != 1:
            raise SourceError(source, _READ, f"has {file.channels} channels, wanted 1", "make it mono")
        if file.frames == _LENGTH_UNKNOWN:
            reason = "its header does not say how long it is"
            raise SourceError(source, _READ, reason, "encode it again as a file")
        if file.frames == 0:
            raise SourceError(source, _READ, "holds no samples", _FETCH)
        if promises_more_samples(file):
            reason = "is truncated: its header promises more samples"
            raise SourceError(source, _READ, reason, _FETCH)
        samples = file.read(dtype="float64")
        if len(samples) < file.frames:
            reason = f"is truncated: {len(samples)} of {file.frames} samples can be read"
            raise SourceError(source, _READ, reason, _FETCH)
        return samples, file.samplerate


def measure_utterance(root: str, path: str, *, root_name: str, measure: Measure) -> UtteranceLevel:
    """Reads an utterance and measures its level, at the rate of its file.

    Args:
        root: URL of the corpus.
        path: file relative to it.
        root_name: what rejects call the corpus.
        measure: see ``transforms.activity``.

    Raises:
        SourceError: see ``read_utterance``; also of too low a rate, silent, with samples that are no
            finite numbers, or with a name that the published form cannot hold.
    """
    name = utterance_id(path)
    source = f"{root_name}:{path}"
    if name.split() != [name] or not storage.is_safe_relative(path):
        reason = "its name holds a blank, a backslash, '::' or '://', which lists of levels cannot hold"
        raise SourceError(source, _LEVEL, reason, "rename it")
    samples, rate_hz = read_utterance(root, path, root_name=root_name)
    if problem := rate_problem(rate_hz):
        raise SourceError(source, _LEVEL, problem, "replace it, or leave it out")
    try:
        level = active_level(samples, rate_hz, measure=measure)
    except ValueError as error:
        raise SourceError(source, _LEVEL, str(error), "make it again") from error
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
