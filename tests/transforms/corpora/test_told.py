"""What manifests and transcript files tell of audio, and when they are seen to have changed."""

from pathlib import Path

import pytest

from transforms.corpora.audio_folder import AudioFolder, is_table, read_manifest
from transforms.corpora.told import (
    ManifestColumns,
    StatedLicence,
    Transcripts,
    completed,
    own_path,
    transcript_lines,
)
from transforms.errors import StorageError, UsageError
from transforms.listing import AudioFile, read_audio_files
from transforms.storage import OutputTree


def row(path: str, **fields: str) -> AudioFile:
    return AudioFile(path, 16000, 1, 100, "FLAC", "PCM_16", **fields)


def manifest(folder: Path, text: str) -> ManifestColumns:
    (folder / "files.csv").write_text(text)
    return ManifestColumns.of(str(folder / "files.csv"))


# Manifests.


def test_columns_that_a_manifest_has(tmp_path: Path) -> None:
    told = manifest(tmp_path, "text,path,gender,subset\nhello,a.wav,F,dev\n")
    assert told.columns() == ("text", "subset")
    assert manifest(tmp_path, "path\na.wav\n").columns() == ()


def test_rows_take_what_the_columns_say(tmp_path: Path) -> None:
    told = manifest(tmp_path, 'id,path,text,speaker,room\n1,./b/c.wav,"Well, no",ann,hall\n2,a.wav,,bob,\n')
    rows = [row("a.wav", text="old", subset="dev"), row("b/c.wav"), row("z.wav", speaker="eve")]
    assert told.complete(rows) == [
        row("a.wav", speaker="bob", subset="dev"),
        row("b/c.wav", text="Well, no", speaker="ann", room="hall"),
        row("z.wav", speaker="eve"),
    ]


def test_licences_of_a_manifest_are_those_of_its_files(tmp_path: Path) -> None:
    told = manifest(tmp_path, "path,licence\na.wav,CC BY 4.0\nb.wav,\n")
    assert told.complete([row("a.wav"), row("b.wav")]) == [row("a.wav", licence="CC BY 4.0"), row("b.wav")]


def test_a_stated_licence_is_that_of_all_files() -> None:
    stated = StatedLicence("CC0 1.0")
    assert stated.complete([row("a.wav", text="yes"), row("b.wav")]) == [
        row("a.wav", text="yes", licence="CC0 1.0"),
        row("b.wav", licence="CC0 1.0"),
    ]


def test_a_line_that_is_too_short_is_named(tmp_path: Path) -> None:
    told = manifest(tmp_path, "path,text\na.wav,yes\nb.wav\n")
    with pytest.raises(UsageError, match=r"files\.csv, line 3: has fewer fields than the header"):
        told.complete([row("a.wav")])


def test_another_text_is_another_manifest(tmp_path: Path) -> None:
    first = manifest(tmp_path, "path,text\na.wav,yes\n")
    assert manifest(tmp_path, "path,text\na.wav,yes\n") == first
    assert repr(manifest(tmp_path, "path,text\na.wav,no\n")) != repr(first)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        ManifestColumns.of(str(tmp_path / "none.csv"))


@pytest.mark.parametrize(("path", "own"), [("./a.wav", "a.wav"), ("a.wav", "a.wav"), ("././a", "./a")])
def test_paths_of_manifests(path: str, own: str) -> None:
    assert own_path(path) == own


@pytest.mark.parametrize(
    ("url", "table"), [("m.csv", True), ("M.CSV::gs://b/a.zip", True), ("m.txt", False), ("csv", False)]
)
def test_tables_among_manifests(url: str, table: bool) -> None:
    assert is_table(url) == table


# Transcripts.


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("1-2-3 GO ON\n1-2-4 STAY\n", {"1-2-3": "GO ON", "1-2-4": "STAY"}),
        ("1-2-3\t GO  ON \r\n\n", {"1-2-3": "GO  ON"}),
        ("1-2-3\n", {"1-2-3": ""}),
        ("", {}),
    ],
)
def test_lines_of_transcripts(text: str, lines: dict[str, str]) -> None:
    assert transcript_lines(text) == lines


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> OutputTree:
    """Two chapters with transcripts, in which one name is used in both."""
    tree = OutputTree(str(tmp_path) if request.param == "local" else f"memory:/{tmp_path}")
    tree.write("dev/84/1/84-1.trans.txt", b"84-1-0 GO ON\nsame FIRST\n")
    tree.write("dev/84/2/84-2.trans.txt", "84-2-0 ÉTÉ\nsame SECOND\n".encode())
    tree.write("dev/84/2/notes.txt", b"84-2-0 nothing of this")
    return tree


def test_words_are_those_of_the_own_folder(root: OutputTree) -> None:
    told = Transcripts.of(root.url())
    rows = [
        row(f"dev/84/{path}") for path in ("1/84-1-0.flac", "1/same.flac", "2/same.wav", "2/84-2-0.x.flac")
    ]
    texts = [one.text for one in told.complete([*rows, row("dev/84/2/84-2-0.flac", text="old")])]
    assert texts == ["GO ON", "FIRST", "SECOND", "", "ÉTÉ"]


def test_changed_transcripts_are_seen(root: OutputTree) -> None:
    before = Transcripts.of(root.url())
    assert Transcripts.of(root.url()) == before
    root.write("dev/84/2/84-2.trans.txt", b"84-2-0 OTHER WORDS")
    assert Transcripts.of(root.url()) != before


def test_a_corpus_without_transcripts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no transcripts; looked for \*\.trans\.txt at any depth"):
        Transcripts.of(str(tmp_path))


# Listings.


def test_tellers_speak_in_turn(tmp_path: Path) -> None:
    (tmp_path / "x.trans.txt").write_text("a SAID\n")
    tellers = (manifest(tmp_path, "path,speaker\na.wav,ann\n"), Transcripts.of(str(tmp_path)))
    assert completed([row("a.wav")], tellers) == [row("a.wav", speaker="ann", text="SAID")]
    assert completed([row("a.wav")], ()) == [row("a.wav")]


def test_nobody_is_asked_of_no_rows() -> None:
    assert completed([], (ManifestColumns("nowhere.csv", ""),)) == []


def test_a_listing_holds_what_is_told_and_is_itself_such_a_manifest(tmp_path: Path) -> None:
    told = manifest(tmp_path, "path,text,speaker,subset\nb.wav,no,bob,dev\na.wav,yes,ann,train\n")
    data = AudioFolder("", (told,)).csv([row("b.wav"), row("a.wav")])
    (tmp_path / "audio.csv").write_bytes(data)
    rows = read_audio_files(str(tmp_path / "audio.csv"))
    assert [(one.path, one.text, one.speaker, one.subset) for one in rows] == [
        ("a.wav", "yes", "ann", "train"),
        ("b.wav", "no", "bob", "dev"),
    ]
    assert read_manifest(str(tmp_path / "audio.csv")) == ["a.wav", "b.wav"]
    again = ManifestColumns.of(str(tmp_path / "audio.csv"))
    assert AudioFolder("", (again,)).csv([row("b.wav"), row("a.wav")]) == data
