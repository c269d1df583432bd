"""The published plan files of LibriMix: how they are named, found, read and written.

A plan ``libri2mix_train-clean-100.csv`` has one row per mixture: its id, path and gain of every
source, path and gain of the noise. Beside it, ``libri2mix_train-clean-100_info.csv`` has reader and
sex of every source. A plan made without audio has no gains, and cannot be rendered.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from transforms import storage
from transforms.corpora.plan_names import PlanNames, decimal
from transforms.errors import StorageError, UsageError
from transforms.listing import limited, read_table
from transforms.plan import NOISE, Mixture, Part, Source, id_problem, mixture_problems
from transforms.recipes import LIBRIMIX

_NAME_FORM = "libri<N>mix_<listing>.csv (for instance libri2mix_train-clean-100.csv)"

_NAME = re.compile(r"libri([1-9][0-9]?)mix_(.+)\.csv")
_SOURCE_COLUMN = re.compile(r"source_([0-9]+)_(?:path|gain)")
_WHOLE_NUMBER = re.compile(r"\A([0-9]+)\.0+\Z")
_ID = "mixture_ID"
_SHOWN_CHARACTERS = 300

_Row = Mapping[str, str]
_Readers = Mapping[str, Sequence[tuple[str, str]]]


def plan_path(listing_name: str, speakers: int) -> str:
    """Returns the place of a plan in the published tree: ``Libri2Mix/libri2mix_dev-clean.csv``."""
    return f"{_corpus(speakers)}/libri{speakers}mix_{listing_name}.csv"


def info_path(listing_name: str, speakers: int) -> str:
    """Returns the place of a plan's info file: ``Libri2Mix/libri2mix_dev-clean_info.csv``."""
    return _info_of(plan_path(listing_name, speakers))


def part_of(listing_name: str, speakers: int) -> Part:
    """Returns what a listing's mixtures make up: of ``train-clean-100``, Libri2Mix's ``train-100``."""
    return Part(LIBRIMIX.name, _corpus(speakers), listing_name.replace("-clean", ""))


def plan_csv(mixtures: Iterable[Mixture], speakers: int, *, with_gains: bool) -> bytes:
    """Returns a plan file as published: a header line, LF, quotes only where needed.

    Args:
        mixtures: in plan order, each with ``speakers`` utterances and a noise.
        speakers: utterances per mixture.
        with_gains: write the gains, as the shortest text of the exact double.
    """
    kept = slice(0, None if with_gains else 1)
    rows = (
        [
            mixture.id,
            *(text for source in mixture.sources for text in (source.path, repr(source.level))[kept]),
        ]
        for mixture in mixtures
    )
    return _csv(_plan_columns(speakers, with_gains=with_gains), rows)


def info_csv(mixtures: Iterable[Mixture], speakers: int) -> bytes:
    """Returns an info file as published: id, then reader and sex of every utterance."""
    rows = (
        [mixture.id, *(text for source in mixture.speech for text in (source.speaker, source.sex))]
        for mixture in mixtures
    )
    return _csv(_info_columns(speakers), rows)


def _named_part(file_name: str) -> Part | None:
    """Returns what a plan is of, by its name; None for a file that is not named like a plan."""
    match = _NAME.fullmatch(file_name)
    if match is None or "info" in file_name:
        return None
    part = part_of(match[2], int(match[1]))
    return None if id_problem(part.subset) else part


_NAMES = PlanNames("plan", _NAME_FORM, ".csv", _named_part)


def find_plans(urls: Sequence[str]) -> list[str]:
    """Finds plan files, see ``PlanNames.find``. Raises UsageError."""
    return _NAMES.find(urls)


def read_plan(url: str) -> tuple[Part, list[Mixture]]:
    """Reads a plan file, and reader and sex of its sources from the info file where there is one.

    Without an info file the reader is what stands before the first ``-`` of a source's file name.

    Args:
        url: the plan.

    Returns:
        What the mixtures make up, and the mixtures in the order of the file.

    Raises:
        UsageError: everything that is wrong with the file's name, columns, rows and info file.
    """
    part = _NAMES.part_at(url)
    table = _read_table(url)
    speakers = _checked_speakers(table, part)
    rows, problems = table.rows()
    readers: _Readers | None = None
    try:
        readers = _read_info(_info_of(url), speakers)
    except UsageError as error:
        problems += error.problems
    mixtures = []
    for line, row in rows:
        mixture, wrong = _to_mixture(row, speakers, readers)
        mixtures.append(mixture)
        problems += [f"{url}, line {line}: {problem}" for problem in wrong]
    if problems:
        raise UsageError(limited(problems))
    return part, mixtures


@dataclass(frozen=True)
class _Table:
    """A CSV file as read: its header line, and the other lines with their numbers."""

    url: str
    header: list[str]
    lines: list[tuple[int, list[str]]]

    def check_columns(self, wanted: Sequence[str]) -> None:
        """Raises UsageError unless each of the columns is there once."""
        if missing := [column for column in wanted if self.header.count(column) != 1]:
            found = ", ".join(self.header)[:_SHOWN_CHARACTERS]
            raise UsageError(
                f"{self.url}: wanted one column each of {', '.join(missing)}; found the columns {found}"
            )

    def rows(self) -> tuple[list[tuple[int, _Row]], list[str]]:
        """Returns the rows by column with their line numbers, and what is wrong with the others."""
        rows: list[tuple[int, _Row]] = []
        problems = []
        first_lines: dict[str, int] = {}
        for line, fields in self.lines:
            if len(fields) != len(self.header):
                problems.append(f"{self.url}, line {line}: {len(fields)} fields, wanted {len(self.header)}")
                continue
            row = dict(zip(self.header, fields, strict=True))
            first = first_lines.setdefault(row[_ID], line)
            if first != line:
                problems.append(f"{self.url}, line {line}: {_ID} {row[_ID]!r} is on line {first} already")
            rows.append((line, row))
        return rows, problems


def _read_table(url: str) -> _Table:
    try:
        header, lines = read_table(url)
    except StorageError as error:
        raise UsageError(str(error)) from error
    if not header:
        raise UsageError(f"{url}: the file is empty; fetch it again, or plan again")
    if any("\0" in column for column in header):
        raise UsageError(f"{url}: is not a text file; wanted a CSV plan or info file")
    return _Table(url, header, lines)


def _checked_speakers(table: _Table, part: Part) -> int:
    """Returns the number of sources of a plan. Raises UsageError where its columns are not a plan's."""
    numbers = {match[1] for match in map(_SOURCE_COLUMN.fullmatch, table.header) if match}
    speakers = max(1, len(numbers))
    if not any(column.endswith("_gain") for column in table.header):
        table.check_columns(_plan_columns(speakers, with_gains=False))
        raise UsageError(
            f"{table.url}: was planned without audio and has no gains; plan again with --librispeech and "
            "--wham to get gains"
        )
    table.check_columns(_plan_columns(speakers, with_gains=True))
    if part.corpus != _corpus(speakers):
        raise UsageError(
            f"{table.url}: is named as a plan of {part.corpus} and has columns for {speakers} sources; "
            "rename it"
        )
    return speakers


def _to_mixture(row: _Row, speakers: int, readers: _Readers | None) -> tuple[Mixture, list[str]]:
    """Makes a mixture of a plan's row, and says what is wrong with it."""
    mixture_id = row[_ID]
    problems = []
    if readers is not None and mixture_id not in readers:
        problems.append(f"{_ID} {mixture_id!r} is not in the info file; complete or remove that file")
    known = (readers or {}).get(mixture_id)
    sources = []
    for number, stem in enumerate(_stems(speakers)):
        path, gain = row[f"{stem}_path"], decimal(row[f"{stem}_gain"])
        if gain is None:
            problems.append(f"{stem}_gain {row[f'{stem}_gain']!r} is not a number")
        level = 1.0 if gain is None else gain
        if stem == NOISE:
            sources.append(Source(NOISE, "wham", path, level=level, fit="loop", channel=0))
        else:
            speaker, sex = known[number] if known else (_speaker_named(path), "")
            sources.append(
                Source(f"s{number + 1}", "librispeech", path, level=level, speaker=speaker, sex=sex)
            )
    mixture = Mixture(mixture_id, tuple(sources))
    return mixture, problems + mixture_problems(mixture, LIBRIMIX.roots)


def _read_info(url: str, speakers: int) -> _Readers | None:
    """Reads an info file; None where there is none. Raises UsageError."""
    try:
        if not storage.exists(url):
            return None
    except StorageError as error:
        raise UsageError(str(error)) from error
    table = _read_table(url)
    columns = _info_columns(speakers)
    table.check_columns(columns)
    rows, problems = table.rows()
    if problems:
        raise UsageError(problems)
    return {
        row[_ID]: [
            (_WHOLE_NUMBER.sub(r"\1", row[speaker]), row[sex])
            for speaker, sex in zip(columns[1::2], columns[2::2], strict=True)
        ]
        for _, row in rows
    }


def _speaker_named(path: str) -> str:
    return path.rsplit("/", 1)[-1].split("-", 1)[0]


def _corpus(speakers: int) -> str:
    return f"Libri{speakers}Mix"


def _stems(speakers: int) -> list[str]:
    return [*(f"source_{number}" for number in range(1, speakers + 1)), NOISE]


def _plan_columns(speakers: int, *, with_gains: bool) -> list[str]:
    kinds = ("path", "gain") if with_gains else ("path",)
    return [_ID, *(f"{stem}_{kind}" for stem in _stems(speakers) for kind in kinds)]


def _info_columns(speakers: int) -> list[str]:
    numbers = range(1, speakers + 1)
    return [_ID, *(f"speaker_{number}_{kind}" for number in numbers for kind in ("ID", "sex"))]


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def _info_of(plan: str) -> str:
    """Returns the path or URL of the info file beside a plan."""
    first, chain, rest = plan.partition("::")
    return first.removesuffix(".csv") + "_info.csv" + chain + rest
