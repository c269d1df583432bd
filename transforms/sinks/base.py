"""What every output format implements: writing a shard, and closing a whole part."""

import abc
import contextlib
from collections.abc import Sequence
from typing import ClassVar

from transforms.ledger import ShardLedger, WrittenFile
from transforms.plan import Mixture, Part, RenderOptions, Shard
from transforms.recipes import Recipe
from transforms.rendering import RenderedMixture
from transforms.storage import OutputTree


class ShardWriter(abc.ABC):
    """Writes the items of one shard in one format.

    ``files`` is complete only after the sink's ``open_shard`` block has ended well.
    """

    files: tuple[WrittenFile, ...] = ()

    @abc.abstractmethod
    def add(self, item: RenderedMixture) -> None:
        """Takes the next item of the shard. Raises StorageError."""


class PartWriter(abc.ABC):
    """Writes what stands beside the shards of one part: indices, schemas, tables.

    ``files`` holds the places of all of them once ``close`` has returned.
    """

    files: tuple[str, ...] = ()

    @abc.abstractmethod
    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        """Takes the next shard's ledger and its rows of the plan; shards come in order."""

    @abc.abstractmethod
    def close(self) -> None:
        """Writes the files, where their bytes changed. Raises StorageError."""


class Beside(PartWriter):
    """Several writers as one; with none of them it writes nothing."""

    def __init__(self, writers: Sequence[PartWriter]) -> None:
        self.writers = tuple(writers)

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        """Hands a shard to all writers."""
        for writer in self.writers:
            writer.add(ledger, mixtures)

    def close(self) -> None:
        """Closes all writers."""
        for writer in self.writers:
            writer.close()
        self.files = tuple(path for writer in self.writers for path in writer.files)


class Sink(abc.ABC):
    """One output format: a factory of shard writers and part writers.

    Args:
        tree: the output.
        recipe: names the streams and, for published trees, the files.
        options: what the run makes.
    """

    name: ClassVar[str]

    def __init__(self, tree: OutputTree, recipe: Recipe, options: RenderOptions) -> None:
        self.tree = tree
        self.recipe = recipe
        self.options = options

    @abc.abstractmethod
    def open_shard(self, shard: Shard) -> contextlib.AbstractContextManager[ShardWriter]:
        """Opens a shard: its files appear whole when the block ends well, and never otherwise."""

    @abc.abstractmethod
    def open_part(self, part: Part, shard_count: int, roles: Sequence[str]) -> PartWriter:
        """Begins what is written beside a part's shards, given their number and all roles of its plan."""

    @abc.abstractmethod
    def is_shard_file(self, part: Part, path: str) -> bool:
        """Tells whether a path in the output is named like a shard file of this part and format."""

    @abc.abstractmethod
    def folders(self, part: Part) -> tuple[str, ...]:
        """Returns the folders of the output that hold this part's files, and maybe other parts'."""

    def close_corpus(self, parts: Sequence[Part]) -> None:  # noqa: B027  most formats span no parts
        """Writes what spans several parts, where its bytes changed.

        Called once at the end of a run, after every part writer is closed, so that no two workers
        write one file.

        Args:
            parts: all parts stored in the output, those of earlier runs too; and parts that were
                just removed, with which the last of a corpus may have gone.

        Raises:
            StorageError: it cannot be written.
        """
