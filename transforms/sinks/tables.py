"""The tables that published corpora carry beside their WAV files: paths, lengths, SNRs."""

import contextlib
import functools
import posixpath
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal

from transforms.ledger import ItemRecord, ShardLedger, VariantRecord
from transforms.plan import Mixture, Part, RenderOptions
from transforms.recipes import Recipe
from transforms.rejects import csv_bytes
from transforms.sinks.base import PartWriter
from transforms.storage import OutputTree

TableKind = Literal["mixture", "metrics"]
TABLE_KINDS: tuple[TableKind, ...] = ("mixture", "metrics")


def column_stem(role: str) -> str:
    """Returns what the published tables call a role: ``source_1`` for ``s1``, ``noise`` as it is.

    >>> column_stem("s2"), column_stem("noise")
    ('source_2', 'noise')
    """
    return f"source_{role[1:]}" if role[:1] == "s" and role[1:].isdigit() else role


def table_columns(kind: TableKind, members: Sequence[str]) -> list[str]:
    """Returns the header of a table, given the roles that its mixture type sums."""
    stems = [column_stem(role) for role in members]
    if kind == "metrics":
        return ["mixture_ID", *(f"{stem}_SNR" for stem in stems)]
    return ["mixture_ID", "mixture_path", *(f"{stem}_path" for stem in stems), "length"]


@functools.lru_cache(maxsize=1024)
def _way(start: str, folder: str) -> str:
    """Returns the relative path from one folder of a tree to another, which all rows of a table share.

    The tree itself is an empty name, and so is the path from a folder to itself.
    """
    way = posixpath.relpath(folder or ".", start or ".")
    return "" if way == "." else way


class TablesWriter(PartWriter):
    """Writes all tables of one part side by side, row by row, in plan order.

    Args:
        tree: the output.
        recipe: names the tables and their members.
        options: the types, and how paths are written.
        part: what the tables are of.
        roles: all roles of its plan; an item that lacks one leaves its fields empty.
    """

    def __init__(
        self, tree: OutputTree, recipe: Recipe, options: RenderOptions, *, part: Part, roles: Sequence[str]
    ) -> None:
        if recipe.table_path is None:
            raise ValueError(f"recipe {recipe.name} publishes no tables")
        self._table_path = recipe.table_path
        self._tree = tree
        self._recipe = recipe
        self._options = options
        self._part = part
        needed = recipe.needed_roles(roles, options.types)
        self._members = {name: recipe.types[name](needed) for name in options.types}
        self._open = contextlib.ExitStack()
        self._files: dict[str, BinaryIO] = {}

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture] = ()) -> None:
        """Takes the next shard's items; tables say nothing of the plan."""
        del mixtures
        for item in ledger.items:
            for record in item.variants:
                for mix_type in self._options.types:
                    self._add_rows(item, record, mix_type)

    def _add_rows(self, item: ItemRecord, record: VariantRecord, mix_type: str) -> None:
        own = self._recipe.types[mix_type](self._recipe.roles_of(record.crc32c))
        for kind in TABLE_KINDS:
            path = self._table_path(self._part, record.variant, kind, mix_type)
            if path not in self._files:
                self._begin(path, table_columns(kind, self._members[mix_type]))
            if kind == "metrics":
                fields = dict(zip(own, map(repr, record.snr_db[mix_type]), strict=True))
            else:
                fields = {role: self._shown(item, record, role, path) for role in own}
            row = [fields.get(role, "") for role in self._members[mix_type]]
            if kind == "mixture":
                row = [self._shown(item, record, mix_type, path), *row, str(record.samples)]
            self._files[path].write(csv_bytes([[item.id, *row]]))

    def _begin(self, path: str, columns: Sequence[str]) -> None:
        self._files[path] = self._open.enter_context(self._tree.open(path))
        self._files[path].write(csv_bytes([columns]))

    def _shown(self, item: ItemRecord, record: VariantRecord, stream: str, table: str) -> str:
        """Returns the place of an item's file as the run wants it in a table."""
        path = self._recipe.wav_path(self._part, record.variant, stream, item.id)
        match self._options.table_paths:
            case "absolute":
                return self._tree.url(path)
            case "relative":
                folder, _, name = path.rpartition("/")
                return posixpath.join(_way(posixpath.dirname(table), folder), name)
            case prefix:
                return f"{prefix.rstrip('/')}/{path}"

    def close(self) -> None:
        """Completes the tables; of a part without any item, removes them."""
        self._open.close()
        self.files = tuple(self._files)
        for path in set(self._all_paths()) - set(self.files):
            self._tree.remove(path)

    def _all_paths(self) -> Iterator[str]:
        for variant in self._options.variants:
            for mix_type in self._options.types:
                for kind in TABLE_KINDS:
                    yield self._table_path(self._part, variant, kind, mix_type)
