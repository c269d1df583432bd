"""``mixtape build librimix``: metadata, plan and render in one go, each doing only what is needed."""

import argparse
import dataclasses
import functools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines import corpora, metadata, plan, render
from pipelines.checks import Checker
from pipelines.estimate import print_estimate
from pipelines.plan_inputs import given_plan
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
    _check_corpora(checker)
    plan.read_choices(checker)
    options = render.render_options(checker, LIBRIMIX)
    roots = render.librimix_roots(checker, LIBRIMIX, options)
    rendering = render.make_request(checker, LIBRIMIX, (), options=options, roots=roots, passed_on=passed_on)
    if arguments.dry_run:
        _estimate(arguments, rendering, passed_on)
        return 0
    folders, listing_status = _list_corpora(arguments, rendering, arguments.out)
    planning = _planning(arguments, folders, passed_on)
    subsets = planning.subsets()
    plan_status = plan.write_plans(planning, subsets)
    urls = [
        storage.join(planning.out, librimix.plan_path(subset.listing_name, planning.choices.speakers))
        for subset in subsets
        if subset.mixtures
    ]
    plans = [given_plan(*librimix.read_plan(url)) for url in urls]
    return max(listing_status, plan_status, render.render(dataclasses.replace(rendering, plans=plans)))


def _check_corpora(checker: Checker) -> None:
    """Notes what is wrong with the corpora, and with the folders of listings that are given."""
    for listings in _LISTINGS:
        corpus = checker.folder(listings.kind)
        if getattr(checker.arguments, listings.argument):
            checker.folder(listings.argument)
        elif corpus and checker.attempt(functools.partial(storage.is_folder, corpus), False):
            checker.problems += metadata.MetadataOptions(listings.kind, corpus, "", force=True).check()


def _list_corpora(
    arguments: argparse.Namespace, rendering: RenderRequest, out: str
) -> tuple[dict[str, str], int]:
    """Lists the corpora for which no listings are given.

    Args:
        arguments: the command line.
        rendering: limit of rejects, and how to run.
        out: root of the folders that listings are written to.

    Returns:
        The folders of all listings by name of their argument, and the exit status.
    """
    folders: dict[str, str] = {}
    statuses = [0]
    for listings in _LISTINGS:
        given = getattr(arguments, listings.argument)
        folder = folders[listings.argument] = given or storage.join(out, listings.folder)
        if not given:
            rendering.running.say(f"listing {listings.kind}")
            corpus = getattr(arguments, listings.kind)
            options = metadata.MetadataOptions(listings.kind, corpus, folder, force=True)
            status = corpora.go_through(
                options, metadata.build, limit=rendering.limit, running=rendering.running
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


def _estimate(arguments: argparse.Namespace, rendering: RenderRequest, passed_on: Sequence[str]) -> None:
    """Lists into a folder that goes again, plans without gains, and estimates the rendering."""
    quiet = dataclasses.replace(rendering.running, quiet=True)
    with tempfile.TemporaryDirectory(prefix="mixtape-") as scratch:
        folders, status = _list_corpora(arguments, dataclasses.replace(rendering, running=quiet), scratch)
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
