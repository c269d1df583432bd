"""Sorting of lines, in memory and beyond it."""

from hypothesis import given
from hypothesis import strategies as st

from transforms.exports.sorting import sorted_lines

LINES = st.lists(st.binary(max_size=5).map(lambda data: data.replace(b"\n", b"") + b"\n"))


@given(lines=LINES, in_memory=st.integers(1, 6))
def test_lines_come_in_the_order_of_their_bytes(lines: list[bytes], in_memory: int) -> None:
    assert list(sorted_lines(lines, in_memory=in_memory)) == sorted(lines)


def test_capitals_come_first_as_in_the_c_locale() -> None:
    assert list(sorted_lines([b"a\n", b"B\n", b"A-1\n", b"A\t1\n"])) == [b"A\t1\n", b"A-1\n", b"B\n", b"a\n"]
