"""The report's table of speakers by how many utterances they have in use, and how often each is used."""

import bisect
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from transforms.report_charts import TableAxis, common_limits, shaded_table
from transforms.statistics import Histogram, SpeakerUse

MOST_COLUMNS = 9
MOST_ROWS = 10


@dataclass(frozen=True, slots=True)
class Grid:
    """Edges of cells of whole numbers; cell k holds ``edges[k] <= number < edges[k + 1]``.

    Attributes:
        utterances: edges of the columns, in utterances of a speaker.
        tenths: edges of the rows, in tenths of mean uses.
    """

    utterances: tuple[int, ...]
    tenths: tuple[int, ...]

    @classmethod
    def of(cls, uses: Sequence[SpeakerUse]) -> "Grid":
        """Returns cells of round sizes that show all speakers but 0.1 % at either end.

        Args:
            uses: of all parts that share the grid; at least one.
        """
        return cls(
            _round_edges(((use.utterances, use.speakers) for use in uses), MOST_COLUMNS),
            _round_edges(((use.tenths, use.speakers) for use in uses), MOST_ROWS),
        )

    def counts(self, uses: Iterable[SpeakerUse]) -> Counter[tuple[int, int]]:
        """Counts speakers by column and row; those beyond the edges are left out."""
        found: Counter[tuple[int, int]] = Counter()
        for use in uses:
            column = bisect.bisect(self.utterances, use.utterances) - 1
            row = bisect.bisect(self.tenths, use.tenths) - 1
            if 0 <= column < len(self.utterances) - 1 and 0 <= row < len(self.tenths) - 1:
                found[column, row] += use.speakers
        return found


def speaker_table(title: str, uses: Sequence[SpeakerUse], *, grid: Grid) -> tuple[str, int]:
    """Draws how many speakers have how many utterances in use, and how often each of these is used.

    Args:
        title: what the table is of, unique in a page.
        uses: of one part.
        grid: the cells.

    Returns:
        An ``<svg>`` element, and how many speakers lie beyond it.
    """
    counts = grid.counts(uses)
    one_each = grid.utterances[1] - grid.utterances[0] == 1
    across = TableAxis("utterances in use", tuple(map(str, grid.utterances)), centred=one_each)
    upwards = TableAxis("mean uses of each", tuple(f"{edge / 10:g}" for edge in grid.tenths))
    cells = "; ".join(
        f"{count} with {_span(grid.utterances[column], grid.utterances[column + 1])} utterances in use, "
        f"each {upwards.edges[row]} to {upwards.edges[row + 1]} times"
        for (column, row), count in sorted(counts.items())
    )
    svg = shaded_table(f"{title}. Speakers: {cells}", counts, across=across, upwards=upwards)
    return svg, sum(use.speakers for use in uses) - counts.total()


def _span(first: int, following: int) -> str:
    return f"{first}" if following == first + 1 else f"{first} to {following - 1}"


def _round_edges(counted: Iterable[tuple[int, int]], most: int) -> tuple[int, ...]:
    """Returns at most ``most + 1`` multiples of 1, 2 or 5 times a power of ten, round common limits."""
    histogram = Histogram("", 1.0)
    for number, speakers in counted:
        histogram.counts[number] = histogram.counts.get(number, 0) + speakers
    low, high = map(int, common_limits([histogram]))
    step = next(step for step in _round_steps() if -(-high // step) - low // step <= most)
    return tuple(range(low // step * step, -(-high // step) * step + 1, step))


def _round_steps() -> Iterator[int]:
    for power in itertools.count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)
