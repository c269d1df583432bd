"""Checks a finished output against its ledger: what is on disk, and what the sources give again."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c
import soundfile

from transforms import ledger as ledgers
from transforms.audio import decode_pcm
from transforms.errors import SourceError, StorageError
from transforms.finishing import PartSummary
from transforms.ledger import ItemRecord, ShardLedger
from transforms.plan import Mixture, RenderOptions, Shard, Variant
from transforms.publishing import CHECKSUMS_PATH, checksums
from transforms.rejects import csv_bytes
from transforms.rendering import render_item
from transforms.sharding import RenderJob, item_record, samples_crc32c
from transforms.sinks.wav import WavSink
from transforms.storage import OWN_FOLDER, Listings, OutputTree

FINDINGS_PATH = f"{OWN_FOLDER}/verify.csv"
_MISSING = "is missing; render again"


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
    """What to check of a shard: the content of some items, by id, or of all; without any, sizes alone."""

    shard: Shard
    ids: tuple[str, ...]


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
    if not records:
        return CheckResult(0, 0, tuple(misfits.values()))
    plan = job.stored_plan(check.shard.part.name)
    mixtures = {mixture.id: mixture for mixture in plan.read_shard(check.shard.index)}
    files = list(_file_checks(job, check.shard, ledger, records))
    streams = [
        mismatch
        for record in records
        for mismatch in _stream_mismatches(job, mixtures.get(record.id), record)
    ]
    changed = [found for found in files if found is not None and found.what not in misfits]
    return CheckResult(len(records), len(files), (*misfits.values(), *changed, *streams))


def check_part(tree: OutputTree, summary: PartSummary) -> list[Mismatch]:
    """Compares the sizes of a part's tables, indices and the like with what its summary says."""
    listings = Listings()
    problems = (
        (path, _size_problem(tree, path, size_bytes, listings)) for path, size_bytes in summary.files.items()
    )
    return [Mismatch(summary.part.name, path, problem) for path, problem in problems if problem]


def check_checksums(tree: OutputTree, summaries: Sequence[PartSummary]) -> list[Mismatch]:
    """Compares the published checksums of an output with those of its parts."""
    wanted = checksums(tree, summaries)
    places = (CHECKSUMS_PATH, f"{OWN_FOLDER}/{CHECKSUMS_PATH}") if wanted else ()
    there = [place for place in places if tree.exists(place)]
    if any(tree.read(place) == wanted for place in there) or not wanted:
        return []
    problem = "is not as it was written; render again" if there else _MISSING
    return [Mismatch("output", CHECKSUMS_PATH, problem)]


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
        (name, path, _size_problem(job.tree, path, size_bytes, listings)) for name, path, size_bytes in wanted
    )
    return {path: Mismatch(name, path, problem) for name, path, problem in problems if problem}


def _size_problem(tree: OutputTree, path: str, size_bytes: int | None, listings: Listings) -> str:
    """Says what is wrong with a file that is missing or not as long as it should be; nothing of others."""
    try:
        found = listings.size(tree.url(path))
    except StorageError as error:
        return error.problem
    if found is None:
        return _MISSING
    return "" if found == size_bytes else f"has {found} bytes instead of {size_bytes}; render again"


def _file_checks(
    job: RenderJob, shard: Shard, ledger: ShardLedger, records: Sequence[ItemRecord]
) -> Iterator[Mismatch | None]:
    """Reads files and yields, for each, what is wrong with it."""
    for file in ledger.files:
        problem = _bytes_problem(job, file.path, file.crc32c)
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
            problem = _bytes_problem(job, path, piece.crc32c)
            yield Mismatch(record.id, path, problem) if problem else None


def _bytes_problem(job: RenderJob, path: str, crc: int) -> str:
    try:
        found = google_crc32c.value(job.tree.read(path))
    except StorageError as error:
        return error.problem
    return "" if found == crc else "its bytes are not those that were written; render with --force"


def _wav_problem(sink: WavSink, path: str, crc: int) -> str:
    try:
        pcm = decode_pcm(sink.tree.read(path))
    except StorageError as error:
        return error.problem
    except soundfile.LibsndfileError as error:
        return f"is not readable audio ({error})"
    return (
        ""
        if samples_crc32c(pcm) == crc
        else "its samples are not those that were written; render with --force"
    )


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
