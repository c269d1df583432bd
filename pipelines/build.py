"""``mixtape build librimix``: metadata, plan and render in one go, each doing only what is needed."""

import argparse
import dataclasses
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines import corpora, metadata, output, plan, render
from pipelines.checks import Checker
from pipelines.dataflow import hands_over
from pipelines.estimate import print_estimate
from pipelines.plan_inputs import given_plan
from pipelines.recording import recorded_run
from pipelines.render import RenderRequest
from transforms import storage
from transforms.corpora import librimix
from transforms.planning.librimix import to_mixture
from transforms.recipes import LIBRIMIX

_PLANS = "metadata"


@dataclass(frozen=True)
class _Listings:
    """Listings of one corpus that a build makes or is given.

    Attributes:
        argument: name of the argument that gives them.
        kind: the corpus, and name of the argument that says where it is.
        folder: where a build writes them, in its output.
    """

    argument: str
    kind: metadata.CorpusKind
    folder: str


_LISTINGS = (
    _Listings("librispeech_metadata", "librispeech", "metadata/LibriSpeech"),
    _Listings("wham_metadata", "wham", "metadata/Wham_noise"),
)


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    if hands_over(passed_on):
        checker.problems.append(
            "--template_location: build runs several pipelines, each on what the one before it wrote, and a "
            "template holds one; make templates of metadata, plan and render"
        )
    corpora_options = _check_corpora(checker)
    plan.read_choices(checker)
    options = render.render_options(checker, LIBRIMIX)
    roots = render.librimix_roots(checker, LIBRIMIX, options)
    rendering = render.make_request(checker, LIBRIMIX, (), options=options, roots=roots, passed_on=passed_on)
    if arguments.dry_run:
        _estimate(arguments, rendering, corpora_options, passed_on)
        return 0
    tree = rendering.job.tree
    output.check_writable(tree)
    with recorded_run(tree, arguments.command_line) as notes:
        folders, listing_status = _list_corpora(arguments, rendering, corpora_options)
        planning = _planning(arguments, folders, passed_on)
        subsets = planning.subsets()
        plan_status = plan.write_plans(planning, subsets)
        urls = [
            storage.join(planning.out, librimix.plan_path(subset.listing_name, planning.choices.speakers))
            for subset in subsets
            if subset.mixtures
        ]
        plans = [given_plan(*librimix.read_plan(url)) for url in urls]
        rendering = dataclasses.replace(rendering, plans=plans)
        notes.status = max(listing_status, plan_status, render.render_held(rendering, notes))
    return notes.status


def _check_corpora(checker: Checker) -> dict[str, metadata.MetadataOptions]:
    """Notes what is wrong with the corpora, and with the folders of listings that are given.

    Returns:
        How each corpus is listed for which no listings are given, by the name of their argument.
    """
    found = {}
    out = checker.arguments.out or ""
    for listings in _LISTINGS:
        corpus = checker.folder(listings.kind)
        if getattr(checker.arguments, listings.argument):
            checker.folder(listings.argument)
        elif corpus and checker.attempt(functools.partial(storage.is_folder, corpus), False):
            options = metadata.MetadataOptions(
                kind=listings.kind,
                corpus=corpus,
                out=storage.join(out, listings.folder),
                force=checker.arguments.force,
                adopt=False,
            )
            checker.problems += options.check()
            found[listings.argument] = options
    return found


def _list_corpora(
    arguments: argparse.Namespace, rendering: RenderRequest, made: Mapping[str, metadata.MetadataOptions]
) -> tuple[dict[str, str], int]:
    """Lists the corpora for which no listings are given.

    Args:
        arguments: the command line.
        rendering: limit of rejects, and how to run.
        made: how each of them is listed, and where to.

    Returns:
        The folders of all listings by name of their argument, and the exit status.
    """
    folders = {listings.argument: getattr(arguments, listings.argument) for listings in _LISTINGS}
    statuses = [0]
    for argument, options in made.items():
        rendering.running.say(f"listing {options.kind}")
        folders[argument] = options.out
        status = corpora.go_through(
            options, corpora.METADATA, limit=rendering.limit, running=rendering.running
        )
        statuses.append(status)
    return folders, max(statuses)


def _planning(
    arguments: argparse.Namespace, folders: Mapping[str, str], passed_on: Sequence[str]
) -> plan.PlanRequest:
    """Returns what ``mixtape plan`` would be asked for this build. Raises UsageError."""
    out = storage.join(arguments.out, _PLANS)
    asked = argparse.Namespace(**{**vars(arguments), **folders, "out": out})
    return plan.make_request(Checker(asked), passed_on)


def _estimate(
    arguments: argparse.Namespace,
    rendering: RenderRequest,
    made: Mapping[str, metadata.MetadataOptions],
    passed_on: Sequence[str],
) -> None:
    """Lists into a folder that goes again, plans without gains, and estimates the rendering."""
    quiet = dataclasses.replace(rendering.running, quiet=True)
    with tempfile.TemporaryDirectory(prefix="mixtape-") as scratch:
        elsewhere = {
            argument: dataclasses.replace(options, out=storage.join(scratch, argument))
            for argument, options in made.items()
        }
        folders, status = _list_corpora(arguments, dataclasses.replace(rendering, running=quiet), elsewhere)
        planning = _planning(arguments, folders, passed_on)
        subsets = planning.subsets()
    if status:
        print("some files of the corpora cannot be used; mixtape metadata says which, and why")
    for hint in plan.empty_plan_hints(subsets, planning.choices.round_to):
        print(hint)
    speakers = planning.choices.speakers
    plans = [
        given_plan(librimix.part_of(subset.listing_name, speakers), list(map(to_mixture, subset.mixtures)))
        for subset in subsets
    ]
    print_estimate(rendering.job, plans, workers=rendering.running.workers)
