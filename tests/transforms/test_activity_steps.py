"""Measuring a corpus: what is read and what is refused, ids, the tables, the steps in a pipeline."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from transforms import activity_steps, storage
from transforms.activity import ActiveLevel, active_level
from transforms.activity_steps import ActivityFiles, MeasureActivity, UtteranceLevel, WriteLevels
from transforms.errors import SourceError, StorageError, UsageError

WriteWav = Callable[..., Path]
Pcm = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture
def speech() -> Pcm:
    """A second of noise, a second of pause, at 16 kHz."""
    noise = np.random.default_rng(4).integers(-3000, 3000, 32000, dtype=np.int16)
    noise[16000:] = 0
    return noise


def sphere(pcm: Pcm, *, order: str = "01", coding: str = "pcm", samples: int | None = None) -> bytes:
    """A SPHERE file, whose header may lie about coding and length."""
    fields = {
        "channel_count": "-i 1",
        "sample_count": f"-i {len(pcm) if samples is None else samples}",
        "sample_rate": "-i 16000",
        "sample_n_bytes": "-i 2",
        "sample_byte_format": f"-s2 {order}",
        "sample_sig_bits": "-i 16",
        "sample_coding": f"-s{len(coding)} {coding}",
    }
    lines = ["NIST_1A", "   1024", *(f"{name} {value}" for name, value in fields.items()), "end_head", ""]
    body = pcm.astype("<i2" if order == "01" else ">i2").tobytes()
    return "\n".join(lines).encode().ljust(1024) + body


def row(path: str, power: float = 0.01) -> UtteranceLevel:
    level = ActiveLevel(power, 0.5, power / 2)
    return UtteranceLevel(activity_steps.utterance_id(path), path, 16000, 100, level)


def read(folder: Path, name: str) -> UtteranceLevel:
    return activity_steps.measure_utterance(str(folder), name, root_name="levels", measure="plain")


# --- reading


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_files_are_measured_at_their_own_rate(
    tmp_path: Path, write_wav: WriteWav, speech: Pcm, rate_hz: int, suffix: str
) -> None:
    write_wav(tmp_path / f"a{suffix}", speech, rate_hz)
    found = read(tmp_path, f"a{suffix}")
    assert (found.rate_hz, found.samples) == (rate_hz, len(speech))
    assert found.level == active_level(speech / 32768, rate_hz, measure="plain")


@pytest.mark.parametrize("order", ["01", "10"])
def test_sphere_files_as_they_are_on_the_discs(tmp_path: Path, speech: Pcm, order: str) -> None:
    (tmp_path / "011c0201.wv1").write_bytes(sphere(speech, order=order))
    found = read(tmp_path, "011c0201.wv1")
    assert (found.rate_hz, found.samples) == (16000, len(speech))
    assert found.level == active_level(speech / 32768, 16000, measure="plain")


@pytest.mark.parametrize(
    ("make", "reason", "remedy"),
    [
        (
            lambda pcm: sphere(pcm, coding="pcm,embedded-shorten-v2.00"),
            "is a SPHERE file with compressed samples (pcm,embedded-shorten-v2.00), which cannot be decoded",
            "decompress it with the program sph2pipe (sph2pipe -p -f wav IN OUT)",
        ),
        (
            lambda pcm: sphere(pcm, samples=40000),
            "is truncated: 32000 of 40000 samples are there",
            "fetch it again, or plan without it",
        ),
        (lambda pcm: sphere(pcm)[:1000], "is truncated: 0 of 32000 samples are there", "fetch it again, or"),
        (lambda pcm: sphere(pcm[:0]), "holds no samples", "fetch it again, or plan without it"),
        (lambda pcm: b"NIST_1A\n   1024\n", "is not decodable audio or is damaged", "fetch it again, or"),
    ],
)
def test_sphere_files_that_cannot_serve(
    tmp_path: Path, speech: Pcm, make: Callable[[Pcm], bytes], reason: str, remedy: str
) -> None:
    (tmp_path / "a.wv1").write_bytes(make(speech))
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "a.wv1")
    assert (caught.value.source, caught.value.stage) == ("levels:a.wv1", "read")
    assert caught.value.reason.startswith(reason)
    assert caught.value.remedy.startswith(remedy)


def wav_of(samples: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV", **options)
    return file.getvalue()


def flac_of_unknown_length(pcm: Pcm) -> bytes:
    """A FLAC stream with 0 (unknown) for its length: the lower 32 of 36 bits; the others are 0."""
    file = io.BytesIO()
    soundfile.write(file, pcm, 16000, format="FLAC")
    data = file.getvalue()
    return data[:22] + bytes(4) + data[26:]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda pcm: b"", "the file is empty (0 bytes)"),
        (lambda pcm: b"words" * 30, "is not decodable audio or is damaged"),
        (lambda pcm: wav_of(pcm)[:1000], "is truncated: its header promises more samples"),
        (lambda pcm: wav_of(pcm[:0]), "holds no samples"),
        (lambda pcm: wav_of(np.stack([pcm, pcm], axis=1)), "has 2 channels, wanted 1"),
        (flac_of_unknown_length, "does not say how many samples it holds"),
        (None, "no such file or folder"),
    ],
)
def test_files_that_cannot_serve(
    tmp_path: Path, speech: Pcm, make: Callable[[Pcm], bytes] | None, reason: str
) -> None:
    if make is not None:
        (tmp_path / "a.wav").write_bytes(make(speech))
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "a.wav")
    assert (caught.value.source, caught.value.stage) == ("levels:a.wav", "read")
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("format", "reason"),
    [
        ("FLAC", "is not decodable audio or is damaged"),
        ("OGG", "holds no samples"),
        ("MP3", r"is truncated: \d+ of 32000 samples can be read"),
    ],
)
def test_compressed_files_that_were_cut(tmp_path: Path, speech: Pcm, format: str, reason: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, speech, 16000, format=format)
    data = file.getvalue()
    (tmp_path / "a.audio").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=rf"levels:a\.audio: {reason}"):
        read(tmp_path, "a.audio")


# --- measuring


def measure(folder: Path, name: str, measure: Any = "bandpass") -> UtteranceLevel:
    return activity_steps.measure_utterance(str(folder), name, root_name="levels", measure=measure)


@pytest.mark.parametrize("which", ["bandpass", "plain"])
def test_an_utterance(tmp_path: Path, write_wav: WriteWav, speech: Pcm, which: Any) -> None:
    write_wav(tmp_path / "si_tr_s" / "01t" / "01to030v.wav", speech)
    expected = active_level(speech / 32768, 16000, measure=which)
    found = measure(tmp_path, "si_tr_s/01t/01to030v.wav", which)
    assert found == UtteranceLevel("01to030v", "si_tr_s/01t/01to030v.wav", 16000, 32000, expected)


@pytest.mark.parametrize(
    ("samples", "which", "stage", "reason"),
    [
        (np.zeros(500), "bandpass", "read", "is silent: every sample is zero"),
        (np.zeros(500), "plain", "read", "is silent: every sample is zero"),
        (
            np.eye(1, 16000, 8000)[0] / 2,
            "plain",
            "level",
            "is silent: the measure plain finds no active speech",
        ),
        (np.array([0.1, math.nan]), "bandpass", "read", "holds samples that are no finite numbers"),
    ],
)
def test_utterances_without_a_level(
    tmp_path: Path, samples: Any, which: str, stage: str, reason: str
) -> None:
    (tmp_path / "a.wav").write_bytes(wav_of(samples, subtype="FLOAT"))
    with pytest.raises(SourceError, match=f"levels:a.wav: {reason}") as caught:
        measure(tmp_path, "a.wav", which)
    assert caught.value.stage == stage


def test_a_rate_below_the_band(tmp_path: Path, write_wav: WriteWav, speech: Pcm) -> None:
    write_wav(tmp_path / "a.wav", speech, 300)
    with pytest.raises(SourceError, match="has 300 Hz, wanted more than 400 Hz"):
        measure(tmp_path, "a.wav")


@pytest.mark.parametrize("name", ["my speech.wav", "a\tb.wav", " a.wav", "b\\a.wav", "x::a.wav"])
def test_names_that_a_list_cannot_hold(tmp_path: Path, write_wav: WriteWav, speech: Pcm, name: str) -> None:
    write_wav(tmp_path / name, speech)
    with pytest.raises(SourceError, match="its name holds a blank, a backslash") as caught:
        measure(tmp_path, name)
    assert caught.value.remedy == "rename it"


# --- ids and places


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("20va010q.wav", "20va010q"),
        ("a/b/1-2-3.flac", "1-2-3"),
        ("a.b/c.d.WAV", "c.d"),
        ("011c0201.wv1", "011c0201"),
    ],
)
def test_ids(path: str, name: str) -> None:
    assert activity_steps.utterance_id(path) == name


def test_ids_that_several_files_have_are_named() -> None:
    paths = ["b/x.wav", "a/x.flac", "a/y.wav", "z.wav", "c/x.wav", "c/z.wav"]
    assert activity_steps.id_problems(paths) == [
        "utterance id 'x' belongs to a/x.flac and b/x.wav and c/x.wav; keep one of them",
        "utterance id 'z' belongs to c/z.wav and z.wav; keep one of them",
    ]
    assert activity_steps.id_problems(["a/x.wav", "a/y.wav"]) == []


def test_many_shared_ids_are_abridged() -> None:
    problems = activity_steps.id_problems(f"{folder}/{i}.wav" for folder in "ab" for i in range(30))
    assert len(problems) == 21
    assert problems[-1] == "and 10 more problems of this kind"


@pytest.mark.parametrize(
    ("out", "folder", "text", "parquet", "name"),
    [
        ("/data/levels.txt", "/data", "levels.txt", "levels.parquet", "levels"),
        ("gs://b/x/a_si_tr_s.txt", "gs://b/x", "a_si_tr_s.txt", "a_si_tr_s.parquet", "a_si_tr_s"),
        ("memory://levels", "memory://", "levels", "levels.parquet", "levels"),
        ("/a.b/c.d.txt", "/a.b", "c.d.txt", "c.d.parquet", "c.d"),
    ],
)
def test_places(out: str, folder: str, text: str, parquet: str, name: str) -> None:
    files = ActivityFiles.at(out)
    assert files == ActivityFiles(folder, text, parquet)
    assert files.root_name == name


def test_a_bare_name_is_a_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ActivityFiles.at("levels.txt") == ActivityFiles(str(tmp_path), "levels.txt", "levels.parquet")


@pytest.mark.parametrize("out", ["", "/data/", "..", "/data/.", "zip://levels.txt::/data/a.zip"])
def test_places_that_are_no_file(out: str) -> None:
    with pytest.raises(UsageError, match=r"wanted the name of a file to write, such as levels\.txt"):
        ActivityFiles.at(out)


def test_the_text_does_not_take_the_place_of_the_table() -> None:
    with pytest.raises(UsageError, match=r"/data/levels\.parquet: names the text file, and \.parquet is"):
        ActivityFiles.at("/data/levels.parquet")


# --- tables


def test_the_published_form() -> None:
    rows = [row("20va010q.wav", 2.5717652515284110e-04), row("b.wav", 1.0), row("c.wav", 12.5)]
    assert activity_steps.levels_text(rows).decode().splitlines() == [
        "20va010q 2.5717652515284110e-04",
        "b 1.0000000000000000e+00",
        "c 1.2500000000000000e+01",
    ]
    assert activity_steps.levels_text([]) == b""


@pytest.mark.parametrize("power", [1 / 3, 5e-324, 1e-9 / 7, 0.1 + 0.2])
def test_the_published_form_holds_every_bit(power: float) -> None:
    name, text = activity_steps.levels_text([row("a.wav", power)]).decode().split()
    assert (name, float(text)) == ("a", power)


def test_the_table_holds_all_that_was_measured() -> None:
    rows = [row("x/a.wav", 0.01), row("b.wav", 0.1)]
    data = activity_steps.levels_parquet(rows)
    assert pq.read_table(io.BytesIO(data)).to_pylist() == [
        {
            "id": found.id,
            "path": found.path,
            "level": found.level.power,
            "level_db": found.level.level_db,
            "activity_factor": 0.5,
            "mean_power": found.level.mean_power,
            "rate_hz": 16000,
            "samples": 100,
        }
        for found in rows
    ]
    assert activity_steps.levels_parquet(rows) == data
    empty = pq.read_table(io.BytesIO(activity_steps.levels_parquet([])))
    assert (empty.num_rows, empty.schema) == (0, pq.read_schema(io.BytesIO(data)))


def test_tables_are_sorted_by_path_whatever_the_order(tmp_path: Path) -> None:
    files = ActivityFiles.at(str(tmp_path / "levels.txt"))
    rows = [row("b/a.wav"), row("a/c.wav"), row("B/d.wav"), row("a/b.flac")]
    assert activity_steps.write_levels(rows, files) == ["levels.txt", "levels.parquet"]
    made = [(tmp_path / name).read_bytes() for name in ("levels.txt", "levels.parquet")]
    assert [line.split()[0] for line in made[0].decode().splitlines()] == ["d", "b", "c", "a"]
    assert pq.read_table(io.BytesIO(made[1]))["path"].to_pylist() == [
        "B/d.wav",
        "a/b.flac",
        "a/c.wav",
        "b/a.wav",
    ]
    before = (tmp_path / "levels.txt").stat().st_mtime_ns
    activity_steps.write_levels(reversed(rows), files)
    assert [(tmp_path / name).read_bytes() for name in ("levels.txt", "levels.parquet")] == made
    assert (tmp_path / "levels.txt").stat().st_mtime_ns == before


def test_tables_in_which_an_id_would_be_twice_are_not_written(tmp_path: Path) -> None:
    files = ActivityFiles.at(str(tmp_path / "levels.txt"))
    with pytest.raises(UsageError, match=r"utterance id 'x' belongs to a/x\.wav and b/x\.wav"):
        activity_steps.write_levels([row("a/x.wav"), row("b/x.wav")], files)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    files = ActivityFiles.at(str(tmp_path / "file" / "levels.txt"))
    with pytest.raises(StorageError, match="a file stands where a folder is needed"):
        activity_steps.write_levels([row("a.wav")], files)


def test_tables_in_another_store(tmp_path: Path, write_wav: WriteWav, speech: Pcm) -> None:
    root = "memory://activity-test/corpus"
    data = write_wav(tmp_path / "a.wav", speech).read_bytes()
    storage.OutputTree(root).write("x/a.wav", data)
    found = activity_steps.measure_utterance(root, "x/a.wav", root_name="levels", measure="bandpass")
    activity_steps.write_levels([found], ActivityFiles.at("memory://activity-test/out/levels.txt"))
    text = storage.read_text("memory://activity-test/out/levels.txt")
    assert text == f"a {active_level(speech / 32768, 16000, measure='bandpass').power:.16e}\n"


# --- steps


def test_the_steps_in_a_pipeline(
    beam_mode: list[str], tmp_path: Path, write_wav: WriteWav, speech: Pcm
) -> None:
    write_wav(tmp_path / "corpus" / "b" / "x.wav", speech)
    write_wav(tmp_path / "corpus" / "a.flac", speech // 2, 8000)
    write_wav(tmp_path / "corpus" / "silent.wav", speech * 0)
    (tmp_path / "corpus" / "bad.wav").touch()
    paths = ["silent.wav", "b/x.wav", "bad.wav", "a.flac"]
    files = ActivityFiles.at(str(tmp_path / "out" / "levels.txt"))
    root = str(tmp_path / "corpus")
    with test_pipeline.TestPipeline(options=PipelineOptions(beam_mode)) as pipeline:
        measured = pipeline | beam.Create(paths) | MeasureActivity(root, "levels", "plain")
        expected = [measure(tmp_path / "corpus", path, "plain") for path in ("b/x.wav", "a.flac")]
        assert_that(measured.levels, equal_to(expected), label="Levels")
        rejects = measured.rejects | beam.Map(lambda reject: (reject.item, reject.source, reject.stage))
        wanted = [("silent", "levels:silent.wav", "read"), ("bad", "levels:bad.wav", "read")]
        assert_that(rejects, equal_to(wanted), label="Rejects")
        written = measured.levels | WriteLevels(files)
        assert_that(written, equal_to(["levels.txt", "levels.parquet"]), label="Written")
    lines = (tmp_path / "out" / "levels.txt").read_bytes()
    assert lines == activity_steps.levels_text([expected[1], expected[0]])


def test_an_unknown_measure_is_refused_while_building() -> None:
    wrong: Any = "rms"
    with pytest.raises(UsageError, match="measure 'rms': wanted bandpass or plain"):
        MeasureActivity("corpus", "levels", wrong)
