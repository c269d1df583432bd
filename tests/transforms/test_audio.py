"""Decoding with every check, the quantiser against libsndfile's, and WAV headers."""

import dataclasses
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms.audio import (
    CHANGED,
    QUANTISERS,
    SourceReader,
    content_of,
    decode_pcm,
    promises_more_samples,
    quantise_floor,
    quantise_round,
    quantise_truncate,
    sph_problem,
    wav_header,
)
from transforms.errors import SourceError
from transforms.ledger import crc32c
from transforms.plan import Source
from transforms.storage import MISSING, stamp

SAMPLES = (np.random.default_rng(7).standard_normal(20_000) * 3000).astype(np.int16)
SOURCE = Source("s1", "corpus", "a/b.audio")


def encoded(
    samples: NDArray[Any] = SAMPLES, form: str = "WAV", subtype: str = "PCM_16", *, rate_hz: int = 16000
) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate_hz, format=form, subtype=subtype)
    return file.getvalue()


class Corpus:
    """A root with one file, and a reader of it."""

    def __init__(self, root: Path) -> None:
        self.file = root / SOURCE.path
        self.file.parent.mkdir()
        self.reader = SourceReader({"corpus": str(root)}, 16000)

    def read(self, data: bytes, limit: int = -1, **changes: int) -> NDArray[np.float32]:
        self.file.write_bytes(data)
        return self.reader.read(dataclasses.replace(SOURCE, **changes), limit)  # type: ignore[arg-type]

    def refusal(self, data: bytes, **changes: int) -> SourceError:
        with pytest.raises(SourceError) as caught:
            self.read(data, **changes)
        assert (caught.value.source, caught.value.stage) == ("corpus:a/b.audio", "read")
        assert caught.value.remedy
        return caught.value


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path)


# --- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["WAV", "FLAC", "WAVEX", "AIFF"])
def test_sixteen_bit_samples_come_as_fractions(corpus: Corpus, form: str) -> None:
    samples = corpus.read(encoded(form=form))
    assert samples.dtype == np.float32
    assert np.array_equal(samples * 32768, SAMPLES)


def test_lossy_files_are_read(corpus: Corpus) -> None:
    samples = corpus.read(encoded(SAMPLES / 32768, "OGG", "VORBIS"))
    assert samples.shape == SAMPLES.shape
    assert np.corrcoef(samples, SAMPLES)[0, 1] > 0.9


@pytest.mark.parametrize("form", ["WAV", "FLAC"])
@pytest.mark.parametrize(
    ("changes", "limit", "begin", "end"),
    [
        ({}, 100, 0, 100),
        ({}, 30_000, 0, 20_000),
        ({"offset_samples": 5000}, -1, 5000, 20_000),
        ({"offset_samples": 5000}, 700, 5000, 5700),
        ({"offset_samples": 5000, "length_samples": 300}, -1, 5000, 5300),
        ({"length_samples": 300}, -1, 0, 300),
        ({"offset_samples": 19_999}, 5, 19_999, 20_000),
    ],
)
def test_pieces(corpus: Corpus, form: str, changes: dict[str, int], limit: int, begin: int, end: int) -> None:
    samples = corpus.read(encoded(form=form), limit, **changes)
    assert np.array_equal(samples * 32768, SAMPLES[begin:end])


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_channel_is_taken(corpus: Corpus, channel: int) -> None:
    channels = np.stack([SAMPLES, SAMPLES[::-1], SAMPLES // 2], axis=1)
    samples = corpus.read(encoded(channels), channel=channel)
    assert samples.flags.c_contiguous
    assert np.array_equal(samples * 32768, channels[:, channel])


def test_channel_0_of_a_mono_file_is_all_of_it(corpus: Corpus) -> None:
    assert len(corpus.read(encoded(), channel=0)) == len(SAMPLES)


@pytest.mark.parametrize(
    "data",
    [
        encoded() + b"LIST\4\0\0\0INFO",
        encoded() + b"junk that somebody appended",
        encoded()[:40] + struct.pack("<I", 20_000) + encoded()[44:],
    ],
    ids=["chunk behind", "junk behind", "promises fewer"],
)
def test_more_than_promised_is_no_damage(corpus: Corpus, data: bytes) -> None:
    assert np.array_equal(corpus.read(data)[:10_000] * 32768, SAMPLES[:10_000])


def test_sources_are_read_from_other_stores() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/test-audio/a/b.audio", encoded())
    reader = SourceReader({"corpus": "memory://test-audio"}, 16000)
    assert len(reader.read(SOURCE)) == len(SAMPLES)


# --- what is refused ---------------------------------------------------------------------------


def without_total(flac: bytes) -> bytes:
    """A FLAC file as an encoder leaves it that cannot go back: its header holds no length."""
    facts = int.from_bytes(flac[18:26], "big") >> 36 << 36
    return flac[:18] + facts.to_bytes(8, "big") + flac[26:]


def holed(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(60) + data[middle + 60 :]


def not_a_number(value: float) -> bytes:
    samples = SAMPLES.astype(np.float32) / 32768
    samples[77] = value
    return encoded(samples, "WAV", "FLOAT")


STEREO = np.stack([SAMPLES, 0 * SAMPLES], axis=1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"mixture_ID,length\n" * 50, "is not decodable audio or is damaged (Format not recognised.)"),
        (SAMPLES.tobytes(), "is not decodable audio or is damaged (Format not recognised.)"),
        (encoded(rate_hz=8000), "has 8000 Hz, wanted 16000 Hz"),
        (encoded(form="FLAC", rate_hz=44100), "has 44100 Hz, wanted 16000 Hz"),
        (encoded(STEREO), "has 2 channels, wanted 1"),
        (encoded(SAMPLES[:0]), "holds no samples"),
        (encoded()[:44], "holds no samples"),
        (encoded(0 * SAMPLES), "is silent: every sample is zero"),
        (encoded(0 * SAMPLES, "FLAC"), "is silent: every sample is zero"),
        (encoded()[:-2], "is truncated: its header promises more samples"),
        (encoded()[: len(encoded()) // 2], "is truncated: its header promises more samples"),
        (encoded(subtype="PCM_24")[:-3], "is truncated: its header promises more samples"),
        (encoded()[:30], "is not decodable audio or is damaged (Error in WAV file. No 'data' chunk marker.)"),
        (without_total(encoded(form="FLAC")), "does not say how many samples it holds"),
        (not_a_number(np.nan), "holds samples that are no finite numbers"),
        (not_a_number(np.inf), "holds samples that are no finite numbers"),
    ],
)
def test_unusable_sources(corpus: Corpus, data: bytes, reason: str) -> None:
    assert corpus.refusal(data).reason == reason


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_flac(corpus: Corpus, share: float) -> None:
    data = encoded(form="FLAC")
    reason = corpus.refusal(data[: int(share * len(data))]).reason
    assert reason.startswith(("is not decodable audio or is damaged (", "is truncated: "))


def test_damaged_flac(corpus: Corpus) -> None:
    reason = corpus.refusal(holed(encoded(form="FLAC"))).reason
    assert reason.startswith("is not decodable audio or is damaged (")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"channel": 1}, "is silent: every sample is zero"),
        ({"channel": 2}, "has 2 channels, the plan wants channel 2"),
        ({"channel": 0, "offset_samples": 20_000}, "has 20000 samples, the plan begins at 20000"),
        ({"channel": 0, "offset_samples": 99_999}, "has 20000 samples, the plan begins at 99999"),
        (
            {"channel": 0, "offset_samples": 19_000, "length_samples": 2000},
            "is truncated: 1000 of 2000 samples can be read",
        ),
        ({"channel": 0, "length_samples": 20_001}, "is truncated: 20000 of 20001 samples can be read"),
    ],
)
def test_pieces_that_are_not_there(corpus: Corpus, changes: dict[str, int], reason: str) -> None:
    assert corpus.refusal(encoded(STEREO), **changes).reason == reason


def test_missing_sources_are_named(corpus: Corpus) -> None:
    with pytest.raises(SourceError, match=r"corpus:a/b\.audio: no such file or folder") as caught:
        corpus.reader.read(SOURCE)
    assert caught.value.remedy == "restore the file or plan without it"


def test_a_folder_is_no_source(corpus: Corpus) -> None:
    corpus.file.mkdir()
    with pytest.raises(SourceError, match="a folder stands where a file is needed"):
        corpus.reader.read(SOURCE)


@pytest.mark.parametrize(
    ("data", "more"), [(encoded()[:-2], True), (encoded(), False), (encoded() + b"x", False)]
)
def test_promises_of_headers(data: bytes, more: bool) -> None:
    with soundfile.SoundFile(BytesIO(data)) as file:
        assert promises_more_samples(file) is more


def sphere(samples: int = len(SAMPLES), coding: str = "pcm") -> bytes:
    """A SPHERE file of all samples, whose header may lie about length and coding."""
    fields = {
        "channel_count": "-i 1",
        "sample_count": f"-i {samples}",
        "sample_rate": "-i 16000",
        "sample_n_bytes": "-i 2",
        "sample_byte_format": "-s2 01",
        "sample_sig_bits": "-i 16",
        "sample_coding": f"-s{len(coding)} {coding}",
    }
    lines = ["NIST_1A", "   1024", *(f"{name} {value}" for name, value in fields.items()), "end_head", ""]
    return "\n".join(lines).encode().ljust(1024) + SAMPLES.astype("<i2").tobytes()


def test_sphere_files_are_read(corpus: Corpus) -> None:
    assert np.array_equal(corpus.read(sphere()) * 32768, SAMPLES)
    assert np.array_equal(corpus.read(sphere(), offset_samples=5000) * 32768, SAMPLES[5000:])


@pytest.mark.parametrize(
    ("data", "reason", "remedy"),
    [
        (sphere(30_000), "is truncated: 20000 of 30000 samples are there", "fetch it again"),
        (sphere()[:1500], "is truncated: 238 of 20000 samples are there", "fetch it again"),
        (
            sphere(coding="pcm,embedded-shorten-v2.00"),
            "is a SPHERE file with compressed samples (pcm,embedded-shorten-v2.00)",
            "decompress it with the program sph2pipe",
        ),
    ],
)
def test_sphere_files_that_cannot_serve(corpus: Corpus, data: bytes, reason: str, remedy: str) -> None:
    refused = corpus.refusal(data)
    assert refused.reason.startswith(reason)
    assert refused.remedy.startswith(remedy)


@pytest.mark.parametrize("data", [b"", encoded(), sphere(), sphere().replace(b"channel_count", b"channels")])
def test_good_sphere_files_and_other_formats_have_no_sphere_problem(data: bytes) -> None:
    assert sph_problem(data) is None


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_without_a_wanted_rate_every_file_keeps_its_own(corpus: Corpus, rate_hz: int) -> None:
    corpus.file.write_bytes(encoded(rate_hz=rate_hz))
    samples, found_hz = SourceReader(corpus.reader.roots, rate_hz=None).read_with_rate(SOURCE)
    assert found_hz == rate_hz
    assert np.array_equal(samples * 32768, SAMPLES)


def test_the_rate_told_is_that_of_the_samples(corpus: Corpus) -> None:
    corpus.file.write_bytes(encoded(rate_hz=8000))
    samples, found_hz = SourceReader(corpus.reader.roots, 16000, any_rate=True).read_with_rate(SOURCE)
    assert (len(samples), found_hz) == (2 * len(SAMPLES), 16000)


# --- what is remembered ------------------------------------------------------------------------


def test_content_is_size_and_checksum() -> None:
    assert content_of(b"123456789") == "9-e3069283"
    assert content_of(b"") == "0-00000000"


def test_contents_and_stamps_are_remembered(corpus: Corpus) -> None:
    data = encoded()
    corpus.read(data)
    assert corpus.reader.contents == {"corpus:a/b.audio": f"{len(data)}-{crc32c(data):08x}"}
    assert corpus.reader.stamps == {"corpus:a/b.audio": stamp(str(corpus.file))}
    assert corpus.reader.content("corpus:a/b.audio") == content_of(data)


def test_contents_of_unusable_and_missing_sources_are_remembered_too(corpus: Corpus) -> None:
    corpus.refusal(b"no audio")
    assert corpus.reader.contents == {"corpus:a/b.audio": content_of(b"no audio")}
    corpus.file.unlink()
    reader = SourceReader(corpus.reader.roots, 16000)
    with pytest.raises(SourceError):
        reader.read(SOURCE)
    assert reader.contents == {"corpus:a/b.audio": MISSING}
    assert reader.content("corpus:a/b.audio") == MISSING


@pytest.mark.parametrize("comes_back", [False, True], ids=["replaced", "removed and restored"])
def test_a_source_that_changes_between_two_items_has_no_content(corpus: Corpus, comes_back: bool) -> None:
    corpus.read(encoded())
    corpus.file.write_bytes(b"no audio")
    with pytest.raises(SourceError):
        corpus.reader.read(SOURCE)
    if comes_back:
        corpus.read(encoded())
    assert corpus.reader.contents == {"corpus:a/b.audio": CHANGED}
    assert corpus.reader.stamps == {}


def test_urls_of_sources() -> None:
    reader = SourceReader({"wham": "zip://::gs://b/wham.zip", "x": "/data"}, 16000)
    assert reader.url_of("wham:tr/a.wav") == "zip://tr/a.wav::gs://b/wham.zip"
    assert reader.url_of("x:a:b.wav") == "/data/a:b.wav"


# --- the quantiser -----------------------------------------------------------------------------


def by_libsndfile(samples: NDArray[Any]) -> NDArray[np.int16]:
    return decode_pcm(encoded(samples))


def edges(dtype: Any) -> NDArray[Any]:
    lsb = dtype(2.0**-15)
    steps = np.concatenate(
        [np.arange(-40_000, 40_000, 7), [-32769, -32768, -32767, -1, 0, 1, 32766, 32767, 32768]]
    )
    fractions = np.array([0, 0.25, 0.4, 0.5, 0.6, 0.75, 0.999, 2.0**-17, 1 - 2.0**-17])
    grid = ((steps[:, None] + fractions) * lsb).ravel().astype(dtype)
    info = np.finfo(dtype)
    odd = [1, -1, 1.5, -1.5, 2, -2, 1e4, -1e4, 1e25, -1e25, 0.0, -0.0]
    odd += [info.tiny, -info.tiny, info.smallest_subnormal, -info.smallest_subnormal]
    values = np.concatenate([grid, np.array(odd, dtype=dtype)])
    zero = dtype(0)
    return np.concatenate([values, np.nextafter(values, dtype(9)), np.nextafter(values, -dtype(9)), [zero]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edges_are_quantised_as_libsndfile_does(dtype: Any) -> None:
    samples = edges(dtype)
    assert samples.dtype == dtype
    assert np.array_equal(quantise_floor(samples), by_libsndfile(samples))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.2, 0.1, 1e-4])
def test_random_values_are_quantised_as_libsndfile_does(dtype: Any, scale: float) -> None:
    samples = np.random.default_rng(3).uniform(-scale, scale, 200_000).astype(dtype)
    assert np.array_equal(quantise_floor(samples), by_libsndfile(samples))


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=50))
def test_the_quantiser_floors(values: list[float]) -> None:
    samples = np.array(values, dtype=np.float64)
    obvious = [min(32767, max(-32768, int(np.rint(value * 2.0**31)) // 65536)) for value in values]
    assert quantise_floor(samples).tolist() == obvious


def test_the_quantiser_keeps_shape_and_input() -> None:
    samples = np.array([[0.6, -0.4], [0.5, 1.0]], dtype=np.float32) / 32768
    before = samples.copy()
    assert quantise_floor(samples).tolist() == [[0, -1], [0, 1]]
    assert quantise_floor(samples).dtype == np.int16
    assert np.array_equal(samples, before)
    assert quantise_floor(np.zeros(0, dtype=np.float32)).shape == (0,)


@pytest.mark.parametrize("quantise", [QUANTISERS["floor"], QUANTISERS["round"]], ids=["floor", "round"])
def test_sixteen_bit_samples_survive(quantise: Callable[[NDArray[Any]], NDArray[np.int16]]) -> None:
    everything = np.arange(-32768, 32768, dtype=np.int16)
    assert np.array_equal(quantise(everything.astype(np.float32) / 32768), everything)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=50))
def test_the_other_quantiser_rounds_half_to_even(values: list[float]) -> None:
    obvious = [min(32767, max(-32768, round(value * 32768))) for value in values]
    assert quantise_round(np.array(values)).tolist() == obvious


def test_halves_are_rounded_to_even() -> None:
    samples = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.6, -0.4, 40_000]) / 32768
    assert quantise_round(samples).tolist() == [0, 2, 2, 0, -2, 1, 0, 32767]
    assert quantise_round(samples).dtype == np.int16


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=50))
def test_the_third_quantiser_cuts_fractions_off(values: list[float]) -> None:
    obvious = [min(32767, max(-32768, int(value * 32767))) for value in values]
    assert quantise_truncate(np.array(values)).tolist() == obvious


def test_full_scale_is_reached_on_both_sides() -> None:
    samples = np.array([1.0, -1.0, 0.99999, -0.99999])
    assert quantise_truncate(samples).tolist() == [32767, -32767, 32766, -32766]


# --- WAV files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("frames", [0, 1, 2, 999, 20_000])
def test_the_header_is_soundfiles(frames: int, rate_hz: int) -> None:
    written = encoded(SAMPLES[:frames], rate_hz=rate_hz)
    assert wav_header(frames, rate_hz) == written[:44]
    assert wav_header(frames, rate_hz) + SAMPLES[:frames].tobytes() == written


def test_pcm_is_decoded_again() -> None:
    pcm = decode_pcm(wav_header(len(SAMPLES), 16000) + SAMPLES.tobytes())
    assert pcm.dtype == np.int16
    assert np.array_equal(pcm, SAMPLES)


def test_pcm_of_what_is_no_audio() -> None:
    with pytest.raises(soundfile.LibsndfileError):
        decode_pcm(b"no audio")
