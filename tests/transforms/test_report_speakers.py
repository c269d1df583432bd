"""The table of speakers: its cells hold everybody, are round, and say what they hold."""

import itertools
import re
from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.report_charts import TableAxis, shaded_table
from transforms.report_speakers import MOST_COLUMNS, MOST_ROWS, Grid, speaker_table
from transforms.statistics import SpeakerUse

USES = st.lists(
    st.builds(SpeakerUse, st.integers(1, 3000), st.integers(10, 50_000), st.integers(1, 100)),
    min_size=1,
    max_size=50,
)
FEW = [SpeakerUse(1, 10, 4), SpeakerUse(2, 10, 1), SpeakerUse(2, 25, 2)]


def is_round(step: int) -> bool:
    return str(step).rstrip("0") in {"1", "2", "5"}


@given(USES)
def test_cells_are_round_few_and_alike(uses: list[SpeakerUse]) -> None:
    grid = Grid.of(uses)
    for edges, most in ((grid.utterances, MOST_COLUMNS), (grid.tenths, MOST_ROWS)):
        (step,) = {after - before for before, after in itertools.pairwise(edges)}
        assert is_round(step)
        assert edges[0] % step == 0
        assert most / 5 <= len(edges) - 1 <= most


@given(USES)
def test_counts_against_looking_for_every_speaker(uses: list[SpeakerUse]) -> None:
    grid = Grid.of(uses[: len(uses) // 2 + 1])
    expected: Counter[tuple[int, int]] = Counter()
    for (column, (left, right)), (row, (low, high)) in itertools.product(
        enumerate(itertools.pairwise(grid.utterances)), enumerate(itertools.pairwise(grid.tenths))
    ):
        inside = (use for use in uses if left <= use.utterances < right and low <= use.tenths < high)
        expected[column, row] = sum(use.speakers for use in inside)
    assert grid.counts(uses) == expected


@given(USES)
def test_nearly_everybody_is_in_the_table(uses: list[SpeakerUse]) -> None:
    everybody = sum(use.speakers for use in uses)
    assert Grid.of(uses).counts(uses).total() >= 0.996 * everybody - 4


def test_few_utterances_have_a_column_each() -> None:
    grid = Grid.of(FEW)
    assert grid.utterances == tuple(range(9))
    assert {edge % 2 for edge in grid.tenths} == {0}


def test_a_table_tells_what_it_holds_and_what_not() -> None:
    grid = Grid((1, 2, 6), (10, 20, 30))
    svg, beyond = speaker_table("Speakers, dev", [*FEW, SpeakerUse(6, 10, 7)], grid=grid)
    assert beyond == 7
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == (
        "Speakers, dev. Speakers: 4 with 1 utterances in use, each 1 to 2 times; "
        "1 with 2 to 5 utterances in use, each 1 to 2 times; "
        "2 with 2 to 5 utterances in use, each 2 to 3 times"
    )
    texts = [text.text for text in root.iter("text")]
    assert Counter(texts) >= Counter(["4", "1", "2", "utterances in use", "mean uses of each"])


def cells_of(svg: str) -> list[tuple[float, float]]:
    """Returns opacity and left edge of every cell that is drawn, in the order of drawing."""
    found = re.findall(r'<path d="M (\S+) [^"]*"[^>]*fill: var\(--bar\); opacity: ([\d.]+)', svg)
    return [(float(opacity), float(left)) for left, opacity in found]


AXIS = TableAxis("x", ("0", "10", "20", "30"))


def test_cells_are_the_darker_the_more_they_hold_and_empty_ones_are_not_drawn() -> None:
    counts = {(0, 0): 1, (1, 0): 50, (2, 0): 100, (1, 1): 0}
    (first, left), (second, middle), (third, right) = cells_of(
        shaded_table("t", counts, across=AXIS, upwards=AXIS)
    )
    assert 0.1 < first < second < third <= 0.6
    assert middle - left == pytest.approx(right - middle, abs=0.1)


@pytest.mark.parametrize(("count", "text"), [(9999, "9999"), (10_000, "10k"), (123_456, "123k")])
def test_numbers_stay_inside_their_cells(count: int, text: str) -> None:
    svg = shaded_table("t", {(0, 0): count}, across=AXIS, upwards=AXIS)
    assert text in [one.text for one in ElementTree.fromstring(svg).iter("text")]


def test_names_stand_at_edges_or_where_cells_hold_one_number_in_the_middle() -> None:
    assert AXIS.ticks == ([0, 1, 2, 3], ("0", "10", "20", "30"))
    assert TableAxis("x", ("0", "1", "2"), centred=True).ticks == ([0.5, 1.5], ("0", "1"))


def test_a_table_takes_its_colours_from_the_page_and_is_the_same_every_time() -> None:
    first, second = (shaded_table("t", {(0, 0): 3}, across=AXIS, upwards=AXIS) for _ in range(2))
    assert first == second
    assert "currentColor" in first
    assert set(re.findall(r"#[0-9a-f]{6}\b", first)) <= {"#ffffff"}
