"""The steps of a pipeline that exports: views and shards in, the files that were written out."""

import dataclasses
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms.exports import EXPORTS
from transforms.exports.base import View
from transforms.exports.lhotse import write_shar
from transforms.storage import OutputTree


@dataclasses.dataclass(frozen=True)
class ShardOfView:
    """A shard of one part, at one rate and mode.

    Attributes:
        view: of what.
        index: number of the shard.
    """

    view: View
    index: int


@dataclasses.dataclass
class WriteLists(beam.PTransform[beam.PCollection[View], beam.PCollection[str]]):
    """Writes the lists of each view for one tool, and returns their places.

    Attributes:
        target: the tool, by its name among the exports.
        to: URL of the folder that they go to.
    """

    target: str
    to: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, views: beam.PCollection[View]) -> beam.PCollection[str]:
        """Adds the steps."""
        written: beam.PCollection[str] = (
            views
            | "Spread" >> beam.Reshuffle()
            # View, on whichever worker is free
            | "Write" >> beam.FlatMap(_write_lists, self.target, self.to).with_output_types(str)
            # place of a file
        )
        return written


@dataclasses.dataclass
class PackShar(beam.PTransform[beam.PCollection[ShardOfView], beam.PCollection[str]]):
    """Packs the WAV files of shards into archives for Lhotse, and returns their places.

    Attributes:
        to: URL of the folder that they go to.
    """

    to: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, shards: beam.PCollection[ShardOfView]) -> beam.PCollection[str]:
        """Adds the steps."""
        written: beam.PCollection[str] = (
            shards
            | "Spread" >> beam.Reshuffle()
            # ShardOfView, on whichever worker is free
            | "Pack" >> beam.FlatMap(_pack, self.to).with_output_types(str)
            # place of a file
        )
        return written


def _write_lists(view: View, target: str, to: str) -> Sequence[str]:
    written = EXPORTS[target].write(view, OutputTree(to))
    Metrics.counter(WriteLists, "lists_written").inc(len(written))
    return written


def _pack(shard: ShardOfView, to: str) -> Sequence[str]:
    written = write_shar(shard.view, shard.index, OutputTree(to))
    Metrics.counter(PackShar, "archives_written").inc(len(written))
    return written
