"""Manifests, speaker patterns and rows of any audio."""

from pathlib import Path

import pytest

from transforms.corpora import audio_folder
from transforms.corpora.audio_folder import AudioFolder
from transforms.errors import SourceError, UsageError
from transforms.listing import AudioFile, Header

HEADER = Header("ann/1/x.flac", 16000, 2, 8000, "FLAC", "PCM_16")


@pytest.mark.parametrize("pattern", [r"^(?P<speaker>[^/]+)/", r"(?P<speaker>\w+)_(?P<take>\d+)"])
def test_good_patterns(pattern: str) -> None:
    assert audio_folder.pattern_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(?P<speaker>", "is not a regular expression (missing )"),
        ("([^/]+)/", "has no group named speaker; wanted for instance '^(?P<speaker>[^/]+)/'"),
        ("(?P<reader>.)", "has no group named speaker"),
    ],
)
def test_bad_patterns(pattern: str, problem: str) -> None:
    assert problem in (audio_folder.pattern_problem(pattern) or "")


def test_rows_with_and_without_speakers() -> None:
    plain = AudioFile("ann/1/x.flac", 16000, 2, 8000, "FLAC", "PCM_16")
    assert AudioFolder().row(HEADER) == plain
    assert plain.duration_s == 0.5
    assert AudioFolder(r"/(?P<speaker>\d+)/").row(HEADER).speaker == "1"
    assert AudioFolder(r"^(?P<speaker>[^/]+)/").row(HEADER).speaker == "ann"


@pytest.mark.parametrize("pattern", [r"^(?P<speaker>\d+)/", r"x(?P<speaker>y)?"])
def test_a_path_without_speaker_is_refused(pattern: str) -> None:
    with pytest.raises(
        SourceError, match=r"audio:ann/1/x.flac: the speaker pattern .* finds no speaker"
    ) as caught:
        AudioFolder(pattern).row(HEADER)
    assert caught.value.stage == "speaker"


def test_a_pattern_that_fits_nothing_is_a_problem() -> None:
    layout = AudioFolder(r"^(?P<speaker>\d+)/")
    assert layout.problems(["1/a.wav", "b.wav"]) == []
    (problem,) = layout.problems(["a.wav", "b.wav"])
    assert problem.startswith(r"speaker pattern '^(?P<speaker>\\d+)/' fits none of 2 paths, such as 'a.wav'")
    assert AudioFolder().problems(["a.wav"]) == []


def test_the_listing_is_sorted_by_path() -> None:
    rows = [AudioFile(path, 8000, 1, 4, "WAV", "PCM_16") for path in ("b/a.wav", "a/c.wav", "a/b.wav")]
    lines = AudioFolder().csv(rows).decode().splitlines()
    assert [line.split(",")[0] for line in lines] == ["path", "a/b.wav", "a/c.wav", "b/a.wav"]


def test_every_path_belongs_to_the_one_listing() -> None:
    assert AudioFolder().folders("anywhere") == ("",)
    assert AudioFolder().listing_of("a/b/c.wav") == "audio.csv"


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("list.txt", "."),
        ("/list.txt", "/"),
        ("data/x/list.csv", "data/x"),
        ("gs://bucket/list.csv", "gs://bucket"),
        ("memory://list.txt", "memory://"),
        ("zip://deep/list.txt::gs://bucket/a.zip", "zip://deep::gs://bucket/a.zip"),
    ],
)
def test_paths_of_a_manifest_are_relative_to_its_folder(url: str, root: str) -> None:
    assert audio_folder.manifest_root(url) == root


@pytest.mark.parametrize(
    ("name", "text", "paths"),
    [
        ("m.txt", "b.wav\n\n  a.wav  \n", ["b.wav", "a.wav"]),
        ("m.txt", "./x/b.wav\r\nx/a, b.wav\r\n", ["x/b.wav", "x/a, b.wav"]),
        ("m", "path\n", ["path"]),
        ("m.csv", "id,path\n1,b.wav\n2,a.wav\n", ["b.wav", "a.wav"]),
        ("m.CSV", 'path\n"a, b.wav"\n', ["a, b.wav"]),
    ],
)
def test_manifests(tmp_path: Path, name: str, text: str, paths: list[str]) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert audio_folder.read_manifest(str(tmp_path / name)) == paths


def test_our_own_listing_is_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "audio.csv").write_bytes(AudioFolder().csv([AudioFolder().row(HEADER)]))
    assert audio_folder.read_manifest(str(tmp_path / "audio.csv")) == [HEADER.path]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("m.txt", "\n \n", "names no files; write one path per line"),
        ("m.txt", "a.wav\n/etc/passwd\n", "line 2: path '/etc/passwd' must be relative and stay below"),
        ("m.txt", "../a.wav\n", "line 1: path '../a.wav' must be relative"),
        ("m.txt", "gs://b/a.wav\n", "line 1: path 'gs://b/a.wav' must be relative"),
        ("m.txt", "a.wav\n./a.wav\n", "line 2: path 'a.wav' is on line 1 already"),
        ("m.csv", "file,size\na.wav,1\n", "no column path; found the columns file, size"),
        ("m.csv", "", r"no column path; found the columns \(none\)"),
        ("m.csv", "id,path\n1\n", "line 2: path '' must be relative"),
        ("m.csv", "path\n", "names no files"),
    ],
)
def test_bad_manifests(tmp_path: Path, name: str, text: str, problem: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=problem):
        audio_folder.read_manifest(str(tmp_path / name))
