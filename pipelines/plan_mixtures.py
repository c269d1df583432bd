"""``mixtape plan mixtures``: listings and distributions in, plans of any size out."""

import argparse
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import yaml

from pipelines.checks import Checker
from pipelines.output import check_writable
from pipelines.plan_mixtures_arguments import LISTING_FLAGS
from pipelines.runner import counted, duration, run_pipeline
from transforms import storage
from transforms.errors import MixtapeError, UsageError
from transforms.planning.mixture_config import (
    OPTIONS,
    MixturesConfig,
    config_texts,
    merged,
    read_config,
)
from transforms.planning.mixture_corpus import Listings, SubsetCorpus
from transforms.planning.mixture_steps import ListingUrls, PlanMixtures, PlannedSubset, plan_path
from transforms.planning.mixtures import problems
from transforms.storage import OutputTree


@dataclass(frozen=True)
class PlanMixturesOptions:
    """What to plan, of what, and where to.

    Attributes:
        config: what the mixtures shall be like.
        urls: the listings.
        out: URL of the folder that the plans are written to.
        shard_size: mixtures per shard.
    """

    config: MixturesConfig
    urls: ListingUrls
    out: str
    shard_size: int = 100

    @classmethod
    def of(cls, flags: Mapping[str, Any], *, out: str, shard_size: int = 100) -> "PlanMixturesOptions":
        """Puts flags and the configuration file that ``config`` among them names together.

        Args:
            flags: by the names of ``plan_mixtures_arguments``; those not given are None or missing.
            out: URL of the folder that the plans are written to.
            shard_size: mixtures per shard.

        Raises:
            StorageError: the configuration file cannot be read.
            UsageError: names all options that are not known or cannot be read.
        """
        known = (*OPTIONS, *LISTING_FLAGS)
        given = {name: flags[name] for name in known if name in flags}
        texts = merged(read_yaml(flags["config"]) if flags.get("config") else {}, given)
        urls = ListingUrls(*(texts.pop(name, "") for name in LISTING_FLAGS))
        return cls(read_config(texts), urls, out, shard_size)

    def check(self) -> list[str]:
        """Lists everything that makes the plans impossible; reads the listings, writes nothing."""
        found = []
        if not self.urls.speech:
            found.append("--speech is needed: a listing of utterances")
        if self.config.noises and not self.urls.noise:
            found.append("--noise is needed: a listing of noises; or plan without any (--noises 0)")
        if self.shard_size < 1:
            found.append(f"--shard-size {self.shard_size}: wanted 1 or more")
        if found:
            return found
        try:
            return problems(self.config, self.urls.read())
        except UsageError as error:
            return list(error.problems)
        except MixtapeError as error:
            return [str(error)]

    def effective(self) -> dict[str, str | int | float]:
        """Returns the effective configuration, with the listings; the same again as a ``--config``."""
        urls = zip(LISTING_FLAGS, (self.urls.speech, self.urls.noise, self.urls.rooms), strict=True)
        return {name: url for name, url in urls if url} | config_texts(self.config)

    @property
    def config_path(self) -> str:
        """Place of the effective configuration in the output."""
        return f"{self.config.corpus}/config.yaml"

    @property
    def plan_paths(self) -> dict[str, str]:
        """Places of the plans in the output, by subset."""
        return {subset: plan_path(self.config, subset) for subset in self.config.subsets.names}


def read_yaml(url: str) -> dict[str, Any]:
    """Reads a configuration file: options by name, all values as the texts that they are written as.

    YAML's own idea of numbers is not asked for: it takes ``2:30`` for a number to the base of 60.

    Raises:
        StorageError: it is missing or not text.
        UsageError: it is not YAML, or no mapping of options.
    """
    try:
        found = yaml.load(storage.read_text(url), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise UsageError(f"{url}: is not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise UsageError(f"{url}: wanted options such as 'count: 20000', one per line")
    return {name.replace("-", "_"): value for name, value in found.items()}


def config_yaml(options: PlanMixturesOptions) -> bytes:
    """Returns the effective configuration as a file that ``--config`` accepts."""
    text: str = yaml.safe_dump(options.effective(), sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def describe(options: PlanMixturesOptions) -> list[str]:
    """Says what each subset would be made of: the lines of a dry run. Reads the listings."""
    listings = options.urls.read()
    return [_description(options.config, listings, subset) for subset in options.config.subsets.names]


def _description(config: MixturesConfig, listings: Listings, subset: str) -> str:
    corpus = SubsetCorpus.of(config, listings, subset)
    speech, count = corpus.speech, config.count_of(subset)
    wanted = f"{config.hours_of(subset):.1f} h of" if count is None else f"{count:,}"
    return (
        f"{subset}: {wanted} mixtures would be planned of {len(speech.files):,} utterances "
        f"({speech.hours:.1f} h) by {len(speech.ring.sizes):,} speakers, {len(corpus.noise.files):,} noises "
        f"and {len(corpus.rooms.files):,} room responses"
    )


def build(pipeline: beam.Pipeline, options: PlanMixturesOptions) -> beam.PCollection[PlannedSubset]:
    """Adds the steps that plan all subsets and store the effective configuration beside the plans.

    Counter: ``items_planned``.

    Args:
        pipeline: gets the steps.
        options: already checked.
    """
    text = config_yaml(options)
    _ = (
        pipeline
        | "Configuration" >> beam.Create([text])
        # bytes
        | "WriteConfiguration" >> beam.Map(_write, tree=OutputTree(options.out), path=options.config_path)
        # None
    )
    planned: beam.PCollection[PlannedSubset] = (
        pipeline
        | "Subsets" >> beam.Create(options.config.subsets.names)
        # subset
        | "PlanMixtures" >> PlanMixtures(options.config, options.urls, options.out, options.shard_size)
        # PlannedSubset
    )
    return planned


def _write(data: bytes, tree: OutputTree, path: str) -> None:
    tree.write_if_changed(path, data)


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    running = checker.running(passed_on)
    out, shard_size = checker.needed("out"), checker.whole_number("shard_size")
    options = checker.attempt(
        lambda: PlanMixturesOptions.of(vars(arguments), out=out, shard_size=shard_size), None
    )
    if options is None:
        raise UsageError(checker.problems)
    checker.problems += options.check() if out else []
    checker.raise_problems()
    if arguments.dry_run:
        print("\n".join([*describe(options), "dry run: nothing was written"]))
        return 0
    started = time.monotonic()
    tree = OutputTree(out)
    check_writable(tree)
    with storage.only_run(tree):
        counters = run_pipeline(functools.partial(_build, options=options), running)
    running.say(
        f"planned {counted(counters.get('items_planned', 0), 'mixture')} in "
        f"{duration(time.monotonic() - started)}; see {tree.url(options.config.corpus)}"
    )
    return 0


def _build(pipeline: beam.Pipeline, *, options: PlanMixturesOptions) -> None:
    build(pipeline, options)
