import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from transforms.errors import SourceError
from transforms.listing import read_noises, read_utterances
from transforms.loudness import integrated_loudness_lufs, integrated_loudnesses_lufs, normalised_gains
from transforms.planning.librimix import PlannedMixture, plan_subsets

GOLDEN = Path(__file__).parents[1] / "golden" / "librimix"
LISTINGS = ("train-clean-100", "train-clean-360")
RATE_HZ = 16000

Samples = NDArray[np.float32]
MakeTone = Callable[..., Samples]


def noise(samples: int, amplitude: float = 0.1, seed: int = 0) -> Samples:
    generator = np.random.default_rng(seed)
    return (amplitude * generator.standard_normal(samples)).astype(np.float32)


def padded(samples: Samples, length: int) -> Samples:
    return np.concatenate([samples, np.zeros(length - len(samples), dtype=np.float32)])


def measure(samples: Samples, **options: Any) -> float:
    options.setdefault("padded_samples", len(samples))
    return integrated_loudnesses_lufs([samples], RATE_HZ, names=["wham:tr/a.wav"], **options)[0]


def slow_loudness(samples: Samples) -> float:
    """The published arithmetic, written down block by block."""
    for args in (
        (4.0, 1 / np.sqrt(2), 1500.0, RATE_HZ, "high_shelf"),
        (0.0, 0.5, 38.0, RATE_HZ, "high_pass"),
    ):
        stage = pyloudnorm.IIRfilter(*args)
        samples = lfilter(stage.b, stage.a, samples.astype(np.float64)).astype(np.float32)
    count = int(np.round((len(samples) / RATE_HZ - 0.4) / 0.1)) + 1
    energies = []
    for block in range(count):
        first = int(0.4 * (block * 0.25) * RATE_HZ)
        last = int(0.4 * (block * 0.25 + 1) * RATE_HZ)
        energies.append(1.0 / (0.4 * RATE_HZ) * float(np.sum(np.square(samples[first:last]))))
    with np.errstate(divide="ignore"):
        levels = [-0.691 + 10.0 * np.log10(energy) for energy in energies]
    kept = [energy for energy, level in zip(energies, levels, strict=True) if level >= -70.0]
    gate = -0.691 + 10.0 * np.log10(np.mean(kept)) - 10.0
    kept = [e for e, level in zip(energies, levels, strict=True) if level > gate and level > -70.0]
    return float(-0.691 + 10.0 * np.log10(np.mean(kept)))


@pytest.mark.parametrize("samples", [6400, 6401, 8000, 16000, 48000, 50001, 120345])
@pytest.mark.parametrize("amplitude", [0.9, 0.1, 0.003])
def test_loudness_agrees_with_the_independent_meter(samples: int, amplitude: float) -> None:
    signal = noise(samples, amplitude)
    wanted = pyloudnorm.Meter(RATE_HZ).integrated_loudness(signal.astype(np.float64))
    assert measure(signal) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 48000])
def test_loudness_agrees_with_the_independent_meter_at_other_rates(rate_hz: int) -> None:
    signal = noise(3 * rate_hz)
    wanted = pyloudnorm.Meter(rate_hz).integrated_loudness(signal.astype(np.float64))
    assert integrated_loudness_lufs(signal, rate_hz, name="x") == pytest.approx(wanted, abs=1e-5)


def test_a_sine_of_997_hz_has_the_loudness_that_the_standard_states(tone: MakeTone) -> None:
    # BS.1770: full scale at 997 Hz in one channel reads -3.01 LKFS; these filters are within 0.1 LU.
    assert measure(tone(10 * RATE_HZ, 997.0, 1.0)) == pytest.approx(-3.01, abs=0.1)


def test_quiet_passages_are_gated_out() -> None:
    loud, quiet = noise(80000), noise(80000, 0.0001, seed=1)
    assert measure(np.concatenate([loud, quiet])) == pytest.approx(measure(loud), abs=0.2)
    middling = noise(80000, 0.05, seed=1)
    assert measure(np.concatenate([loud, middling])) < measure(loud) - 1.0


@settings(max_examples=60)
@given(
    length=st.integers(1, 40000),
    zeros=st.integers(0, 60000),
    amplitude=st.sampled_from([1.0, 0.1, 0.002]),
    seed=st.integers(0, 3),
)
def test_loudness_of_a_padded_signal_is_that_of_all_its_samples(
    length: int, zeros: int, amplitude: float, seed: int
) -> None:
    zeros = max(zeros, 6400 - length)
    signal = noise(length, amplitude, seed)
    signal[-1] = 1.0
    wanted = slow_loudness(padded(signal, length + zeros))
    assert measure(signal, padded_samples=length + zeros) == wanted
    assert measure(padded(signal, length + zeros)) == wanted


def test_a_signal_is_left_as_it_was() -> None:
    signal = noise(48000)
    before = signal.copy()
    measure(signal, padded_samples=60000)
    normalised_gains([signal, signal], [-30.0, -35.0], RATE_HZ, names=["a", "b"])
    np.testing.assert_array_equal(signal, before)


@pytest.mark.parametrize("samples", [0, 1, 6399])
def test_a_signal_shorter_than_a_block_is_refused(samples: int) -> None:
    with pytest.raises(SourceError, match=rf"^wham:tr/a.wav: lasts {samples / 16000:.3f} s; .*from 0.4 s on"):
        measure(noise(samples))


def test_a_short_signal_passes_when_padded_to_a_block() -> None:
    assert measure(noise(3200), padded_samples=6400) < measure(noise(6400))


@pytest.mark.parametrize("amplitude", [0.0, 1e-5])
def test_a_silent_signal_is_refused(amplitude: float) -> None:
    with pytest.raises(SourceError, match=r"is silent: no block of 0.4 s is louder than -70 LUFS") as caught:
        measure(noise(20000, amplitude))
    assert caught.value.stage == "loudness"
    assert caught.value.source == "wham:tr/a.wav"


def test_gains_bring_each_signal_to_its_target() -> None:
    signals = [noise(60000, 0.05), noise(50000, 0.2, 1), noise(70000, 0.01, 2)]
    targets = [-26.0, -31.5, -36.0]
    gains = normalised_gains(signals, targets, RATE_HZ, names=["a", "b", "n"])
    for signal, gain, target in zip(signals, gains, targets, strict=True):
        reached = measure((signal * np.float32(gain))[:60000], padded_samples=60000)
        assert reached == pytest.approx(target, abs=1e-5)


def test_a_source_that_would_overload_gets_a_peak_of_nine_tenths() -> None:
    clicky = noise(60000, 0.001)
    clicky[30000] = 0.8
    gains = normalised_gains([clicky, noise(60000)], [-25.0, -60.0], RATE_HZ, names=["a", "n"])
    assert gains[0] * 0.8 == pytest.approx(0.9, rel=1e-3)


def test_a_mixture_that_would_overload_is_lowered_as_a_whole() -> None:
    clicky = noise(60000, 0.01)
    clicky[30000] = 0.2
    signals, names = [clicky, clicky, noise(60000)], ["a", "b", "n"]
    gains = normalised_gains(signals, [-27.0, -27.0, -40.0], RATE_HZ, names=names)
    alone = normalised_gains(signals[1:], [-27.0, -40.0], RATE_HZ, names=names[1:])
    mixed = sum(gain * signal for gain, signal in zip(gains, signals, strict=True))
    assert np.abs(mixed).max() == pytest.approx(0.9, rel=1e-3)
    assert gains[0] / gains[2] == pytest.approx(alone[0] / alone[1], rel=1e-5)
    assert gains[0] < 0.9 * alone[0]


def test_the_noise_is_cut_to_the_longest_utterance_before_it_is_measured() -> None:
    speech, background = noise(60000), noise(90000, 0.1, 1)
    background[60000:] *= 10
    targets, names = [-30.0, -35.0], ["a", "n"]
    whole = normalised_gains([speech, background], targets, RATE_HZ, names=names)
    assert whole == normalised_gains([speech, background[:60000]], targets, RATE_HZ, names=names)


def test_gains_name_the_source_that_cannot_be_measured() -> None:
    signals = [noise(60000), np.zeros(60000, dtype=np.float32), noise(60000)]
    with pytest.raises(SourceError, match=r"^librispeech:b.flac: is silent"):
        normalised_gains(
            signals, [-30.0] * 3, RATE_HZ, names=["librispeech:a.flac", "librispeech:b.flac", "n"]
        )


def test_padding_after_speech_costs_no_exactness_whatever_the_order_of_lengths() -> None:
    generator = random.Random(5)
    for _ in range(5):
        short, long = noise(generator.randrange(7000, 20000)), noise(100000, seed=1)
        targets, names = [-28.0, -31.0, -35.0], ["a", "b", "n"]
        bare = normalised_gains([short, long, long], targets, RATE_HZ, names=names)
        zeros = padded(short, len(long))
        assert bare == normalised_gains([zeros, long, long], targets, RATE_HZ, names=names)


def planned(metadata: Path, noise_listing: Path, speakers: int) -> list[PlannedMixture]:
    speech = {name: read_utterances(str(metadata / f"{name}.csv")) for name in LISTINGS}
    noises = {"train": read_noises(str(noise_listing))}
    subsets = plan_subsets(speech, noises, speakers=speakers, round_to=0)
    return [mixture for subset in subsets for mixture in subset.mixtures]


def published_gains(plan: Path, speakers: int) -> dict[str, list[float]]:
    gains = {}
    for name in LISTINGS:
        with (plan / f"Libri{speakers}Mix" / f"libri{speakers}mix_{name}.csv").open() as file:
            for row in csv.DictReader(file):
                values = [float(value) for key, value in row.items() if key.endswith("_gain")]
                gains[row["mixture_ID"]] = values
    return gains


def first_channel(path: Path) -> Samples:
    samples, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples[:, 0])


def gains_of(mixture: PlannedMixture, files: list[Path]) -> tuple[float, ...]:
    signals = [first_channel(file) for file in files]
    return normalised_gains(signals, mixture.targets_lufs, RATE_HZ, names=[file.name for file in files])


@pytest.mark.parametrize(
    ("speakers", "mixture_id"),
    [
        pytest.param(2, "26-495-0000_60-121082-0001", id="a source would overload"),
        pytest.param(3, "103-1240-0002_26-495-0000_1034-121119-0003", id="the mixture would overload"),
    ],
)
def test_gains_equal_published_ones(speakers: int, mixture_id: str) -> None:
    mixtures = planned(GOLDEN / "metadata", GOLDEN / "metadata" / "train.csv", speakers)
    mixture = next(mixture for mixture in mixtures if mixture.id == mixture_id)
    paths = [*(utterance.path for utterance in mixture.utterances), mixture.noise.path]
    gains = gains_of(mixture, [GOLDEN / "audio" / f"{Path(path).stem}.flac" for path in paths])
    wanted = published_gains(GOLDEN / "plan", speakers)[mixture_id]
    assert list(gains) == pytest.approx(wanted, rel=1e-12, abs=0)


@pytest.mark.golden
@pytest.mark.parametrize("speakers", [2, 3])
def test_gains_equal_all_published_ones(speakers: int, shared_golden: Path) -> None:
    golden = shared_golden / "librimix"
    metadata = golden / "metadata"
    mixtures = planned(metadata / "LibriSpeech", metadata / "Wham_noise" / "train.csv", speakers)
    wanted = published_gains(golden / "plan", speakers)
    assert [mixture.id for mixture in mixtures] == list(wanted)
    for mixture in mixtures:
        files = [golden / "corpus" / "LibriSpeech" / utterance.path for utterance in mixture.utterances]
        files.append(golden / "corpus" / "wham_noise" / mixture.noise.path)
        assert list(gains_of(mixture, files)) == pytest.approx(wanted[mixture.id], rel=1e-12, abs=0)
