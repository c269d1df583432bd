"""The steps of a planning pipeline: planned mixtures in, measured gains and plan files out."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms.audio import SourceReader
from transforms.errors import SourceError, StorageError
from transforms.loudness import normalised_gains
from transforms.plan import NOISE, WHOLE, Mixture
from transforms.planning.librimix import PlannedMixture, to_mixture
from transforms.planning.plan_files import PlanFiles
from transforms.planning.plan_work import PlanRow, read_rows, with_facts
from transforms.recipes import LIBRIMIX
from transforms.rejects import Reject
from transforms.storage import OutputTree


@dataclass(frozen=True)
class GainRow:
    """What became of a planned mixture: a mixture with gains, or a reject.

    Attributes:
        listing: name of the speech listing that it is made from.
        number: its place in that listing's plan, from 0.
        result: the mixture or the reject.
    """

    listing: str
    number: int
    result: Mixture | Reject


def measure_mixture(planned: PlannedMixture, reader: SourceReader) -> Mixture:
    """Reads a planned mixture's audio and returns the mixture with its gains.

    Raises:
        SourceError: a source cannot serve, or is silent or too short to have a loudness.
    """
    sources = to_mixture(planned).sources
    speech = [reader.read(source, WHOLE) for source in sources if source.role != NOISE]
    noise = reader.read(sources[-1], max(map(len, speech)))
    names = [source.name for source in sources]
    rate_hz = LIBRIMIX.rules.source_rate_hz
    gains = normalised_gains([*speech, noise], planned.targets_lufs, rate_hz, names=names)
    return to_mixture(planned, gains)


class _Measure(beam.DoFn):
    def __init__(self, roots: Mapping[str, str]) -> None:
        self._roots = roots

    def process(self, row: PlanRow) -> Iterator[GainRow]:
        reader = SourceReader(self._roots, LIBRIMIX.rules.source_rate_hz)
        try:
            mixture = measure_mixture(row.planned, reader)
        except SourceError as error:
            Metrics.counter(MeasureGains, "items_rejected").inc()
            yield GainRow(row.listing, row.number, Reject.of(row.planned.id, error))
        else:
            Metrics.counter(MeasureGains, "items_measured").inc()
            yield GainRow(row.listing, row.number, mixture)


@dataclasses.dataclass
class ReadPlanRows(beam.PTransform[beam.PCollection[str], beam.PCollection[PlanRow]]):
    """Reads the mixtures to be measured out of the files that the launcher stored them in.

    Attributes:
        tree: the output, which has the files.
    """

    tree: OutputTree

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, names: beam.PCollection[str]) -> beam.PCollection[PlanRow]:
        """Adds the step."""
        rows: beam.PCollection[PlanRow] = (
            names | "Read" >> beam.FlatMap(read_rows, self.tree).with_output_types(PlanRow)
            # PlanRow
        )
        return rows


@dataclasses.dataclass
class MeasureGains(beam.PTransform[beam.PCollection[PlanRow], beam.PCollection[GainRow]]):
    """Measures loudness and peaks of planned mixtures and works out their published gains.

    Attributes:
        roots: URL of each corpus root by name.
    """

    roots: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rows: beam.PCollection[PlanRow]) -> beam.PCollection[GainRow]:
        """Adds the steps."""
        measured: beam.PCollection[GainRow] = (
            rows
            | "Spread" >> beam.Reshuffle()
            # PlanRow, on whichever worker is free
            | "Measure" >> beam.ParDo(_Measure(self.roots)).with_output_types(GainRow)
            # GainRow
        )
        return measured


@dataclasses.dataclass
class WritePlans(beam.PTransform[beam.PCollection[GainRow], beam.PCollection[None]]):
    """Writes the plan of every listing when all of its mixtures were measured, now or before.

    Attributes:
        files: where and how; they know what was measured before, or ``plan_work`` has stored it.
        listings: names of all listings, so that one without any mixture gets its empty plan.
    """

    files: PlanFiles
    listings: Sequence[str]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rows: beam.PCollection[GainRow]) -> beam.PCollection[None]:
        """Adds the steps; yields a None per listing."""
        named = rows | "NameListing" >> beam.Map(lambda row: (row.listing, row))
        # (listing name, GainRow)
        all_listings = rows.pipeline | "AllListings" >> beam.Create([(name, None) for name in self.listings])
        # (listing name, None)
        written: beam.PCollection[None] = (
            (named, all_listings)
            | "Merge" >> beam.Flatten()
            | "AwaitAll" >> beam.GroupByKey()
            # (listing name, GainRows in any order and a None)
            | "WritePlan" >> beam.MapTuple(self._write)
            # None
        )
        return written

    def _write(self, listing: str, rows: Iterable[GainRow | None]) -> None:
        files = with_facts(self.files, listing)
        results = files.kept_rows(listing)
        results |= {row.number: row.result for row in rows if row is not None}
        if len(results) < len(files.rows[listing]):
            lost = "the gains that an earlier run measured are not there any more; run the same command again"
            raise StorageError(files.tree.url(), f"{listing}: {lost}")
        files.write(listing, [results[number] for number in sorted(results)])
        Metrics.counter(WritePlans, "plans_written").inc()
