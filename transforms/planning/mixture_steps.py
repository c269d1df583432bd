"""The steps of a ``mixtures`` planning pipeline: names of subsets in, stored plans out."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms.listing import AudioFile, read_audio_files
from transforms.plan import Mixture, write_plan
from transforms.planning.mixture_config import MixturesConfig
from transforms.planning.mixture_corpus import Listings, SubsetCorpus
from transforms.planning.mixtures import part_of, plan_licences, plan_settings, plan_subset
from transforms.storage import OutputTree


@dataclass(frozen=True)
class ListingUrls:
    """Where the listings are; what travels to workers.

    Attributes:
        speech: URL of the listing of utterances.
        noise: URL of the listing of noises; empty for mixtures without noise.
        rooms: URL of the listing of impulse responses; empty for dry mixtures.
    """

    speech: str
    noise: str = ""
    rooms: str = ""

    def read(self) -> Listings:
        """Reads the listings. Raises StorageError or UsageError."""
        return Listings(_rows(self.speech), _rows(self.noise), _rows(self.rooms))


def _rows(url: str) -> list[AudioFile]:
    return read_audio_files(url) if url else []


@dataclass(frozen=True)
class PlannedSubset:
    """A stored plan.

    Attributes:
        subset: the subset.
        path: the plan in the output.
        mixtures: how many it holds.
        hours: how long they are together.
    """

    subset: str
    path: str
    mixtures: int
    hours: float


def plan_path(config: MixturesConfig, subset: str) -> str:
    """Returns the place of a subset's plan in an output."""
    return f"{config.corpus}/{config.corpus}_{subset}.parquet"


def write_subset(
    config: MixturesConfig, corpus: SubsetCorpus, tree: OutputTree, *, shard_size: int
) -> PlannedSubset:
    """Plans a subset and stores it, a shard at a time.

    Args:
        config: without problems.
        corpus: the subset's sources.
        tree: the output.
        shard_size: mixtures per shard.

    Raises:
        StorageError: it cannot be written.
    """
    count = samples = 0

    def mixtures() -> Iterator[Mixture]:
        nonlocal count, samples
        for item in plan_subset(config, corpus):
            count += 1
            samples += item.length_samples
            yield item.mixture

    path, part = plan_path(config, corpus.subset), part_of(config, corpus.subset)
    settings, licences = plan_settings(config), plan_licences(corpus)
    write_plan(tree, path, part, mixtures(), shard_size=shard_size, settings=settings, licences=licences)
    return PlannedSubset(corpus.subset, path, count, samples / config.rate_hz / 3600.0)


class _PlanSubset(beam.DoFn):
    def __init__(self, config: MixturesConfig, urls: ListingUrls, out: str, *, shard_size: int) -> None:
        self._config = config
        self._urls = urls
        self._out = out
        self._shard_size = shard_size

    def setup(self) -> None:
        self._listings = self._urls.read()
        self._tree = OutputTree(self._out)

    def process(self, subset: str) -> Iterator[PlannedSubset]:
        corpus = SubsetCorpus.of(self._config, self._listings, subset)
        planned = write_subset(self._config, corpus, self._tree, shard_size=self._shard_size)
        Metrics.counter(PlanMixtures, "items_planned").inc(planned.mixtures)
        yield planned


@dataclasses.dataclass
class PlanMixtures(beam.PTransform[beam.PCollection[str], beam.PCollection[PlannedSubset]]):
    """Plans subsets, given their names, each on one worker from first to last.

    A plan is one Parquet file, which has one writer. Planning takes some 100 to 150 microseconds a
    mixture with the writing, so a subset of a million takes its worker two to three minutes; subsets
    are planned side by side. Only the file's footer grows with the plan, by 33 kB of memory per shard.

    Attributes:
        config: without problems, see ``transforms.planning.mixtures.problems``.
        urls: the listings.
        out: URL of the output.
        shard_size: mixtures per shard.
    """

    config: MixturesConfig
    urls: ListingUrls
    out: str
    shard_size: int = 100

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, subsets: beam.PCollection[str]) -> beam.PCollection[PlannedSubset]:
        """Adds the steps."""
        planning = beam.ParDo(_PlanSubset(self.config, self.urls, self.out, shard_size=self.shard_size))
        planned: beam.PCollection[PlannedSubset] = (
            subsets
            | "Spread" >> beam.Reshuffle()
            # subset, on whichever worker is free
            | "PlanSubset" >> planning.with_output_types(PlannedSubset)
            # PlannedSubset
        )
        return planned
