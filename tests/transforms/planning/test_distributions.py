"""Distributions: text forms, quantiles and limits."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from transforms.errors import UsageError
from transforms.planning import distributions
from transforms.planning.distributions import Choice, Distribution, Fixed, Normal, Triangular, Uniform

numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e6)
shares = st.floats(0, 1, exclude_min=True, exclude_max=True)


def ascending(count: int) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=count, max_size=count, unique=True).map(sorted)


def limited_normal(mean: float, deviation: float, below: float, above: float) -> Normal:
    return Normal(mean, deviation, mean - below * deviation, mean + above * deviation)


steps = st.floats(0.1, 4)
any_distribution: st.SearchStrategy[Distribution] = st.one_of(
    st.builds(Fixed, numbers),
    ascending(2).map(lambda pair: Uniform(*pair)),
    st.builds(Normal, numbers, positive),
    st.builds(limited_normal, numbers, positive, steps, steps),
    ascending(3).map(lambda three: Triangular(*three)),
    st.lists(st.tuples(numbers, positive), min_size=1, max_size=5).map(
        lambda pairs: Choice(*map(tuple, zip(*pairs, strict=True)))
    ),
)


@given(any_distribution)
def test_the_text_form_reads_back(distribution: Distribution) -> None:
    again = distributions.parse(str(distribution))
    assert str(again) == str(distribution)
    grid = [again.quantile(share) for share in (0.01, 0.5, 0.99)]
    assert grid == pytest.approx([distribution.quantile(share) for share in (0.01, 0.5, 0.99)])


@given(any_distribution, shares, shares)
def test_quantiles_rise_and_stay_within_bounds(distribution: Distribution, one: float, two: float) -> None:
    low, high = distribution.bounds()
    slack = 1e-9 * max(1.0, *(abs(bound) for bound in (low, high, 0.0) if math.isfinite(bound)))
    first, second = (distribution.quantile(share) for share in sorted((one, two)))
    assert low - slack <= min(first, second) <= max(first, second) <= high + slack
    if isinstance(distribution, Choice):
        assert {first, second} <= set(distribution.values)
    else:
        assert first <= second + slack


@pytest.mark.parametrize(
    ("text", "expected", "bounds"),
    [
        ("3", Fixed(3), (3, 3)),
        (" -2.5 ", Fixed(-2.5), (-2.5, -2.5)),
        ("uniform(-5,15)", Uniform(-5, 15), (-5, 15)),
        (" uniform ( 0 , 1 ) ", Uniform(0, 1), (0, 1)),
        ("normal(0,3)", Normal(0, 3), (-math.inf, math.inf)),
        ("normal(0,3,-10,10)", Normal(0, 3, -10, 10), (-10, 10)),
        ("normal(0,3,-inf,10)", Normal(0, 3, -math.inf, 10), (-math.inf, 10)),
        ("triangular(0,5,10)", Triangular(0, 5, 10), (0, 10)),
        ("triangular(0,0,1)", Triangular(0, 0, 1), (0, 1)),
        ("choice(1,2,3)", Choice((1, 2, 3), (1, 1, 1)), (1, 3)),
        ("choice(2:0.6,3:0.4)", Choice((2, 3), (0.6, 0.4)), (2, 3)),
        ("choice(3, -1)", Choice((3, -1), (1, 1)), (-1, 3)),
    ],
)
def test_forms(text: str, expected: Distribution, bounds: tuple[float, float]) -> None:
    parsed = distributions.parse(text)
    assert parsed == expected
    assert parsed.bounds() == bounds
    assert str(parsed) == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"'' is no distribution; wanted a number, uniform\(-5,15\)"),
        ("gauss(0,1)", r"'gauss\(0,1\)' is no distribution"),
        ("uniform(1)", r"'uniform\(1\)' is no distribution"),
        ("uniform(1,2,3)", r"'uniform\(1,2,3\)' is no distribution"),
        ("uniform(a,b)", "is no distribution"),
        ("uniform(1,2", "is no distribution"),
        ("choice()", "is no distribution"),
        ("choice(1:0.5,2)", "is no distribution"),
        ("uniform(2,1)", r"uniform\(2,1\): wanted low < high, such as"),
        ("uniform(1,1)", r"uniform\(1,1\): wanted low < high"),
        ("normal(0,0)", r"normal\(0,0\): wanted deviation > 0"),
        ("normal(0,1,3,2)", r"normal\(0,1,3,2\): wanted deviation > 0 and low < high"),
        ("normal(0,1,nan,2)", "wanted deviation > 0 and low < high"),
        ("normal(0,1,40,41)", r"normal\(0,1,40,41\): next to no value lies between its limits"),
        ("triangular(0,11,10)", r"triangular\(0,11,10\): wanted low <= mode <= high"),
        ("triangular(0,1,inf)", "holds a number beyond 1e\\+12, or none"),
        ("choice(1:0,2:1)", r"choice\(1:0,2:1\): wanted one value or more, and weights above 0"),
        ("nan", "nan: holds a number beyond"),
        ("uniform(0,inf)", "holds a number beyond"),
        ("1e13", "holds a number beyond"),
    ],
)
def test_wrong_forms_are_explained(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        distributions.parse(text)


def test_no_values_make_no_choice() -> None:
    with pytest.raises(UsageError, match="wanted one value or more"):
        Choice((), ())


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("uniform(-5,15)", stats.uniform(-5, 20)),
        ("normal(1,3)", stats.norm(1, 3)),
        ("normal(1,3,-2,10)", stats.truncnorm(-1, 3, 1, 3)),
        ("triangular(0,2,10)", stats.triang(0.2, 0, 10)),
        ("triangular(0,0,10)", stats.triang(0, 0, 10)),
    ],
)
def test_quantiles_are_those_of_the_distribution(text: str, reference: stats.rv_continuous) -> None:
    distribution = distributions.parse(text)
    grid = np.linspace(1e-6, 1 - 1e-6, 501)
    found = [distribution.quantile(share) for share in grid]
    np.testing.assert_allclose(found, reference.ppf(grid), rtol=1e-9, atol=1e-9)


def test_a_choice_divides_the_shares_by_weight() -> None:
    choice = distributions.parse("choice(2:6,3:3,5:1)")
    found = [choice.quantile((number + 0.5) / 1000) for number in range(1000)]
    assert [found.count(value) for value in (2, 3, 5)] == [600, 300, 100]
    assert found == sorted(found)


def test_a_normal_is_finite_at_the_ends_of_the_shares() -> None:
    for share in (0.5 / 2**52, 1 - 0.5 / 2**52):
        assert math.isfinite(Normal(0, 1).quantile(share))


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["2", "3"], Choice((2, 3), (1, 1))), (["2:0.6", "3:0.4"], Choice((2, 3), (0.6, 0.4)))],
)
def test_words_with_weights(words: list[str], expected: Choice) -> None:
    assert distributions.weighted(words) == expected


@pytest.mark.parametrize("words", [["2:0.6", "3"], ["2:x"], ["two"]])
def test_words_that_are_no_numbers(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"weights|could not convert"):
        distributions.weighted(words)


@pytest.mark.parametrize(
    ("value", "text"), [(3.0, "3"), (-0.5, "-0.5"), (0.1, "0.1"), (math.inf, "inf"), (1e300, "1e+300")]
)
def test_numbers_are_written_short(value: float, text: str) -> None:
    assert distributions.number_text(value) == text
    assert float(text) == value
