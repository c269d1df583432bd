"""Items that could not be made: which, why, and what a person can do about it."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transforms.errors import SourceError, UsageError
from transforms.storage import OWN_FOLDER


@dataclass(frozen=True, slots=True)
class Reject:
    """One item that was not made.

    Attributes:
        item: id of the item (of a listing: the file).
        source: the source at fault, as ``root:path``.
        stage: the step that failed.
        reason: what was found and what was wanted.
        remedy: what to do about it.
    """

    item: str
    source: str
    stage: str
    reason: str
    remedy: str

    @classmethod
    def of(cls, item: str, error: SourceError) -> "Reject":
        """Makes the reject of an item from what went wrong with its source."""
        return cls(item, error.source, error.stage, error.reason, error.remedy)


REJECTS_PATH = f"{OWN_FOLDER}/rejects.csv"
_SHARE_DECIMALS = 6
REJECT_COLUMNS = tuple(field.name for field in dataclasses.fields(Reject))


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """Returns rows as CSV: commas, LF line ends, quotes where needed, UTF-8.

    What a file name holds that is no Unicode is written as an escape.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def rejects_csv(rejects: Iterable[Reject]) -> bytes:
    """Returns rejects as CSV with a header line."""
    return csv_bytes([REJECT_COLUMNS, *(dataclasses.astuple(reject) for reject in rejects)])


@dataclass(frozen=True, slots=True)
class RejectLimit:
    """How many rejected items a run may have and still succeed: a count, or a share of all."""

    count: int | None = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> "RejectLimit":
        """Reads ``12`` or ``0.5%``. Raises UsageError."""
        try:
            if text.endswith("%"):
                limit = cls(None, float(text[:-1]) / 100)
                valid = 0 <= (limit.share or 0) <= 1
            else:
                limit = cls(int(text))
                valid = (limit.count or 0) >= 0
        except ValueError:
            valid = False
        if not valid:
            raise UsageError(f"--max-rejects {text!r}: wanted a count such as 10 or a share such as 0.5%")
        return limit

    def allows(self, rejected: int, planned: int) -> bool:
        """Tells whether a run with so many rejects of so many planned items succeeds."""
        allowed = self.count if self.share is None else round(self.share * planned, _SHARE_DECIMALS)
        return rejected <= (allowed or 0)
