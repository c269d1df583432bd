"""Headers, and the CSV forms of listings."""

import dataclasses
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from transforms import listing, storage
from transforms.errors import SourceError, StorageError, UsageError
from transforms.listing import AudioFile, Header, NoiseClip, Utterance

UTTERANCE_HEADER = "speaker_ID,sex,subset,length,origin_path\n"
NOISE_HEADER = "noise_ID,subset,length,augmented,origin_path\n"
AUDIO_HEADER = "path,rate_hz,channels,length_samples,duration_s,format,subtype,speaker\n"

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
counts = st.integers(1, 10**9)
paths = st.lists(names, min_size=1, max_size=3).map("/".join).filter(storage.is_safe_relative)


def stored(folder: Path, text: str) -> str:
    path = folder / "listing.csv"
    path.write_bytes(text.encode())
    return str(path)


@pytest.fixture
def golden(repository: Path) -> Path:
    return repository / "tests" / "golden" / "listings"


@pytest.mark.parametrize("name", ["train-clean-100", "train-clean-360", "dev-clean", "test-clean"])
def test_published_speech_listings_survive_reading_and_writing(golden: Path, name: str) -> None:
    path = golden / "LibriSpeech" / f"{name}.csv"
    assert listing.utterances_csv(listing.read_utterances(str(path))) == path.read_bytes()


@pytest.mark.parametrize("name", ["train", "dev", "test"])
def test_published_noise_listings_survive_reading_and_writing(golden: Path, name: str) -> None:
    path = golden / "Wham_noise" / f"{name}.csv"
    assert listing.noises_csv(listing.read_noises(str(path))) == path.read_bytes()


@pytest.mark.golden
def test_official_listings_survive_reading_and_writing(shared_golden: Path) -> None:
    official = shared_golden / "librimix" / "official"
    speech, noise = official / "LibriSpeech" / "test-clean.csv", official / "Wham_noise" / "test.csv"
    utterances, noises = listing.read_utterances(str(speech)), listing.read_noises(str(noise))
    assert (len(utterances), len(noises)) == (2229, 3000)
    assert listing.utterances_csv(utterances) == speech.read_bytes()
    assert listing.noises_csv(noises) == noise.read_bytes()


def test_rows_hold_what_the_columns_say(golden: Path) -> None:
    first = listing.read_utterances(str(golden / "LibriSpeech" / "train-clean-100.csv"))[0]
    assert first == Utterance("19", "F", "train-clean-100", 48000, "train-clean-100/19/198/19-198-0001.flac")
    noise = listing.read_noises(str(golden / "Wham_noise" / "train.csv"))[0]
    name = "20no0106_2.2193_20lo010k_-2.2193sp12.wav"
    assert noise == NoiseClip(name, "tr", 48334, True, f"tr/{name}")


def test_order_is_kept_even_where_it_is_not_by_length(tmp_path: Path) -> None:
    url = stored(tmp_path, UTTERANCE_HEADER + "1,F,a,9,z.flac\n2,M,a,3,b.flac\n3,M,a,5,a.flac\n")
    assert [row.length_samples for row in listing.read_utterances(url)] == [9, 3, 5]


def test_reader_ids_that_look_like_floats_become_whole(tmp_path: Path) -> None:
    url = stored(tmp_path, UTTERANCE_HEADER + "4077.0,F,a,9,a.flac\n60,M,a,9,b.flac\n")
    assert [row.speaker for row in listing.read_utterances(url)] == ["4077", "60"]


def test_columns_may_stand_in_any_order_among_others(tmp_path: Path) -> None:
    url = stored(tmp_path, "origin_path,index,length,sex,subset,speaker_ID\r\na.flac,0,7,F,x,1\r\n\r\n")
    assert listing.read_utterances(url) == [Utterance("1", "F", "x", 7, "a.flac")]


def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path) -> None:
    url = stored(tmp_path, "\ufeff" + UTTERANCE_HEADER + "1,F,a,9,a.flac\n")
    assert len(listing.read_utterances(url)) == 1


def test_only_fields_that_need_quotes_get_them() -> None:
    rows = [Utterance("1", "F", "s", 5, 'a, "b".flac'), Utterance("2", "M", "s", 6, "c d.flac")]
    assert (
        listing.utterances_csv(rows)
        == (UTTERANCE_HEADER + '1,F,s,5,"a, ""b"".flac"\n2,M,s,6,c d.flac\n').encode()
    )


def test_audio_listing_states_durations_as_exact_doubles() -> None:
    row = AudioFile("a/b.flac", 44100, 2, 1, "FLAC", "PCM_16", "s1")
    text = AUDIO_HEADER + f"a/b.flac,44100,2,1,{1 / 44100!r},FLAC,PCM_16,s1\n"
    assert listing.audio_files_csv([row]) == text.encode()


@given(
    rows=st.lists(
        st.builds(Utterance, names, names, names, counts, paths), min_size=1, unique_by=lambda r: r.path
    )
)
def test_any_speech_listing_reads_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Utterance]
) -> None:
    rows = [dataclasses.replace(row, speaker=row.speaker.removesuffix(".0") or "1") for row in rows]
    rows = [row for row in rows if not row.speaker.endswith(".0")]
    url = stored(tmp_path_factory.mktemp("l"), listing.utterances_csv(rows).decode())
    if rows:
        assert listing.read_utterances(url) == rows


@given(
    rows=st.lists(
        st.builds(AudioFile, paths, counts, counts, counts, *[names] * 2, *[names | st.just("")] * 4),
        min_size=1,
        unique_by=lambda row: row.path,
    )
)
def test_any_audio_listing_reads_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[AudioFile]
) -> None:
    url = stored(tmp_path_factory.mktemp("l"), listing.audio_files_csv(rows).decode())
    assert listing.read_audio_files(url) == rows


def test_optional_columns_are_written_only_where_they_hold_something() -> None:
    plain = AudioFile("a.wav", 8000, 1, 8000, "WAV", "PCM_16", "s1")
    said = dataclasses.replace(plain, path="b.wav", text='well, "yes"', subset="dev")
    assert listing.audio_files_csv([plain]).decode().splitlines()[0] == AUDIO_HEADER.strip()
    assert listing.audio_files_csv([plain, said]).decode().splitlines() == [
        AUDIO_HEADER.strip() + ",text,subset",
        "a.wav,8000,1,8000,1.0,WAV,PCM_16,s1,,",
        'b.wav,8000,1,8000,1.0,WAV,PCM_16,s1,"well, ""yes""",dev',
    ]


def test_licences_are_the_last_column_and_come_back(tmp_path: Path) -> None:
    row = AudioFile("a.wav", 8000, 1, 8000, "WAV", "PCM_16", "s1", licence="CC BY 4.0")
    text = listing.audio_files_csv([row]).decode()
    assert text.splitlines()[0] == AUDIO_HEADER.strip() + ",licence"
    assert listing.read_audio_files(stored(tmp_path, text)) == [row]


def test_optional_columns_may_be_missing_but_not_be_there_twice(tmp_path: Path) -> None:
    header, row = AUDIO_HEADER.strip(), "a.wav,8000,1,8000,1.0,WAV,PCM_16,s1"
    url = stored(tmp_path, f"{header},room\n{row},hall\n")
    assert listing.read_audio_files(url) == [
        AudioFile("a.wav", 8000, 1, 8000, "WAV", "PCM_16", "s1", room="hall")
    ]
    with pytest.raises(UsageError, match="wanted one column each of room; found"):
        listing.read_audio_files(stored(tmp_path, f"{header},room,room\n{row},hall,hall\n"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("1,F,a,9.5,a.flac", r"line 2: length '9.5': wanted a whole number above 0"),
        ("1,F,a,,a.flac", r"line 2: length '': wanted a whole number"),
        ("1,F,a,-3,a.flac", r"line 2: length '-3': wanted a whole number"),
        ("1,F,a,0,a.flac", r"line 2: length '0': wanted a whole number above 0"),
        ("1,F,a,٣,a.flac", r"line 2: length '٣': wanted a whole number"),
        (",F,a,9,a.flac", r"line 2: speaker_ID '': wanted a reader's id"),
        ("1,F,a,9,/etc/passwd", r"line 2: origin_path '/etc/passwd': wanted a path that is relative"),
        ("1,F,a,9,../a.flac", r"line 2: origin_path '../a.flac': wanted a path that is relative"),
        ("1,F,a,9,gs://b/a.flac", r"line 2: origin_path .* stays below the corpus root"),
        ("1,F,a,9", r"line 2: 4 fields, wanted 5"),
        ("1,F,a,9,a.flac,x", r"line 2: 6 fields, wanted 5"),
        ("1,F,a,9,a.flac\n1,F,a,8,a.flac", r"line 3: origin_path 'a.flac' is on line 2 already"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: str, problem: str) -> None:
    url = stored(tmp_path, UTTERANCE_HEADER + row + "\n")
    with pytest.raises(UsageError, match=problem) as caught:
        listing.read_utterances(url)
    assert caught.value.problems[0].startswith(f"{url}, line ")


def test_augmented_must_be_true_or_false(tmp_path: Path) -> None:
    url = stored(tmp_path, NOISE_HEADER + "a.wav,tr,9,yes,tr/a.wav\n")
    with pytest.raises(UsageError, match="line 2: augmented 'yes': wanted True or False"):
        listing.read_noises(url)


def test_all_wrong_rows_are_named_together_up_to_twenty(tmp_path: Path) -> None:
    rows = "".join(f"1,F,a,none,{number}.flac\n" for number in range(25))
    with pytest.raises(UsageError) as caught:
        listing.read_utterances(stored(tmp_path, UTTERANCE_HEADER + rows))
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1].endswith("and 5 more problems of this kind")


def test_two_problems_of_one_row_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"length 'x'.*\n.*origin_path '\.\.'"):
        listing.read_utterances(stored(tmp_path, UTTERANCE_HEADER + "1,F,a,x,..\n"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "speaker_ID,sex\n1,F\n",
            r"wanted one column each of subset, length, origin_path; .* speaker_ID, sex",
        ),
        ("", r"wanted one column each of speaker_ID, .* found the columns \(none\)"),
        ("length," + UTTERANCE_HEADER + "1,1,F,a,1,a.flac\n", r"wanted one column each of length; found"),
        (UTTERANCE_HEADER, r"has no rows; make it again"),
        (UTTERANCE_HEADER + "1,F,a," + "9" * 140_000 + ",a.flac\n", r"line 2: is not CSV \(field larger"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        listing.read_utterances(stored(tmp_path, text))


def test_a_missing_listing_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.csv: no such file"):
        listing.read_noises(str(tmp_path / "none.csv"))


def test_a_listing_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match="is not UTF-8 text"):
        listing.read_utterances(str(tmp_path / "a.csv"))


def test_few_problems_are_shown_all() -> None:
    assert listing.limited(["a"] * 20) == ["a"] * 20
    assert listing.limited([]) == []


@pytest.mark.parametrize(
    ("name", "channels", "rate_hz", "container", "subtype"),
    [
        ("a.flac", 1, 16000, "FLAC", "PCM_16"),
        ("b.wav", 2, 8000, "WAV", "PCM_24"),
        ("c.ogg", 1, 44100, "OGG", "VORBIS"),
        ("d.aiff", 3, 48000, "AIFF", "PCM_16"),
        ("e.mp3", 1, 16000, "MP3", "MPEG_LAYER_III"),
    ],
)
def test_headers_of_many_formats(
    tmp_path: Path, name: str, channels: int, rate_hz: int, container: str, subtype: str
) -> None:
    soundfile.write(tmp_path / name, np.zeros((5000, channels)), rate_hz, format=container, subtype=subtype)
    header = listing.read_header(str(tmp_path), name, root_name="x")
    assert dataclasses.replace(header, frames=0) == Header(name, rate_hz, channels, 0, container, subtype)
    assert header.frames == soundfile.info(tmp_path / name).frames > 0


def test_headers_are_read_from_any_store(tmp_path: Path, write_wav: Any) -> None:
    data = write_wav(tmp_path / "a.wav", np.zeros(100, dtype=np.int16)).read_bytes()
    storage.OutputTree("memory://listing-test").write("x/a.wav", data)
    header = listing.read_header("memory://listing-test", "x/a.wav", root_name="x")
    assert header == Header("x/a.wav", 16000, 1, 100, "WAV", "PCM_16")


def wav_bytes(folder: Path, frames: int) -> bytes:
    soundfile.write(folder / "whole.wav", np.ones(frames, dtype=np.int16), 16000)
    return (folder / "whole.wav").read_bytes()


def flac_of_unknown_length(folder: Path) -> bytes:
    soundfile.write(folder / "whole.flac", np.ones(1000, dtype=np.int16), 16000)
    data = bytearray((folder / "whole.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: b"", r"the file is empty \(0 bytes\)"),
        (lambda _: b"these are words" * 9, r"is not decodable audio or is damaged \(Format not recognised"),
        (lambda folder: wav_bytes(folder, 1000)[:1000], "is truncated: its header promises more samples"),
        (lambda folder: wav_bytes(folder, 0), "holds no samples"),
        (lambda folder: wav_bytes(folder, 10)[:20], "is not decodable audio or is damaged"),
        (flac_of_unknown_length, "its header does not say how long it is"),
    ],
)
def test_headers_of_unusable_files(tmp_path: Path, make: Any, reason: str) -> None:
    (tmp_path / "bad.wav").write_bytes(make(tmp_path))
    with pytest.raises(SourceError, match=reason) as caught:
        listing.read_header(str(tmp_path), "bad.wav", root_name="wham")
    assert (caught.value.source, caught.value.stage) == ("wham:bad.wav", "header")
    assert caught.value.remedy == "fetch it again, or remove it"


@pytest.mark.parametrize("root", ["memory://listing-none", "."])
def test_header_of_a_missing_file(root: str) -> None:
    with pytest.raises(SourceError, match=r"wham:none/a\.wav: no such file"):
        listing.read_header(root, "none/a.wav", root_name="wham")


@pytest.mark.parametrize("path", ["a\\b.wav", "../a.wav", "a\nb.wav", "a::b.wav"])
def test_names_that_listings_cannot_hold(tmp_path: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"its name holds .*; rename it"):
        listing.read_header(str(tmp_path), path, root_name="audio")


def test_a_wav_header_may_promise_nothing_wrong_and_have_chunks_after_the_data(tmp_path: Path) -> None:
    data = wav_bytes(tmp_path, 100)
    chunk = b"note" + struct.pack("<I", 4) + b"abcd"
    whole = data[:4] + struct.pack("<I", len(data) + len(chunk) - 8) + data[8:] + chunk
    (tmp_path / "more.wav").write_bytes(whole)
    assert listing.read_header(str(tmp_path), "more.wav", root_name="x").frames == 100
