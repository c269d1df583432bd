"""What a rendering run does to an output as a whole, before and after its shards."""

import dataclasses
import itertools
import json
import platform
import sys
import time
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from pipelines.plan_inputs import PlanInput
from pipelines.runner import counted, duration
from transforms import report, storage
from transforms.errors import StorageError, StoreUnavailableError, UsageError
from transforms.finishing import RUN_PATH, PartSummary, read_summary, stored_summaries
from transforms.inventory import NotedTree, stands, take_inventory
from transforms.plan import FORMATS, StoredPlan
from transforms.publishing import known_licences, publish
from transforms.record import read_run
from transforms.rejects import REJECTS_PATH, RejectLimit, rejects_csv
from transforms.remerging import merge_earlier_parts
from transforms.sharding import RenderJob, plan_path, summary_path
from transforms.sinks import sinks_for
from transforms.storage import OWN_FOLDER, OutputTree
from transforms.version import VERSION

REPORT_PATH = f"{OWN_FOLDER}/report.html"
_REJECTS_SHOWN = 3
_SOURCES_TRIED = 50
_PACKAGES = ("apache-beam", "numpy", "scipy", "soundfile", "fsspec", "pyarrow")


def check_writable(tree: OutputTree) -> None:
    """Raises UsageError unless files can be made in the output."""
    try:
        tree.check_writable()
    except (StorageError, StoreUnavailableError) as error:
        raise UsageError(f"--out {tree.root}: cannot be written to: {error.problem}") from error


def check_apart(out: str, roots: Mapping[str, str]) -> None:
    """Raises UsageError where the output is one of the corpora that it is made from."""
    for name, url in roots.items():
        if OutputTree(out).root == OutputTree(url).root:
            raise UsageError(f"--out {out}: is the corpus root {name} itself; choose another folder")


def check_roots(tree: OutputTree, plans: Sequence[PlanInput], roots: Mapping[str, str]) -> None:
    """Refuses a root that is another than last time and holds nothing of what finished parts need.

    Every item would be rejected, and what was made of it before would go. Sources that vanish from
    the root of last time are no mistake of the command line, and reject their items.

    Raises:
        UsageError: names the root and a file that was looked for.
    """
    recorded = read_run(tree).get("roots", {})
    moved = {name: root for name, root in roots.items() if recorded.get(name) != storage.absolute(root)}
    problems = []
    for plan in plans if moved else ():
        summary = read_summary(tree, plan.part.name)
        if summary is None or not summary.written:
            continue
        mixtures = list(itertools.islice(plan.read(), _SOURCES_TRIED))
        for name, root in moved.items():
            paths = [source.path for mixture in mixtures for source in mixture.sources if source.root == name]
            tried = paths[:_SOURCES_TRIED]
            if tried and not any(storage.stamp(storage.join(root, path)) for path in tried):
                problems.append(
                    f"{root}: holds none of {len(tried)} files of {plan.part.name} that were sought, such "
                    f"as {tried[0]}; {tree.root} holds mixtures made from them; check where {name} is"
                )
    if problems:
        raise UsageError(problems)


def check_fits(tree: OutputTree, plans: Sequence[PlanInput], *, prune: bool) -> None:
    """Refuses plans that have nothing in common with what the output holds under the same names.

    Raises:
        UsageError: another recipe made that part, or none of its mixtures is planned now.
    """
    problems = []
    for plan in plans:
        part = plan.part
        stored = None if prune else _stored_plan(tree, part.name)
        if stored is None:
            continue
        if stored.part != part:
            problems.append(
                f"{tree.root}: holds {part.name} made by recipe {stored.part.recipe}; use another --out"
            )
        elif stored.mixture_count and not _have_items_in_common(stored, plan):
            problems.append(
                f"{tree.root}: holds {part.name} made from another plan "
                f"({counted(stored.mixture_count, 'mixture')}, none of them in the plan given); "
                "use another --out, or --prune to replace it"
            )
    if problems:
        raise UsageError(problems)


def _have_items_in_common(stored: StoredPlan, plan: PlanInput) -> bool:
    """Tells whether any mixture of a plan is in a stored one; mostly their beginnings tell already."""
    first = {mixture.id for mixture in stored.read_shard(0)}
    if any(mixture.id in first for mixture in itertools.islice(plan.read(), len(first))):
        return True
    return not set(stored.read_ids()).isdisjoint(mixture.id for mixture in plan.read())


def _stored_plan(tree: OutputTree, part_name: str) -> StoredPlan | None:
    """Opens the plan that an output holds of a part; None without one that can be read: it is replaced."""
    try:
        return StoredPlan.open(tree.url(plan_path(part_name)))
    except (StorageError, UsageError):
        return None


def forget_summary(job: RenderJob, part_name: str) -> None:
    """Marks a part as not merged: the bytes of its next summary are not known yet."""
    tree = NotedTree(job.out)
    tree.remove(summary_path(part_name))
    take_inventory(tree)


def close(
    job: RenderJob,
    roots: Mapping[str, str],
    *,
    parts: Set[str],
    started: float,
    command: Sequence[str],
) -> list[str]:
    """Writes what speaks of the whole output, unless the last run left the same, and it still stands.

    Args:
        job: the run.
        roots: where the corpora of earlier runs were; those of this run count more.
        parts: names of the parts of this run, all of them merged.
        started: when the run began, in seconds since the epoch.
        command: the command line.

    Returns:
        What a person must be told of the output's descriptions, and of parts that they leave out.
    """
    tree = NotedTree(job.out)
    notes = merge_earlier_parts(tree, job, parts)
    stored = stored_summaries(tree)
    for sink in sinks_for(tree, job.rules, dataclasses.replace(job.options, formats=FORMATS)):
        sink.close_corpus([summary.part for summary in stored])
    for path in (summary_path(summary.part.name) for summary in stored):
        tree.note(path, tree.read(path))
    rejects = [reject for summary in stored for reject in summary.rejects]
    tree.write_if_changed(REJECTS_PATH, rejects_csv(rejects))
    facts = _facts(job, stored, {**roots, **job.roots})
    before = read_run(tree)
    known = {name: before.get(name) for name in facts}
    files = take_inventory(tree)
    if json.dumps(known) == json.dumps(facts) and REPORT_PATH in files and stands(tree, files):
        return notes
    notes += publish(tree, stored)
    tree.remove(REPORT_PATH)
    tree.write(RUN_PATH, (json.dumps(facts | _circumstances(started, command), indent=1) + "\n").encode())
    tree.write(REPORT_PATH, report.make_report(job, stored).encode())
    take_inventory(tree)
    return notes


def _facts(job: RenderJob, summaries: Sequence[PartSummary], roots: Mapping[str, str]) -> dict[str, Any]:
    """Returns what the record of a run says of the output: the same as long as that is the same."""
    return {
        "mixtape": VERSION,
        "recipe": job.recipe,
        "options": dataclasses.asdict(job.options),
        "settings": dict(job.settings),
        "roots": dict(sorted(roots.items())),
        "licences": known_licences(job.tree, summaries),
        "parts": {
            summary.part.name: {
                "planned": summary.planned,
                "written": summary.written,
                "rejected": len(summary.rejects),
            }
            for summary in summaries
        },
    }


def _circumstances(started: float, command: Sequence[str]) -> dict[str, Any]:
    """Returns what the record of a run says of the run itself."""
    return {
        "command": list(command),
        "started": _iso(started),
        "finished": _iso(time.time()),
        "host": platform.node(),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _PACKAGES},
        },
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def print_summary(job: RenderJob, summaries: Sequence[PartSummary], *, work: int, seconds: float) -> None:
    """Says what the output holds of the parts of this run, and where to look."""
    written = sum(summary.written for summary in summaries)
    rejected = sum(len(summary.rejects) for summary in summaries)
    item = "segment" if job.rules.together else "mixture"
    print(f"planned {written + rejected:,} = written {written:,} + rejected {rejected:,}")
    for summary in summaries:
        hours = ", ".join(f"{key} {duration(value)}" for key, value in summary.statistics.seconds.items())
        print(f"  {summary.part.name}: {counted(summary.written, item)}{hours and f' ({hours})'}")
    for form in job.options.formats:
        total = sum(summary.statistics.bytes_of.get(form, 0) for summary in summaries)
        print(f"  {form}: {size(total)}")
    done = (
        f"{counted(work, 'shard')} made in {duration(seconds)}"
        if work
        else "nothing to do: all of it stands and is unchanged"
    )
    print(f"{done}; in {job.out}")
    tree = job.tree
    print(f"report: {tree.url(REPORT_PATH)}")
    for reject in [reject for summary in summaries for reject in summary.rejects][:_REJECTS_SHOWN]:
        print(f"rejected: {reject.item}: {reject.source} {reject.reason}")


def conclude(tree: OutputTree, limit: RejectLimit, *, rejected: int, planned: int, quiet: bool) -> int:
    """Returns the exit status of a finished run, and says where its rejects are.

    Args:
        tree: the output.
        limit: rejects that a good run may have.
        rejected: how many there are.
        planned: of how many items.
        quiet: say nothing if the run is good.
    """
    where = f"with reasons and what to do: {tree.url(REJECTS_PATH)}"
    if not limit.allows(rejected, planned):
        allowed = "more than --max-rejects allows"
        print(
            f"mixtape: {rejected:,} of {counted(planned, 'item')} rejected, {allowed}; {where}",
            file=sys.stderr,
        )
        return 1
    if rejected and not quiet:
        print(f"rejects, {where}")
    return 0


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
