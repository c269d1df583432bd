"""Checks a finished output against its ledger: what is on disk, and what the sources give again."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import soundfile

from transforms import ledger as ledgers
from transforms import storage
from transforms.audio import decode_pcm
from transforms.errors import SourceError, StorageError
from transforms.finishing import RUN_PATH
from transforms.inventory import (
    INVENTORY_PATH,
    IS_MISSING,
    OTHER_BYTES,
    REMOVE,
    FileRecord,
    crc_problem,
    file_problem,
    read_inventory,
    size_problem,
)
from transforms.ledger import ItemRecord, ShardLedger
from transforms.plan import Mixture, RenderOptions, Shard, Variant
from transforms.rejects import csv_bytes
from transforms.rendering import render_item
from transforms.sharding import RenderJob, item_record, samples_crc32c
from transforms.sinks.wav import WavSink
from transforms.storage import OWN_FOLDER, Listings, OutputTree

FINDINGS_PATH = f"{OWN_FOLDER}/verify.csv"
_BY_FORCE = "render with --force"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something that is not as the ledger says.

    Attributes:
        item: id of the mixture, or name of the shard.
        what: file or stream concerned.
        problem: what was found.
    """

    item: str
    what: str
    problem: str


@dataclass(frozen=True)
class ShardCheck:
    """What to check of a shard.

    Attributes:
        shard: the shard.
        ids: items of which the content is checked; without any, of all files but the ledger sizes alone.
        ledger_crc32c: CRC-32C that its ledger should have.
    """

    shard: Shard
    ids: tuple[str, ...]
    ledger_crc32c: int


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        items: items checked.
        files: files of which the content was read and compared.
        mismatches: what is not as the ledger says.
    """

    items: int
    files: int
    mismatches: tuple[Mismatch, ...]


def check_shard(job: RenderJob, check: ShardCheck, listings: Listings | None = None) -> CheckResult:
    """Compares a shard with its ledger: files on disk, and streams of some items rendered again.

    Every file must have its size; of the items to check, and of files that hold a shard with such items,
    the content is compared too. Raises nothing about what it finds.

    Args:
        job: how the output was made.
        check: what to check.
        listings: folders of a store are listed once per ``listings``.
    """
    ledger = ledgers.read_ledger(job.tree, check.shard.name)
    if ledger is None:
        problem = "has no readable ledger; render again"
        return CheckResult(
            0, 0, (Mismatch(check.shard.name, ledgers.ledger_path(check.shard.name), problem),)
        )
    records = [item for item in ledger.items if item.id in check.ids]
    misfits = _misfits(job, check.shard, ledger, listings or Listings())
    if ledger.crc32c != check.ledger_crc32c:
        path = ledgers.ledger_path(check.shard.name)
        misfits[path] = Mismatch(check.shard.name, path, f"{OTHER_BYTES}; {REMOVE}")
    if not records:
        return CheckResult(0, 1, tuple(misfits.values()))
    plan = job.stored_plan(check.shard.part.name)
    mixtures = {mixture.id: mixture for mixture in plan.read_shard(check.shard.index)}
    files = list(_file_checks(job, check.shard, ledger, records))
    streams = [
        mismatch
        for record in records
        for mismatch in _stream_mismatches(job, mixtures.get(record.id), record)
    ]
    changed = [found for found in files if found is not None and found.what not in misfits]
    return CheckResult(len(records), 1 + len(files), (*misfits.values(), *changed, *streams))


def check_files(tree: OutputTree, name: str, files: Mapping[str, FileRecord]) -> CheckResult:
    """Reads files, and compares their sizes and bytes with what is known of them.

    Args:
        tree: the output.
        name: the part that they belong to, or ``output``.
        files: what is known, by path.
    """
    listings = Listings()

    def problem(path: str) -> str:
        return file_problem(tree, path, files[path], listings=listings)

    problems = zip(files, storage.in_parallel(tree.root, problem, files), strict=True)
    return CheckResult(0, len(files), tuple(Mismatch(name, path, found) for path, found in problems if found))


def check_output(tree: OutputTree) -> CheckResult:
    """Compares what speaks of the whole output, plans and summaries too, with its record of files."""
    files = read_inventory(tree)
    if RUN_PATH in files:
        return check_files(tree, "output", files)
    problem = "is not as it was written; render again" if tree.exists(INVENTORY_PATH) else IS_MISSING
    return CheckResult(0, 0, (Mismatch("output", INVENTORY_PATH, problem),))


def _misfits(job: RenderJob, shard: Shard, ledger: ShardLedger, listings: Listings) -> dict[str, Mismatch]:
    """Returns, by path, what is wrong with the files of a shard that have not the size they should have."""
    wanted = [(shard.name, file.path, file.size_bytes) for file in ledger.files]
    if "wav" in job.options.formats:
        sink = WavSink(job.tree, job.rules, job.options)
        wanted += [
            (item.id, path, size_bytes)
            for item in ledger.items
            for path, size_bytes in sink.item_files(shard.part, item)
        ]
    problems = (
        (name, path, size_problem(job.tree, path, size_bytes, listings=listings))
        for name, path, size_bytes in wanted
    )
    return {path: Mismatch(name, path, problem) for name, path, problem in problems if problem}


def _file_checks(
    job: RenderJob, shard: Shard, ledger: ShardLedger, records: Sequence[ItemRecord]
) -> Iterator[Mismatch | None]:
    """Reads files and yields, for each, what is wrong with it."""
    for file in ledger.files:
        problem = crc_problem(job.tree, file.path, file.crc32c, remedy=_BY_FORCE)
        yield Mismatch(shard.name, file.path, problem) if problem else None
    if "wav" not in job.options.formats:
        return
    sink = WavSink(job.tree, job.rules, job.options)
    for record in records:
        for variant in record.variants:
            for stream, crc in variant.crc32c.items():
                path = job.rules.wav_path(shard.part, variant.variant, stream, record.id)
                problem = _wav_problem(sink, path, crc)
                yield Mismatch(record.id, path, problem) if problem else None
        for path, piece in sink.attached_files(shard.part, record):
            problem = crc_problem(job.tree, path, piece.crc32c, remedy=_BY_FORCE)
            yield Mismatch(record.id, path, problem) if problem else None


def _wav_problem(sink: WavSink, path: str, crc: int) -> str:
    try:
        pcm = decode_pcm(sink.tree.read(path))
    except StorageError as error:
        return error.problem
    except soundfile.LibsndfileError as error:
        return f"is not readable audio ({error})"
    return "" if samples_crc32c(pcm) == crc else f"its samples are not those that were written; {_BY_FORCE}"


def _stream_mismatches(job: RenderJob, mixture: Mixture | None, record: ItemRecord) -> Iterator[Mismatch]:
    """Renders an item again, as its ledger says it was, and yields what differs."""
    if mixture is None:
        yield Mismatch(record.id, "plan", "the stored plan does not hold it; render again")
        return
    reader = job.reader()
    try:
        again = render_item(mixture, job.rules, options_of(job, record), reader)
    except SourceError as error:
        yield Mismatch(record.id, error.source, f"cannot be rendered again: {error.reason}")
        return
    new = item_record(again, job.rules)
    now = {one.variant: one for one in new.variants}
    for was in record.variants:
        for stream, crc in was.crc32c.items():
            if now[was.variant].crc32c.get(stream) != crc:
                where = f"{_label(was.variant)} {stream}"
                yield Mismatch(record.id, where, "the sources give other samples now; render again")
        for name, fact in was.facts.items():
            if now[was.variant].facts.get(name) != fact:
                where = f"{_label(was.variant)} {name}"
                yield Mismatch(record.id, where, "the sources give another value now; render again")
    for name, pieces in record.attachments.items():
        if new.attachments.get(name) != pieces:
            yield Mismatch(record.id, name, "the sources give other bytes now; render again")


def options_of(job: RenderJob, record: ItemRecord) -> RenderOptions:
    """Returns the options with rates, modes and types as they were when the item was made."""
    variants = [one.variant for one in record.variants]
    return dataclasses.replace(
        job.options,
        rates_hz=tuple(dict.fromkeys(variant.rate_hz for variant in variants)),
        modes=tuple(dict.fromkeys(variant.mode for variant in variants)),
        types=tuple(dict.fromkeys(name for one in record.variants for name in one.snr_db)),
    )


def _label(variant: Variant) -> str:
    return f"{variant.rate_hz}/{variant.mode}"


def write_findings(tree: OutputTree, mismatches: Sequence[Mismatch]) -> None:
    """Writes what was found to ``_mixtape/verify.csv``; without findings there is no such file."""
    if not mismatches:
        tree.remove(FINDINGS_PATH)
        return
    rows = sorted(dataclasses.astuple(mismatch) for mismatch in mismatches)
    columns = [field.name for field in dataclasses.fields(Mismatch)]
    tree.write(FINDINGS_PATH, csv_bytes([columns, *rows]))
