"""One shard from plan rows to committed files: the unit of work, retry, resume and rebuild."""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import google_crc32c
import numpy as np

from transforms import ledger as ledgers
from transforms import storage
from transforms.attachments import scalar_facts
from transforms.audio import Pcm, SourceReader
from transforms.errors import MixtapeError, SourceError, StorageError, StoreUnavailableError
from transforms.inventory import NotedTree, take_inventory
from transforms.ledger import ItemRecord, PieceRecord, ShardLedger, SnrRecord, VariantRecord, crc32c
from transforms.licences import NO_LICENCES, Licences
from transforms.plan import Mixture, Part, RenderOptions, Settings, Shard, StoredPlan, write_plan
from transforms.recipes import Recipe, recipe_named
from transforms.rejects import Reject
from transforms.rendering import RenderedMixture, render_item
from transforms.sinks import sinks_for
from transforms.sinks.base import ShardWriter, Sink
from transforms.sinks.wav import WavSink
from transforms.storage import OWN_FOLDER, FileStamp, Listings, OutputTree

ShardStatus = Literal["kept", "rendered"]

_STAMPS_FOLDER = f"{OWN_FOLDER}/stamps"


@dataclass(frozen=True)
class RenderJob:
    """What every worker needs to know to render any shard of a run.

    Attributes:
        out: URL of the output.
        recipe: name of the recipe.
        roots: URL of every corpus root by name.
        options: what to make.
        settings: what the plans decide about rendering.
        force: render shards even when their ledger says that nothing changed.
        progress: local file to which one byte per finished item is appended, or empty.
        launcher_pid: local process without which workers stop at the next item, or 0.
    """

    out: str
    recipe: str
    roots: Mapping[str, str]
    options: RenderOptions
    settings: Settings = field(default_factory=dict)
    force: bool = False
    progress: str = ""
    launcher_pid: int = 0

    @property
    def tree(self) -> OutputTree:
        """The output."""
        return OutputTree(self.out)

    @property
    def rules(self) -> Recipe:
        """The recipe."""
        return recipe_named(self.recipe).with_settings(self.settings)

    def reader(self) -> SourceReader:
        """Returns a reader of the sources, as the recipe wants them read."""
        recipe, rules = self.rules, self.rules.rules
        if recipe.open_reader is not None:
            return recipe.open_reader(self.roots, recipe.settings)
        placed, weighted = rules.scaling == "placed", rules.scaling == "weighted"
        return SourceReader(self.roots, rules.source_rate_hz, any_rate=placed, silence=weighted)

    def stored_plan(self, part_name: str) -> StoredPlan:
        """Opens the plan of a part that this output holds. Raises StorageError or UsageError."""
        return StoredPlan.open(self.tree.url(plan_path(part_name)))


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What came of one shard.

    Attributes:
        part: name of its part.
        index: number of the shard in the part.
        status: ``kept`` when ledger and files were found in order.
        written: items written (now or before).
        rejected: items that could not be made.
        seconds: time spent on it.
    """

    part: str
    index: int
    status: ShardStatus
    written: int
    rejected: int
    seconds: float


def plan_path(part_name: str) -> str:
    """Returns the place of a part's plan in an output."""
    return f"{OWN_FOLDER}/plan/{part_name}.parquet"


def store_plan(
    job: RenderJob,
    part: Part,
    mixtures: Iterable[Mixture],
    rejects: Sequence[Reject] = (),
    *,
    licences: Licences = NO_LICENCES,
) -> StoredPlan:
    """Stores a part's plan inside the output, where workers read their shards from it.

    Args:
        job: the run.
        part: what the mixtures make up.
        mixtures: in plan order.
        rejects: planned items that cannot be made, known from the plan alone.
        licences: those that listings state for the sources.

    Raises:
        StorageError: it cannot be written.
    """
    tree, path = NotedTree(job.out), plan_path(part.name)
    write_plan(
        tree,
        path,
        part,
        mixtures,
        shard_size=job.options.shard_size,
        settings=job.settings,
        licences=licences,
        together=job.rules.together,
    )
    if list(rejects) != read_plan_rejects(tree, part.name):
        tree.remove(summary_path(part.name))
        text = json.dumps([dataclasses.asdict(reject) for reject in rejects], indent=1)
        tree.write(plan_rejects_path(part.name), text.encode())
    take_inventory(tree)
    return StoredPlan.open(tree.url(path))


def plan_rejects_path(part_name: str) -> str:
    """Returns the place of what a part's plan itself rejects."""
    return f"{OWN_FOLDER}/plan-rejects/{part_name}.json"


def read_plan_rejects(tree: OutputTree, part_name: str) -> list[Reject]:
    """Reads what a part's plan itself rejects. Raises StorageError."""
    path = plan_rejects_path(part_name)
    return [Reject(**fields) for fields in json.loads(tree.read(path))] if tree.exists(path) else []


def summary_path(part_name: str) -> str:
    """Returns the place of a part's summary, which is there only while all its shards stand."""
    return f"{OWN_FOLDER}/parts/{part_name}.json"


def stamps_path(shard_name: str) -> str:
    """Returns the place of the source stamps that a shard was last checked with."""
    return f"{_STAMPS_FOLDER}/{shard_name}.json"


def shard_fingerprint(job: RenderJob, shard: Shard, mixtures: Sequence[Mixture]) -> str:
    """Returns the digest of all that a shard's bytes follow from, its sources' content apart."""
    options = dataclasses.asdict(job.options)
    del options["table_paths"], options["shard_size"]
    total = shard.count if "tfrecord" in job.options.formats else 0
    recipe = job.rules
    facts = [dataclasses.asdict(shard.part), dataclasses.asdict(recipe.rules), options, shard.index, total]
    if recipe.features:
        facts += [recipe.facts, list(map(dataclasses.asdict, recipe.attachments))]
    if recipe.settings:
        facts.append(dict(recipe.settings))
    return ledgers.fingerprint(mixtures, *facts)


def process_shard(job: RenderJob, shard: Shard, listings: Listings | None = None) -> ShardResult:
    """Renders a shard unless it stands in the output already, whole and unchanged.

    Args:
        job: the run.
        shard: what to render.
        listings: what this process has listed of the stores in this run.

    Raises:
        MixtapeError: something other than a source failed; names shard and item.
    """
    kept = kept_shard(job, shard, listings)
    if kept is None:
        return render_shard(job, shard)
    with _progress(job.progress) as advance:
        for _ in range(kept.written + kept.rejected):
            advance()
    return kept


def kept_shard(
    job: RenderJob, shard: Shard, listings: Listings | None = None, *, read: bool = True
) -> ShardResult | None:
    """Tells the result of a shard that need not be made again, or None for one that must.

    It need not when its ledger is there, was made from the same rows and options and from sources
    of the same content, and every file has the size that the ledger says.

    Args:
        job: as of ``process_shard``.
        shard: as of ``process_shard``.
        listings: folders of a store are listed once per ``listings``.
        read: read the sources of which the stamp is not known; without, such a shard need be looked at
            again, by somebody who may read.
    """
    started = time.monotonic()
    listings = listings or Listings()
    tree = job.tree
    old = None if job.force else ledgers.read_ledger(tree, shard.name)
    if old is None:
        return None
    mixtures = job.stored_plan(shard.part.name).read_shard(shard.index)
    if old.fingerprint != shard_fingerprint(job, shard, mixtures):
        return None
    if not _files_stand(job, shard, old, listings):
        return None
    if not _sources_unchanged(job, shard, old, listings, read=read):
        return None
    seconds = time.monotonic() - started
    return ShardResult(shard.part.name, shard.index, "kept", len(old.items), len(old.rejects), seconds)


def _files_stand(job: RenderJob, shard: Shard, old: ShardLedger, listings: Listings) -> bool:
    tree = job.tree
    if any(listings.size(tree.url(file.path)) != file.size_bytes for file in old.files):
        return False
    if "wav" not in job.options.formats:
        return True
    sink = WavSink(tree, job.rules, job.options)
    return all(
        listings.size(tree.url(path)) == size_bytes
        for item in old.items
        for path, size_bytes in sink.item_files(shard.part, item)
    )


def _sources_unchanged(
    job: RenderJob, shard: Shard, old: ShardLedger, listings: Listings, *, read: bool
) -> bool:
    """Compares the sources with the ledger: by stamp where it is known, else by content."""
    reader = job.reader()
    known = _read_stamps(job.tree, shard)
    stamps: dict[str, FileStamp] = {}
    for name, content in old.sources.items():
        found = _stamp_of(reader.url_of(name), listings)
        known_stamp = found is not None and found.version != "" and found == known.get(name)
        trusted = known_stamp and content != storage.MISSING
        readable = read or found is None
        if not trusted and not (readable and reader.content(name) == content):
            return False
        if found is not None:
            stamps[name] = found
    if stamps != known:
        _write_stamps(job.tree, shard, stamps)
    return True


def _stamp_of(url: str, listings: Listings) -> FileStamp | None:
    """Returns a source's stamp; None where there is none, or where its store cannot say."""
    try:
        return listings.stamp(url)
    except StorageError:
        return None


def _read_stamps(tree: OutputTree, shard: Shard) -> dict[str, FileStamp]:
    try:
        fields = json.loads(tree.read(stamps_path(shard.name)))
        return {name: FileStamp(*stamp) for name, stamp in fields.items()}
    except (StorageError, ValueError, TypeError, AttributeError):
        return {}


def _write_stamps(tree: OutputTree, shard: Shard, stamps: Mapping[str, FileStamp]) -> None:
    fields = {name: dataclasses.astuple(stamp) for name, stamp in sorted(stamps.items())}
    tree.write(stamps_path(shard.name), json.dumps(fields, indent=0).encode())


@dataclass
class _ShardOutcome:
    items: list[ItemRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def render_shard(job: RenderJob, shard: Shard) -> ShardResult:
    """Renders every item of a shard into every format, then commits it with its ledger.

    Raises:
        MixtapeError: something other than a source failed; names shard and item.
    """
    started = time.monotonic()
    tree = job.tree
    tree.remove(summary_path(shard.part.name))
    tree.remove(ledgers.ledger_path(shard.name))
    mixtures = job.stored_plan(shard.part.name).read_shard(shard.index)
    reader = job.reader()
    sinks = sinks_for(tree, job.rules, job.options)
    with contextlib.ExitStack() as stack:
        writers = [stack.enter_context(sink.open_shard(shard)) for sink in sinks]
        outcome = _render_items(job, shard, mixtures, reader, writers)
    new = ShardLedger(
        shard=shard.name,
        fingerprint=shard_fingerprint(job, shard, mixtures),
        sources=reader.contents,
        items=tuple(outcome.items),
        rejects=tuple(outcome.rejects),
        files=tuple(file for writer in writers for file in writer.files),
    )
    _remove_rejected(sinks, shard, mixtures, outcome.rejects)
    _stop_without_launcher(job.launcher_pid)
    _write_stamps(tree, shard, reader.stamps)
    ledgers.write_ledger(tree, new)
    seconds = time.monotonic() - started
    return ShardResult(shard.part.name, shard.index, "rendered", len(new.items), len(new.rejects), seconds)


def _render_items(
    job: RenderJob,
    shard: Shard,
    mixtures: Sequence[Mixture],
    reader: SourceReader,
    writers: Sequence[ShardWriter],
) -> _ShardOutcome:
    outcome = _ShardOutcome()
    with _progress(job.progress) as advance:
        for mixture in mixtures:
            _stop_without_launcher(job.launcher_pid)
            try:
                rendered = render_item(mixture, job.rules, job.options, reader)
            except SourceError as error:
                outcome.rejects.append(Reject.of(mixture.id, error))
            else:
                _write_item(shard, rendered, writers)
                outcome.items.append(item_record(rendered, job.rules))
            advance()
    return outcome


def _write_item(shard: Shard, rendered: RenderedMixture, writers: Sequence[ShardWriter]) -> None:
    try:
        for writer in writers:
            writer.add(rendered)
    except (StorageError, StoreUnavailableError) as error:
        where = f"shard {shard.name}, item {rendered.mixture.id}"
        raise MixtapeError(f"{where}: cannot write {error}") from error


def samples_crc32c(pcm: Pcm, beginning: int = 0) -> int:
    """Returns the CRC-32C of samples as 16-bit little-endian bytes, which may go on from that of others."""
    return int(google_crc32c.extend(beginning, np.ascontiguousarray(pcm, dtype="<i2").view(np.uint8)))


def _checksums(rendered: RenderedMixture) -> list[dict[str, int]]:
    """Returns the CRC-32C of every stream of every variant, in their order.

    Where a variant is the beginning of a longer one, in the same memory, no sample is read twice.
    """
    found: list[dict[str, int]] = [{} for _ in rendered.variants]
    known: dict[int, tuple[int, int]] = {}
    for place in sorted(range(len(found)), key=lambda place: rendered.variants[place].samples):
        for name, pcm in rendered.variants[place].pcm.items():
            address = pcm.__array_interface__["data"][0]
            done, beginning = known.get(address, (0, 0))
            known[address] = len(pcm), samples_crc32c(pcm[done:], beginning)
            found[place][name] = known[address][1]
    return found


def item_record(rendered: RenderedMixture, recipe: Recipe) -> ItemRecord:
    """Returns what the ledger keeps of a rendered mixture."""
    recorded = ("gains", "starts_s", "ends_s") if recipe.record_path else ()
    return ItemRecord(
        rendered.mixture.id,
        tuple(
            VariantRecord(
                variant.variant,
                variant.samples,
                checksums,
                variant.snr_db,
                scalar_facts(variant.facts),
                scale=variant.scale,
                **{name: getattr(variant, name) for name in recorded},
            )
            for variant, checksums in zip(rendered.variants, _checksums(rendered), strict=True)
        ),
        {
            one.name: tuple(PieceRecord(len(piece), crc32c(piece)) for piece in one.pieces)
            for one in rendered.attachments
        },
        {
            source.role: SnrRecord(source.level, rendered.measured_snr_db[source.role])
            for source in rendered.mixture.sources
            if source.role in rendered.measured_snr_db
        },
    )


def _remove_rejected(
    sinks: Sequence[Sink], shard: Shard, mixtures: Sequence[Mixture], rejects: Sequence[Reject]
) -> None:
    """Removes the files that an earlier run made of items that are rejected now."""
    rejected = {reject.item for reject in rejects}
    for sink in sinks:
        if isinstance(sink, WavSink):
            for mixture in mixtures:
                if mixture.id in rejected:
                    roles = tuple(source.role for source in mixture.sources)
                    for path in sink.planned_files(shard.part, mixture.id, roles):
                        sink.tree.remove(path)
                    sink.remove_attachments(shard.part, mixture.id)


@contextlib.contextmanager
def _progress(path: str) -> Iterator[Callable[[], object]]:
    """Yields what to call after each item: it lengthens a file that the launcher watches."""
    if not path:
        yield lambda: None
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        yield lambda: os.write(descriptor, b".")
    finally:
        os.close(descriptor)


def _stop_without_launcher(launcher_pid: int) -> None:
    """Ends a worker whose launcher was killed, so that it cannot disturb the next run."""
    if launcher_pid:
        try:
            os.kill(launcher_pid, 0)
        except ProcessLookupError:
            os._exit(1)
