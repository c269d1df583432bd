"""``mixtape render``: plans in, a corpus out; only what changed is made anew."""

import argparse
import dataclasses
import functools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines import output, prune
from pipelines.checks import Checker
from pipelines.estimate import print_estimate
from pipelines.plan_inputs import PlanInput, read_plans
from pipelines.progress import Progress, ShardProgress
from pipelines.recording import RunNotes, recorded_run
from pipelines.runner import Running, run_pipeline
from transforms import storage
from transforms.corpora import avse, wsj0mix
from transforms.finishing import PartSummary, finish_part, is_finished, read_summary
from transforms.plan import (
    FORMATS,
    MODES,
    NO_SETTINGS,
    NOISE,
    RenderOptions,
    Shard,
    ShardRun,
    StoredPlan,
    shard_runs,
)
from transforms.publishing import state_licences
from transforms.rebasing import chosen_paths
from transforms.recipes import Recipe, recipe_named
from transforms.record import read_run
from transforms.rejects import RejectLimit
from transforms.sharding import RenderJob, kept_shard, store_plan
from transforms.storage import OutputTree
from transforms.video import containers


@dataclass(frozen=True)
class RenderRequest:
    """A checked command line of ``render``, with the plans read.

    Attributes:
        job: output, roots, recipe and options for the workers.
        plans: what to render.
        limit: rejects that a good run may have.
        running: on which runner, with how many workers.
        prune: remove what is not in the plans.
        command: the command line, for the record.
        licences: licences of corpora that the command line states, by root.
    """

    job: RenderJob
    plans: Sequence[PlanInput]
    limit: RejectLimit
    running: Running
    prune: bool = False
    command: tuple[str, ...] = ()
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def planned(self) -> int:
        """Items in all plans."""
        return sum(plan.count + len(plan.rejects) for plan in self.plans)

    def items_in(self, shard: Shard) -> int:
        """Items in one shard: only a part's last shard may hold fewer than the others."""
        size = self.job.options.shard_size
        count = next(plan.count for plan in self.plans if plan.part == shard.part)
        return min(size, count - shard.index * size)


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    recipe = recipe_named(arguments.kind)
    options = render_options(checker, recipe)
    roots = _ROOTS[recipe.name](checker, recipe, options)
    plans = read_plans(checker, recipe.name, recipe.roots)
    request = make_request(checker, recipe, plans, options=options, roots=roots, passed_on=passed_on)
    if arguments.dry_run:
        print_estimate(request.job, request.plans, workers=request.running.workers)
        return 0
    return render(request)


def librimix_roots(checker: Checker, recipe: Recipe, options: RenderOptions) -> dict[str, str]:
    """Reads where LibriMix's corpora are; noises may be absent where no type holds them."""
    roots = {"librispeech": checker.folder("librispeech")}
    if needs_noise(recipe, options) or checker.arguments.wham:
        roots["wham"] = checker.folder("wham")
    return roots


def _wsj0mix_roots(checker: Checker, recipe: Recipe, options: RenderOptions) -> dict[str, str]:
    del recipe, options
    url = checker.folder("wsj0")
    return {wsj0mix.ROOT: wsj0mix.resolve_root(url)} if url else {}


def _named_roots(checker: Checker, recipe: Recipe, options: RenderOptions) -> dict[str, str]:
    del options
    roots = checker.roots(checker.arguments.root)
    for name, url in roots.items():
        if name not in recipe.roots:
            checker.problems.append(f"--root {name}={url}: wanted one of {', '.join(recipe.roots)}")
        elif not checker.attempt(functools.partial(storage.is_folder, url), True):
            checker.problems.append(f"--root {name}={url}: no such folder; check the path")
    return roots


def _avse_roots(checker: Checker, recipe: Recipe, options: RenderOptions) -> dict[str, str]:
    del options
    checker.attempt(containers.library, None)
    names = [name for name in recipe.roots if name != avse.TARGET_WAVS or checker.arguments.target_wavs]
    return {name: checker.folder(name) for name in names}


_ROOTS = {
    "librimix": librimix_roots,
    "wsj0mix": _wsj0mix_roots,
    "mixtures": _named_roots,
    "avse": _avse_roots,
}


def make_request(
    checker: Checker,
    recipe: Recipe,
    plans: Sequence[PlanInput],
    *,
    options: RenderOptions,
    roots: Mapping[str, str],
    passed_on: Sequence[str],
) -> RenderRequest:
    """Checks everything that ``render`` shares with ``build``. Raises UsageError with all problems."""
    arguments = checker.arguments
    out = checker.needed("out")
    limit = checker.reject_limit()
    running = checker.running(passed_on)
    settings = [plan.settings for plan in plans]
    if any(one != settings[0] for one in settings):
        checker.problems.append("--plan: the plans differ in rate or clip policy; render them one by one")
    if out:
        checker.attempt(lambda: output.check_apart(out, roots), None)
        checker.attempt(lambda: output.check_fits(OutputTree(out), plans, prune=arguments.prune), None)
        checker.attempt(lambda: output.check_roots(OutputTree(out), plans, roots), None)
    licences = checker.licences(recipe.roots)
    checker.raise_problems()
    job = RenderJob(
        out=OutputTree(out).root,
        recipe=recipe.name,
        roots={name: storage.absolute(url) for name, url in roots.items()},
        options=options,
        settings=settings[0] if settings else NO_SETTINGS,
        force=arguments.force,
    )
    return RenderRequest(
        job=job,
        plans=plans,
        limit=limit,
        running=running,
        prune=arguments.prune,
        command=arguments.command_line,
        licences=licences,
    )


def render_options(checker: Checker, recipe: Recipe) -> RenderOptions:
    """Reads the options that every recipe has."""
    arguments = checker.arguments
    return RenderOptions(
        rates_hz=checker.rates_hz(),
        modes=checker.choices("modes", MODES),  # type: ignore[arg-type]
        types=checker.choices("types", tuple(recipe.types)),
        formats=checker.choices("formats", FORMATS),  # type: ignore[arg-type]
        shard_size=checker.whole_number("shard_size"),
        table_paths=checker.prefix("table_paths") or chosen_paths(OutputTree(arguments.out or "")),
    )


def needs_noise(recipe: Recipe, options: RenderOptions) -> bool:
    """Tells whether any mixture type asked for sums noise."""
    return NOISE in recipe.needed_roles(("s1", NOISE), [t for t in options.types if t in recipe.types])


def render(request: RenderRequest) -> int:
    """Stores the plans, renders what is not there yet, merges and reports.

    Returns:
        The exit status. Raises MixtapeError when the run breaks off.
    """
    output.check_writable(request.job.tree)
    with recorded_run(request.job.tree, request.command) as notes:
        notes.status = render_held(request, notes)
    return notes.status


def render_held(request: RenderRequest, notes: RunNotes) -> int:
    """Renders into an output that this run holds already.

    Args:
        request: what to render.
        notes: told what came of it, for the history of the output.

    Returns:
        The exit status. Raises MixtapeError when the run breaks off.
    """
    started = time.time()
    tree = request.job.tree
    roots = read_run(tree).get("roots", {})
    plans = [
        store_plan(request.job, one.part, one.read(), one.rejects, licences=one.licences)
        for one in request.plans
    ]
    notes.plans = plans
    notes.shards_made = _run_shards(request, plans, notes)
    for plan in plans:
        prune.remove_extra_shards(request.job, plan)
    notes.summaries = summaries = [_finished(request.job, plan) for plan in plans]
    if request.prune:
        prune.prune(request.job, summaries)
    state_licences(tree, request.licences)
    parts = {plan.part.name for plan in plans}
    remarks = output.close(request.job, roots, parts=parts, started=started, command=request.command)
    quiet = request.running.quiet
    if not quiet:
        seconds = time.time() - started
        output.print_summary(request.job, summaries, work=notes.shards_made, seconds=seconds)
        print("".join(f"{remark}\n" for remark in remarks), end="")
    rejected = sum(len(summary.rejects) for summary in summaries)
    return output.conclude(tree, request.limit, rejected=rejected, planned=request.planned, quiet=quiet)


def _finished(job: RenderJob, plan: StoredPlan) -> PartSummary:
    summary = read_summary(job.tree, plan.part.name)
    return finish_part(job, plan.part.name) if summary is None else summary


def _run_shards(request: RenderRequest, plans: Sequence[StoredPlan], notes: RunNotes) -> int:
    """Runs the pipeline over all shards that may need work; returns how many were made."""
    local = request.running.is_local
    shards = [shard for plan in plans for shard in plan.shards]
    shards = _shards_to_make(request.job, shards)
    notes.begin(request.job.tree, shards)
    for plan in plans:
        if not is_finished(request.job, plan.part.name, plan.shard_count):
            output.forget_summary(request.job, plan.part.name)
    if not shards:
        return 0
    with _progress(request, plans, shards).shown() as progress:
        launcher_pid = os.getpid() if local else 0
        job = dataclasses.replace(request.job, progress=progress.path, launcher_pid=launcher_pid)
        counters = run_pipeline(functools.partial(build, job=job, shards=shards), request.running)
    return counters.get("shards_rendered", len(shards) - counters.get("shards_kept", 0))


def _progress(
    request: RenderRequest, plans: Sequence[StoredPlan], shards: Sequence[Shard]
) -> Progress | ShardProgress:
    """Returns what shows how far a run is; only of a local one can every item be seen."""
    if not request.running.is_local:
        return ShardProgress(request.job.tree, shards, quiet=request.running.quiet)
    if request.job.rules.together:
        # Shards differ in length, and a mixture has one source.
        stored = {plan.part: plan for plan in plans}
        items = sum(stored[shard.part].sources_in(shard.index) for shard in shards)
    else:
        items = sum(request.items_in(shard) for shard in shards)
    return Progress(items, quiet=request.running.quiet)


def _shards_to_make(job: RenderJob, shards: Sequence[Shard]) -> list[Shard]:
    """Returns the shards that do not stand in the output, or of which only their sources can tell."""
    check = functools.partial(kept_shard, job, listings=storage.Listings(), read=False)
    found = storage.in_parallel(job.out, check, shards)
    return [shard for shard, kept in zip(shards, found, strict=True) if kept is None]


def build(pipeline: Any, *, job: RenderJob, shards: Sequence[Shard]) -> None:
    """Adds the rendering of shards, and the merging of their parts, to a pipeline."""
    import apache_beam as beam

    from transforms.steps import FinishParts, RenderShards

    (
        pipeline
        | "Runs" >> beam.Create(shard_runs(shards), reshuffle=False).with_output_types(ShardRun)
        # ShardRun
        | "Shards" >> beam.FlatMap(lambda run: run.shards).with_output_types(Shard)
        # Shard
        | "Render" >> RenderShards(job)
        # ShardResult
        | "Finish" >> FinishParts(job)
        # PartSummary
    )
