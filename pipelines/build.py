"""``mixtape build librimix``: metadata, plan and render in one go, each step only where needed."""

import argparse
import dataclasses

from pipelines import augment, metadata, render
from pipelines.checks import Checker
from transforms import storage
from transforms.corpora import librimix
from transforms.plan import Mixture, Part

LISTINGS = {"librispeech": "metadata/LibriSpeech", "wham": "metadata/Wham_noise"}
PLANS = "metadata"


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    request = render.make_request(checker, {}, passed_on)
    statuses = [_list_corpus(arguments, passed_on, kind) for kind in LISTINGS]
    plan_status, plans = _plan(arguments, passed_on)
    if arguments.dry_run:
        return 0
    status = render.render(dataclasses.replace(request, plans=plans))
    return max(*statuses, plan_status, status)


__all__ = ["Mixture", "Part", "augment", "librimix", "metadata", "storage"]
