"""PlanMixtures: the same plans in every local running mode, and what a plan on disk says."""

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from transforms.errors import StorageError
from transforms.listing import AudioFile, audio_files_csv
from transforms.plan import StoredPlan
from transforms.planning.mixture_config import MixturesConfig, read_config
from transforms.planning.mixture_corpus import SubsetCorpus
from transforms.planning.mixture_steps import (
    ListingUrls,
    PlanMixtures,
    PlannedSubset,
    plan_path,
    write_subset,
)
from transforms.planning.mixtures import plan_subset
from transforms.storage import OutputTree

OPTIONS = {"count": "train:25 dev:10", "subsets": "train:1 dev:1", "clip": "reject", "corpus": "mine"}


@pytest.fixture
def urls(tmp_path: Path) -> ListingUrls:
    speech = [
        AudioFile(f"{s}/{u}.wav", 16000, 1, 32000 + u, "WAV", "PCM_16", f"r{s}")
        for s in range(20)
        for u in range(3)
    ]
    noise = [AudioFile(f"n{n}.wav", 16000, 1, 99999, "WAV", "PCM_16") for n in range(20)]
    (tmp_path / "speech.csv").write_bytes(audio_files_csv(speech))
    (tmp_path / "noise.csv").write_bytes(audio_files_csv(noise))
    return ListingUrls(str(tmp_path / "speech.csv"), str(tmp_path / "noise.csv"))


@pytest.fixture
def config() -> MixturesConfig:
    return read_config(OPTIONS)


def test_listings_that_are_not_given_are_empty(urls: ListingUrls) -> None:
    listings = ListingUrls(urls.speech).read()
    assert (len(listings.speech), listings.noise, listings.rooms) == (60, [], [])


def test_a_missing_listing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.csv: no such file"):
        ListingUrls(str(tmp_path / "none.csv")).read()


def test_a_stored_plan_holds_what_was_planned(
    tmp_path: Path, urls: ListingUrls, config: MixturesConfig
) -> None:
    corpus = SubsetCorpus.of(config, urls.read(), "train")
    written = write_subset(config, corpus, OutputTree(str(tmp_path)), shard_size=10)
    items = list(plan_subset(config, corpus))
    hours = sum(item.length_samples for item in items) / 16000 / 3600
    assert written == PlannedSubset("train", "mine/mine_train.parquet", 25, hours)
    stored = StoredPlan.open(str(tmp_path / written.path))
    assert (stored.part.recipe, stored.part.corpus, stored.part.subset) == ("mixtures", "mine", "train")
    assert (stored.shard_count, stored.mixture_count) == (3, 25)
    assert stored.settings == {"rate_hz": 16000, "clip": "reject"}
    assert list(stored.read_all()) == [item.mixture for item in items]


def test_plans_are_the_same_in_all_running_modes(
    tmp_path: Path, urls: ListingUrls, config: MixturesConfig, beam_mode: list[str]
) -> None:
    with beam.Pipeline(options=PipelineOptions(beam_mode)) as pipeline:
        planned = (
            pipeline
            | beam.Create(["train", "dev"])
            | PlanMixtures(config, urls, str(tmp_path / "beam"), shard_size=10)
        )
        counts = planned | beam.Map(lambda subset: (subset.subset, subset.path, subset.mixtures))
        assert_that(
            counts,
            equal_to([("train", "mine/mine_train.parquet", 25), ("dev", "mine/mine_dev.parquet", 10)]),
        )
    for subset in ("train", "dev"):
        corpus = SubsetCorpus.of(config, urls.read(), subset)
        write_subset(config, corpus, OutputTree(str(tmp_path / "plain")), shard_size=10)
        path = plan_path(config, subset)
        assert (tmp_path / "beam" / path).read_bytes() == (tmp_path / "plain" / path).read_bytes()


def test_items_are_counted(tmp_path: Path, urls: ListingUrls, config: MixturesConfig) -> None:
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    _ = pipeline | beam.Create(["train", "dev"]) | PlanMixtures(config, urls, str(tmp_path))
    result = pipeline.run()
    result.wait_until_finish()
    (counter,) = (
        found for found in result.metrics().query()["counters"] if found.key.metric.name == "items_planned"
    )
    assert (counter.key.metric.namespace.rpartition(".")[2], counter.result) == ("PlanMixtures", 35)
