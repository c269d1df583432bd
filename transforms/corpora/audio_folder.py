"""Any audio: a folder of it or a manifest that names it, and speakers by a pattern on the paths."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from transforms import storage
from transforms.corpora import Layout
from transforms.corpora.told import PATH_COLUMN, Teller, completed, own_path
from transforms.errors import SourceError, UsageError
from transforms.listing import AudioFile, Header, audio_files_csv, limited, read_table

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aif", ".aiff", ".sph")
SPEAKER_GROUP = "speaker"
_STAGE = "speaker"


def pattern_problem(pattern: str) -> str | None:
    """Says why a pattern cannot find speakers, or returns None for a good one."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        return f"is not a regular expression ({error})"
    if SPEAKER_GROUP not in groups:
        return f"has no group named {SPEAKER_GROUP}; wanted for instance '^(?P<{SPEAKER_GROUP}>[^/]+)/'"
    return None


def manifest_root(url: str) -> str:
    """Returns the folder of a manifest, to which its paths are relative.

    >>> manifest_root("gs://bucket/speech/files.csv")
    'gs://bucket/speech'
    """
    first, chain, rest = url.partition("::")
    folder, slash, _ = first.rpartition("/")
    if not slash:
        folder = "."
    elif folder == "" or folder.endswith(":/"):
        folder += slash
    return folder + chain + rest


def read_manifest(url: str) -> list[str]:
    """Reads the paths that a manifest names, in its order.

    Args:
        url: a CSV file (``.csv``) with a column ``path``, or a text file with one path per line.
            Paths are relative to the manifest's folder; a leading ``./`` does not count.

    Raises:
        StorageError: it is missing or not text.
        UsageError: no such column, no paths, a path twice, paths that leave the folder.
    """
    named = [(number, own_path(path)) for number, path in _named_paths(url)]
    first_lines: dict[str, int] = {}
    problems = []
    for number, path in named:
        if not storage.is_safe_relative(path):
            problems.append(
                f"line {number}: path {path!r} must be relative and stay below the manifest's folder"
            )
        elif (first := first_lines.setdefault(path, number)) != number:
            problems.append(f"line {number}: path {path!r} is on line {first} already")
    if not named:
        problems.append("names no files; write one path per line")
    if problems:
        raise UsageError([f"{url}, {problem}" for problem in limited(problems)])
    return [path for _, path in named]


def is_table(url: str) -> bool:
    """Tells whether a manifest is CSV and not a plain list of paths."""
    return url.lower().partition("::")[0].endswith(".csv")


def _named_paths(url: str) -> list[tuple[int, str]]:
    if not is_table(url):
        lines = enumerate(storage.read_text(url).split("\n"), start=1)
        return [(number, line.strip()) for number, line in lines if line.strip()]
    header, rows = read_table(url)
    if PATH_COLUMN not in header:
        found = ", ".join(header) or "(none)"
        raise UsageError(f"{url}: no column {PATH_COLUMN}; found the columns {found}")
    place = header.index(PATH_COLUMN)
    return [(number, fields[place] if place < len(fields) else "") for number, fields in rows]


@dataclass(frozen=True)
class AudioFolder(Layout[AudioFile]):
    """The layout of any folder with audio at any depth.

    Attributes:
        speaker_pattern: regular expression, searched in each path; its group ``speaker`` is the
            talker's id. Empty: nobody knows the talkers.
        tellers: know what headers do not tell.
    """

    speaker_pattern: str = ""
    tellers: tuple[Teller, ...] = ()

    name: ClassVar[str] = "audio"
    title: ClassVar[str] = "a folder of audio"
    suffixes: ClassVar[tuple[str, ...]] = SUFFIXES
    rate_hz: ClassVar[int | None] = None
    min_length_samples: ClassVar[int] = 1
    row_type: ClassVar[type[Any]] = AudioFile
    listings: ClassVar[Mapping[str, str]] = {"": "audio.csv"}

    def folders(self, root: str) -> tuple[str, ...]:
        """Returns the one folder that is the whole corpus."""
        del root
        return ("",)

    def problems(self, paths: Sequence[str]) -> list[str]:
        """Says so when no path at all tells its speaker: the pattern is not the one meant."""
        if not paths or not self.speaker_pattern or any(map(self._speaker, paths)):
            return []
        return [
            f"speaker pattern {self.speaker_pattern!r} fits none of {len(paths)} paths, such as "
            f"{paths[0]!r}; it is searched in the path relative to the corpus"
        ]

    def row(self, header: Header) -> AudioFile:
        """Returns the row of a file. Raises SourceError when the pattern finds no speaker."""
        speaker = self._speaker(header.path)
        if self.speaker_pattern and not speaker:
            reason = f"the speaker pattern {self.speaker_pattern!r} finds no speaker in its path"
            raise SourceError(
                f"{self.name}:{header.path}", _STAGE, reason, "mend the pattern, or move the file"
            )
        return AudioFile(
            header.path,
            header.rate_hz,
            header.channels,
            header.frames,
            header.format,
            header.subtype,
            speaker,
        )

    def csv(self, rows: Iterable[AudioFile]) -> bytes:
        """Returns the listing, sorted by path, with what the tellers know. Raises as they do."""
        return audio_files_csv(sorted(completed(rows, self.tellers), key=lambda row: row.path))

    def _speaker(self, path: str) -> str:
        found = re.search(self.speaker_pattern, path) if self.speaker_pattern else None
        return (found.group(SPEAKER_GROUP) or "") if found else ""
