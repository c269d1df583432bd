"""Rejects: one CSV line each, and how many a run may have."""

import csv
import io
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import SourceError, UsageError
from transforms.rejects import REJECT_COLUMNS, Reject, RejectLimit, csv_bytes, rejects_csv

REJECT = Reject("a_b", "wham:tr/a.wav", "read", "holds no samples", "fetch it again")


def test_a_reject_is_made_of_an_item_and_what_went_wrong() -> None:
    error = SourceError("wham:tr/a.wav", "read", "holds no samples", "fetch it again")
    assert Reject.of("a_b", error) == REJECT


def test_rejects_as_csv() -> None:
    assert rejects_csv([REJECT]) == (
        b"item,source,stage,reason,remedy\na_b,wham:tr/a.wav,read,holds no samples,fetch it again\n"
    )


def test_no_rejects_are_a_header() -> None:
    assert rejects_csv([]) == b"item,source,stage,reason,remedy\n"


def test_fields_are_quoted_where_needed() -> None:
    row = ("a,b", 'a "good" one', "two\nlines", "plain", "ü 漢")
    assert csv_bytes([row]) == '"a,b","a ""good"" one","two\nlines",plain,ü 漢\n'.encode()


def test_numbers_are_written_as_python_writes_them() -> None:
    assert csv_bytes([(1, 0.1 + 0.2, "x")]) == b"1,0.30000000000000004,x\n"


def test_names_that_are_no_unicode_do_not_lose_the_table() -> None:
    name = b"tr/\xff.wav".decode(errors="surrogateescape")
    assert csv_bytes([(name, "a")]) == b"tr/\\udcff.wav,a\n"


_texts = st.text(st.characters(exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=12)


@given(st.lists(st.builds(Reject, _texts, _texts, _texts, _texts, _texts), max_size=5))
def test_any_rejects_can_be_read_again(rejects: list[Reject]) -> None:
    rows = list(csv.DictReader(io.StringIO(rejects_csv(rejects).decode(), newline="")))
    assert [Reject(**row) for row in rows] == rejects
    assert REJECT_COLUMNS == ("item", "source", "stage", "reason", "remedy")


# --- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("0", RejectLimit(0, None)),
        ("12", RejectLimit(12, None)),
        ("0%", RejectLimit(None, 0.0)),
        ("0.5%", RejectLimit(None, 0.005)),
        ("100%", RejectLimit(None, 1.0)),
    ],
)
def test_counts_and_shares_are_read(text: str, limit: RejectLimit) -> None:
    assert RejectLimit.parse(text) == limit


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "-1%", "101%", "nan%", "inf%", "1.5", "1e3", "5 %%", "many", "0.5", "1/2"]
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        RejectLimit.parse(text)
    wanted = f"--max-rejects {text!r}: wanted a count such as 10 or a share such as 0.5%"
    assert str(caught.value) == wanted


def test_no_reject_is_allowed_unless_said() -> None:
    assert RejectLimit().allows(0, 100)
    assert not RejectLimit().allows(1, 100)


@pytest.mark.parametrize(
    ("limit", "rejected", "planned", "allowed"),
    [
        ("3", 3, 10, True),
        ("3", 4, 10**6, False),
        ("0.5%", 0, 199, True),
        ("0.5%", 1, 199, False),
        ("0.5%", 1, 200, True),
        ("29%", 29, 100, True),
        ("29%", 30, 100, False),
        ("100%", 7, 7, True),
        ("0%", 1, 7, False),
        ("0%", 0, 0, True),
        ("50%", 0, 0, True),
    ],
)
def test_what_limits_allow(limit: str, rejected: int, planned: int, allowed: bool) -> None:
    assert RejectLimit.parse(limit).allows(rejected, planned) is allowed


@given(st.integers(0, 10_000), st.integers(1, 1_000_000), st.integers(-2, 2))
def test_shares_are_exact_at_the_limit(hundredths: int, planned: int, beside: int) -> None:
    limit = RejectLimit.parse(f"{hundredths / 100}%")
    exact = Fraction(hundredths, 10_000) * planned
    rejected = max(0, int(exact) + beside)
    assert limit.allows(rejected, planned) is (rejected <= exact)
