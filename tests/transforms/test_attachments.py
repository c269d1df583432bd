"""Facts have the declared types and no others; endings of attached files."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.attachments import Attachment, AttachmentType, Fact, FactKind, scalar_facts, typed_facts
from transforms.errors import MixtapeError


def one(kind: FactKind, fact: Any) -> Fact:
    return typed_facts({"ratio": kind}, {"ratio": fact}, item="m1")["ratio"]


@pytest.mark.parametrize(
    ("kind", "fact", "typed"),
    [
        ("flag", True, True),
        ("int", -3, -3),
        ("float", 2, 2.0),
        ("float", 1 / 3, 0.333333333),
        ("float", 123456.7890123, 123456.789),
        ("float", np.float64(0.5), 0.5),
        ("text", "a word", "a word"),
        ("ints", (1, 2), [1, 2]),
        ("ints", [], []),
        ("floats", (1, 2 / 3), [1.0, 0.666666667]),
        ("texts", ["a", ""], ["a", ""]),
    ],
)
def test_facts_come_out_in_their_declared_type(kind: FactKind, fact: Any, typed: Fact) -> None:
    found = one(kind, fact)
    assert found == typed
    assert type(found) is type(typed)
    if isinstance(found, list) and found:
        assert {type(value) for value in found} == {type(typed[0])}  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "fact"),
    [
        ("flag", 1),
        ("flag", "yes"),
        ("int", 1.0),
        ("int", True),
        ("int", None),
        ("float", "1.5"),
        ("float", True),
        ("text", 3),
        ("text", b"bytes"),
        ("ints", 3),
        ("ints", [1, 2.5]),
        ("floats", "12"),
        ("floats", [1.0, None]),
        ("texts", "word"),
        ("texts", ["a", 1]),
    ],
)
def test_facts_of_another_type_are_refused(kind: FactKind, fact: Any) -> None:
    with pytest.raises(MixtapeError, match=rf"item m1: fact 'ratio' is .*, its recipe declares {kind}"):
        one(kind, fact)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_facts_that_are_no_finite_numbers_are_refused(value: float) -> None:
    with pytest.raises(MixtapeError, match=r"item m1: fact 'ratio' is .*, which is no finite number"):
        one("float", value)
    with pytest.raises(MixtapeError, match="which is no finite number"):
        one("floats", [0.0, value])


@pytest.mark.parametrize(
    ("facts", "found"), [({}, r"\[\]"), ({"ratio": 1.0, "norm": 2.0}, "'norm', 'ratio'")]
)
def test_facts_missing_or_not_declared_are_refused(facts: dict[str, Fact], found: str) -> None:
    with pytest.raises(MixtapeError, match=rf"item m1: has the facts .*{found}.* declares \['ratio'\]"):
        typed_facts({"ratio": "float"}, facts, item="m1")


def test_facts_come_in_the_declared_order() -> None:
    kinds: dict[str, FactKind] = {"b": "int", "a": "text"}
    assert list(typed_facts(kinds, {"a": "x", "b": 1}, item="m1")) == ["b", "a"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounded_numbers_stay_as_they_are_when_rounded_again(value: float) -> None:
    rounded = one("float", value)
    assert one("float", rounded) == rounded
    assert rounded == pytest.approx(value, rel=1e-8)


def test_facts_that_are_no_lists() -> None:
    facts: dict[str, Fact] = {"flag": False, "n": 0, "x": 0.0, "word": "", "times": [1.0], "empty": []}
    assert scalar_facts(facts) == {"flag": False, "n": 0, "x": 0.0, "word": ""}


def test_endings_of_one_file_and_of_a_sequence() -> None:
    assert list(AttachmentType("video", "mp4").endings(1)) == ["mp4"]
    pictures = AttachmentType("frames", "jpg", numbered=True)
    assert list(pictures.endings(3)) == ["0000.jpg", "0001.jpg", "0002.jpg"]
    assert list(pictures.endings(10001))[-1] == "10000.jpg"
    assert list(pictures.endings(0)) == []


def test_the_type_of_an_attachment() -> None:
    assert Attachment("frames", "jpg", (b"", b""), numbered=True).type == AttachmentType(
        "frames", "jpg", True
    )
