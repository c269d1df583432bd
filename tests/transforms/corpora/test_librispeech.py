"""The speaker table and the layout of LibriSpeech."""

from pathlib import Path

import pytest

from transforms.corpora.librispeech import LibriSpeech, Reader, parse_speakers, reader_id
from transforms.errors import SourceError, UsageError
from transforms.listing import Header, Utterance

HEAD = "; comment\n" * 11 + ";ID  |SEX| SUBSET           |MINUTES| NAME\n"
SIXTY = {60: Reader("M", "train-clean-100")}


def header(path: str, frames: int = 50000) -> Header:
    return Header(path, 16000, 1, frames, "FLAC", "PCM_16")


def test_the_golden_speaker_table(repository: Path) -> None:
    readers = parse_speakers((repository / "tests/golden/listings/SPEAKERS.TXT").read_text())
    assert readers[14] == Reader("F", "train-clean-360")
    assert readers[60] == Reader("M", "train-clean-100")
    assert readers[84] == Reader("F", "dev-clean")
    assert all(reader.sex in "FM" and reader.subset.strip() == reader.subset for reader in readers.values())


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("", SIXTY),
        ("14   | F | dev-clean  | 25.03 | A Name\n", SIXTY | {14: Reader("F", "dev-clean")}),
        ("14|F|dev-clean|25|A\n14|M|other|25|B\n", SIXTY | {14: Reader("F", "dev-clean")}),
        ("14|F|dev-clean|25|A|B\n", SIXTY),
        ("14|F|dev-clean|25|A|B\n14|M|test-clean|25|A\n", SIXTY | {14: Reader("M", "test-clean")}),
        ("60|M|train-clean-100|20.18| |CBW|Simon\n", SIXTY),
        ("60|F|dev-clean|20|Another\n", {60: Reader("F", "dev-clean")}),
        ("\n007|F|dev-clean|1|A\n\n", SIXTY | {7: Reader("F", "dev-clean")}),
        ("8|F|dev-clean\r\n", SIXTY | {8: Reader("F", "dev-clean")}),
    ],
    ids=["none", "padded", "first", "dropped", "next", "sixty", "own-sixty", "blank-lines", "short"],
)
def test_rules_of_the_speaker_table(rows: str, expected: dict[int, Reader]) -> None:
    assert parse_speakers(HEAD + rows) == expected


def test_comments_are_skipped_by_count_and_not_by_their_mark() -> None:
    eleven = "".join(f"{number}|F|dev-clean|1|A\n" for number in range(100, 111))
    assert parse_speakers(eleven + "a header\n14|F|dev-clean|1|A\n") == SIXTY | {14: Reader("F", "dev-clean")}


def test_the_line_after_the_comments_is_a_header_whatever_it_says() -> None:
    assert parse_speakers("; comment\n" * 11 + "14|F|dev-clean|1|A\n") == SIXTY


@pytest.mark.parametrize("row", ["; more|F|dev-clean|1|A", "14|F", "x", "1.5|F|dev-clean|1|A"])
def test_malformed_rows_are_named(row: str) -> None:
    with pytest.raises(UsageError, match=r"SPEAKERS.TXT, line 14 .*: wanted id \| sex \| subset"):
        parse_speakers(HEAD + "14|F|dev-clean|1|A\n" + row + "\n")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("train-clean-100/19/198/19-198-0001.flac", 19),
        ("a-b/019-1.flac", 19),
        ("1-2/x-1.flac", None),
        ("dev-clean/._19-1.flac", None),
        ("19.flac", None),
    ],
)
def test_reader_ids_come_from_file_names(path: str, expected: int | None) -> None:
    assert reader_id(path) == expected


def test_rows_take_the_subset_of_the_table() -> None:
    layout = LibriSpeech({19: Reader("F", "train-clean-360")})
    row = layout.row(header("train-clean-100/19/198/019-198-0001.flac"))
    assert row == Utterance("19", "F", "train-clean-360", 50000, "train-clean-100/19/198/019-198-0001.flac")
    assert layout.listing_of(row.path) == "train-clean-100.csv"


@pytest.mark.parametrize("path", ["dev-clean/99-1.flac", "dev-clean/x.flac"])
def test_a_row_of_an_unknown_reader_is_refused(path: str) -> None:
    with pytest.raises(SourceError, match=r"librispeech:dev-clean.*a reader in SPEAKERS\.TXT"):
        LibriSpeech(SIXTY).row(header(path))


def test_unknown_readers_are_named_once_each() -> None:
    paths = ["dev-clean/99-1.flac", "dev-clean/60-1.flac", "dev-clean/99-2.flac", "dev-clean/x-2.flac"]
    assert LibriSpeech(SIXTY).problems(paths) == [
        "reader '99' of dev-clean/99-1.flac (2 files) is not in SPEAKERS.TXT; "
        "add the reader's row, or remove the files",
        "reader 'x' of dev-clean/x-2.flac (1 files) is not in SPEAKERS.TXT; "
        "add the reader's row, or remove the files",
    ]


def test_listings_are_sorted_by_length_then_path() -> None:
    rows = [
        Utterance("1", "F", "s", length, path) for length, path in ((5, "b"), (9, "a"), (5, "a"), (50, "c"))
    ]
    lines = LibriSpeech({}).csv(rows).decode().splitlines()[1:]
    assert lines == ["1,F,s,5,a", "1,F,s,5,b", "1,F,s,9,a", "1,F,s,50,c"]


def test_folders_come_in_the_layouts_order(tmp_path: Path) -> None:
    for name in ("train-clean-100", "dev-clean", "other", "BOOKS.TXT"):
        (tmp_path / name).mkdir()
    assert LibriSpeech({}).folders(str(tmp_path)) == ("dev-clean", "train-clean-100")


def test_a_folder_without_subsets_is_not_librispeech(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"n{number}").mkdir()
    with pytest.raises(
        UsageError, match=r"is not LibriSpeech: looked for a folder dev-clean or .*and 2 more"
    ):
        LibriSpeech({}).folders(str(tmp_path))


def test_a_folder_without_speaker_table_is_not_librispeech(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"is not LibriSpeech: looked for the file SPEAKERS\.TXT, found nothing"
    ):
        LibriSpeech.open(str(tmp_path))


def test_the_layout_reads_its_speaker_table(tmp_path: Path) -> None:
    (tmp_path / "SPEAKERS.TXT").write_text(HEAD + "7|F|dev-clean|1|A\n")
    assert LibriSpeech.open(str(tmp_path)).readers == SIXTY | {7: Reader("F", "dev-clean")}
