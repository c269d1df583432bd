"""What a listing of audio takes from elsewhere than headers: manifests, transcript files, people."""

import dataclasses
import hashlib
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from transforms import storage
from transforms.errors import UsageError
from transforms.ledger import crc32c
from transforms.listing import AudioFile, read_table

PATH_COLUMN = "path"
TOLD_COLUMNS = ("speaker", "text", "room", "subset", "licence")
TRANSCRIPTS_SUFFIX = ".trans.txt"


class Teller(Protocol):
    """Knows more of the files of a listing than their headers; a small value that travels to workers."""

    def complete(self, rows: Sequence[AudioFile]) -> list[AudioFile]:
        """Returns the rows with what is told of them. Raises StorageError or UsageError."""


def own_path(path: str) -> str:
    """Returns a path of a manifest as listings have it: a leading ``./`` does not count."""
    return path.removeprefix("./")


@dataclass(frozen=True)
class ManifestColumns:
    """The columns ``TOLD_COLUMNS`` of a CSV manifest, those that it has.

    Attributes:
        url: the manifest.
        content: length and checksum of it, so that a listing is made anew when it changed.
    """

    url: str
    content: str

    @classmethod
    def of(cls, url: str) -> "ManifestColumns":
        """Looks at a manifest. Raises StorageError."""
        data = storage.read_bytes(url)
        return cls(url, f"{len(data)}-{crc32c(data):08x}")

    def columns(self) -> tuple[str, ...]:
        """Returns the columns that tell something. Raises StorageError or UsageError."""
        header, _ = read_table(self.url)
        return tuple(name for name in TOLD_COLUMNS if name in header)

    def complete(self, rows: Sequence[AudioFile]) -> list[AudioFile]:
        """Puts what the columns say into the rows, blanks too."""
        header, lines = read_table(self.url)
        places = {name: header.index(name) for name in (PATH_COLUMN, *self.columns())}
        if short := [number for number, fields in lines if len(fields) <= max(places.values())]:
            raise UsageError(f"{self.url}, line {short[0]}: has fewer fields than the header")
        path_place = places.pop(PATH_COLUMN)
        told: dict[str, dict[str, Any]] = {
            own_path(fields[path_place]): {name: fields[place] for name, place in places.items()}
            for _, fields in lines
        }
        return [dataclasses.replace(row, **told.get(row.path, {})) for row in rows]


@dataclass(frozen=True)
class Transcripts:
    """Transcript files beside the audio, ``*.trans.txt``: an id and its words per line, as LibriSpeech's.

    A line is of the audio file in the same folder whose name without its ending is that id.

    Attributes:
        root: URL of the corpus.
        content: digest of their names and stamps, so that a listing is made anew when one changed.
    """

    root: str
    content: str

    @classmethod
    def of(cls, root: str) -> "Transcripts":
        """Lists the transcripts of a corpus. Raises StorageError; UsageError where there are none."""
        entries = storage.find(root, suffixes=(TRANSCRIPTS_SUFFIX,))
        if not entries:
            raise UsageError(f"{root}: holds no transcripts; looked for *{TRANSCRIPTS_SUFFIX} at any depth")
        names = "\n".join(f"{entry.path} {entry.stamp}" for entry in entries)
        return cls(root, hashlib.sha256(names.encode()).hexdigest())

    def complete(self, rows: Sequence[AudioFile]) -> list[AudioFile]:
        """Puts the words of each file into its row; files without a line have none."""
        paths = [entry.path for entry in storage.find(self.root, suffixes=(TRANSCRIPTS_SUFFIX,))]
        texts = storage.in_parallel(self.root, self._read, paths)
        words = {
            posixpath.join(posixpath.dirname(path), name): line
            for path, text in zip(paths, texts, strict=True)
            for name, line in transcript_lines(text).items()
        }
        return [dataclasses.replace(row, text=words.get(posixpath.splitext(row.path)[0], "")) for row in rows]

    def _read(self, path: str) -> str:
        return storage.read_text(storage.join(self.root, path))


@dataclass(frozen=True)
class StatedLicence:
    """One licence of all files of a corpus.

    Attributes:
        text: the licence, as its publisher states it.
    """

    text: str

    def complete(self, rows: Sequence[AudioFile]) -> list[AudioFile]:
        """Puts the licence into every row."""
        return [dataclasses.replace(row, licence=self.text) for row in rows]


def transcript_lines(text: str) -> Mapping[str, str]:
    """Returns the words of each id in a transcript file; blank lines do not count.

    >>> transcript_lines("84-121123-0000 GO DO YOU HEAR")
    {'84-121123-0000': 'GO DO YOU HEAR'}
    """
    split = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {fields[0]: fields[1].strip() if len(fields) > 1 else "" for fields in split}


def completed(rows: Iterable[AudioFile], tellers: Iterable[Teller]) -> list[AudioFile]:
    """Returns rows with all that is told of them, in the order of the tellers; no rows ask nobody."""
    made = list(rows)
    for teller in tellers if made else ():
        made = teller.complete(made)
    return made
