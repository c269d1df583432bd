"""The steps of pipelines over LRS3: lengths of videos, the lists made from them, and masker files."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms import storage
from transforms.audio import wav_header
from transforms.corpora import lrs3
from transforms.corpora.avse import LRS3
from transforms.corpora.avse_lists import (
    RATE_HZ,
    SPEECH_MASKERS,
    TARGETS,
    speech_maskers_json,
    targets_json,
)
from transforms.errors import SourceError, StorageError
from transforms.rejects import Reject
from transforms.video.containers import read_whole_audio

NAMESPACE = "lrs3"
_MASKER_STAGE = "masker"


@dataclass(frozen=True, slots=True)
class VideoLength:
    """How long a video's sound is.

    Attributes:
        path: file relative to the corpus root.
        length_samples: of its extracted audio at 16 kHz.
    """

    path: str
    length_samples: int


@dataclass(frozen=True, slots=True)
class MaskerFile:
    """A masker to make.

    Attributes:
        speaker: whose talk it is; names the file.
        paths: videos relative to the corpus root, in the order that they follow one another.
        length_samples: length that the published list promises.
    """

    speaker: str
    paths: tuple[str, ...]
    length_samples: int


def read_video_audio(root: str, path: str) -> Any:
    """Extracts a video's audio: shape (n,), int16, 16 kHz mono. Raises SourceError."""
    name = f"{LRS3}:{path}"
    try:
        data = storage.read_bytes(storage.join(root, path))
    except StorageError as error:
        raise SourceError(name, "read", error.problem, "restore the file or leave it out") from error
    return read_whole_audio(data, name, rate_hz=RATE_HZ)


class _Measure(beam.DoFn):
    """Measures the length of one video's sound."""

    def __init__(self, root: str) -> None:
        self._root = root

    def process(self, path: str) -> Iterator[Any]:
        try:
            yield VideoLength(path, len(read_video_audio(self._root, path)))
        except SourceError as error:
            yield beam.pvalue.TaggedOutput(MeasureVideos.REJECTS, Reject.of(path, error))


@dataclasses.dataclass
class MeasureVideos(beam.PTransform[beam.PCollection[str], Any]):
    """Decodes the sound of videos, in parallel: paths → outputs ``lengths`` and ``rejects``.

    Every path comes out once: as a ``VideoLength``, or as a ``Reject`` that says why not.

    Attributes:
        root: URL of the corpus.
    """

    LENGTHS: ClassVar[str] = "lengths"
    REJECTS: ClassVar[str] = "rejects"

    root: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, paths: beam.PCollection[str]) -> Any:
        """Returns ``lengths`` and ``rejects``."""
        return (
            paths
            | "Spread" >> beam.Reshuffle()
            # path, on whichever worker is free
            | "Measure" >> beam.ParDo(_Measure(self.root)).with_outputs(self.REJECTS, main=self.LENGTHS)
            # lengths: VideoLength, rejects: Reject
        )


def write_lists(
    lengths: Iterable[VideoLength], *, out: str, durations: Mapping[str, float] | None
) -> lrs3.MadeLists:
    """Splits the speakers and writes ``speakers.csv`` and both lists.

    Args:
        lengths: of all videos that can be decoded, in any order.
        out: URL of the folder to write to.
        durations: seconds of talk by speaker; measured from the videos if None.

    Raises:
        StorageError: a list cannot be written.
    """
    samples = {length.path: length.length_samples for length in lengths}
    speakers = lrs3.split_speakers(lrs3.measured_durations(samples) if durations is None else durations)
    made = lrs3.make_lists(speakers, samples)
    tree = storage.OutputTree(out)
    tree.write_if_changed(lrs3.SPEAKERS_FILE, lrs3.speakers_csv(speakers))
    tree.write_if_changed(SPEECH_MASKERS, speech_maskers_json(made.maskers))
    tree.write_if_changed(TARGETS, targets_json(made.targets))
    return made


class _WriteAvseLists(beam.DoFn):
    """Writes the lists, and counts what is in them."""

    def __init__(self, out: str, durations: Mapping[str, float] | None) -> None:
        self._out = out
        self._durations = durations

    def process(self, _: None, lengths: Sequence[VideoLength]) -> Iterator[Any]:
        made = write_lists(lengths, out=self._out, durations=self._durations)
        for name, count in (
            ("measured", len(lengths)),
            ("targets", len(made.targets)),
            ("maskers", len(made.maskers)),
            ("speakers_dropped", len(made.dropped)),
        ):
            Metrics.counter(NAMESPACE, name).inc(count)
        for reject in made.rejects:
            yield beam.pvalue.TaggedOutput(WriteAvseLists.REJECTS, reject)
        yield from (TARGETS, SPEECH_MASKERS, lrs3.SPEAKERS_FILE)


@dataclasses.dataclass
class WriteAvseLists(beam.PTransform[beam.PCollection[VideoLength], Any]):
    """Writes the lists of a corpus: ``VideoLength`` → outputs ``names`` (of files) and ``rejects``.

    The lengths meet on one worker, which needs about 200 bytes of memory for each.

    Attributes:
        out: URL of the folder to write to.
        durations: see ``write_lists``.
    """

    NAMES: ClassVar[str] = "names"
    REJECTS: ClassVar[str] = "rejects"

    out: str
    durations: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, lengths: beam.PCollection[VideoLength]) -> Any:
        """Returns ``names`` and ``rejects``."""
        write = beam.ParDo(_WriteAvseLists(self.out, self.durations), beam.pvalue.AsList(lengths))
        return (
            lengths.pipeline
            | "Once" >> beam.Create([None], reshuffle=False)
            # None
            | "Write" >> write.with_outputs(self.REJECTS, main=self.NAMES)
            # names: file name, rejects: Reject
        )


def masker_path(speaker: str) -> str:
    """Returns the file name of a speech masker."""
    return f"{speaker}.wav"


def write_masker(masker: MaskerFile, *, root: str, tree: storage.OutputTree) -> None:
    """Writes a masker: the sound of all its videos, one after the other, 16 kHz mono 16-bit WAV.

    Raises:
        SourceError: a video cannot be decoded, or the length is not the promised one.
        StorageError: it cannot be written.
    """
    pieces = [read_video_audio(root, path).astype("<i2").tobytes() for path in masker.paths]
    samples = sum(map(len, pieces)) // 2
    if samples != masker.length_samples:
        raise SourceError(
            f"{LRS3}:*/{masker.speaker}/*{lrs3.SUFFIX}",
            _MASKER_STAGE,
            f"the {len(pieces)} videos have {samples} samples, {SPEECH_MASKERS} says {masker.length_samples}",
            "complete the corpus, or list it anew (mixtape metadata lrs3)",
        )
    tree.write(masker_path(masker.speaker), wav_header(samples, RATE_HZ), *pieces)


class _WriteMasker(beam.DoFn):
    """Writes one masker."""

    def __init__(self, root: str, out: str) -> None:
        self._root = root
        self._out = out

    def process(self, masker: MaskerFile) -> Iterator[Any]:
        try:
            write_masker(masker, root=self._root, tree=storage.OutputTree(self._out))
        except SourceError as error:
            yield beam.pvalue.TaggedOutput(WriteMaskers.REJECTS, Reject.of(masker.speaker, error))
        else:
            Metrics.counter(NAMESPACE, "written").inc()
            yield masker_path(masker.speaker)


@dataclasses.dataclass
class WriteMaskers(beam.PTransform[beam.PCollection[MaskerFile], Any]):
    """Writes speech maskers, in parallel: ``MaskerFile`` → outputs ``names`` (of files) and ``rejects``.

    A worker holds one masker at a time, about 2 MB per minute.

    Attributes:
        root: URL of the corpus.
        out: URL of the folder to write to.
    """

    NAMES: ClassVar[str] = "names"
    REJECTS: ClassVar[str] = "rejects"

    root: str
    out: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, maskers: beam.PCollection[MaskerFile]) -> Any:
        """Returns ``names`` and ``rejects``."""
        return (
            maskers
            | "Spread" >> beam.Reshuffle()
            # MaskerFile, on whichever worker is free
            | "Write"
            >> beam.ParDo(_WriteMasker(self.root, self.out)).with_outputs(self.REJECTS, main=self.NAMES)
            # names: file name, rejects: Reject
        )
