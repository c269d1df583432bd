"""What goes with a mixture besides samples: files of any kind, and facts of declared types."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from transforms.errors import MixtapeError

Scalar = bool | int | float | str
Fact = Scalar | Sequence[int] | Sequence[float] | Sequence[str]
Facts = Mapping[str, Fact]
FactKind = Literal["flag", "int", "float", "text", "ints", "floats", "texts"]
FeatureKind = FactKind | Literal["file", "files"]

FACT_DIGITS = 9
_TYPES: Mapping[FactKind, type[Scalar]] = {
    "flag": bool,
    "int": int,
    "float": float,
    "text": str,
    "ints": int,
    "floats": float,
    "texts": str,
}
_LISTS: tuple[FactKind, ...] = ("ints", "floats", "texts")


@dataclass(frozen=True, slots=True)
class AttachmentType:
    """A kind of file that goes with every mixture of a recipe.

    Attributes:
        name: names the feature in TFRecords and the folder in trees: ``video``, ``frames``.
        extension: what follows ``<key>.`` in archives: ``mp4``, ``jpg``, ``npy``.
        numbered: whether it is a sequence of files, numbered from 0 (``<key>.0000.jpg``).
    """

    name: str
    extension: str
    numbered: bool = False

    def endings(self, count: int) -> Iterator[str]:
        """Yields what follows ``<key>.`` of each of so many files."""
        for number in range(count):
            yield f"{number:04d}.{self.extension}" if self.numbered else self.extension


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, or a numbered sequence of files, that goes with one mixture.

    Attributes:
        name, extension, numbered: as its ``AttachmentType`` says.
        pieces: the bytes of each file, a pure function of plan row, sources and options; exactly one
            unless it is numbered.
    """

    name: str
    extension: str
    pieces: tuple[bytes, ...]
    numbered: bool = False

    @property
    def type(self) -> AttachmentType:
        """What kind it is."""
        return AttachmentType(self.name, self.extension, self.numbered)


def typed_facts(kinds: Mapping[str, FactKind], facts: Facts, *, item: str) -> dict[str, Fact]:
    """Returns the facts of an item in the order and the types that its recipe declares.

    Readers take a column's type from the first few items, so each item has all facts, and real
    numbers are floats even when whole; they are rounded to 9 significant digits, because the last
    bits of what was computed differ between processors.

    Args:
        kinds: of each fact, its kind.
        facts: the facts.
        item: the item, for messages.

    Raises:
        MixtapeError: the facts are not those that are declared, or not of these kinds; which is a
            defect of the recipe and not of its sources.
    """
    if facts.keys() != kinds.keys():
        raise MixtapeError(f"item {item}: has the facts {sorted(facts)}, its recipe declares {sorted(kinds)}")
    return {name: _typed(kind, facts[name], f"item {item}: fact {name!r}") for name, kind in kinds.items()}


def _typed(kind: FactKind, fact: Fact, where: str) -> Fact:
    if kind not in _LISTS:
        return _scalar(kind, cast(Scalar, fact), where)
    if isinstance(fact, str) or not isinstance(fact, Sequence):
        raise MixtapeError(f"{where} is {fact!r}, its recipe declares {kind}")
    return cast(Fact, [_scalar(kind, one, where) for one in fact])


def _scalar(kind: FactKind, value: Scalar, where: str) -> Scalar:
    wanted = _TYPES[kind]
    fits = isinstance(value, (int, float) if wanted is float else wanted)
    if not fits or (isinstance(value, bool) and kind != "flag"):
        raise MixtapeError(f"{where} is {value!r}, its recipe declares {kind}")
    if wanted is not float:
        return value
    if not math.isfinite(cast(float, value)):
        raise MixtapeError(f"{where} is {value!r}, which is no finite number")
    return float(f"{value:.{FACT_DIGITS}g}")


def scalar_facts(facts: Facts) -> dict[str, Scalar]:
    """Returns the facts that are no lists."""
    return {name: fact for name, fact in facts.items() if isinstance(fact, (bool, int, float, str))}
