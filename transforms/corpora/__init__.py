"""How corpora are laid out on disk, and what their listings say. Pure: no pipelines here."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic

from transforms import storage
from transforms.errors import UsageError
from transforms.listing import Header, Row

_SHOWN_NAMES = 8


class Layout(abc.ABC, Generic[Row]):
    """Where a corpus keeps its files, and how their headers become the rows of its listings.

    Layouts are small values that travel to workers.

    Attributes:
        name: what plans and rejects call the corpus root.
        title: what people call the corpus.
        suffixes: endings of the names of its audio files, in lower case.
        rate_hz: the only rate its files may have, or None for any.
        min_length_samples: shorter files are left out of its listings.
        row_type: class of its rows.
        listings: file name of the listing of each folder, by folder; the folder ``""`` is the
            whole corpus.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    rate_hz: ClassVar[int | None]
    min_length_samples: ClassVar[int]
    row_type: ClassVar[type[Any]]
    listings: ClassVar[Mapping[str, str]]

    def listing_of(self, path: str) -> str:
        """Returns the file name of the listing that a path belongs to. Raises KeyError if none."""
        return self.listings["" if "" in self.listings else path.partition("/")[0]]

    def folders(self, root: str) -> tuple[str, ...]:
        """Returns which of the layout's folders are below a root, in the layout's order.

        Raises:
            StorageError: the root cannot be listed.
            UsageError: there is none of them.
        """
        names = storage.list_folder(root)
        found = tuple(folder for folder in self.listings if folder in names)
        if not found:
            raise UsageError(
                f"{root}: is not {self.title}: looked for a folder {' or '.join(self.listings)}, found "
                f"{abridged(names)}; give the folder that holds them"
            )
        return found

    def problems(self, paths: Sequence[str]) -> list[str]:
        """Lists what is wrong with the names of a corpus's files, before any is opened."""
        del paths
        return []

    @abc.abstractmethod
    def row(self, header: Header) -> Row:
        """Returns the row of a file. Raises SourceError when its name does not tell what it must."""

    @abc.abstractmethod
    def csv(self, rows: Iterable[Row]) -> bytes:
        """Returns a listing of rows given in any order."""


def by_length(row: Row) -> tuple[int, str]:
    """Sort key of the published listings: shortest first; among equal lengths by path (our rule)."""
    return row.length_samples, row.path


def abridged(names: Sequence[str]) -> str:
    """Returns names for a message: the first few, and how many more there are."""
    if not names:
        return "nothing"
    more = [f"and {len(names) - _SHOWN_NAMES} more"] if len(names) > _SHOWN_NAMES else []
    return ", ".join([*names[:_SHOWN_NAMES], *more])
