"""LibriMix plans on disk: the published CSV files, our Parquet plan, and what they were made from."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from transforms import storage
from transforms.corpora import librimix
from transforms.errors import StorageError
from transforms.listed import entries_below
from transforms.plan import Mixture, StoredPlan, write_plan
from transforms.planning.librimix import PlannedSubset, to_mixture
from transforms.rejects import REJECTS_PATH, Reject, rejects_csv
from transforms.storage import OWN_FOLDER, FileStamp, OutputTree

_RULES_VERSION = 2
_ROW_DIGITS = 16


@dataclass(frozen=True)
class _Record:
    """What a later run is told of a listing's plan: made from what, its files' sizes, its rejects.

    Of each mixture it has the digest of what that alone was made from, if there was audio to measure.
    """

    digest: str = ""
    files: Mapping[str, int | None] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    rows: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: bytes) -> "_Record":
        """Raises ValueError, KeyError, TypeError or AttributeError on anything but a record."""
        fields = json.loads(data)
        rejects = tuple(Reject(**reject) for reject in fields["rejects"])
        return cls(fields["digest"], dict(fields["files"]), rejects, dict(fields["rows"]))


@dataclass(frozen=True)
class PlanFiles:
    """Where and how plans are written, and how a later run knows that they still hold.

    Beside the plans, ``_mixtape/planned/<N>-<listing>.json`` keeps the rejects of each listing, the
    sizes of its files, and a digest of everything its plan was made from: rows, levels, and the
    stamps of the audio files. It keeps the same of every mixture, so that only those are measured
    again of which something changed.

    Attributes:
        tree: the output.
        speakers: utterances per mixture.
        shard_size: mixtures per shard of the Parquet form.
        roots: URL of the audio by root name; empty for plans without gains.
        digests: digest of each listing's plan by listing name.
        rows: of each listing, id and digest of every mixture in plan order; an empty digest is of a
            mixture with a source that its store cannot stamp.
        force: take no gains over from an earlier plan.
    """

    tree: OutputTree
    speakers: int
    shard_size: int
    roots: Mapping[str, str]
    digests: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    force: bool = False

    def for_subsets(self, subsets: Sequence[PlannedSubset]) -> "PlanFiles":
        """Returns the same with the digests of these subsets; lists the audio once. Raises StorageError."""
        stamps = self._stamps(subsets)
        rows = {subset.listing_name: self._rows(subset, stamps) for subset in subsets}
        digests = {name: _digest(self.shard_size, *found) for name, found in rows.items()}
        return dataclasses.replace(self, digests=digests, rows=rows)

    def _stamps(self, subsets: Iterable[PlannedSubset]) -> dict[tuple[str, str], FileStamp]:
        """Returns the stamps of all audio in the folders that the sources are in, by root and path."""
        sources = (
            source
            for subset in subsets
            for planned in subset.mixtures
            for source in (to_mixture(planned).sources if self.roots else ())
        )
        tops = {(source.root, *source.path.partition("/")[:2]) for source in sources}
        stamps: dict[tuple[str, str], FileStamp] = {}
        for root, name, slash in sorted(tops):
            url = storage.join(self.roots[root], name)
            entries = entries_below(self.roots[root], name) if slash and storage.is_folder(url) else []
            stamps |= {(root, entry.path): entry.stamp for entry in entries}
            if not slash and (stamp := storage.stamp(url)):
                stamps[root, name] = stamp
        return stamps

    def _rows(
        self, subset: PlannedSubset, stamps: Mapping[tuple[str, str], FileStamp]
    ) -> tuple[tuple[str, str], ...]:
        facts = (_RULES_VERSION, self.speakers, sorted(self.roots))
        rows = []
        for planned in subset.mixtures:
            mixture = to_mixture(planned)
            found = [stamps.get((source.root, source.path)) for source in mixture.sources]
            known = all(stamp is None or stamp.version or not stamp.size_bytes for stamp in found)
            digest = _digest(facts, mixture, planned.targets_lufs, found if self.roots else None)
            rows.append((planned.id, digest[:_ROW_DIGITS] if known else ""))
        return tuple(rows)

    def stands(self, listing_name: str) -> bool:
        """Tells whether a listing's plan is there and made from what it would be made from now."""
        record = self._read_record(listing_name)
        known = all(digest for _, digest in self.rows[listing_name])
        return (
            known
            and record.digest == self.digests[listing_name]
            and all(self.tree.size(path) == size_bytes for path, size_bytes in record.files.items())
        )

    def kept_rows(self, listing_name: str) -> dict[int, Mixture | Reject]:
        """Returns what an earlier run measured of mixtures that are as they were, by place in the plan.

        Raises:
            StorageError: the earlier plan is there and cannot be read.
        """
        record = self._read_record(listing_name)
        plan = self._parquet(listing_name)
        if self.force or not record.rows or self.tree.size(plan) != record.files.get(plan):
            return {}
        stored = StoredPlan.open(self.tree.url(plan))
        shards = (stored.read_shard(index) for index in range(stored.shard_count))
        known: dict[str, Mixture | Reject] = {mixture.id: mixture for shard in shards for mixture in shard}
        known |= {reject.item: reject for reject in record.rejects}
        rows = enumerate(self.rows[listing_name])
        return {
            number: known[item]
            for number, (item, digest) in rows
            if digest and record.rows.get(item) == digest and item in known
        }

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
        parquet = self._parquet(listing_name)
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
            dict(self.rows[listing_name]) if self.roots else {},
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

    def _parquet(self, listing_name: str) -> str:
        """Returns a place apart: other tools take every file beside the plans for a plan in CSV."""
        plan = librimix.plan_path(listing_name, self.speakers)
        return f"parquet/{plan.removesuffix('.csv')}.parquet"

    def _record_path(self, listing_name: str) -> str:
        return f"{OWN_FOLDER}/planned/{self.speakers}-{listing_name}.json"

    def _read_record(self, listing_name: str) -> _Record:
        try:
            return _Record.from_json(self.tree.read(self._record_path(listing_name)))
        except (StorageError, ValueError, KeyError, TypeError, AttributeError):
            return _Record()


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
