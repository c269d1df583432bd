"""Speed-changed copies of noises: pitch and tempo together, as SoX's effect ``speed`` makes them.

Two engines. ``sox`` runs the program (14.4.2 made the published copies) and gives its exact bits.
``soxr`` needs no program: a library of the same origin, with equal lengths and other rounding. Over 16
copies of eight noises at speeds 0.8 and 1.2, no 16-bit sample was more than 3 steps away from SoX's,
and the RMS of the difference was at most 0.28 steps in every copy.
"""

import dataclasses
import math
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, Literal, get_args

import apache_beam as beam
import numpy as np
import soundfile
from apache_beam.metrics import Metrics
from numpy.typing import NDArray

from transforms import storage
from transforms.audio import promises_more_samples, quantise_floor, wav_header
from transforms.corpora import wham
from transforms.errors import SourceError, StorageError, UsageError
from transforms.metadata import list_files
from transforms.rejects import Reject

Engine = Literal["sox", "soxr"]
Samples = NDArray[np.float64]

ENGINES: tuple[Engine, ...] = get_args(Engine)
NAMESPACE = "augment"
SLOWEST, FASTEST = 0.1, 10.0

_READ = "read"
_SPEED = "speed"
_NO_SOX = (
    "the program sox is not installed here; install it (apt-get install sox, or brew install sox) on "
    "every machine that works, or take --engine soxr, which is at most a few 16-bit steps away"
)
_RAW_FLOAT64 = ("-t", "raw", "-e", "floating-point", "-b", "64", "-c", "1", "-r", str(wham.RATE_HZ))


@dataclass(frozen=True, slots=True)
class NoiseCopies:
    """The copies that are to be made of one noise.

    Attributes:
        path: the noise, relative to the corpus root.
        speeds: factors; above 1 is faster, shorter and higher.
    """

    path: str
    speeds: tuple[float, ...]


def speed_problem(speed: float) -> str | None:
    """Says why copies at a speed cannot be made, or returns None for a good one."""
    if not SLOWEST <= speed <= FASTEST or speed == 1:
        return f"wanted {SLOWEST} to {FASTEST:g}, and not 1"
    if not math.isclose(10 * speed, round(10 * speed), abs_tol=1e-9):
        return "wanted a multiple of 0.1: the names of the copies tell the speed in tenths"
    return None


def engine_problem(engine: Engine) -> str | None:
    """Says what an engine needs that is not on this machine, or returns None."""
    if engine == "sox" and shutil.which("sox") is None:
        return _NO_SOX
    return None


def output_length(length_samples: int, speed: float) -> int:
    """Returns how many samples a copy has: floor(n / speed + 0.5), as SoX decides."""
    return math.floor(length_samples / speed + 0.5)


def change_speed(samples: Samples, speed: float, *, engine: Engine) -> Samples:
    """Plays samples faster or slower.

    Args:
        samples: shape (n,), float64 in -1..1.
        speed: factor, see ``speed_problem``.
        engine: what resamples.

    Returns:
        Shape (floor(n / speed + 0.5),), float64.

    Raises:
        ValueError: nothing is left, or SoX fails or gives another length.
        UsageError: SoX is not installed.
    """
    wanted = output_length(len(samples), speed)
    if wanted == 0:
        raise ValueError(f"of {len(samples)} samples none are left at speed {speed:g}")
    if engine == "soxr":
        return _fitted(_soxr(samples, speed), wanted)
    changed = _sox(samples, speed)
    if len(changed) != wanted:
        raise ValueError(f"SoX made {len(changed)} samples, wanted {wanted}")
    return changed


def _sox(samples: Samples, speed: float) -> Samples:
    command = ["sox", "-V1", *_RAW_FLOAT64, "-", *_RAW_FLOAT64, "-", "speed", f"{speed:g}"]
    try:
        done = subprocess.run(command, input=samples.tobytes(), capture_output=True, check=True)
    except FileNotFoundError as error:
        raise UsageError(_NO_SOX) from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip()
        raise ValueError(f"SoX failed with status {error.returncode}: {words}") from error
    return np.frombuffer(done.stdout, dtype=np.float64)


def _soxr(samples: Samples, speed: float) -> Samples:
    import soxr

    changed: Samples = soxr.resample(samples, speed, 1.0, quality="HQ")
    return changed


def _fitted(samples: Samples, length: int) -> Samples:
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def pending_copies(paths: Sequence[str], speeds: Sequence[float]) -> list[NoiseCopies]:
    """Returns which copies are not there yet, by the names of all files that are.

    Originals are the files whose names do not end like those of copies.

    Args:
        paths: files of the training folder, relative to the corpus root.
        speeds: wanted speeds.
    """
    there = set(paths)
    pending = []
    for path in paths:
        missing = tuple(speed for speed in speeds if wham.copy_path(path, speed) not in there)
        if missing and not wham.is_copy(path):
            pending.append(NoiseCopies(path, missing))
    return pending


def list_pending(root: str, speeds: Sequence[float]) -> list[NoiseCopies]:
    """Lists the training folder of a WHAM corpus for copies to be made. Raises StorageError."""
    return pending_copies(list_files(root, wham.TRAINING_FOLDER, wham.SUFFIXES), speeds)


def read_noise(root: str, path: str) -> Samples:
    """Decodes the first channel of a noise.

    Returns:
        Shape (n,), float64 in -1..1 (16-bit samples divided by 32768).

    Raises:
        SourceError: missing, empty, not audio, truncated, or not at 16 kHz.
    """
    try:
        data = storage.read_bytes(storage.join(root, path))
        return _first_channel(data)
    except StorageError as error:
        reason = error.problem
    except soundfile.LibsndfileError as error:
        reason = f"is not decodable audio or is damaged ({error.error_string or 'broken stream'})"
    except ValueError as error:
        reason = str(error)
    raise SourceError(f"{wham.Wham.name}:{path}", _READ, reason, "fetch it again, or remove it")


def _first_channel(data: bytes) -> Samples:
    if not data:
        raise ValueError("the file is empty (0 bytes)")
    with soundfile.SoundFile(BytesIO(data)) as file:
        if file.samplerate != wham.RATE_HZ:
            raise ValueError(f"has {file.samplerate} Hz, wanted {wham.RATE_HZ} Hz")
        if promises_more_samples(file):
            raise ValueError("is truncated: its header promises more samples")
        if file.frames == 0:
            raise ValueError("holds no samples")
        return np.ascontiguousarray(file.read(dtype="float64", always_2d=True)[:, 0])


def write_copy(tree: storage.OutputTree, path: str, samples: Samples) -> None:
    """Writes a mono 16-bit WAV file whole, by the flooring quantiser. Raises StorageError."""
    pcm = quantise_floor(samples)
    tree.write(path, wav_header(len(pcm), wham.RATE_HZ), pcm.astype("<i2", copy=False).tobytes())


def make_copies(root: str, copies: NoiseCopies, *, engine: Engine) -> Iterator[str | Reject]:
    """Makes the copies of one noise, beside it.

    Yields:
        The path of each copy written, or why it could not be made.

    Raises:
        StorageError: a copy cannot be written.
        UsageError: SoX is not installed.
    """
    names = {speed: wham.copy_path(copies.path, speed) for speed in copies.speeds}
    try:
        samples = read_noise(root, copies.path)
    except SourceError as error:
        yield from (Reject.of(name, error) for name in names.values())
        return
    tree = storage.OutputTree(root)
    for speed, name in names.items():
        try:
            changed = change_speed(samples, speed, engine=engine)
        except ValueError as error:
            source = f"{wham.Wham.name}:{copies.path}"
            yield Reject(name, source, _SPEED, str(error), "replace the noise, or take the other --engine")
            continue
        write_copy(tree, name, changed)
        yield name


@dataclasses.dataclass
class ListPending(beam.PTransform[beam.pvalue.PBegin, beam.PCollection[NoiseCopies]]):
    """Lists a WHAM corpus for copies to be made: root of a pipeline → ``NoiseCopies``.

    The listing is made by a worker, so that the description of the job stays small.

    Attributes:
        root: URL of the corpus.
        speeds: wanted speeds.
    """

    root: str
    speeds: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[NoiseCopies]:
        """Returns the noises without all their copies."""
        return (
            begin
            | "NameCorpus" >> beam.Create([self.root], reshuffle=False)
            # URL
            | "List" >> beam.FlatMap(list_pending, speeds=self.speeds).with_output_types(NoiseCopies)
            # NoiseCopies
        )


class _MakeCopies(beam.DoFn):
    """Makes the copies of one noise."""

    def __init__(self, root: str, engine: Engine) -> None:
        self._root = root
        self._engine = engine

    def process(self, copies: NoiseCopies) -> Iterator[Any]:
        Metrics.counter(NAMESPACE, "planned").inc(len(copies.speeds))
        for made in make_copies(self._root, copies, engine=self._engine):
            if isinstance(made, Reject):
                yield beam.pvalue.TaggedOutput(ChangeSpeed.REJECTS, made)
            else:
                Metrics.counter(NAMESPACE, "written").inc()
                yield made


@dataclasses.dataclass
class ChangeSpeed(beam.PTransform[beam.PCollection[NoiseCopies], Any]):
    """Makes copies of noises, in parallel: ``NoiseCopies`` → outputs ``written`` and ``rejects``.

    Every copy comes out once: as the path of the file written, or as a ``Reject``. SoX runs on the
    worker, which must have it.

    Attributes:
        root: URL of the corpus, into which the copies are written.
        engine: what resamples.
    """

    WRITTEN: ClassVar[str] = "written"
    REJECTS: ClassVar[str] = "rejects"

    root: str
    engine: Engine = "sox"

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, copies: beam.PCollection[NoiseCopies]) -> Any:
        """Returns ``written`` and ``rejects``."""
        make = beam.ParDo(_MakeCopies(self.root, self.engine))
        return (
            copies
            | "Spread" >> beam.Reshuffle()
            # NoiseCopies, on whichever worker is free
            | "Make" >> make.with_outputs(self.REJECTS, main=self.WRITTEN)
            # written: path, rejects: Reject
        )
