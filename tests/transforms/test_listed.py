"""What a listing was made from, and what of it still holds."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pipelines.corpora import METADATA, go_through
from pipelines.metadata import MetadataOptions
from pipelines.runner import Running
from tests.trees import changed, files, identities, write_noise
from transforms import listed
from transforms.corpora.audio_folder import AudioFolder
from transforms.listed import ListedFolder
from transforms.listing import read_noises
from transforms.rejects import RejectLimit
from transforms.storage import FileEntry, FileStamp, OutputTree

ENTRIES = (FileEntry("a.wav", 10, "1"), FileEntry("b/c.wav", 20, "2"))
STAMPS = {entry.path: entry.stamp for entry in ENTRIES}


@pytest.fixture(params=["local", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> OutputTree:
    return OutputTree(str(tmp_path) if request.param == "local" else f"memory:/{tmp_path}")


def record(tree: OutputTree) -> ListedFolder:
    tree.write("audio.csv", b"path\n")
    made = ListedFolder("layout", listed.listing_content(tree, "audio.csv"), STAMPS)
    listed.write_record(tree, "audio.csv", made)
    return made


def test_a_record_is_read_as_it_was_written(tree: OutputTree) -> None:
    assert listed.read_record(tree, "audio.csv") is None
    made = record(tree)
    assert listed.read_record(tree, "audio.csv") == made


@pytest.mark.parametrize("data", [b"path\nmine\n", b""])
def test_a_listing_that_somebody_changed_is_theirs(tree: OutputTree, data: bytes) -> None:
    record(tree)
    tree.write("audio.csv", data)
    assert listed.read_record(tree, "audio.csv") is None


@pytest.mark.parametrize("data", [b"", b"PAR1", b"x" * 100])
def test_a_record_that_cannot_be_understood_is_none(tree: OutputTree, data: bytes) -> None:
    record(tree)
    tree.write(listed.record_path("audio.csv"), data)
    assert listed.read_record(tree, "audio.csv") is None


@pytest.mark.parametrize(
    ("entries", "holds"),
    [
        (ENTRIES, True),
        (ENTRIES[::-1], True),
        (ENTRIES[:1], False),
        ((*ENTRIES, FileEntry("d.wav", 1, "1")), False),
        ((ENTRIES[0], FileEntry("b/c.wav", 21, "2")), False),
        ((ENTRIES[0], FileEntry("b/c.wav", 20, "3")), False),
    ],
)
def test_it_holds_as_long_as_all_files_are_the_same(entries: tuple[FileEntry, ...], holds: bool) -> None:
    made = ListedFolder("layout", "", STAMPS)
    assert made.holds("layout", entries) == holds
    assert not made.holds("another layout", entries)


def test_a_store_that_tells_no_versions_is_not_trusted() -> None:
    bare = FileEntry("a.wav", 10)
    assert not ListedFolder("layout", "", {"a.wav": bare.stamp}).holds("layout", [bare])
    empty = FileEntry("a.wav", 0)
    assert ListedFolder("layout", "", {"a.wav": FileStamp(0, "")}).holds("layout", [empty])


def test_the_pattern_of_speakers_is_part_of_the_layout() -> None:
    assert listed.layout_digest(AudioFolder()) == listed.layout_digest(AudioFolder())
    assert listed.layout_digest(AudioFolder()) != listed.layout_digest(AudioFolder("(?P<speaker>x)"))


# Nights of listing.


@pytest.fixture
def wham(tmp_path: Path) -> Path:
    for folder in ("cv", "tr"):
        for number in range(3):
            write_noise(tmp_path / f"wham/{folder}/{number}.wav", 48000 + 10 * number, seed=number)
    return tmp_path / "wham"


@pytest.fixture
def night(wham: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns ``night(**options)``: lists the noises; returns the paths whose headers were read."""
    read: list[str] = []
    original = listed_header()

    def count(root: str, path: str, *, root_name: str) -> Any:
        read.append(path)
        return original(root, path, root_name=root_name)

    monkeypatch.setattr("transforms.metadata.read_header", count)

    def run(**options: Any) -> list[str]:
        read.clear()
        made = MetadataOptions("wham", str(wham), str(tmp_path / "out"), **options)
        assert made.check() == []
        go_through(made, METADATA, limit=RejectLimit.parse("9"), running=Running(quiet=True))
        return sorted(read)

    return run


def listed_header() -> Any:
    from transforms.listing import read_header

    return read_header


def test_headers_are_read_of_changed_files_only(night: Any, wham: Path, tmp_path: Path) -> None:
    assert len(night()) == 6
    before = identities(tmp_path / "out")
    assert night() == []
    assert changed(before, tmp_path / "out") == set()
    write_noise(wham / "tr/1.wav", 50000, seed=9)
    write_noise(wham / "tr/new.wav", 51000, seed=10)
    (wham / "tr/0.wav").unlink()
    assert night() == ["tr/1.wav", "tr/new.wav"]
    rows = read_noises(str(tmp_path / "out/train.csv"))
    assert [(row.noise_id, row.length_samples) for row in rows] == [
        ("2.wav", 48020),
        ("1.wav", 50000),
        ("new.wav", 51000),
    ]
    assert len(night(force=True)) == 6
    assert night() == []


def test_a_damaged_file_leaves_the_listing_and_comes_back(night: Any, wham: Path, tmp_path: Path) -> None:
    night()
    listing, whole = (tmp_path / "out/dev.csv").read_bytes(), (wham / "cv/1.wav").read_bytes()
    (wham / "cv/1.wav").write_bytes(b"RIFF")
    assert night() == ["cv/1.wav"]
    assert len(read_noises(str(tmp_path / "out/dev.csv"))) == 2
    assert "cv/1.wav" in (tmp_path / "out/_mixtape/rejects.csv").read_text()
    assert night() == []
    (wham / "cv/1.wav").write_bytes(whole)
    assert night() == ["cv/1.wav"]
    assert (tmp_path / "out/dev.csv").read_bytes() == listing
    assert not (tmp_path / "out/_mixtape/rejects.csv").exists()


def test_listings_of_folders_that_are_gone_go_too(night: Any, wham: Path, tmp_path: Path) -> None:
    night()
    for path in (wham / "cv").iterdir():
        path.unlink()
    (wham / "cv").rmdir()
    assert night() == []
    assert files(tmp_path / "out") == ["_mixtape/listed/train.parquet", "train.csv"]


def test_listings_of_others_are_kept_unless_a_build_owns_them(night: Any, wham: Path, tmp_path: Path) -> None:
    night()
    mine = b"noise_ID,subset,length,augmented,origin_path\nx,tr,50000,False,tr/x.wav\n"
    (tmp_path / "out/train.csv").write_bytes(mine)
    assert night() == []
    assert (tmp_path / "out/train.csv").read_bytes() == mine
    assert len(night(adopt=False)) == 3
    assert len(read_noises(str(tmp_path / "out/train.csv"))) == 3


def test_a_kept_row_is_the_row_that_the_header_gave(night: Any, wham: Path, tmp_path: Path) -> None:
    night()
    layout = MetadataOptions("wham", str(wham), "").work.layout
    tree = OutputTree(str(tmp_path / "out"))
    entries = listed.entries_below(str(wham), "tr", layout.suffixes)
    rows = listed.unchanged_rows(tree, "train.csv", layout, entries)
    assert list(rows.values()) == read_noises(str(tmp_path / "out/train.csv"))
    other = dataclasses.replace(entries[0], version="other")
    assert rows.keys() - listed.unchanged_rows(tree, "train.csv", layout, [other, *entries[1:]]).keys() == {
        other.path
    }
    assert listed.unchanged_rows(tree, "dev.csv", AudioFolder(), entries) == {}
