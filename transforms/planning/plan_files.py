"""LibriMix plans on disk: the published CSV files, our Parquet plan, and what they were made from."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from transforms import storage
from transforms.corpora import librimix
from transforms.errors import StorageError
from transforms.plan import Mixture, write_plan
from transforms.planning.librimix import PlannedSubset, to_mixture
from transforms.rejects import REJECTS_PATH, Reject, rejects_csv
from transforms.storage import OWN_FOLDER, OutputTree

_RULES_VERSION = 1


@dataclass(frozen=True)
class PlanFiles:
    """Where and how plans are written, and how a later run knows that they still hold.

    Beside the plans, ``_mixtape/planned/<listing>.json`` keeps the rejects of each listing and a
    digest of everything its plan was made from: rows, levels, and the stamps of the audio files.

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
                stamp = storage.stamp(storage.join(self.roots[source.root], source.path))
                digest.update(repr(stamp).encode())
        return digest.hexdigest()

    def stands(self, listing_name: str) -> bool:
        """Tells whether a listing's plan is there and made from what it would be made from now."""
        paths = [
            librimix.plan_path(listing_name, self.speakers),
            librimix.info_path(listing_name, self.speakers),
        ]
        if self.roots:
            paths.append(self._parquet_path(listing_name))
        return self._read_record(listing_name)["digest"] == self.digests[listing_name] and all(
            map(self.tree.exists, paths)
        )

    def write(self, listing_name: str, rows: Sequence[Mixture | Reject]) -> None:
        """Writes plan and info file of a listing, with gains also the Parquet plan.

        Args:
            listing_name: name of the speech listing.
            rows: its mixtures, and the rejects among them, in plan order.

        Raises:
            StorageError: something cannot be written.
        """
        mixtures = [row for row in rows if isinstance(row, Mixture)]
        rejects = [dataclasses.asdict(row) for row in rows if isinstance(row, Reject)]
        path = librimix.plan_path(listing_name, self.speakers)
        plan = librimix.plan_csv(mixtures, self.speakers, with_gains=bool(self.roots))
        self.tree.write_if_changed(path, plan)
        info = librimix.info_csv(mixtures, self.speakers)
        self.tree.write_if_changed(librimix.info_path(listing_name, self.speakers), info)
        if self.roots:
            part = librimix.part_of(listing_name, self.speakers)
            parquet = self._parquet_path(listing_name)
            write_plan(self.tree, parquet, part, mixtures, shard_size=self.shard_size)
        record = {"digest": self.digests[listing_name], "rejects": rejects}
        self.tree.write(self._record_path(listing_name), json.dumps(record, indent=1).encode())

    def rejects(self) -> list[Reject]:
        """Reads the rejects of all listings."""
        records = map(self._read_record, self.digests)
        return [Reject(**fields) for record in records for fields in record["rejects"]]

    def write_rejects(self) -> None:
        """Writes all rejects to ``_mixtape/rejects.csv``. Raises StorageError."""
        rejects = sorted(self.rejects(), key=lambda reject: reject.item)
        self.tree.write_if_changed(REJECTS_PATH, rejects_csv(rejects))

    def _parquet_path(self, listing_name: str) -> str:
        return librimix.plan_path(listing_name, self.speakers).removesuffix(".csv") + ".parquet"

    def _record_path(self, listing_name: str) -> str:
        return f"{OWN_FOLDER}/planned/{self.speakers}-{listing_name}.json"

    def _read_record(self, listing_name: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self.tree.read(self._record_path(listing_name))))
        except (StorageError, ValueError):
            return {"digest": "", "rejects": []}
