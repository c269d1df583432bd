"""The steps of rendering and verifying, in pipelines of their own, in all local running modes."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints import TypeCheckError

from tests.trees import PART, SMALL, Corpus, changed, contents, identities, make_corpus, render
from transforms.finishing import PartSummary, read_summary
from transforms.plan import Shard
from transforms.sharding import RenderJob, ShardResult, store_plan
from transforms.steps import FinishParts, RenderShards, VerifyShards
from transforms.verification import Mismatch, ShardCheck


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Five mixtures in shards of two; the source of the last is missing."""
    made = make_corpus(tmp_path_factory.mktemp("corpora"))
    made.utterance(5).unlink()
    return made


@pytest.fixture(scope="module")
def expected(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What rendering without a pipeline gives."""
    folder = tmp_path_factory.mktemp("expected")
    render(corpus.job(folder), corpus.mixtures)
    return contents(folder)


def counters(result: Any, transform: type) -> dict[str, int]:
    """Returns the committed counters of a transform."""
    found = result.metrics().query(MetricsFilter().with_namespace(_namespace(transform)))["counters"]
    return {counter.key.metric.name: counter.committed for counter in found}


def _namespace(transform: type) -> str:
    return f"{transform.__module__}.{transform.__name__}"


def run(flags: Sequence[str], build: Callable[[Any], object]) -> Any:
    """Builds and runs a pipeline; returns its result."""
    with test_pipeline.TestPipeline(options=PipelineOptions(flags)) as pipeline:
        build(pipeline)
    return pipeline.result


def rendering(job: RenderJob, shards: Sequence[Shard], check: Callable[..., object]) -> Callable[[Any], None]:
    """Returns what adds the rendering and merging of shards, and a check of results and summaries."""

    def build(pipeline: Any) -> None:
        results = pipeline | beam.Create(shards, reshuffle=False).with_output_types(Shard) | RenderShards(job)
        check(results, results | FinishParts(job))

    return build


def _result_facts(result: ShardResult) -> tuple[str, int, str, int, int]:
    assert result.seconds >= 0
    return (result.part, result.index, result.status, result.written, result.rejected)


def test_rendering_and_merging_in_every_mode(
    beam_mode: list[str], corpus: Corpus, expected: dict[str, bytes], tmp_path: Path
) -> None:
    job = corpus.job(tmp_path / "out")
    shards = store_plan(job, PART, corpus.mixtures).shards

    def check(results: Any, summaries: Any) -> None:
        facts = results | "Facts" >> beam.Map(_result_facts)
        wanted = [(PART.name, 0, "rendered", 2, 0), (PART.name, 1, "rendered", 2, 0)]
        assert_that(facts, equal_to([*wanted, (PART.name, 2, "rendered", 0, 1)]), label="Results")
        counts = summaries | "Counts" >> beam.Map(lambda one: (one.part.name, one.planned, one.written))
        assert_that(counts, equal_to([(PART.name, 5, 4)]), label="Summaries")

    result = run(beam_mode, rendering(job, shards, check))
    assert contents(tmp_path / "out") == expected
    found = counters(result, RenderShards)
    assert found.pop("milliseconds") >= 0
    assert found == {"items_written": 4, "items_rejected": 1, "shards_rendered": 3}
    assert counters(result, FinishParts) == {"parts_finished": 1}


def test_shards_that_stand_are_counted_as_kept(corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    shards = render(job, corpus.mixtures).plan.shards
    (tmp_path / "out/Libri2Mix/wav8k/min/train-100/s1/m0000.wav").unlink()
    result = run(["--runner=FnApiRunner"], rendering(job, shards, lambda *_: None))
    found = counters(result, RenderShards)
    assert (found["shards_rendered"], found["shards_kept"], found["items_written"]) == (1, 2, 4)


def _merged_again(job: RenderJob, shards: Sequence[Shard]) -> dict[str, int]:
    """Renders and merges once more, and returns what was counted."""
    result = run(["--runner=FnApiRunner"], rendering(job, shards, lambda *_: None))
    return counters(result, RenderShards) | counters(result, FinishParts)


def test_a_part_that_is_merged_as_wanted_is_passed_by(corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    shards = render(job, corpus.mixtures).plan.shards
    before = identities(tmp_path / "out/Libri2Mix")
    found = _merged_again(job, shards)
    assert (found["shards_kept"], found.get("parts_finished", 0)) == (3, 0)
    assert changed(before, tmp_path / "out/Libri2Mix") == set()


def test_a_part_of_which_paths_are_to_be_others_is_merged_again(corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    shards = render(job, corpus.mixtures).plan.shards
    moved = corpus.job(tmp_path / "out", dataclasses.replace(SMALL, table_paths="/mnt"))
    found = _merged_again(moved, shards)
    assert (found["shards_kept"], found["parts_finished"]) == (3, 1)
    table = tmp_path / "out/Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv"
    assert "m0000,/mnt/Libri2Mix/wav8k/min/train-100/mix_both/m0000.wav," in table.read_text()


def test_a_part_that_lost_a_table_is_merged_again(
    corpus: Corpus, expected: dict[str, bytes], tmp_path: Path
) -> None:
    job = corpus.job(tmp_path / "out")
    shards = render(job, corpus.mixtures).plan.shards
    (tmp_path / "out/Libri2Mix/wav8k/min/metadata/mixture_train-100_mix_both.csv").unlink()
    assert _merged_again(job, shards)["parts_finished"] == 1
    assert contents(tmp_path / "out") == expected


def test_a_part_whose_plan_lost_whole_shards_is_merged_again(corpus: Corpus, tmp_path: Path) -> None:
    """The shards that are left stand as they are, so nothing but the number of them tells."""
    job = corpus.job(tmp_path / "out", dataclasses.replace(SMALL, formats=("wav",)))
    render(job, corpus.mixtures)
    found = _merged_again(job, store_plan(job, PART, corpus.mixtures[:4]).shards)
    assert (found["shards_kept"], found["parts_finished"]) == (2, 1)
    merged = read_summary(job.tree, PART.name)
    assert merged is not None
    assert (merged.shards, merged.planned) == (2, 4)


def test_parts_are_merged_each_for_itself(corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    other = dataclasses.replace(PART, subset="dev")
    shards = [
        *store_plan(job, PART, corpus.mixtures).shards,
        *store_plan(job, other, corpus.mixtures[:1]).shards,
    ]

    def check(_: Any, summaries: Any) -> None:
        counts = summaries | "Counts" >> beam.Map(lambda one: (one.part.subset, one.shards, one.written))
        assert_that(counts, equal_to([("train-100", 3, 4), ("dev", 1, 1)]))

    result = run(["--runner=FnApiRunner"], rendering(job, shards, check))
    assert counters(result, FinishParts) == {"parts_finished": 2}


def test_no_shards_make_nothing(corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    run(
        ["--runner=FnApiRunner"],
        rendering(job, [], lambda _, summaries: assert_that(summaries, equal_to([]))),
    )
    assert not (tmp_path / "out").exists()


def test_verifying_in_every_mode(beam_mode: list[str], corpus: Corpus, tmp_path: Path) -> None:
    job = corpus.job(tmp_path / "out")
    rendering = render(job, corpus.mixtures)
    shards, ledgers = rendering.plan.shards, rendering.summary.ledgers
    before = identities(tmp_path / "out")
    checks = [
        ShardCheck(shards[0], ("m0000", "m0001"), ledgers[0]),
        ShardCheck(shards[1], ("m0003",), ledgers[1]),
    ]
    bad = "Libri2Mix/wav8k/max/train-100/mix_both/m0003.wav"
    data = bytearray((tmp_path / "out" / bad).read_bytes())
    data[-1] ^= 1
    (tmp_path / "out" / bad).write_bytes(data)
    unasked = tmp_path / "out/Libri2Mix/wav8k/max/train-100/s1/m0002.wav"
    unasked.write_bytes(b"not asked for".ljust(unasked.stat().st_size))

    def build(pipeline: Any) -> None:
        found = (
            pipeline | beam.Create(checks, reshuffle=False).with_output_types(ShardCheck) | VerifyShards(job)
        )
        wanted = Mismatch("m0003", bad, "its samples are not those that were written; render with --force")
        assert_that(found, equal_to([wanted]))

    result = run(beam_mode, build)
    files = 2 + 2 * len(("tar", "idx", "record")) * 2 + 3 * 2 * len(("s1", "s2", "noise", "clean", "both"))
    assert counters(result, VerifyShards) == {"items_checked": 3, "files_checked": files, "mismatches": 1}
    assert len(changed(before, tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("made", "element"),
    [(RenderShards, ShardCheck), (VerifyShards, Shard), (FinishParts, Shard), (RenderShards, int)],
)
def test_wrong_elements_are_refused_while_building(
    corpus: Corpus, tmp_path: Path, made: Any, element: type
) -> None:
    pipeline = test_pipeline.TestPipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    elements = pipeline | beam.Create([], reshuffle=False).with_output_types(element)
    with pytest.raises(TypeCheckError, match=element.__name__):
        elements | made(corpus.job(tmp_path))


@pytest.mark.parametrize(
    ("made", "element", "output"),
    [
        (RenderShards, Shard, ShardResult),
        (FinishParts, ShardResult, PartSummary),
        (VerifyShards, ShardCheck, Mismatch),
    ],
)
def test_elements_are_typed(corpus: Corpus, tmp_path: Path, made: Any, element: type, output: type) -> None:
    pipeline = test_pipeline.TestPipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    elements = pipeline | beam.Create([], reshuffle=False).with_output_types(element)
    assert (elements | made(corpus.job(tmp_path))).element_type is output


def test_a_failure_that_no_source_caused_ends_the_run_and_names_the_item(
    beam_mode: list[str], corpus: Corpus, tmp_path: Path
) -> None:
    job = corpus.job(tmp_path / "out")
    shards = store_plan(job, PART, corpus.mixtures).shards
    blocked = tmp_path / "out/Libri2Mix/wav8k/min/train-100"
    blocked.mkdir(parents=True)
    (blocked / "noise").write_text("in the way")
    with pytest.raises(Exception, match=r"item m000\d: cannot write .*a file stands where a folder"):
        run(beam_mode, rendering(job, shards, lambda *_: None))
