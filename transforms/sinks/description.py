"""What the packed formats share: the facts of an item in JSON, and the files that items go into."""

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, cast

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from transforms.audio import Pcm
from transforms.ledger import VariantRecord, WrittenFile
from transforms.plan import Mixture, Part, Variant
from transforms.rendering import RenderedVariant
from transforms.storage import Buffer, OutputTree

Piece = bytes | NDArray[np.uint8]

LONGEST_KEY = 80
_DIGEST_DIGITS = 12


def item_key(mixture_id: str) -> str:
    """Returns the name of an item where dots end names: no dots, at most 80 characters.

    A dot becomes ``_``; a longer id is cut and ends in ``-`` and 12 digits of its SHA-256. Safe ids
    are ASCII, so keys are.
    """
    key = mixture_id.replace(".", "_")
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(mixture_id.encode()).hexdigest()[:_DIGEST_DIGITS]
    return f"{key[: LONGEST_KEY - _DIGEST_DIGITS - 1]}-{digest}"


def describe(part: Part, mixture: Mixture, rendered: RenderedVariant | VariantRecord) -> dict[str, Any]:
    """Returns the facts of an item at one rate and mode.

    The same keys and types for every item, and never a null, because readers take a column's type
    from the first few items: real numbers are floats even when whole. All lists run in parallel over
    the sources that were rendered, noise included; a speaker, sex or text that is not known is empty.
    ``levels`` are as planned, in the unit that ``level_kinds`` gives them (see ``plan.Source``);
    ``gains`` are the linear factors by which the recordings came to be what is written. Offsets are
    in samples of the recording. Starts and ends are in seconds of the mixture, see
    ``RenderedVariant``. What the recipe declares as facts stands at the end.
    """
    sources = [source for source in mixture.sources if source.role in rendered.gains]
    return {
        "id": mixture.id,
        "key": item_key(mixture.id),
        "corpus": part.corpus,
        "subset": part.subset,
        "mode": rendered.variant.mode,
        "rate_hz": rendered.variant.rate_hz,
        "samples": rendered.samples,
        "duration_s": rendered.samples / rendered.variant.rate_hz,
        "roles": [source.role for source in sources],
        "speakers": [source.speaker for source in sources],
        "sexes": [source.sex for source in sources],
        "sources": [source.name for source in sources],
        "offsets_samples": [source.offset_samples for source in sources],
        "rooms": [source.rir for source in sources],
        "levels": [float(source.level) for source in sources],
        "level_kinds": [source.level_kind for source in sources],
        "level_measures": [source.measure for source in sources],
        "level_references": [source.against for source in sources],
        "gains": [float(rendered.gains[source.role]) for source in sources],
        "starts_s": [float(rendered.starts_s[source.role]) for source in sources],
        "ends_s": [float(rendered.ends_s[source.role]) for source in sources],
        "speeds": [float(source.speed) for source in sources],
        "texts": [source.text for source in sources],
        "snr_db": {name: [float(value) for value in values] for name, values in rendered.snr_db.items()},
        **rendered.facts,
    }


def describe_json(part: Part, mixture: Mixture, rendered: RenderedVariant | VariantRecord) -> bytes:
    """Returns ``describe`` as one line of JSON. Raises ValueError for a number that is not finite."""
    facts = describe(part, mixture, rendered)
    return json.dumps(facts, separators=(",", ":"), allow_nan=False).encode()


def sample_bytes(pcm: Pcm) -> NDArray[np.uint8]:
    """Returns samples as little-endian bytes, shape (2 n,): the same memory wherever it can be."""
    return np.ascontiguousarray(pcm, dtype="<i2").view(np.uint8)


@dataclass
class PackedFile:
    """A file of the output that grows piece by piece; its checksum grows with it.

    Attributes:
        path: place in the output.
        file: what the pieces are written to.
        size_bytes: bytes so far.
        crc32c: CRC-32C of these bytes.
        sha256: what computes their SHA-256, which data set descriptions name files by.
    """

    path: str
    file: BinaryIO
    size_bytes: int = 0
    crc32c: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def written(self) -> WrittenFile:
        """What a ledger says of the file."""
        return WrittenFile(self.path, self.size_bytes, self.crc32c, self.sha256.hexdigest())

    def append(self, *pieces: Piece) -> None:
        """Writes pieces one after the other, none of them copied before the file takes it."""
        for piece in pieces:
            self.file.write(cast(Buffer, piece))
            self.crc32c = google_crc32c.extend(self.crc32c, piece)
            self.sha256.update(cast(Buffer, piece))
            self.size_bytes += len(piece)


class PackedFiles(contextlib.AbstractContextManager["PackedFiles"]):
    """The files of one shard, one per variant, each opened when its first item comes.

    They appear whole when the block ends well, and never otherwise; a shard without items has none.

    Args:
        tree: the output.
        path: place of a variant's file.
    """

    def __init__(self, tree: OutputTree, path: Callable[[Variant], str]) -> None:
        self._tree = tree
        self._path = path
        self._stack = contextlib.ExitStack()
        self._files: dict[Variant, PackedFile] = {}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def of(self, variant: Variant) -> PackedFile:
        """Returns the file of a variant. Raises StorageError when it cannot be opened."""
        if variant not in self._files:
            path = self._path(variant)
            self._files[variant] = PackedFile(path, self._stack.enter_context(self._tree.open(path)))
        return self._files[variant]

    @property
    def opened(self) -> tuple[PackedFile, ...]:
        """The files that items went into, in the order of their first items."""
        return tuple(self._files.values())

    @property
    def written(self) -> tuple[WrittenFile, ...]:
        """What a ledger says of the files."""
        return tuple(file.written for file in self.opened)
