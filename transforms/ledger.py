"""The ledger: one file per shard that says what was made, and whose presence commits the shard.

A ledger holds nothing but what follows from inputs and options, so equal runs make equal ledgers.
Checksums are CRC-32C, which object stores list for their files and which TFRecord needs anyway.
They find damage and change; they are no defence against forgery.
"""

import dataclasses
import functools
import hashlib
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

from transforms.attachments import Scalar
from transforms.errors import StorageError
from transforms.plan import Mixture, Part, Shard, Source, Variant
from transforms.rejects import Reject
from transforms.storage import OWN_FOLDER, Buffer, OutputTree, in_parallel

LEDGER_FORMAT = 2
_SNR_DECIMALS = 6
_READ_AHEAD = 32
_FOLDER = f"{OWN_FOLDER}/ledger"


def crc32c(data: Buffer) -> int:
    """Returns the CRC-32C (Castagnoli) of some bytes."""
    return int(google_crc32c.value(data if isinstance(data, bytes) else bytes(data)))


@dataclass(frozen=True, slots=True)
class VariantRecord:
    """What was made of an item at one rate and mode.

    Attributes:
        variant: rate and mode.
        samples: length of every stream, at the variant's rate.
        crc32c: checksum of each stream's 16-bit little-endian samples, by stream name.
        snr_db: of each mixture type, the SNR of its components in order.
        facts: what the recipe declares as facts, lists apart.
        gains, starts_s, ends_s: as ``RenderedVariant`` has them, by role, where the recipe publishes
            records of its items.
        scale: as ``RenderedVariant`` has it; None where the recipe's peak rule never scales.
    """

    variant: Variant
    samples: int
    crc32c: Mapping[str, int]
    snr_db: Mapping[str, Sequence[float]]
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    gains: Mapping[str, float] = field(default_factory=dict)
    starts_s: Mapping[str, float] = field(default_factory=dict)
    ends_s: Mapping[str, float] = field(default_factory=dict)
    scale: float | None = None


_OPTIONAL_FIELDS = ("facts", "gains", "starts_s", "ends_s", "scale")


@dataclass(frozen=True, slots=True)
class SnrRecord:
    """An SNR that was planned for a source, and what was measured once its level was applied, in dB."""

    planned: float
    measured: float

    @property
    def deviation(self) -> float:
        """By how much the measured one is higher, rounded to 1e-6 dB."""
        return round(self.measured - self.planned, _SNR_DECIMALS)


@dataclass(frozen=True, slots=True)
class PieceRecord:
    """One file of an attachment: size, CRC-32C of its bytes."""

    size_bytes: int
    crc32c: int


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """What was made of one mixture.

    Attributes:
        id: of the mixture.
        variants: what was made at each rate and mode.
        attachments: the files of each attachment, in order, by its name.
        planned_snr_db: of each source whose level is an SNR, that SNR as planned and as measured, by role.
    """

    id: str
    variants: tuple[VariantRecord, ...]
    attachments: Mapping[str, tuple[PieceRecord, ...]] = field(default_factory=dict)
    planned_snr_db: Mapping[str, SnrRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that holds a whole shard: place in the output, size, CRC-32C and SHA-256 of its bytes."""

    path: str
    size_bytes: int
    crc32c: int
    sha256: str


@dataclass(frozen=True)
class ShardLedger:
    """Everything that was made of one shard.

    Attributes:
        shard: the shard's name.
        fingerprint: digest of the plan rows and options it was made from.
        sources: content of every source used, ``size-crc32c`` or ``missing``, by source name.
        items: the items written, in plan order.
        rejects: the items not written, in plan order.
        files: the files that hold the whole shard; files per item follow from ``items``.
        crc32c: CRC-32C of the ledger's own file, of one that was read; else 0.
    """

    shard: str
    fingerprint: str
    sources: Mapping[str, str] = field(default_factory=dict)
    items: tuple[ItemRecord, ...] = ()
    rejects: tuple[Reject, ...] = ()
    files: tuple[WrittenFile, ...] = ()
    crc32c: int = field(default=0, compare=False)

    def to_json(self) -> bytes:
        """Returns the ledger as canonical JSON: one line per item, streams in their order."""
        head = {
            "crc32c_of": "16-bit little-endian samples (items), bytes (files)",
            "files": [dataclasses.asdict(file) for file in self.files],
            "fingerprint": self.fingerprint,
            "format": LEDGER_FORMAT,
            "rejects": [dataclasses.asdict(reject) for reject in self.rejects],
            "shard": self.shard,
            "sources": dict(sorted(self.sources.items())),
        }
        items = ",\n".join(_compact(_item_to_json(item)) for item in self.items)
        return f'{_compact(head)[:-1]},"items":[\n{items}\n]}}\n'.encode()

    @classmethod
    def from_json(cls, data: bytes) -> "ShardLedger":
        """Reads what ``to_json`` wrote. Raises ValueError, KeyError or TypeError on anything else."""
        fields = json.loads(data)
        if fields["format"] != LEDGER_FORMAT:
            raise ValueError(f"ledger format {fields['format']}, wanted {LEDGER_FORMAT}")
        return cls(
            shard=fields["shard"],
            fingerprint=fields["fingerprint"],
            sources=fields["sources"],
            items=tuple(_item_from_json(item) for item in fields["items"]),
            rejects=tuple(Reject(**reject) for reject in fields["rejects"]),
            files=tuple(WrittenFile(**file) for file in fields["files"]),
        )


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _item_to_json(item: ItemRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": item.id, "variants": list(map(_variant_to_json, item.variants))}
    if item.attachments:
        fields["attachments"] = {
            name: [[piece.size_bytes, piece.crc32c] for piece in pieces]
            for name, pieces in item.attachments.items()
        }
    if item.planned_snr_db:
        fields["planned_snr_db"] = {
            role: {"planned": snr.planned, "measured": snr.measured, "deviation": snr.deviation}
            for role, snr in item.planned_snr_db.items()
        }
    return fields


def _variant_to_json(record: VariantRecord) -> dict[str, Any]:
    fields = {
        "rate_hz": record.variant.rate_hz,
        "mode": record.variant.mode,
        "samples": record.samples,
        "crc32c": record.crc32c,
        "snr_db": record.snr_db,
    }
    return fields | {name: value for name in _OPTIONAL_FIELDS if (value := getattr(record, name))}


def _item_from_json(fields: Mapping[str, Any]) -> ItemRecord:
    return ItemRecord(
        fields["id"],
        tuple(map(_variant_from_json, fields["variants"])),
        {
            name: tuple(PieceRecord(*piece) for piece in pieces)
            for name, pieces in fields.get("attachments", {}).items()
        },
        {
            role: SnrRecord(snr["planned"], snr["measured"])
            for role, snr in fields.get("planned_snr_db", {}).items()
        },
    )


def _variant_from_json(fields: Mapping[str, Any]) -> VariantRecord:
    return VariantRecord(
        Variant(fields["rate_hz"], fields["mode"]),
        fields["samples"],
        fields["crc32c"],
        {mix_type: tuple(snrs) for mix_type, snrs in fields["snr_db"].items()},
        **{name: fields[name] for name in _OPTIONAL_FIELDS if name in fields},
    )


_VALUES = {
    kind: operator.attrgetter(*(one.name for one in dataclasses.fields(kind))) for kind in (Mixture, Source)
}


def fingerprint(mixtures: Sequence[Mixture], *facts: Any) -> str:
    """Returns the SHA-256 of plan rows and of every option that changes what is made of them."""
    content = [LEDGER_FORMAT, list(mixtures), facts]
    text = json.dumps(content, default=_values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _values(row: Any) -> Any:
    """Returns the fields of a mixture or a source in order, without the copies that ``astuple`` makes."""
    return _VALUES[type(row)](row)


def ledger_path(shard_name: str) -> str:
    """Returns the place of a shard's ledger in an output."""
    return f"{_FOLDER}/shard-{shard_name}.json"


def write_ledger(tree: OutputTree, ledger: ShardLedger) -> None:
    """Commits a shard. Raises StorageError."""
    tree.write(ledger_path(ledger.shard), ledger.to_json())


def read_ledger(tree: OutputTree, shard_name: str) -> ShardLedger | None:
    """Reads a shard's ledger; None where there is none, or one that cannot be understood."""
    try:
        data = tree.read(ledger_path(shard_name))
        return dataclasses.replace(ShardLedger.from_json(data), crc32c=crc32c(data))
    except (StorageError, ValueError, KeyError, TypeError):
        return None


def read_part(tree: OutputTree, part: Part, shard_count: int) -> Iterator[ShardLedger]:
    """Reads the ledgers of all shards of a part, in order, some ahead and of a store several at once.

    Raises StorageError when one is missing.
    """
    read = functools.partial(read_ledger, tree)
    for start in range(0, shard_count, _READ_AHEAD):
        indices = range(start, min(start + _READ_AHEAD, shard_count))
        names = [Shard(part, index, shard_count).name for index in indices]
        for name, found in zip(names, in_parallel(tree.root, read, names), strict=True):
            if found is None:
                problem = "no readable ledger; run the same command again"
                raise StorageError(tree.url(ledger_path(name)), problem)
            yield found
