"""Removing from an output what its plans and options do not hold any more."""

import dataclasses
import itertools
import posixpath
import re
import sys
from collections.abc import Iterator, Mapping, Sequence, Set

from transforms import ledger as ledgers
from transforms.checksums import part_checksums_path
from transforms.finishing import RUN_PATH, PartSummary, stored_summaries
from transforms.inventory import forget_missing
from transforms.plan import FORMATS, MODES, Format, Part, StoredPlan, Variant
from transforms.sharding import RenderJob, plan_path, plan_rejects_path, stamps_path, summary_path
from transforms.sinks import sinks_for
from transforms.sinks.base import Sink
from transforms.sinks.records import RECORD_KINDS
from transforms.sinks.tables import TABLE_KINDS
from transforms.sinks.wav import WavSink
from transforms.storage import OWN_FOLDER, OutputTree

_LEDGER_FOLDER = f"{OWN_FOLDER}/ledger"
_PLAN_FOLDER = f"{OWN_FOLDER}/plan"
_RATE_FOLDER = re.compile(r"wav(\d+)k")


def remove_extra_shards(job: RenderJob, plan: StoredPlan) -> None:
    """Removes the ledgers of a part's shards beyond those that its plan has now.

    Their files go when the part is merged, those of other formats with ``prune``.
    """
    kept = {shard.name for shard in plan.shards}
    for name in _ledgers_of(job.tree, plan.part.name):
        if name not in kept:
            _remove_ledger(job.tree, name)


def _ledgers_of(tree: OutputTree, part_name: str) -> list[str]:
    pattern = re.compile(rf"shard-({re.escape(part_name)}-\d{{6,}})\.json")
    matches = map(pattern.fullmatch, tree.names(_LEDGER_FOLDER))
    return [match[1] for match in matches if match]


def _remove_ledger(tree: OutputTree, shard_name: str) -> None:
    tree.remove(stamps_path(shard_name))
    tree.remove(ledgers.ledger_path(shard_name))


def prune(job: RenderJob, summaries: Sequence[PartSummary]) -> None:
    """Removes what earlier runs made and the plans and options of this run do not hold.

    Where anything was removed, the record of the last run goes too, since it tells of another state.

    Args:
        job: the output and the options.
        summaries: the parts of this run, all of them merged.
    """
    tree = job.tree
    current = {summary.part.name for summary in summaries}
    names = (name.removesuffix(".parquet") for name in tree.names(_PLAN_FOLDER))
    others = [job.stored_plan(name).part for name in names if name not in current]
    unwanted = [path for summary in summaries for path in _unwanted_of_part(job, summary)]
    unwanted += [path for part in others for path in _all_of_part(job, part)]
    parts = [*(summary.part for summary in summaries), *others]
    folders = {folder for part in parts for sink in _sinks(job, FORMATS) for folder in sink.folders(part)}
    if unwanted:
        _remove(job, unwanted, summaries, others)
    for folder in folders | {posixpath.dirname(path) for path in unwanted}:
        _remove_empty_folders(tree, folder)
        _remove_empty_folders(tree, f"{OWN_FOLDER}/{folder}")


def _remove(
    job: RenderJob, unwanted: Sequence[str], summaries: Sequence[PartSummary], others: Sequence[Part]
) -> None:
    """Removes files, and brings what speaks of them up to date.

    Args:
        job: the output and the options.
        unwanted: the files.
        summaries: the parts of this run.
        others: parts that go altogether.
    """
    tree = job.tree
    tree.remove(RUN_PATH)
    for path in unwanted:
        tree.remove(path)
    unused = [form for form in FORMATS if form not in job.options.formats]
    for summary in summaries:
        _remove_indices(job, summary.part, unused)
    for part in others:
        _remove_indices(job, part, FORMATS)
    for sink in _sinks(job, FORMATS):
        sink.close_corpus([*(summary.part for summary in stored_summaries(tree)), *others])
    forget_missing(tree)


def _unwanted_of_part(job: RenderJob, summary: PartSummary) -> list[str]:
    """Lists what an output holds of a part of this run beyond what the run made or kept."""
    plan = job.stored_plan(summary.part.name)
    wanted = set(summary.files)
    names_in: dict[str, set[str]] = {}
    wav = WavSink(job.tree, job.rules, job.options)
    for ledger in ledgers.read_part(job.tree, plan.part, plan.shard_count):
        wanted.update(file.path for file in ledger.files)
        for item in ledger.items if "wav" in job.options.formats else ():
            for path, _ in wav.item_files(plan.part, item):
                folder, _, name = path.rpartition("/")
                names_in.setdefault(folder, set()).add(sys.intern(name))
    found = [*_shard_files(job, plan.part), *_tables(job, plan.part)]
    return [*_item_files(job, plan.part, names_in), *(path for path in found if path not in wanted)]


def _all_of_part(job: RenderJob, part: Part) -> list[str]:
    """Lists everything that an output holds of a part of any recipe, indices apart."""
    job = dataclasses.replace(job, recipe=part.recipe)
    shards = _ledgers_of(job.tree, part.name)
    return [
        *_item_files(job, part, {}),
        *_shard_files(job, part),
        *_tables(job, part),
        *map(stamps_path, shards),
        *map(ledgers.ledger_path, shards),
        summary_path(part.name),
        plan_rejects_path(part.name),
        part_checksums_path(part.name),
        plan_path(part.name),
    ]


def _sinks(job: RenderJob, formats: Sequence[Format]) -> list[Sink]:
    return sinks_for(job.tree, job.rules, dataclasses.replace(job.options, formats=tuple(formats)))


def _item_files(job: RenderJob, part: Part, names_in: Mapping[str, Set[str]]) -> Iterator[str]:
    """Yields all files of a part's items but those of the given names in the given folders."""
    for folder in WavSink(job.tree, job.rules, job.options).folders(part):
        for name in job.tree.names(folder):
            if name not in names_in.get(folder, ()):
                yield f"{folder}/{name}"


def _shard_files(job: RenderJob, part: Part) -> Iterator[str]:
    """Yields the files of a part that hold shards, whatever plan and options made them."""
    for sink in _sinks(job, FORMATS):
        for folder in sink.folders(part):
            paths = (f"{folder}/{name}" for name in job.tree.names(folder))
            yield from (path for path in paths if sink.is_shard_file(part, path))


def _tables(job: RenderJob, part: Part) -> Iterator[str]:
    """Yields the tables and records of a part, whatever options made them."""
    recipe = job.rules
    matches = map(_RATE_FOLDER.fullmatch, job.tree.names(part.corpus))
    rates_hz = [1000 * int(match[1]) for match in matches if match]
    for rate_hz, mode in itertools.product(rates_hz, MODES):
        variant = Variant(rate_hz, mode)
        paths: list[str] = []
        if recipe.table_path is not None:
            kinds = itertools.product(TABLE_KINDS, recipe.types)
            paths += [recipe.table_path(part, variant, kind, mix_type) for kind, mix_type in kinds]
        if recipe.record_path is not None:
            paths += [recipe.record_path(part, variant, kind) for kind in RECORD_KINDS]
        yield from filter(job.tree.exists, paths)


def _remove_indices(job: RenderJob, part: Part, formats: Sequence[Format]) -> None:
    """Removes the indices of a part in formats that it has no shards in; tables have no shards."""
    for sink in _sinks(job, formats):
        if sink.name != WavSink.name:
            sink.open_part(part, 0, ()).close()


def _remove_empty_folders(tree: OutputTree, folder: str) -> None:
    """Removes a folder and those above it, as far as they hold nothing."""
    if folder:
        tree.remove_folder_if_empty(folder)
        _remove_empty_folders(tree, posixpath.dirname(folder))
