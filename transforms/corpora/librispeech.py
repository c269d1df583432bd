"""LibriSpeech: its speaker table, its folders, and the rows of its published listings."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from transforms import storage
from transforms.corpora import Layout, abridged, by_length
from transforms.errors import SourceError, StorageError, UsageError
from transforms.listing import HEADER_STAGE, Header, Utterance, limited, utterances_csv

RATE_HZ = 16000
MIN_LENGTH_SAMPLES = 3 * RATE_HZ
SPEAKER_TABLE = "SPEAKERS.TXT"
SUBSETS = (
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
)

_COMMENT_LINES = 11
_TABLE_FIELDS = 5
_KEPT_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Reader:
    """What the speaker table says of a reader: ``F`` or ``M``, and the subset they belong to."""

    sex: str
    subset: str


# The name of this reader holds the field separator, so its row is dropped and given again here.
_REPAIRED_ID, _REPAIRED = 60, Reader("M", "train-clean-100")


def parse_speakers(text: str) -> dict[int, Reader]:
    """Reads a speaker table by the published rules.

    The first 11 lines are skipped by count and the next is the column header. Rows with more than
    five fields are dropped; reader 60 is appended to the end, in every table. Of several rows with
    one id the first holds.

    Args:
        text: fields id, sex, subset, minutes and name, separated by ``|``, padded with blanks.

    Returns:
        The readers by id.

    Raises:
        UsageError: rows without a whole number as id, or without sex and subset.
    """
    readers: dict[int, Reader] = {}
    problems = []
    numbered = enumerate(text.split("\n"), start=1)
    lines = [(number, line) for number, line in numbered if number > _COMMENT_LINES and line.strip()]
    for number, line in lines[1:]:
        fields = [field.strip() for field in line.split("|")]
        if len(fields) > _TABLE_FIELDS:
            continue
        if len(fields) < _KEPT_FIELDS or not fields[0].isdecimal():
            problems.append(f"line {number} ({line.strip()!r}): wanted id | sex | subset | minutes | name")
            continue
        readers.setdefault(int(fields[0]), Reader(fields[1], fields[2]))
    if problems:
        raise UsageError([f"{SPEAKER_TABLE}, {problem}" for problem in limited(problems)])
    readers.setdefault(_REPAIRED_ID, _REPAIRED)
    return readers


def reader_id(path: str) -> int | None:
    """Returns the number before the first ``-`` of a file's name; None where there is none.

    >>> reader_id("train-clean-100/19/198/19-198-0001.flac")
    19
    """
    text = path.rpartition("/")[2].partition("-")[0]
    return int(text) if text.isdecimal() else None


@dataclass(frozen=True)
class LibriSpeech(Layout[Utterance]):
    """The layout of LibriSpeech.

    Attributes:
        readers: the speaker table, by reader id.
    """

    readers: Mapping[int, Reader]

    name: ClassVar[str] = "librispeech"
    title: ClassVar[str] = "LibriSpeech"
    suffixes: ClassVar[tuple[str, ...]] = (".flac",)
    rate_hz: ClassVar[int | None] = RATE_HZ
    min_length_samples: ClassVar[int] = MIN_LENGTH_SAMPLES
    row_type: ClassVar[type[Any]] = Utterance
    listings: ClassVar[Mapping[str, str]] = {subset: f"{subset}.csv" for subset in SUBSETS}

    @classmethod
    def open(cls, root: str) -> "LibriSpeech":
        """Reads the speaker table of a corpus.

        Raises:
            StorageError: the table cannot be read.
            UsageError: there is no table, or it is malformed.
        """
        url = storage.join(root, SPEAKER_TABLE)
        try:
            return cls(parse_speakers(storage.read_text(url)))
        except StorageError as error:
            if storage.exists(url):
                raise
            raise UsageError(
                f"{root}: is not {cls.title}: looked for the file {SPEAKER_TABLE}, found "
                f"{abridged(storage.list_folder(root))}; give the folder that holds it"
            ) from error

    def problems(self, paths: Iterable[str]) -> list[str]:
        """Lists the readers of files who are not in the speaker table."""
        examples: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for path in paths:
            if reader_id(path) not in self.readers:
                name = path.rpartition("/")[2].partition("-")[0]
                examples.setdefault(name, path)
                counts[name] += 1
        return [
            f"reader {name!r} of {path} ({counts[name]} files) is not in {SPEAKER_TABLE}; "
            "add the reader's row, or remove the files"
            for name, path in examples.items()
        ]

    def row(self, header: Header) -> Utterance:
        """Returns the row of a file; its subset is the speaker table's, not the folder's."""
        number = reader_id(header.path)
        if number is None or number not in self.readers:
            source = f"{self.name}:{header.path}"
            raise SourceError(source, HEADER_STAGE, *_UNKNOWN_READER)
        reader = self.readers[number]
        return Utterance(str(number), reader.sex, reader.subset, header.frames, header.path)

    def csv(self, rows: Iterable[Utterance]) -> bytes:
        """Returns the published listing: ascending by length, among equal lengths by path."""
        return utterances_csv(sorted(rows, key=by_length))


_UNKNOWN_READER = (
    f"its name does not begin with the id of a reader in {SPEAKER_TABLE}",
    "add the reader's row, or remove the file",
)
