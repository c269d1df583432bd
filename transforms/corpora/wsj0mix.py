"""The published files of wsj0-mix: lists of mixtures, and tables of activity levels.

A list ``mix_2_spk_tr.txt`` has one mixture per line, ``path_1 snr_1 path_2 snr_2 ...``, separated by
blanks and without a header; SNRs are in dB. A table of activity levels has one utterance per line,
``utterance_id level``; the level is the mean square of the utterance's active speech at full scale 1.

Paths of lists begin with ``wsj0/``. In plans they are relative to that folder, which is the corpus
root ``wsj0``; see ``resolve_root``.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transforms import storage
from transforms.corpora.plan_names import PlanNames, decimal, file_name
from transforms.errors import StorageError, UsageError
from transforms.listing import limited
from transforms.plan import Mixture, Part, Source, mixture_problems
from transforms.recipes import WSJ0MIX
from transforms.rejects import Reject

ROOT = WSJ0MIX.roots[0]
CONDITIONS = ("tr", "cv", "tt")
PLAN_STAGE = "plan"

_NAME = re.compile(rf"mix_([1-9][0-9]?)_spk_({'|'.join(CONDITIONS)})\.txt")
_NAME_FORM = "mix_<N>_spk_<tr, cv or tt>.txt (for instance mix_2_spk_tr.txt)"
_WSJ0_FILE = re.compile(r"[0-9][0-9a-z]{2}[a-z][0-9a-z]{4}", re.IGNORECASE)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_CORPUS = "speakers"
_SPEAKER_CHARACTERS = 3
_SHORT_FORM_SPEAKERS = 3

_Line = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """What a list holds.

    Attributes:
        part: what its mixtures make up.
        mixtures: those that can be made, in the order of the file.
        rejects: those that cannot, in the order of the file.
    """

    part: Part
    mixtures: tuple[Mixture, ...]
    rejects: tuple[Reject, ...]


def list_path(speakers: int, condition: str) -> str:
    """Returns the published file name of a list: ``mix_2_spk_tr.txt``."""
    return f"mix_{speakers}_spk_{condition}.txt"


def part_of(speakers: int, condition: str) -> Part:
    """Returns what a list's mixtures make up: for instance ``2speakers``, ``tr``."""
    return Part(WSJ0MIX.name, f"{speakers}{_CORPUS}", condition)


def utterance_id(path: str) -> str:
    """Returns an utterance's name in tables and ids: its file name without the suffix.

    >>> utterance_id("si_tr_s/01t/01to030v.wav")
    '01to030v'
    """
    name = path.rsplit("/", 1)[-1]
    return name.rpartition(".")[0] or name


def speaker_of(path: str) -> str:
    """Returns the talker of an utterance.

    That is what its first three characters say where the file is named as in WSJ0 (three for the
    speaker, the first a digit; a letter; four for session and sentence), else the name of the folder
    that it is in; empty where there is neither.

    >>> speaker_of("si_tr_s/01t/01to030v.wav"), speaker_of("si_tr_s/103/103-1240-0000.flac")
    ('01t', '103')
    """
    name = utterance_id(path)
    folder = path.rpartition("/")[0].rpartition("/")[2]
    return name[:_SPEAKER_CHARACTERS] if _WSJ0_FILE.fullmatch(name) else folder


def mixture_id(paths: Sequence[str], snrs_db: Sequence[float]) -> str:
    """Returns the published name of a mixture: utterances and SNRs (8 significant digits) in turn.

    >>> mixture_id(["a/01to030v.wav", "b/40ec026z.wav"], [5.2094e-07, -0.899467316231525])
    '01to030v_5.2094e-07_40ec026z_-0.89946732'
    """
    pairs = zip(paths, snrs_db, strict=True)
    return "_".join(f"{utterance_id(path)}_{snr_db:.8g}" for path, snr_db in pairs)


def to_mixture(paths: Sequence[str], snrs_db: Sequence[float], powers: Sequence[float]) -> Mixture:
    """Describes a mixture for the renderer.

    Args:
        paths: utterances, relative to the folder ``wsj0``.
        snrs_db: wanted active level of each, in dB relative to 1.
        powers: mean square of each recording's active speech.
    """
    sources = (
        Source(
            f"s{number}",
            ROOT,
            path,
            level_kind="active_level",
            level=snr_db,
            active_power=power,
            speaker=speaker_of(path),
        )
        for number, (path, snr_db, power) in enumerate(zip(paths, snrs_db, powers, strict=True), start=1)
    )
    return Mixture(mixture_id(paths, snrs_db), tuple(sources))


def below_root(path: str) -> str:
    """Returns a list's path relative to the folder ``wsj0``."""
    return path.removeprefix(f"{ROOT}/")


def resolve_root(url: str) -> str:
    """Returns the folder that the paths of mixtures are relative to.

    Args:
        url: the folder ``wsj0``, or the one that it is in.

    Raises:
        StorageError: it cannot be looked at.
    """
    inner = storage.join(url, ROOT)
    return inner if storage.is_folder(inner) else url


def list_text(mixtures: Iterable[Mixture]) -> str:
    """Returns a list in the published form, as it differs with the number of speakers.

    Up to 3: SNRs have 5 significant digits, and a blank ends the line. From 4: SNRs are the shortest
    text of the exact double (up to 17 digits), and no blank ends the line. A whole number has no point.
    """
    return "".join(map(_line_text, mixtures))


def _line_text(mixture: Mixture) -> str:
    short = len(mixture.sources) <= _SHORT_FORM_SPEAKERS
    texts = (
        f"{ROOT}/{source.path} " + (f"{source.level:.5g}" if short else repr(source.level).removesuffix(".0"))
        for source in mixture.sources
    )
    return " ".join(texts) + (" \n" if short else "\n")


def usable_level(levels: Mapping[str, float], path: str) -> float | None:
    """Returns an utterance's level; None where it has none, or none that can be divided by."""
    level = levels.get(utterance_id(path))
    return level if level is not None and 0 < level < math.inf else None


def read_levels(urls: Sequence[str]) -> dict[str, float]:
    """Reads tables of activity levels into one; of an utterance with several levels the last counts.

    Levels of 0 and below, and what is not finite, are kept: they concern only who uses them.

    Args:
        urls: tables, and folders whose tables (directly in them, names that end in ``txt``) are
            read in the order of their names.

    Returns:
        Mean square of the active speech by utterance id.

    Raises:
        UsageError: something is not there or cannot be read, a folder has no table, or lines are
            not an utterance and a number.
    """
    problems: list[str] = []
    levels: dict[str, float] = {}
    for table in _all_tables(urls, problems):
        try:
            lines = _read_lines(table)
        except StorageError as error:
            problems.append(str(error))
            continue
        for number, fields in lines:
            level = decimal(fields[-1])
            if len(fields) == 2 and level is not None:
                levels[fields[0]] = level
            else:
                found = " ".join(fields)
                problems.append(f"{table}, line {number}: {found!r}; wanted an utterance and its level")
    if problems:
        raise UsageError(limited(problems))
    return levels


def _tables_at(url: str) -> list[str]:
    """Returns the tables that a path or URL stands for. Raises UsageError or StorageError."""
    if not storage.is_folder(url):
        return [url]
    names = [name for name in storage.list_folder(url) if name.endswith("txt")]
    if not names:
        raise UsageError(f"{url}: holds no table of activity levels; looked for names that end in txt")
    return [storage.join(url, name) for name in names]


def _named_part(name: str) -> Part | None:
    match = _NAME.fullmatch(name)
    return part_of(int(match[1]), match[2]) if match else None


_NAMES = PlanNames("list", _NAME_FORM, ".txt", _named_part)


def find_plans(urls: Sequence[str]) -> list[str]:
    """Finds lists, see ``PlanNames.find``. Raises UsageError."""
    return _NAMES.find(urls)


def _all_tables(urls: Sequence[str], problems: list[str]) -> Iterable[str]:
    """Yields the tables that paths and URLs stand for, and notes the problems of the others."""
    for url in urls:
        try:
            yield from _tables_at(url)
        except (UsageError, StorageError) as error:
            problems += str(error).split("\n")


def read_plan(url: str, levels: Mapping[str, float]) -> PlanFile:
    """Reads a list. Numbers are read exactly; blank lines and a blank at the end of a line mean nothing.

    Args:
        url: the list.
        levels: mean square of the active speech by utterance id, see ``read_levels``.

    Returns:
        The mixtures; and as rejects, the lines with too few fields and the mixtures with an
        utterance that has no level, or none above 0.

    Raises:
        UsageError: everything else that is wrong with the file's name and lines.
    """
    part = _NAMES.part_at(url)
    speakers = int(part.corpus.removesuffix(_CORPUS))
    lines = _plan_lines(url, speakers)
    reading = _Reading(url, 2 * speakers, levels)
    whole = _whole_columns([fields for _, fields in lines if len(fields) == reading.width])
    for number, fields in lines:
        reading.take(number, fields, whole)
    if reading.problems:
        raise UsageError(limited(reading.problems))
    return PlanFile(part, tuple(reading.mixtures), tuple(reading.rejects))


@dataclass
class _Reading:
    """What the lines of a list turn out to be, one after the other.

    Attributes:
        url: the list.
        width: fields per line.
        levels: mean square of the active speech by utterance id.
        mixtures: those that can be made.
        rejects: those that cannot.
        problems: what forbids using the list.
        first_lines: number of the line that an id was first seen on.
    """

    url: str
    width: int
    levels: Mapping[str, float]
    mixtures: list[Mixture] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    first_lines: dict[str, int] = field(default_factory=dict)

    def take(self, number: int, fields: Sequence[str], whole: Sequence[bool]) -> None:
        """Sorts a line into mixtures, rejects or problems; ``whole`` tells the columns of whole numbers."""
        if len(fields) < self.width:
            self.rejects.append(self._short_line(number, len(fields)))
            return
        if len(fields) > self.width:
            self._note(number, [f"{len(fields)} fields, {self._wanted}; split it, or correct it"])
            return
        texts = fields[1::2]
        snrs_db = [snr for snr in map(_snr_db, texts, whole) if snr is not None]
        if len(snrs_db) < len(texts):
            wrong = [text for text in texts if decimal(text) is None]
            self._note(number, [f"SNR {text!r} is not a number; correct it" for text in wrong])
            return
        self._take_mixture(number, [below_root(path) for path in fields[::2]], snrs_db)

    def _take_mixture(self, number: int, paths: Sequence[str], snrs_db: Sequence[float]) -> None:
        powers = [usable_level(self.levels, path) for path in paths]
        mixture = to_mixture(paths, snrs_db, [power or 1.0 for power in powers])
        self._note(number, mixture_problems(mixture, WSJ0MIX.roots))
        first = self.first_lines.setdefault(mixture.id, number)
        if first != number:
            self._note(number, [f"{mixture.id!r} is on line {first} already; remove one of them"])
        if None in powers:
            self.rejects.append(self._without_level(mixture, powers.index(None)))
        else:
            self.mixtures.append(mixture)

    def _note(self, number: int, problems: Iterable[str]) -> None:
        self.problems += [f"{self.url}, line {number}: {problem}" for problem in problems]

    @property
    def _wanted(self) -> str:
        return f"wanted {self.width}, a path and an SNR for each of {self.width // 2} speakers"

    def _short_line(self, number: int, found: int) -> Reject:
        item = f"{file_name(self.url)}:{number}"
        return Reject(
            item, self.url, PLAN_STAGE, f"the line has {found} fields, {self._wanted}", "complete the line"
        )

    def _without_level(self, mixture: Mixture, place: int) -> Reject:
        source = mixture.sources[place]
        level = self.levels.get(utterance_id(source.path))
        found = "has no activity level" if level is None else f"has the activity level {level!r}"
        reason = f"{found}; wanted a mean square above 0"
        remedy = "measure it (mixtape activity), or take the line out of the list"
        return Reject(mixture.id, source.name, PLAN_STAGE, reason, remedy)


def _plan_lines(url: str, speakers: int) -> list[_Line]:
    """Reads the lines of a list. Raises UsageError where none has the width that its name tells."""
    try:
        lines = _read_lines(url)
    except StorageError as error:
        raise UsageError(str(error)) from error
    widths = Counter(len(fields) for _, fields in lines)
    if not widths:
        raise UsageError(f"{url}: holds no mixture; fetch it again, or plan again")
    if 2 * speakers not in widths:
        found = widths.most_common(1)[0][0]
        raise UsageError(
            f"{url}: is named as a list of {speakers} speakers, and its lines have {found} fields, "
            f"wanted {2 * speakers}; rename it, or fetch it again"
        )
    return lines


def _whole_columns(rows: Iterable[Sequence[str]]) -> list[bool]:
    """Tells of each SNR column of a list whether all its numbers are whole."""
    columns = zip(*(fields[1::2] for fields in rows), strict=True)
    return [all(map(_WHOLE_NUMBER.fullmatch, column)) for column in columns]


def _snr_db(text: str, whole: bool) -> float | None:
    """Reads an SNR; None where it is none. A negative zero is one only among fractional numbers."""
    number = decimal(text)
    return 0.0 if whole and number == 0 else number


def _read_lines(url: str) -> list[_Line]:
    """Returns the fields of the lines that are not blank, with their numbers. Raises StorageError."""
    numbered = enumerate(storage.read_text(url).split("\n"), start=1)
    return [(number, fields) for number, line in numbered if (fields := line.split())]
