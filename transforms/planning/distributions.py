"""Distributions of drawn parameters, and the text form in which people write them.

Every draw is a quantile: one uniform number in, one value out, by arithmetic of our own. So a plan
holds the same values whatever version of a library of random numbers is installed.
"""

import bisect
import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from transforms.errors import UsageError

FORMS = "a number, uniform(-5,15), normal(0,3), normal(0,3,-10,10), triangular(0,5,10) or choice(2:0.6,3:0.4)"

_LEAST_MASS = 1e-9
_LARGEST = 1e12
_CALL = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*", re.DOTALL)


class Distribution(ABC):
    """What a parameter is drawn from; ``str()`` gives the text form that ``parse`` reads."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """Returns the value at a share of the distribution; uniform shares give draws from it.

        Args:
            share: in the open interval 0..1.
        """

    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Returns the lowest and the highest value possible, infinite where there is no limit."""


@dataclass(frozen=True, slots=True)
class Fixed(Distribution):
    """Always the same value."""

    value: float

    def __post_init__(self) -> None:
        _require(str(self), [self.value], holds=True)

    def __str__(self) -> str:
        return number_text(self.value)

    def quantile(self, share: float) -> float:
        """Returns the value, whatever the share."""
        del share
        return self.value

    def bounds(self) -> tuple[float, float]:
        """Returns the value twice."""
        return self.value, self.value


@dataclass(frozen=True, slots=True)
class Uniform(Distribution):
    """All values between two limits alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(str(self), [self.low, self.high], holds=self.low < self.high, wanted="low < high")

    def __str__(self) -> str:
        return _call("uniform", self.low, self.high)

    def quantile(self, share: float) -> float:
        """Returns low + share (high - low)."""
        return self.low + share * (self.high - self.low)

    def bounds(self) -> tuple[float, float]:
        """Returns both limits."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Normal(Distribution):
    """The normal distribution; with limits, that part of it which lies between them.

    Attributes:
        mean: centre of the distribution without limits.
        deviation: its standard deviation.
        low: no value is below.
        high: no value is above.
    """

    mean: float
    deviation: float
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        holds = self.deviation > 0 and self.low < self.high
        _require(str(self), [self.mean, self.deviation], holds=holds, wanted="deviation > 0 and low < high")
        if self._share_below(self.high) - self._share_below(self.low) < _LEAST_MASS:
            raise UsageError(
                f"{self}: next to no value lies between its limits; move them nearer to the mean"
            )

    def __str__(self) -> str:
        limited = self.bounds() != (-math.inf, math.inf)
        return _call("normal", self.mean, self.deviation, *(self.bounds() if limited else ()))

    def _share_below(self, value: float) -> float:
        return NormalDist(self.mean, self.deviation).cdf(value)

    def quantile(self, share: float) -> float:
        """Returns the inverse of the distribution function (Wichura's algorithm AS 241)."""
        below, above = self._share_below(self.low), self._share_below(self.high)
        within = min(max(below + share * (above - below), math.ulp(0.0)), 1.0 - 2.0**-53)
        value = NormalDist(self.mean, self.deviation).inv_cdf(within)
        return min(max(value, self.low), self.high)

    def bounds(self) -> tuple[float, float]:
        """Returns both limits."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Triangular(Distribution):
    """Density rising in a straight line from a limit to the mode, and falling to the other limit."""

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        holds = self.low <= self.mode <= self.high and self.low < self.high
        numbers = [self.low, self.mode, self.high]
        _require(str(self), numbers, holds=holds, wanted="low <= mode <= high and low < high")

    def __str__(self) -> str:
        return _call("triangular", self.low, self.mode, self.high)

    def quantile(self, share: float) -> float:
        """Returns the inverse of the distribution function, which is a parabola on either side."""
        width = self.high - self.low
        if share * width < self.mode - self.low:
            return self.low + math.sqrt(share * width * (self.mode - self.low))
        return self.high - math.sqrt((1.0 - share) * width * (self.high - self.mode))

    def bounds(self) -> tuple[float, float]:
        """Returns both limits."""
        return self.low, self.high


@dataclass(frozen=True, slots=True)
class Choice(Distribution):
    """One of some values, each with a weight; only the weights' proportions count."""

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        holds = len(self.values) == len(self.weights) > 0 and all(weight > 0 for weight in self.weights)
        wanted = "one value or more, and weights above 0"
        _require(str(self), [*self.values, *self.weights], holds=holds, wanted=wanted)

    def __str__(self) -> str:
        if len(set(self.weights)) <= 1:
            return _call("choice", *self.values)
        pairs = zip(self.values, self.weights, strict=True)
        return f"choice({','.join(f'{number_text(value)}:{number_text(weight)}' for value, weight in pairs)})"

    def quantile(self, share: float) -> float:
        """Returns the value whose stretch of the weights, laid end to end, holds the share."""
        ends = list(itertools.accumulate(self.weights))
        place = bisect.bisect_right(ends, share * ends[-1])
        return self.values[min(place, len(ends) - 1)]

    def bounds(self) -> tuple[float, float]:
        """Returns the lowest and the highest value."""
        return min(self.values), max(self.values)


def parse(text: str) -> Distribution:
    """Reads the text form of a distribution.

    >>> str(parse(" uniform( -5, 15 )"))
    'uniform(-5,15)'

    Raises:
        UsageError: says what was found and what was wanted.
    """
    call = _CALL.fullmatch(text)
    try:
        if call is None:
            return Fixed(float(text))
        name, words = call[1], call[2].split(",")
        if name == "choice":
            return weighted(words)
        return _BY_NAME[name](*map(float, words))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{text!r} is no distribution; wanted {FORMS}") from error


def weighted(words: Iterable[str]) -> Choice:
    """Reads values with or without weights: ``2:0.6 3:0.4``, or ``2 3`` for equal weights.

    Raises:
        ValueError: a word is neither a number nor two with a colon between, or only some have weights.
        UsageError: a weight is not above 0.
    """
    pairs = [word.partition(":") for word in words]
    if len({colon for _, colon, _ in pairs}) > 1:
        raise ValueError("either all values have weights or none has")
    values = tuple(float(value) for value, _, _ in pairs)
    return Choice(values, tuple(float(weight) if colon else 1.0 for _, colon, weight in pairs))


_BY_NAME: dict[str, Callable[..., Distribution]] = {
    "uniform": Uniform,
    "normal": Normal,
    "triangular": Triangular,
}


def number_text(value: float) -> str:
    """Writes a number as short as it reads back: whole ones without a point."""
    whole = abs(value) <= _LARGEST and value == int(value)
    return str(int(value)) if whole else repr(float(value))


def _call(name: str, *numbers: float) -> str:
    return f"{name}({','.join(map(number_text, numbers))})"


def _require(text: str, numbers: Sequence[float], *, holds: bool, wanted: str = "numbers") -> None:
    """Raises UsageError for numbers that make no distribution."""
    if not all(abs(number) <= _LARGEST for number in numbers):
        raise UsageError(f"{text}: holds a number beyond {_LARGEST:g}, or none; wanted {FORMS}")
    if not holds:
        raise UsageError(f"{text}: wanted {wanted}, such as {FORMS}")
