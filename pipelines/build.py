"""``mixtape build librimix``: metadata, plan and render in one go, each doing only what is needed."""

import argparse
import dataclasses
from collections.abc import Mapping

from pipelines import corpora, metadata, plan, render
from pipelines.checks import Checker
from pipelines.runner import Running
from transforms import storage
from transforms.corpora import librimix
from transforms.errors import UsageError
from transforms.rejects import RejectLimit

LISTINGS: Mapping[str, tuple[metadata.CorpusKind, str]] = {
    "librispeech_metadata": ("librispeech", "metadata/LibriSpeech"),
    "wham_metadata": ("wham", "metadata/Wham_noise"),
}
PLANS = "metadata"


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    for name in ("librispeech", "wham"):
        checker.folder(name)
    rendering = render.make_request(checker, {}, passed_on)
    if arguments.dry_run:
        print("build: the options are good; nothing was written")
        return 0
    listings, listing_status = _list_corpora(arguments, rendering.limit, rendering.running)
    planning = plan.make_request(Checker(_planning_arguments(arguments, listings)), passed_on)
    subsets = planning.subsets()
    plan_status = plan.write_plans(planning, subsets)
    urls = [
        storage.join(planning.out, librimix.plan_path(subset.listing_name, planning.speakers))
        for subset in subsets
        if subset.mixtures
    ]
    plans = dict(map(librimix.read_plan, urls))
    return max(listing_status, plan_status, render.render(dataclasses.replace(rendering, plans=plans)))


def _list_corpora(
    arguments: argparse.Namespace, limit: RejectLimit, running: Running
) -> tuple[dict[str, str], int]:
    """Lists the corpora for which no listings are given; returns where they are, and the status."""
    folders: dict[str, str] = {}
    statuses = [0]
    for name, (kind, path) in LISTINGS.items():
        folders[name] = getattr(arguments, name) or storage.join(arguments.out, path)
        if not getattr(arguments, name):
            options = metadata.MetadataOptions(kind, getattr(arguments, kind), folders[name], force=True)
            running.say(f"listing {kind}")
            if problems := options.check():
                raise UsageError(problems)
            statuses.append(
                corpora.go_through(options, metadata.build, out=folders[name], limit=limit, running=running)
            )
    return folders, max(statuses)


def _planning_arguments(arguments: argparse.Namespace, listings: Mapping[str, str]) -> argparse.Namespace:
    """Returns the command line that ``plan`` would have for this build."""
    out = storage.join(arguments.out, PLANS)
    return argparse.Namespace(**{**vars(arguments), **listings, "out": out})
