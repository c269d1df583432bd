"""What is remembered of files, and what is forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.recent import Recent


def test_what_is_remembered_is_not_made_again() -> None:
    recent: Recent[bytes] = Recent(100, len)
    assert recent.get("a", lambda: b"first") == b"first"
    assert recent.get("a", lambda: b"second") == b"first"


def test_the_least_recently_used_goes_first() -> None:
    recent: Recent[bytes] = Recent(10, len)
    for name in "abc":
        recent.get(name, lambda: b"1234")
    assert recent.get("a", lambda: b"5678") == b"5678", "only two of four bytes each are kept"
    assert recent.get("c", lambda: b"none") == b"1234"
    recent.get("d", lambda: b"1234")
    assert recent.get("c", lambda: b"none") == b"1234", "it was used since"
    assert recent.get("a", lambda: b"9999") == b"9999"


def test_a_value_that_is_too_large_is_kept_until_the_next() -> None:
    recent: Recent[bytes] = Recent(3, len)
    recent.get("a", lambda: b"12345")
    assert recent.get("a", lambda: b"") == b"12345"
    recent.get("b", lambda: b"1")
    assert recent.get("a", lambda: b"") == b""


def test_what_fails_is_tried_again() -> None:
    recent: Recent[bytes] = Recent(10, len)

    def fail() -> bytes:
        raise OSError("not now")

    with pytest.raises(OSError, match="not now"):
        recent.get("a", fail)
    assert recent.get("a", lambda: b"1") == b"1"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=60), st.integers(1, 25))
def test_as_the_obvious_memory(requests: list[tuple[str, int]], limit: int) -> None:
    recent: Recent[int] = Recent(limit, lambda size: size)
    kept: list[tuple[str, int]] = []
    for name, size in requests:
        known = dict(kept)
        value = recent.get(name, lambda size=size: size)  # type: ignore[misc]
        assert value == known.get(name, size)
        kept = [(other, own) for other, own in kept if other != name] + [(name, value)]
        while sum(own for _, own in kept) > limit and len(kept) > 1:
            kept.pop(0)
