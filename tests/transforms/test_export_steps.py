"""Exporting on Beam: each view and each shard is one element."""

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from tests import trees
from transforms.export_steps import PackShar, ShardOfView, WriteLists
from transforms.exports.base import View, views_of
from transforms.exports.lhotse import shar_shards
from transforms.storage import OutputTree


def views(folder: Path) -> list[View]:
    corpus = trees.make_corpus(folder / "in")
    job = corpus.job(folder / "out")
    trees.render(job, corpus.mixtures)
    return views_of(job, corpus.part)


def run(flags: list[str], build: Callable[[beam.Pipeline], object]) -> dict[str, int]:
    pipeline = beam.Pipeline(options=PipelineOptions(flags))
    build(pipeline)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query(MetricsFilter())["counters"]
    return {counter.key.metric.name: counter.result for counter in counters}


def test_lists_are_written_in_all_running_modes(beam_mode: list[str], tmp_path: Path) -> None:
    found = views(tmp_path)
    to = tmp_path / "lists"
    counters = run(
        beam_mode,
        lambda pipeline: pipeline | beam.Create(found) | WriteLists("asteroid", str(to)),
    )
    assert counters["lists_written"] == 4
    assert [path for path in trees.files(to) if not path.startswith("_mixtape")] == [
        f"Libri2Mix/wav8k/{mode}/train-100/mixture_train-100_{mix_type}.csv"
        for mode in ("max", "min")
        for mix_type in ("mix_both", "mix_clean")
    ]


def test_shards_are_packed_in_all_running_modes(beam_mode: list[str], tmp_path: Path) -> None:
    shards = [ShardOfView(view, index) for view in views(tmp_path) for index in shar_shards(view)]
    to = OutputTree(str(tmp_path / "lists"))
    counters = run(beam_mode, lambda pipeline: pipeline | beam.Create(shards) | PackShar(to.root))
    assert counters["archives_written"] == 2 * 3 * 6
    names = to.names("Libri2Mix/wav8k/max/shar_train-100")
    assert [name for name in names if name.startswith("cuts")] == [
        f"cuts.00000{n}.jsonl.gz" for n in range(3)
    ]
