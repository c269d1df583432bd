"""Listings: what the headers of a corpus say, one row per file, as small values and as CSV files.

The CSV forms of LibriSpeech and WHAM are the published ones, to the byte. A listing is never sorted
again when it is read: later random choices depend on the order of its rows.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO, Generic, TypeVar

import soundfile

from transforms import storage
from transforms.audio import has_unknown_length, promises_more_samples
from transforms.errors import SourceError, StorageError, UsageError
from transforms.flac import BEGINNING_BYTES, flac_info

HEADER_STAGE = "header"
SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Header:
    """What an audio file says of itself, without any sample decoded.

    Attributes:
        path: file relative to the corpus root.
        rate_hz: sampling rate.
        channels: number of channels.
        frames: length in samples per channel, at ``rate_hz``.
        format: container, as libsndfile names it: ``WAV``, ``FLAC``, ``OGG``, ...
        subtype: sample encoding, as libsndfile names it: ``PCM_16``, ``VORBIS``, ...
    """

    path: str
    rate_hz: int
    channels: int
    frames: int
    format: str
    subtype: str


@dataclass(frozen=True, slots=True)
class Utterance:
    """One row of a LibriSpeech-like listing.

    Attributes:
        speaker: the reader's id.
        sex: ``F`` or ``M``.
        subset: subset as the corpus's speaker table names it.
        length_samples: length at the corpus's rate.
        path: file relative to the corpus root.
    """

    speaker: str
    sex: str
    subset: str
    length_samples: int
    path: str


@dataclass(frozen=True, slots=True)
class NoiseClip:
    """One row of a WHAM-like listing.

    Attributes:
        noise_id: file name with extension.
        subset: ``cv``, ``tr`` or ``tt``.
        length_samples: length at the corpus's rate.
        augmented: whether it is a speed-changed copy.
        path: file relative to the corpus root.
    """

    noise_id: str
    subset: str
    length_samples: int
    augmented: bool
    path: str


@dataclass(frozen=True, slots=True)
class AudioFile:
    """One row of a listing of any audio.

    Attributes:
        path: file relative to the corpus root.
        rate_hz: sampling rate.
        channels: number of channels.
        length_samples: samples per channel, at ``rate_hz``.
        format: container, as libsndfile names it.
        subtype: sample encoding, as libsndfile names it.
        speaker: the talker's id, or empty.
        text: transcript, or empty.
        room: of an impulse response, the room it was measured in, or empty.
        subset: the subset of a corpus that it shall go to, or empty.
        licence: under which it may be used, as its publisher states it, or empty.
    """

    path: str
    rate_hz: int
    channels: int
    length_samples: int
    format: str
    subtype: str
    speaker: str = ""
    text: str = ""
    room: str = ""
    subset: str = ""
    licence: str = ""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.length_samples / self.rate_hz


Row = TypeVar("Row", Utterance, NoiseClip, AudioFile)


def read_header(root: str, path: str, *, root_name: str) -> Header:
    """Reads the header of one file of a corpus.

    Args:
        root: URL of the corpus.
        path: file relative to it.
        root_name: what messages call the corpus, for instance ``wham``.

    Raises:
        SourceError: missing, empty, not audio, truncated as far as its header tells, of no or
            unknown length, or with a name that a listing cannot hold.
    """
    if not storage.is_safe_relative(path):
        reason = "its name holds a backslash, a line end, '::' or '://', which listings cannot hold"
        raise SourceError(f"{root_name}:{path}", HEADER_STAGE, reason, "rename it")
    try:
        opened = storage.open_header(storage.join(root, path))
        with nullcontext(opened) if isinstance(opened, str) else closing(opened) as file:
            return _flac_header(file, path) or _header_of(file, path)
    except (StorageError, soundfile.LibsndfileError, ValueError) as error:
        reason = _why_unreadable(storage.join(root, path), error)
        raise SourceError(
            f"{root_name}:{path}", HEADER_STAGE, reason, "fetch it again, or remove it"
        ) from error


def _flac_header(file: str | BinaryIO, path: str) -> Header | None:
    """Reads the header of a FLAC file that is called so and begins in order; None of any other file.

    Raises:
        StorageError: it cannot be read.
    """
    if not path.lower().endswith(".flac"):
        return None
    found = flac_info(storage.read_beginning(file, BEGINNING_BYTES))
    if found is None:
        return None
    return Header(path, found.rate_hz, found.channels, found.frames, "FLAC", found.subtype)


def _header_of(file: Any, path: str) -> Header:
    """Reads a header. Raises ValueError when it does not describe a whole sound."""
    with soundfile.SoundFile(file) as sound:
        if has_unknown_length(sound):
            raise ValueError("its header does not say how long it is")
        if promises_more_samples(sound):
            raise ValueError("is truncated: its header promises more samples")
        if sound.frames == 0:
            raise ValueError("holds no samples")
        return Header(path, sound.samplerate, sound.channels, sound.frames, sound.format, sound.subtype)


def _why_unreadable(url: str, error: Exception) -> str:
    if isinstance(error, StorageError):
        return "no such file" if isinstance(error.__cause__, FileNotFoundError) else error.problem
    if not isinstance(error, soundfile.LibsndfileError):
        return str(error)
    try:
        found = storage.stamp(url)
    except StorageError as problem:
        return problem.problem
    if found is None:
        return "no such file"
    if found.size_bytes == 0:
        return "the file is empty (0 bytes)"
    return f"is not decodable audio or is damaged ({error.error_string or 'broken stream'})"


@dataclass(frozen=True)
class _Column:
    """A column of a CSV form.

    Attributes:
        name: what its header says.
        attribute: the row's attribute that it holds.
        parse: how its text is read; None if it is derived from others and not read.
        optional: whether a listing may be without it; it is written only if a row holds something.
    """

    name: str
    attribute: str
    parse: Callable[[str], Any] | None = str
    optional: bool = False

    def occurs_well(self, header: Sequence[str]) -> bool:
        """Tells whether a header has the column once, or an optional one at most once."""
        return header.count(self.name) == 1 or (self.optional and self.name not in header)


@dataclass(frozen=True)
class _Form(Generic[Row]):
    """The CSV form of one kind of row."""

    row: type[Row]
    columns: tuple[_Column, ...]

    @property
    def read_columns(self) -> list[_Column]:
        """The columns that a row is made of."""
        return [column for column in self.columns if column.parse is not None]

    @property
    def path_column(self) -> str:
        """Name of the column with the path."""
        return next(column.name for column in self.columns if column.attribute == "path")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError("wanted a whole number above 0")
    return int(text)


def _reader(text: str) -> str:
    if not text:
        raise ValueError("wanted a reader's id")
    return re.sub(r"\.0$", "", text)


def _truth(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError("wanted True or False")
    return text == "True"


def _path(text: str) -> str:
    if not storage.is_safe_relative(text):
        raise ValueError("wanted a path that is relative and stays below the corpus root")
    return text


_UTTERANCES = _Form(
    Utterance,
    (
        _Column("speaker_ID", "speaker", _reader),
        _Column("sex", "sex"),
        _Column("subset", "subset"),
        _Column("length", "length_samples", _count),
        _Column("origin_path", "path", _path),
    ),
)
_NOISES = _Form(
    NoiseClip,
    (
        _Column("noise_ID", "noise_id"),
        _Column("subset", "subset"),
        _Column("length", "length_samples", _count),
        _Column("augmented", "augmented", _truth),
        _Column("origin_path", "path", _path),
    ),
)
_AUDIO_FILES = _Form(
    AudioFile,
    (
        _Column("path", "path", _path),
        _Column("rate_hz", "rate_hz", _count),
        _Column("channels", "channels", _count),
        _Column("length_samples", "length_samples", _count),
        _Column("duration_s", "duration_s", None),
        _Column("format", "format"),
        _Column("subtype", "subtype"),
        _Column("speaker", "speaker"),
        _Column("text", "text", optional=True),
        _Column("room", "room", optional=True),
        _Column("subset", "subset", optional=True),
        _Column("licence", "licence", optional=True),
    ),
)


def read_utterances(url: str) -> list[Utterance]:
    """Reads a LibriSpeech listing, in the order of the file; ids like ``4077.0`` become ``4077``.

    Raises:
        StorageError: it is missing or not text.
        UsageError: everything that is wrong with its columns and rows, with line numbers.
    """
    return _read(url, _UTTERANCES)


def read_noises(url: str) -> list[NoiseClip]:
    """Reads a WHAM listing, in the order of the file. Raises as ``read_utterances`` does."""
    return _read(url, _NOISES)


def read_audio_files(url: str) -> list[AudioFile]:
    """Reads a listing of any audio, in the order of the file; text, room, subset and licence may be missing.

    Raises as ``read_utterances`` does.
    """
    return _read(url, _AUDIO_FILES)


def utterances_csv(rows: Iterable[Utterance]) -> bytes:
    """Returns a LibriSpeech listing as published: a header line, LF, quotes only where needed."""
    return _csv(rows, _UTTERANCES)


def noises_csv(rows: Iterable[NoiseClip]) -> bytes:
    """Returns a WHAM listing as published: a header line, LF, ``True`` and ``False``."""
    return _csv(rows, _NOISES)


def audio_files_csv(rows: Iterable[AudioFile]) -> bytes:
    """Returns a listing of any audio; ``duration_s`` is the shortest text of the exact double.

    The columns ``text``, ``room``, ``subset`` and ``licence`` are there only if a row holds something
    in them.
    """
    return _csv(rows, _AUDIO_FILES)


def limited(problems: Sequence[str]) -> list[str]:
    """Returns the first 20 problems and, where there are more, how many.

    >>> limited(["a"] * 23)[-2:]
    ['a', 'and 3 more problems of this kind']
    """
    rest = len(problems) - SHOWN_PROBLEMS
    return (
        list(problems)
        if rest <= 0
        else [*problems[:SHOWN_PROBLEMS], f"and {rest} more problems of this kind"]
    )


def read_table(url: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads a CSV file: its header line, and the other lines that are not blank with their numbers.

    Raises:
        StorageError: it is missing or not text.
        UsageError: it is not CSV.
    """
    lines = csv.reader(io.StringIO(storage.read_text(url), newline=""))
    try:
        header = next(lines, [])
        return header, [(lines.line_num, fields) for fields in lines if fields]
    except csv.Error as error:
        raise UsageError(f"{url}, line {lines.line_num}: is not CSV ({error})") from error


def _csv(rows: Iterable[Row], form: _Form[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    listed = list(rows)
    columns = [
        column
        for column in form.columns
        if not column.optional or any(getattr(row, column.attribute) for row in listed)
    ]
    writer.writerow(column.name for column in columns)
    names = [column.attribute for column in columns]
    writer.writerows([getattr(row, name) for name in names] for row in listed)
    return text.getvalue().encode()


def _read(url: str, form: _Form[Row]) -> list[Row]:
    header, lines = read_table(url)
    if missing := [column.name for column in form.read_columns if not column.occurs_well(header)]:
        found = ", ".join(header) or "(none)"
        raise UsageError(f"{url}: wanted one column each of {', '.join(missing)}; found the columns {found}")
    if not lines:
        raise UsageError(f"{url}: the listing has no rows; make it again from the corpus")
    rows, problems = _parse(header, lines, form)
    if problems:
        raise UsageError([f"{url}, {problem}" for problem in limited(problems)])
    return rows


def _parse(
    header: list[str], lines: list[tuple[int, list[str]]], form: _Form[Row]
) -> tuple[list[Row], list[str]]:
    places = [(column, header.index(column.name)) for column in form.read_columns if column.name in header]
    first_lines: dict[str, int] = {}
    rows: list[Row] = []
    problems: list[str] = []
    for number, fields in lines:
        if len(fields) != len(header):
            problems.append(f"line {number}: {len(fields)} fields, wanted {len(header)}")
            continue
        values, wrong = _values(places, fields)
        problems += [f"line {number}: {problem}" for problem in wrong]
        if wrong:
            continue
        row = form.row(**values)
        if (first := first_lines.setdefault(row.path, number)) != number:
            problems.append(f"line {number}: {form.path_column} {row.path!r} is on line {first} already")
        rows.append(row)
    return rows, problems


def _values(places: list[tuple[_Column, int]], fields: list[str]) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    problems = []
    for column, place in places:
        try:
            values[column.attribute] = (column.parse or str)(fields[place])
        except ValueError as error:
            problems.append(f"{column.name} {fields[place]!r}: {error}")
    return values, problems
