"""Generated corpora: layout, level and spectrum of the signals, and equal bytes for equal seeds."""

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.corpora import synthetic
from transforms.storage import OutputTree, find

SUBSETS = ("train-clean-100", "dev-clean")


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def make_speech(root: Path, **changes: Any) -> Path:
    options: dict[str, Any] = {
        "subsets": SUBSETS,
        "readers_per_subset": 2,
        "utterances_per_reader": 2,
        "seconds": (3.2, 3.6),
        "seed": 5,
    }
    synthetic.make_librispeech(OutputTree(str(root)), **(options | changes))
    return root


def make_noise(root: Path, **changes: Any) -> Path:
    options: dict[str, Any] = {"noises_per_subset": 3, "seconds": (3.2, 3.6), "seed": 5}
    synthetic.make_wham(OutputTree(str(root)), **(options | changes))
    return root


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_speech(tmp_path_factory.mktemp("speech"))


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_noise(tmp_path_factory.mktemp("noises"))


def test_librispeech_layout(speech: Path) -> None:
    paths = [entry.path for entry in find(str(speech), suffixes=(".flac",))]
    assert paths == [
        f"{subset}/{reader}/12{reader}/{reader}-12{reader}-000{number}.flac"
        for subset, readers in (("dev-clean", (1003, 1004)), ("train-clean-100", (1001, 1002)))
        for reader in readers
        for number in (0, 1)
    ]


def test_librispeech_has_nothing_else(speech: Path) -> None:
    others = [entry.path for entry in find(str(speech)) if not entry.path.endswith(".flac")]
    assert others == ["SPEAKERS.TXT"]


def test_speaker_table_has_the_official_form(speech: Path) -> None:
    lines = (speech / "SPEAKERS.TXT").read_text().splitlines()
    assert all(line.startswith(";") for line in lines[:12])
    assert lines[11] == ";ID  |SEX| SUBSET           |MINUTES| NAME"
    rows = [
        [field.strip() for field in row]
        for row in csv.reader(io.StringIO("\n".join(lines[12:])), delimiter="|")
    ]
    assert [row[:3] for row in rows] == [
        ["1001", "M", "train-clean-100"],
        ["1002", "F", "train-clean-100"],
        ["1003", "M", "dev-clean"],
        ["1004", "F", "dev-clean"],
    ]
    assert {len(row) for row in rows} == {5}


def test_speaker_table_tells_the_minutes_there_are(speech: Path) -> None:
    last = (speech / "SPEAKERS.TXT").read_text().splitlines()[-1].split("|")
    files = (speech / "dev-clean" / "1004").rglob("*.flac")
    seconds = sum(soundfile.info(str(path)).duration for path in files)
    assert float(last[3]) == pytest.approx(seconds / 60, abs=0.005)


def test_wham_layout(noises: Path) -> None:
    assert [entry.path for entry in find(str(noises))] == [
        f"{folder}/{kind}.wav"
        for folder in ("cv", "tr", "tt")
        for kind in ("babble_0000", "machinery_0002", "rain_0001")
    ]


@pytest.mark.parametrize(
    ("corpus", "pattern", "container", "channels"),
    [("speech", "*.flac", "FLAC", 1), ("noises", "*.wav", "WAV", 2)],
)
def test_files_have_the_form_of_the_corpus(
    corpus: str, pattern: str, container: str, channels: int, request: pytest.FixtureRequest
) -> None:
    paths = list(request.getfixturevalue(corpus).rglob(pattern))
    assert len(paths) in (8, 9)
    for path in paths:
        info = soundfile.info(str(path))
        assert (info.format, info.subtype, info.samplerate, info.channels) == (
            container,
            "PCM_16",
            16000,
            channels,
        )
        assert 3.2 <= info.duration <= 3.6


@pytest.mark.parametrize(("corpus", "limits"), [("speech", (0.25, 0.75)), ("noises", (0.15, 0.55))])
def test_levels_are_neither_faint_nor_clipped(
    corpus: str, limits: tuple[float, float], request: pytest.FixtureRequest
) -> None:
    for path in request.getfixturevalue(corpus).rglob("*.*"):
        if path.name == "SPEAKERS.TXT":
            continue
        samples, _ = soundfile.read(path, always_2d=True)
        assert limits[0] < np.abs(samples).max() < limits[1], path
        assert np.sqrt((samples**2).mean(axis=0)).min() > 0.003, path


def test_channels_of_a_noise_differ(noises: Path) -> None:
    for path in noises.rglob("*.wav"):
        samples, _ = soundfile.read(path)
        assert 0.3 < np.corrcoef(np.roll(samples[:, 0], 7), samples[:, 1])[0, 1] < 0.999, path


def test_equal_seeds_give_equal_bytes(speech: Path, noises: Path, tmp_path: Path) -> None:
    assert digests(make_speech(tmp_path / "speech")) == digests(speech)
    assert digests(make_noise(tmp_path / "noises")) == digests(noises)


def test_another_seed_changes_every_file(speech: Path, noises: Path, tmp_path: Path) -> None:
    again = digests(make_speech(tmp_path / "speech", seed=6)) | digests(
        make_noise(tmp_path / "noises", seed=6)
    )
    for path, digest in (digests(speech) | digests(noises)).items():
        assert again[path] != digest, path


def test_a_file_does_not_depend_on_how_many_there_are(speech: Path, noises: Path, tmp_path: Path) -> None:
    fewer = digests(make_speech(tmp_path / "speech", subsets=SUBSETS[:1], utterances_per_reader=1))
    fewer |= digests(make_noise(tmp_path / "noises", noises_per_subset=1))
    del fewer["SPEAKERS.TXT"]
    assert len(fewer) == 5
    assert fewer.items() <= (digests(speech) | digests(noises)).items()


def test_all_files_of_a_corpus_differ(speech: Path, noises: Path) -> None:
    found = digests(speech) | digests(noises)
    assert len(set(found.values())) == len(found) == 18


def test_a_corpus_can_be_made_in_any_store() -> None:
    tree = OutputTree("memory://synthetic-corpus")
    synthetic.make_wham(tree, noises_per_subset=1, seconds=(3.2, 3.3), seed=0)
    assert tree.names("tr") == ["babble_0000.wav"]
    samples, rate_hz = soundfile.read(io.BytesIO(tree.read("tr/babble_0000.wav")))
    assert (samples.ndim, rate_hz) == (2, 16000)


@pytest.mark.parametrize(("sex", "pitch_hz"), [("F", (170, 240)), ("M", (90, 140))])
def test_voices_lie_in_the_range_of_their_sex(sex: str, pitch_hz: tuple[int, int]) -> None:
    voices = [synthetic.make_voice(sex, np.random.default_rng(seed)) for seed in range(50)]
    assert all(pitch_hz[0] <= voice.pitch_hz <= pitch_hz[1] for voice in voices)
    assert len({voice.pitch_hz for voice in voices}) == 50
    assert (np.mean([voice.tract for voice in voices]) > 1.08) == (sex == "F")


@pytest.mark.parametrize("pitch_hz", [100.0, 150.0, 220.0])
def test_speech_has_the_pitch_of_its_voice(pitch_hz: float) -> None:
    """The strongest lag of the autocorrelation of voiced stretches is near the voice's period."""
    samples = synthetic.utterance(synthetic.Voice(pitch_hz, 1.0, 0.14), 64000, np.random.default_rng(3))
    found = []
    for start in range(0, 62000, 1000):
        part = samples[start : start + 1600] - samples[start : start + 1600].mean()
        correlation = np.correlate(part, part, "full")[1599:]
        lag = 50 + int(np.argmax(correlation[50:250]))
        if correlation[0] > 1.0 and correlation[lag] > 0.5 * correlation[0]:
            found.append(16000 / lag)
    assert len(found) > 10
    assert np.median(found) == pytest.approx(pitch_hz, rel=0.15)


def test_speech_has_syllables_and_pauses() -> None:
    """The envelope swings by 20 dB and more, some four times a second, and begins and ends quietly."""
    voice = synthetic.make_voice("M", np.random.default_rng(1))
    samples = synthetic.utterance(voice, 96000, np.random.default_rng(2))
    envelope = np.sqrt((samples.reshape(-1, 400) ** 2).mean(axis=1))
    level_db = 20 * np.log10(envelope / envelope.max())
    assert level_db[:4].max() < -25
    assert level_db[-4:].max() < -25
    loud = level_db > -15
    bursts = np.count_nonzero(loud[1:] & ~loud[:-1])
    assert 6 <= bursts <= 40
    assert 0.2 < loud.mean() < 0.9


def test_speech_falls_off_towards_high_frequencies() -> None:
    samples = synthetic.utterance(synthetic.Voice(120.0, 1.0, 0.14), 80000, np.random.default_rng(4))
    power = np.abs(np.fft.rfft(samples)) ** 2
    bands_hz = [(80, 1000), (1000, 4000), (4000, 8000)]
    low, middle, high = (power[int(a * 5) : int(b * 5)].sum() for a, b in bands_hz)
    assert low > middle > high > 1e-4 * low


@given(
    length=st.integers(min_value=48000, max_value=60000),
    seed=st.integers(min_value=0, max_value=2**32),
    sex=st.sampled_from("FM"),
)
@settings(max_examples=15)
def test_utterances_have_the_wanted_length_and_never_clip(length: int, seed: int, sex: str) -> None:
    rng = np.random.default_rng(seed)
    samples = synthetic.utterance(synthetic.make_voice(sex, rng), length, rng)
    assert samples.shape == (length,)
    assert np.isfinite(samples).all()
    assert 0.25 < np.abs(samples).max() < 0.75


@pytest.mark.parametrize("kind", synthetic.NOISE_KINDS)
@given(length=st.integers(min_value=48000, max_value=56000), seed=st.integers(min_value=0, max_value=2**32))
@settings(max_examples=6)
def test_noises_have_the_wanted_length_and_never_clip(kind: str, length: int, seed: int) -> None:
    samples = synthetic.noise(kind, length, np.random.default_rng(seed))
    assert samples.shape == (length, 2)
    assert np.isfinite(samples).all()
    assert 0.15 < np.abs(samples).max() < 0.55


def test_kinds_of_noise_differ_in_spectrum() -> None:
    """Babble sits below the rain; the machinery has most of its power in lines below 1 kHz."""
    centroids_hz = {}
    for kind in synthetic.NOISE_KINDS:
        samples = synthetic.noise(kind, 64000, np.random.default_rng(8))[:, 0]
        power = np.abs(np.fft.rfft(samples)) ** 2
        centroids_hz[kind] = float((np.arange(len(power)) / 4 * power).sum() / power.sum())
    assert centroids_hz["babble"] < 1500 < centroids_hz["rain"]
    assert centroids_hz["machinery"] < centroids_hz["rain"]
