"""SHA-256 of the archives and records of an output, gathered from the ledgers as parts are finished."""

import posixpath
from collections.abc import Iterable, Sequence

from transforms.ledger import ShardLedger
from transforms.plan import Mixture, Part
from transforms.sinks.base import PartWriter
from transforms.storage import OWN_FOLDER, OutputTree


def part_checksums_path(part_name: str) -> str:
    """Returns the place of what is known of the files of one part."""
    return f"{OWN_FOLDER}/checksums/{part_name}.sha256"


class ChecksumsWriter(PartWriter):
    """Lists the files that hold whole shards of a part, as the ledgers know them; no file is read.

    The list has the form of the program ``sha256sum``, sorted by path; a part of which only items'
    own files were written has none.

    Args:
        tree: the output.
        part: which part.
    """

    def __init__(self, tree: OutputTree, part: Part) -> None:
        self._tree = tree
        self._path = part_checksums_path(part.name)
        self._sums: dict[str, str] = {}

    def add(self, ledger: ShardLedger, mixtures: Sequence[Mixture]) -> None:
        """Takes the next shard's files."""
        del mixtures
        self._sums.update((file.path, file.sha256) for file in ledger.files)

    def close(self) -> None:
        """Writes the list, where it changed; removes it where there is nothing to list."""
        if self._sums:
            with self._tree.open(self._path, keep_equal=True) as file:
                for path in sorted(self._sums):
                    file.write(checksum_lines([(path, self._sums[path])]))
            self.files = (self._path,)
        else:
            self._tree.remove(self._path)
            self._tree.remove_folder_if_empty(posixpath.dirname(self._path))


def checksum_lines(sums: Iterable[tuple[str, str]]) -> bytes:
    """Returns lines that ``sha256sum --check`` understands, sorted by path."""
    return "".join(f"{digest}  {path}\n" for path, digest in sorted(sums)).encode()


def read_checksums(tree: OutputTree, part_name: str) -> dict[str, str]:
    """Reads the SHA-256 of each listed file of a part, by path. Raises StorageError."""
    path = part_checksums_path(part_name)
    text = tree.read(path).decode() if tree.exists(path) else ""
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: digest for digest, name in pairs}
