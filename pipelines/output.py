"""What a rendering run does to an output as a whole, before and after its shards."""

import dataclasses
import json
import platform
import re
import time
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from importlib import metadata

from pipelines.runner import duration
from transforms import ledger as ledgers
from transforms import report
from transforms.errors import StorageError, UsageError
from transforms.finishing import PartSummary, read_summary, stored_summaries
from transforms.plan import Mixture, Part, StoredPlan
from transforms.rejects import REJECTS_PATH, rejects_csv
from transforms.sharding import RenderJob, plan_path, stamps_path, summary_path
from transforms.sinks import SINKS, sinks_for
from transforms.sinks.wav import WavSink
from transforms.storage import OWN_FOLDER, OutputTree
from transforms.version import VERSION

RUN_PATH = f"{OWN_FOLDER}/run.json"
REPORT_PATH = f"{OWN_FOLDER}/report.html"
_LEDGER_FOLDER = f"{OWN_FOLDER}/ledger"
_PLAN_FOLDER = f"{OWN_FOLDER}/plan"
_PACKAGES = ("apache-beam", "numpy", "scipy", "soundfile", "fsspec", "pyarrow")


def check_writable(tree: OutputTree) -> None:
    """Raises UsageError unless files can be made in the output."""
    try:
        tree.check_writable()
    except StorageError as error:
        raise UsageError(f"--out {tree.root}: cannot be written to: {error.problem}") from error


def check_fits(tree: OutputTree, plans: Mapping[Part, Sequence[Mixture]], *, prune: bool) -> None:
    """Refuses plans that have nothing in common with what the output holds under the same names.

    Raises:
        UsageError: another recipe made that part, or none of its mixtures is planned now.
    """
    problems = []
    for part, mixtures in plans.items():
        if not tree.exists(plan_path(part.name)) or prune:
            continue
        stored = StoredPlan.open(tree.url(plan_path(part.name)))
        if stored.part != part:
            problems.append(
                f"{tree.root}: holds {part.name} made by recipe {stored.part.recipe}; use another --out"
            )
        elif stored.mixture_count and stored.read_ids().isdisjoint(mixture.id for mixture in mixtures):
            problems.append(
                f"{tree.root}: holds {part.name} made from another plan ({stored.mixture_count} mixtures, none "
                "of them in the plan given); use another --out, or --prune to replace it"
            )
    if problems:
        raise UsageError(problems)


def forget_summary(job: RenderJob, part_name: str) -> None:
    """Marks a part as not merged."""
    job.tree.remove(summary_path(part_name))


def remove_extra_shards(job: RenderJob, plan: StoredPlan) -> None:
    """Removes the shard files and ledgers of a part beyond those that its plan has now."""
    kept = {shard.name for shard in plan.shards}
    for name in _ledgers_of(job.tree, plan.part.name):
        if name not in kept:
            _remove_shard(job.tree, name)


def _ledgers_of(tree: OutputTree, part_name: str) -> list[str]:
    pattern = re.compile(rf"shard-({re.escape(part_name)}-\d{{6,}})\.json")
    matches = map(pattern.fullmatch, tree.names(_LEDGER_FOLDER))
    return [match[1] for match in matches if match]


def _remove_shard(tree: OutputTree, shard_name: str) -> None:
    ledger = ledgers.read_ledger(tree, shard_name)
    for file in ledger.files if ledger else ():
        tree.remove(file.path)
    tree.remove(stamps_path(shard_name))
    tree.remove(ledgers.ledger_path(shard_name))


def prune(job: RenderJob, plans: Sequence[StoredPlan]) -> None:
    """Removes what earlier runs made and these plans and options do not hold."""
    for plan in plans:
        _prune_part(job, plan)
    current = {plan.part.name for plan in plans}
    for name in job.tree.names(_PLAN_FOLDER):
        part_name = name.removesuffix(".parquet")
        if part_name not in current:
            _remove_part(job, StoredPlan.open(job.tree.url(plan_path(part_name))))


def _prune_part(job: RenderJob, plan: StoredPlan) -> None:
    tree, part = job.tree, plan.part
    wav = WavSink(tree, job.rules, job.options)
    files: set[str] = set()
    ids_in: dict[str, set[str]] = {}
    for ledger in ledgers.read_part(tree, part, plan.shard_count):
        files.update(file.path for file in ledger.files)
        for item in ledger.items if "wav" in job.options.formats else ():
            for path, _ in wav.item_files(part, item):
                ids_in.setdefault(path.rpartition("/")[0], set()).add(item.id)
    _prune_wavs(wav, part, ids_in)
    for sink in (kind(tree, job.rules, job.options) for kind in SINKS.values()):
        for folder in sink.folders(part):
            for path in (f"{folder}/{name}" for name in tree.names(folder)):
                if sink.is_shard_file(part, path) and path not in files:
                    tree.remove(path)


def _prune_wavs(sink: WavSink, part: Part, ids_in: Mapping[str, Set[str]]) -> None:
    """Removes all WAV files of a part but those of the given ids in the given folders."""
    for folder in sink.folders(part):
        for name in sink.tree.names(folder):
            if name.removesuffix(".wav") not in ids_in.get(folder, set()):
                sink.tree.remove(f"{folder}/{name}")
        sink.tree.remove_folder_if_empty(folder)


def _remove_part(job: RenderJob, plan: StoredPlan) -> None:
    """Removes everything that an output holds of a part."""
    tree = job.tree
    summary = read_summary(tree, plan.part.name)
    for path in summary.files if summary else ():
        tree.remove(path)
    for name in _ledgers_of(tree, plan.part.name):
        _remove_shard(tree, name)
    _prune_wavs(WavSink(tree, job.rules, job.options), plan.part, {})
    tree.remove(summary_path(plan.part.name))
    tree.remove(plan_path(plan.part.name))


def close(
    job: RenderJob, summaries: Sequence[PartSummary], *, started: float, changed: bool, command: Sequence[str]
) -> None:
    """Writes what speaks of the whole output, unless nothing of it changed."""
    tree = job.tree
    if not changed and tree.exists(RUN_PATH):
        return
    stored = stored_summaries(tree)
    for sink in sinks_for(tree, job.rules, job.options):
        sink.close_corpus([summary.part for summary in stored])
    rejects = [reject for summary in stored for reject in summary.rejects]
    tree.write_if_changed(REJECTS_PATH, rejects_csv(rejects))
    tree.write(RUN_PATH, _run_facts(job, summaries, started, command))
    tree.write(REPORT_PATH, report.make_report(job, stored).encode())


def _run_facts(
    job: RenderJob, summaries: Sequence[PartSummary], started: float, command: Sequence[str]
) -> bytes:
    facts = {
        "mixtape": VERSION,
        "command": list(command),
        "recipe": job.recipe,
        "options": dataclasses.asdict(job.options),
        "roots": dict(job.roots),
        "parts": {
            summary.part.name: {
                "planned": summary.planned,
                "written": summary.written,
                "rejected": len(summary.rejects),
            }
            for summary in summaries
        },
        "started": _iso(started),
        "finished": _iso(time.time()),
        "host": platform.node(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }
    return (json.dumps(facts, indent=1) + "\n").encode()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def print_summary(job: RenderJob, summaries: Sequence[PartSummary], *, work: int, seconds: float) -> None:
    """Says what the output holds of the parts of this run, and where to look."""
    written = sum(summary.written for summary in summaries)
    rejected = sum(len(summary.rejects) for summary in summaries)
    print(f"planned {written + rejected:,} = written {written:,} + rejected {rejected:,}")
    for summary in summaries:
        hours = ", ".join(f"{key} {duration(value)}" for key, value in summary.statistics.seconds.items())
        print(f"  {summary.part.name}: {summary.written:,} mixtures ({hours})")
    for form in job.options.formats:
        total = sum(summary.statistics.bytes_of.get(form, 0) for summary in summaries)
        print(f"  {form}: {size(total)}")
    done = (
        f"{work} shards made in {duration(seconds)}"
        if work
        else "nothing to do: all of it stands and is unchanged"
    )
    print(f"{done}; in {job.out}")
    tree = job.tree
    print(f"report: {tree.url(REPORT_PATH)}")
    if rejected:
        print(f"rejects, with reasons and what to do: {tree.url(REJECTS_PATH)}")


def size(count: float) -> str:
    """Writes a number of bytes for people.

    >>> size(1_530_000)
    '1.5 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
