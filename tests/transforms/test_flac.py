"""Headers of FLAC files: what is answered is what libsndfile says, of good files and of damaged ones."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.errors import SourceError
from transforms.flac import BEGINNING_BYTES, FlacInfo, flac_info
from transforms.listing import Header, read_header

SAMPLES = 5000


def encoded(
    subtype: str = "PCM_16", *, rate_hz: int = 16000, channels: int = 1, tagged: bool = False
) -> bytes:
    """A FLAC file of noise."""
    file = BytesIO()
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (SAMPLES, channels))
    with soundfile.SoundFile(file, "w", rate_hz, channels, subtype, format="FLAC") as sound:
        if tagged:
            sound.title, sound.artist = "A title", "Somebody"
        sound.write(samples)
    return file.getvalue()


def by_library(data: bytes) -> FlacInfo:
    """What libsndfile says. Raises LibsndfileError where it cannot read the file."""
    with soundfile.SoundFile(BytesIO(data)) as sound:
        return FlacInfo(sound.samplerate, sound.channels, sound.frames, sound.subtype)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 192000])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_good_files_are_answered_as_by_libsndfile(subtype: str, rate_hz: int, channels: int) -> None:
    data = encoded(subtype, rate_hz=rate_hz, channels=channels)
    assert flac_info(data) == by_library(data) == FlacInfo(rate_hz, channels, SAMPLES, subtype)


def test_comments_and_padding_are_passed_over() -> None:
    data = encoded(tagged=True)
    assert b"A title" in data
    assert flac_info(data) == by_library(data)


def test_the_beginning_is_enough() -> None:
    data = encoded(rate_hz=48000, channels=2) + bytes(BEGINNING_BYTES)
    assert flac_info(data[:BEGINNING_BYTES]) == flac_info(data) == FlacInfo(48000, 2, SAMPLES, "PCM_16")


@pytest.mark.parametrize("kept", [0, 3, 4, 7, 8, 20, 41, 42, 43, 60])
def test_of_what_ends_before_its_first_frame_nothing_is_said(kept: int) -> None:
    assert flac_info(encoded()[:kept]) is None


def test_of_other_formats_nothing_is_said() -> None:
    wav = BytesIO()
    soundfile.write(wav, np.zeros(100), 16000, format="WAV")
    assert flac_info(wav.getvalue()) is None
    assert flac_info(b"ID3\x03\x00\x00\x00\x00\x00\x00" + encoded()) is None


def with_length(data: bytes, frames: int) -> bytes:
    """A file whose header promises so many samples."""
    packed = int.from_bytes(data[18:26], "big") >> 36 << 36 | frames
    return data[:18] + packed.to_bytes(8, "big") + data[26:]


def test_of_a_file_that_does_not_say_how_long_it_is_nothing_is_said() -> None:
    data = encoded()
    assert with_length(data, SAMPLES) == data
    assert flac_info(with_length(data, 0)) is None
    assert flac_info(with_length(data, 2**36 - 1)) == FlacInfo(16000, 1, 2**36 - 1, "PCM_16")


@settings(max_examples=300, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3),
    tagged=st.booleans(),
)
def test_a_changed_header_is_answered_as_by_libsndfile_or_not_at_all(
    changes: list[tuple[int, int]], tagged: bool
) -> None:
    data = bytearray(GOOD[tagged])
    for place, value in changes:
        data[min(place, len(data) - 1)] = value
    answer = flac_info(bytes(data[:BEGINNING_BYTES]))
    if answer is not None:
        assert by_library(bytes(data)) == answer


def test_headers_of_a_corpus_are_read_so(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(encoded(channels=2))
    header = read_header(str(tmp_path), "a.flac", root_name="corpus")
    assert header == Header("a.flac", 16000, 2, SAMPLES, "FLAC", "PCM_16")


@pytest.mark.parametrize(("name", "opened"), [("a.flac", 1), ("a.FLAC", 1), ("a.wav", 0), ("flac", 0)])
def test_only_what_is_called_flac_is_looked_into_before_libsndfile_opens_it(
    repository: Path, tmp_path: Path, name: str, opened: int
) -> None:
    """Files that Python opens can be watched in their own interpreter only: no such hook ever goes."""
    (tmp_path / name).write_bytes(encoded(channels=2))
    code = f"""
import sys
from transforms.listing import read_header
seen = []
path = {str(tmp_path / name)!r}
sys.addaudithook(lambda event, facts: event == "open" and facts[0] == path and seen.append(path))
header = read_header({str(tmp_path)!r}, {name!r}, root_name="corpus")
print(len(seen), header.format, header.channels, header.frames)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{opened} FLAC 2 {SAMPLES}\n", "")


def test_a_flac_file_that_cannot_be_opened_is_told_by_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.flac").mkdir()
    with pytest.raises(SourceError, match=r"corpus:a\.flac: a folder stands where a file is needed"):
        read_header(str(tmp_path), "a.flac", root_name="corpus")
    with pytest.raises(SourceError, match=r"corpus:b\.flac: no such file"):
        read_header(str(tmp_path), "b.flac", root_name="corpus")


GOOD = {tagged: encoded(tagged=tagged) for tagged in (False, True)}
