"""Finding published plans by their names, whatever the recipe, and reading their numbers."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.corpora.plan_names import PlanNames, decimal, file_name
from transforms.errors import UsageError
from transforms.plan import Part


def named_part(name: str) -> Part | None:
    match = re.fullmatch(r"toy_(\w+)\.toy", name)
    return Part("toy", "Toys", match[1]) if match else None


NAMES = PlanNames("toy", "toy_<subset>.toy", ".toy", named_part)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/toy_dev.toy", "a/toy_train.toy", "a/notes.toy", "toy_test.toy", "toy_none.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@given(st.floats(allow_nan=False))
def test_decimals_are_read_exactly(number: float) -> None:
    assert decimal(repr(number)) == number
    assert decimal(f"{number:.17g}") == number


@pytest.mark.parametrize("text", ["", "x", "1,5", "1_000", "0x1p3", "1 2"])
def test_what_is_no_decimal(text: str) -> None:
    assert decimal(text) is None


def test_numbers_that_are_not_finite_are_for_others_to_judge() -> None:
    assert decimal("inf") == math.inf
    assert math.isnan(decimal("nan") or 0.0)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("toy_a.toy", "toy_a.toy"),
        ("/x/y/toy_a.toy", "toy_a.toy"),
        ("gs://b/x/toy_a.toy", "toy_a.toy"),
        ("zip://x/toy_a.toy::gs://b/z.zip", "toy_a.toy"),
    ],
)
def test_names_of_files(url: str, name: str) -> None:
    assert file_name(url) == name
    assert NAMES.part_at(url) == Part("toy", "Toys", "a")


def test_plans_of_a_folder_are_sorted_and_others_left_alone(folder: Path) -> None:
    found = NAMES.find([str(folder)])
    assert found == [str(folder / name) for name in ("a/toy_train.toy", "b/toy_dev.toy", "toy_test.toy")]


def test_plans_come_in_the_order_they_are_named_and_none_twice(folder: Path) -> None:
    test, train = folder / "toy_test.toy", folder / "a"
    assert NAMES.find([str(test), str(train), str(folder / "a" / "toy_train.toy")]) == [
        str(test),
        str(train / "toy_train.toy"),
    ]


def test_all_that_cannot_be_found_is_named_together(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "b" / "toy_test.toy").touch()
    asked = [folder / name for name in ("none", "empty", "toy_none.txt", "toy_test.toy", "b")]
    with pytest.raises(UsageError) as caught:
        NAMES.find([str(url) for url in asked])
    assert [problem.replace(f"{folder}/", "") for problem in caught.value.problems] == [
        "none: no such toy or folder; check the path",
        "empty: holds no toy; looked for toy_<subset>.toy at any depth among 0 TOY files",
        "toy_none.txt: is not named like a toy; wanted toy_<subset>.toy",
        "toy_test.toy and b/toy_test.toy are both toys of Toys test; name one of them only",
    ]
