"""What is written adds up: the bound, what clipping hides, and what must not stay unseen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms.audio import QUANTISERS, Pcm
from transforms.recipes import Quantiser
from transforms.sums import allowed_difference, difference_from_sum, mix_down, sums_problem

RULES: tuple[Quantiser, ...] = ("round", "floor", "truncate")


def pcm(*values: int) -> Pcm:
    return np.array(values, dtype=np.int16)


def signals(
    draw: np.random.Generator, count: int, samples: int, level: float
) -> dict[str, NDArray[np.float64]]:
    return {f"s{k + 1}": draw.uniform(-level, level, samples) for k in range(count)}


def slow_difference(mixture: Sequence[int], references: Sequence[Sequence[int]], *, clips: bool) -> int:
    """Sample by sample in whole numbers of any size."""
    worst = 0
    for values in zip(mixture, *references, strict=True):
        if clips and any(value in (-32768, 32767) for value in values):
            continue
        worst = max(worst, abs(values[0] - sum(values[1:])))
    return worst


@pytest.mark.parametrize(
    ("rule", "references", "allowed"),
    [("round", 1, 1), ("round", 2, 1), ("round", 3, 2), ("floor", 3, 3), ("truncate", 2, 2)],
)
def test_the_allowed_difference(rule: Quantiser, references: int, allowed: int) -> None:
    assert allowed_difference(rule, references) == allowed


@given(
    rule=st.sampled_from(RULES),
    count=st.integers(1, 5),
    seed=st.integers(0, 1000),
    single=st.booleans(),
    level=st.sampled_from([0.001, 0.19, 0.7]),
)
def test_what_is_quantised_adds_up(
    rule: Quantiser, count: int, seed: int, single: bool, level: float
) -> None:
    made = signals(np.random.default_rng(seed), count, 50, level)
    streams = {name: one.astype(np.float32) if single else one for name, one in made.items()}
    mixed = mix_down(streams, {"mix": tuple(streams)}, 50)
    quantised = {name: QUANTISERS[rule](one) for name, one in {**streams, **mixed}.items()}
    assert sums_problem(quantised, {"mix": tuple(streams)}, rule, clips=True) is None
    if level * count < 1:
        assert sums_problem(quantised, {"mix": tuple(streams)}, rule, clips=False) is None


@given(
    st.integers(1, 4).flatmap(
        lambda count: st.lists(
            st.lists(st.integers(-32768, 32767), min_size=count + 1, max_size=count + 1),
            min_size=1,
            max_size=8,
        )
    ),
    st.booleans(),
)
def test_the_difference_is_that_of_a_slow_sum(rows: list[list[int]], clips: bool) -> None:
    columns = list(zip(*rows, strict=True))
    slow = slow_difference(columns[0], columns[1:], clips=clips)
    found = difference_from_sum(
        pcm(*columns[0]), [pcm(*column) for column in columns[1:]], clips=clips, within=0
    )
    assert found == slow or slow > 32768
    if slow > 32768:
        assert found <= 32768


@pytest.mark.parametrize("change", [2, -2, 1000, 65535])
@pytest.mark.parametrize("place", [0, 7, 15])
def test_one_wrong_sample_is_found(change: int, place: int) -> None:
    streams = {"s1": np.arange(16, dtype=np.int16), "s2": np.full(16, -3, dtype=np.int16)}
    wrong = (streams["s1"] + streams["s2"]).astype(np.int64)
    wrong[place] = (wrong[place] + change + 32768) % 65536 - 32768
    problem = sums_problem(
        {**streams, "mix": wrong.astype(np.int16)}, {"mix": ("s1", "s2")}, "round", clips=False
    )
    if change == 65535:
        assert problem is None
    else:
        wanted = (
            f"mix differs from the sum of its 2 references by {abs(change)} steps of 16 bit, wanted 1 at most"
        )
        assert problem == wanted


def test_clipped_samples_hide_a_difference_only_where_streams_may_clip() -> None:
    streams: Mapping[str, Pcm] = {"s1": pcm(30000, 5), "s2": pcm(30000, 5), "mix": pcm(32767, 10)}
    members = {"mix": ("s1", "s2")}
    assert sums_problem(streams, members, "floor", clips=True) is None
    assert "by 27233 steps" in (sums_problem(streams, members, "floor", clips=False) or "")
    streams = {**streams, "mix": pcm(32767, 20)}
    assert "by 10 steps" in (sums_problem(streams, members, "floor", clips=True) or "")


def test_a_clipped_reference_hides_the_same() -> None:
    streams = {"s1": pcm(-32768), "s2": pcm(20000), "mix": pcm(-30000)}
    assert sums_problem(streams, {"mix": ("s1", "s2")}, "floor", clips=True) is None


def test_every_mixture_is_looked_at() -> None:
    streams = {"s1": pcm(1), "s2": pcm(2), "mix_clean": pcm(3), "mix_single": pcm(9)}
    members = {"mix_clean": ("s1", "s2"), "mix_single": ("s1",)}
    assert (sums_problem(streams, members, "round", clips=False) or "").startswith("mix_single differs")


def test_nothing_adds_up_to_nothing() -> None:
    assert difference_from_sum(pcm(), [pcm(), pcm()], clips=True, within=0) == 0
