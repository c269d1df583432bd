"""Tables of archives that this machine keeps: only for the very archive, and only as a help."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.storage import known_tables
from transforms.storage.known_tables import keep_table, read_table
from transforms.storage.members import Member
from transforms.storage.urls import FileStamp

URL = "gs://bucket/train-clean-100.tar"
STAMP = FileStamp(5000, "17")
TABLE = {"LibriSpeech/a.flac": Member(512, 700, 188), "LibriSpeech/b.flac": Member(1536, 1536, 0)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's machine keeps things."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def kept_files(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_a_table_comes_back(cache: Path) -> None:
    assert read_table(URL, STAMP) is None
    keep_table(URL, STAMP, TABLE)
    assert read_table(URL, STAMP) == TABLE
    assert [path.parent for path in kept_files(cache)] == [known_tables.folder()]


paths = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20) | st.just("b\udcff.flac")
spans = st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)).map(sorted)


@given(table=st.dictionaries(paths, spans))
def test_any_table_comes_back(table: dict[str, list[int]]) -> None:
    members = {path: Member(start, end, end - start) for path, (start, end) in table.items()}
    keep_table(URL, STAMP, members)
    assert read_table(URL, STAMP) == members


@pytest.mark.parametrize(
    ("url", "stamp"),
    [
        (URL, FileStamp(5000, "18")),
        (URL, FileStamp(5001, "17")),
        (URL, FileStamp(5000, "")),
        ("gs://other/train-clean-100.tar", STAMP),
    ],
)
def test_a_table_is_of_one_state_of_one_archive(url: str, stamp: FileStamp) -> None:
    keep_table(URL, STAMP, TABLE)
    assert read_table(url, stamp) is None


def test_the_table_of_a_new_state_takes_the_place_of_the_old_one(cache: Path) -> None:
    keep_table(URL, STAMP, TABLE)
    changed = FileStamp(6000, "18")
    keep_table(URL, changed, {})
    assert read_table(URL, changed) == {}
    assert read_table(URL, STAMP) is None
    assert len(kept_files(cache)) == 1


def test_an_archive_whose_states_cannot_be_told_apart_is_not_kept(cache: Path) -> None:
    unknown = FileStamp(5000, "")
    keep_table(URL, unknown, TABLE)
    assert kept_files(cache) == []
    assert read_table(URL, unknown) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"7",
        json.dumps({"archive": [URL, 5000, "17"]}).encode(),
        json.dumps({"archive": [URL, 5000, "17"], "members": {"a": [1]}}).encode(),
        json.dumps({"archive": [URL, 5000, "17"], "members": {"a": ["x", "y"]}}).encode(),
        json.dumps({"archive": [URL, 5000, "17"], "members": [1]}).encode(),
    ],
)
def test_a_damaged_table_is_none(cache: Path, damage: bytes) -> None:
    keep_table(URL, STAMP, TABLE)
    (path,) = kept_files(cache)
    path.write_bytes(damage)
    assert read_table(URL, STAMP) is None
    keep_table(URL, STAMP, TABLE)
    assert read_table(URL, STAMP) == TABLE


def test_where_nothing_can_be_kept_nothing_is(cache: Path) -> None:
    cache.write_text("a file stands where the folder should")
    keep_table(URL, STAMP, TABLE)
    assert read_table(URL, STAMP) is None
    assert cache.read_text().startswith("a file")


def test_without_a_home_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "not/absolute")
    monkeypatch.chdir(tmp_path)
    assert known_tables.folder() is None
    keep_table(URL, STAMP, TABLE)
    assert read_table(URL, STAMP) is None
    assert list(tmp_path.iterdir()) == []


def test_without_a_cache_of_its_own_it_is_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert known_tables.folder() == tmp_path / ".cache/mixtape/tables"
