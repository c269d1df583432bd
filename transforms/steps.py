"""The steps of pipelines that render and verify: shards in; committed files, or findings, out."""

import dataclasses

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms.finishing import PartSummary, finish_part, is_finished, read_summary
from transforms.plan import Shard
from transforms.sharding import RenderJob, ShardResult, process_shard
from transforms.storage import Listings
from transforms.verification import Mismatch, ShardCheck, check_shard


class _ProcessShard(beam.DoFn):
    """Renders one shard, or finds it in order."""

    def __init__(self, job: RenderJob) -> None:
        self._job = job

    def setup(self) -> None:
        self._listings = Listings()

    def process(self, shard: Shard) -> list[ShardResult]:
        result = process_shard(self._job, shard, self._listings)
        for name, amount in (
            ("items_written", result.written),
            ("items_rejected", result.rejected),
            (f"shards_{result.status}", 1),
            ("milliseconds", int(result.seconds * 1000)),
        ):
            Metrics.counter(RenderShards, name).inc(amount)
        return [result]


@dataclasses.dataclass
class RenderShards(beam.PTransform[beam.PCollection[Shard], beam.PCollection[ShardResult]]):
    """Decodes, mixes and writes shards; each is one element from here to the ledger.

    Audio never leaves the worker that decoded it. Shards whose ledger and files are in order are
    passed by. The plans of all parts must be stored in the output (``transforms.store_plan``).

    Attributes:
        job: output, roots, recipe and options.
    """

    job: RenderJob

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, shards: beam.PCollection[Shard]) -> beam.PCollection[ShardResult]:
        """Adds the steps."""
        rendered: beam.PCollection[ShardResult] = (
            shards
            | "Spread" >> beam.Reshuffle()
            # Shard, on whichever worker is free
            | "Process" >> beam.ParDo(_ProcessShard(self.job)).with_output_types(ShardResult)
            # ShardResult
        )
        return rendered


def _finish_part(part_name: str, job: RenderJob) -> PartSummary:
    """Merges a part unless it is merged already as this run wants it.

    Its summary speaks of the shards as they are: making any of them would have removed it.
    """
    stands = read_summary(job.tree, part_name)
    if stands is not None and is_finished(job, part_name, job.stored_plan(part_name).shard_count):
        return stands
    Metrics.counter(FinishParts, "parts_finished").inc()
    return finish_part(job, part_name)


@dataclasses.dataclass
class FinishParts(beam.PTransform[beam.PCollection[ShardResult], beam.PCollection[PartSummary]]):
    """Writes tables, indices and summaries of every part of which all shards have come through.

    Parts that are merged already as the job wants it are passed by.

    Attributes:
        job: output, roots, recipe and options.
    """

    job: RenderJob

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, results: beam.PCollection[ShardResult]) -> beam.PCollection[PartSummary]:
        """Adds the steps."""
        finished: beam.PCollection[PartSummary] = (
            results
            | "NamePart" >> beam.Map(lambda result: (result.part, 1)).with_output_types(tuple[str, int])
            # (part name, 1)
            | "AwaitAllShards" >> beam.CombinePerKey(sum)
            # (part name, shards seen)
            | "DropCount" >> beam.Keys()
            # part name
            | "Finish" >> beam.Map(_finish_part, job=self.job)
            # PartSummary
        )
        return finished


class _CheckShard(beam.DoFn):
    """Compares one shard with its ledger."""

    def __init__(self, job: RenderJob) -> None:
        self._job = job

    def setup(self) -> None:
        self._listings = Listings()

    def process(self, check: ShardCheck) -> tuple[Mismatch, ...]:
        result = check_shard(self._job, check, self._listings)
        for name, amount in (
            ("items_checked", result.items),
            ("files_checked", result.files),
            ("mismatches", len(result.mismatches)),
        ):
            Metrics.counter(VerifyShards, name).inc(amount)
        return result.mismatches


@dataclasses.dataclass
class VerifyShards(beam.PTransform[beam.PCollection[ShardCheck], beam.PCollection[Mismatch]]):
    """Compares shards with their ledgers: all sizes, and items on disk and rendered again.

    Attributes:
        job: output, roots, recipe and options, as the output was made.
    """

    job: RenderJob

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, checks: beam.PCollection[ShardCheck]) -> beam.PCollection[Mismatch]:
        """Adds the steps."""
        mismatches: beam.PCollection[Mismatch] = (
            checks
            | "Spread" >> beam.Reshuffle()
            # ShardCheck, on whichever worker is free
            | "Check" >> beam.ParDo(_CheckShard(self.job)).with_output_types(Mismatch)
            # Mismatch
        )
        return mismatches
