"""LibriMix plans on disk: the published CSV files, our Parquet plan, and what they were made from."""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transforms import storage
from transforms.corpora import librimix
from transforms.errors import StorageError
from transforms.plan import Mixture, Source, write_plan
from transforms.planning.librimix import PlannedSubset, to_mixture
from transforms.rejects import REJECTS_PATH, Reject, rejects_csv
from transforms.storage import OWN_FOLDER, OutputTree

_RULES_VERSION = 1


@dataclass(frozen=True)
class _Record:
    """What a later run is told of a listing's plan: made from what, its files' sizes, its rejects."""

    digest: str = ""
    files: Mapping[str, int | None] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()

    @classmethod
    def from_json(cls, data: bytes) -> "_Record":
        """Raises ValueError, KeyError, TypeError or AttributeError on anything but a record."""
        fields = json.loads(data)
        rejects = tuple(Reject(**reject) for reject in fields["rejects"])
        return cls(fields["digest"], dict(fields["files"]), rejects)


@dataclass(frozen=True)
class PlanFiles:
    """Where and how plans are written, and how a later run knows that they still hold.

    Beside the plans, ``_mixtape/planned/<N>-<listing>.json`` keeps the rejects of each listing, the
    sizes of its files, and a digest of everything its plan was made from: rows, levels, and the
    stamps of the audio files.

    Attributes:
        tree: the output.
        speakers: utterances per mixture.
        shard_size: mixtures per row group of the Parquet form.
        roots: URL of the audio by root name; empty for plans without gains.
        digests: digest of each listing's plan by listing name.
    """

    tree: OutputTree
    speakers: int
    shard_size: int
    roots: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)

    def for_subsets(self, subsets: Iterable[PlannedSubset]) -> "PlanFiles":
        """Returns the same with the digests of these subsets. Raises StorageError."""
        return dataclasses.replace(
            self, digests={subset.listing_name: self._digest(subset) for subset in subsets}
        )

    def _digest(self, subset: PlannedSubset) -> str:
        facts = [_RULES_VERSION, self.speakers, self.shard_size, sorted(self.roots)]
        digest = hashlib.sha256(json.dumps(facts).encode())
        for planned in subset.mixtures:
            mixture = to_mixture(planned)
            digest.update(repr((mixture, planned.targets_lufs)).encode())
            for source in mixture.sources if self.roots else ():
                digest.update(self._stamp_of(source).encode())
        return digest.hexdigest()

    def _stamp_of(self, source: Source) -> str:
        """Returns a source's stamp as text; measuring rejects one that its store cannot stamp."""
        with contextlib.suppress(StorageError):
            return repr(storage.stamp(storage.join(self.roots[source.root], source.path)))
        return "unknown"

    def stands(self, listing_name: str) -> bool:
        """Tells whether a listing's plan is there and made from what it would be made from now."""
        record = self._read_record(listing_name)
        return record.digest == self.digests[listing_name] and all(
            self.tree.size(path) == size_bytes for path, size_bytes in record.files.items()
        )

    def write(self, listing_name: str, rows: Sequence[Mixture | Reject]) -> None:
        """Writes plan and info file of a listing, with gains also the Parquet plan.

        Args:
            listing_name: name of the speech listing.
            rows: its mixtures, and the rejects among them, in plan order.

        Raises:
            StorageError: something cannot be written.
        """
        self.tree.remove(self._record_path(listing_name))
        mixtures = [row for row in rows if isinstance(row, Mixture)]
        path = librimix.plan_path(listing_name, self.speakers)
        info_path = librimix.info_path(listing_name, self.speakers)
        parquet = path.removesuffix(".csv") + ".parquet"
        plan = librimix.plan_csv(mixtures, self.speakers, with_gains=bool(self.roots))
        self.tree.write_if_changed(path, plan)
        self.tree.write_if_changed(info_path, librimix.info_csv(mixtures, self.speakers))
        if self.roots:
            part = librimix.part_of(listing_name, self.speakers)
            write_plan(self.tree, parquet, part, mixtures, shard_size=self.shard_size)
        else:
            self.tree.remove(parquet)
        record = _Record(
            self.digests[listing_name],
            {name: self.tree.size(name) for name in (path, info_path, parquet)},
            tuple(row for row in rows if isinstance(row, Reject)),
        )
        text = json.dumps(dataclasses.asdict(record), indent=1)
        self.tree.write(self._record_path(listing_name), text.encode())

    def rejects(self) -> list[Reject]:
        """Reads the rejects of all listings."""
        return [reject for name in self.digests for reject in self._read_record(name).rejects]

    def write_rejects(self) -> None:
        """Writes all rejects to ``_mixtape/rejects.csv``. Raises StorageError."""
        rejects = sorted(self.rejects(), key=lambda reject: reject.item)
        self.tree.write_if_changed(REJECTS_PATH, rejects_csv(rejects))

    def _record_path(self, listing_name: str) -> str:
        return f"{OWN_FOLDER}/planned/{self.speakers}-{listing_name}.json"

    def _read_record(self, listing_name: str) -> _Record:
        try:
            return _Record.from_json(self.tree.read(self._record_path(listing_name)))
        except (StorageError, ValueError, KeyError, TypeError, AttributeError):
            return _Record()
