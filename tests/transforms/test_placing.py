"""Rooms, places and levels, each against a slow and obvious version."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms.activity import active_level
from transforms.errors import SourceError
from transforms.placing import (
    LATEST_START_SAMPLES,
    in_room,
    levelling_order,
    measured_db,
    place_sources,
    placed_at,
    placing_problems,
)
from transforms.plan import Measure, Mixture, Source

RATE_HZ = 16000
MEASURES: tuple[Measure, ...] = ("rms", "lufs", "active")

Signal = NDArray[np.float32]


def noise(samples: int, seed: int, amplitude: float = 0.1) -> Signal:
    values = np.random.default_rng(seed).uniform(-amplitude, amplitude, samples)
    return np.asarray(values, dtype=np.float32)


def source(role: str, **fields: Any) -> Source:
    return Source(role, "noise" if role.startswith("noise") else "speech", f"{role}.wav", **fields)


def target(role: str, level: float, measure: Measure = "rms", **fields: Any) -> Source:
    return source(role, level_kind="target", level=level, measure=measure, **fields)


def snr(role: str, level: float, against: str, measure: Measure = "rms", **fields: Any) -> Source:
    return source(role, level_kind="snr", level=level, against=against, measure=measure, **fields)


# Rooms and places.


@given(st.integers(1, 60), st.integers(1, 40), st.integers(0, 10**6))
def test_a_room_convolves_and_keeps_the_direct_sound_aligned(samples: int, taps: int, seed: int) -> None:
    signal, response = noise(samples, seed).astype(float), noise(taps, seed + 1, 1.0).astype(float)
    wet, direct = in_room(signal, response)
    slow = [
        sum(signal[n - k] * response[k] for k in range(taps) if 0 <= n - k < samples)
        for n in range(samples + taps - 1)
    ]
    np.testing.assert_allclose(wet, slow, atol=1e-12)
    delay = max(range(taps), key=lambda k: abs(response[k]))
    only = np.zeros(taps)
    only[delay] = response[delay]
    np.testing.assert_allclose(direct, np.convolve(signal, only), atol=1e-12)


def test_a_room_of_one_reflection_free_path_changes_nothing_but_time_and_level() -> None:
    signal = noise(100, 1).astype(float)
    wet, direct = in_room(signal, np.array([0.0, 0.0, -0.5]))
    np.testing.assert_allclose(wet, direct, atol=1e-15)
    np.testing.assert_allclose(wet, [0, 0, *(-0.5 * signal)], atol=1e-15)


@pytest.mark.parametrize("start", [0, 1, 7])
def test_places(start: int) -> None:
    assert placed_at(np.array([1.0, 2.0]), start).tolist() == [0.0] * start + [1.0, 2.0]


# Measures.


def test_measures_are_those_of_their_standards() -> None:
    signal = noise(16000, 2).astype(float)
    meter = pyloudnorm.Meter(RATE_HZ)
    assert measured_db(signal, "rms", RATE_HZ, name="x") == pytest.approx(
        10 * math.log10(sum(value * value for value in signal) / len(signal))
    )
    assert measured_db(signal, "lufs", RATE_HZ, name="x") == pytest.approx(
        meter.integrated_loudness(signal), abs=1e-5
    )
    expected = 10 * math.log10(active_level(signal, RATE_HZ, measure="plain").power)
    assert measured_db(signal, "active", RATE_HZ, name="x") == pytest.approx(expected)


@given(st.floats(0.01, 5), st.sampled_from(MEASURES))
@settings(max_examples=20)
def test_a_gain_moves_every_measure_by_its_decibels(gain: float, measure: Measure) -> None:
    signal = noise(8000, 3).astype(float)
    change = measured_db(gain * signal, measure, RATE_HZ, name="x") - measured_db(
        signal, measure, RATE_HZ, name="x"
    )
    assert change == pytest.approx(20 * math.log10(gain), abs=1e-2 if measure == "active" else 1e-4)


@pytest.mark.parametrize("measure", ["rms", "active"])
def test_silence_has_no_level(measure: Measure) -> None:
    with pytest.raises(SourceError, match=rf"speech:a\.wav: .*has no {measure} level: it is silent"):
        measured_db(np.zeros(8000), measure, RATE_HZ, name="speech:a.wav")


def test_what_is_too_short_has_no_loudness() -> None:
    with pytest.raises(SourceError, match=r"speech:a\.wav"):
        measured_db(noise(6000, 4).astype(float), "lufs", RATE_HZ, name="speech:a.wav")


# Levels.


def placed(sources: list[Source], recordings: Mapping[str, Signal], **responses: Signal) -> Any:
    return place_sources(Mixture("m", tuple(sources)), recordings, responses, rate_hz=RATE_HZ)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("level", [-45.0, -26.0])
def test_targets_are_reached(measure: Measure, level: float) -> None:
    result = placed([target("s1", level, measure, start_samples=300)], {"s1": noise(12000, 5)})
    reached = measured_db(result.signals["s1"][300:], measure, RATE_HZ, name="s1")
    assert reached == pytest.approx(level, abs=1e-2 if measure == "active" else 1e-4)


def test_targets_are_those_of_the_signal_in_its_room() -> None:
    response = noise(400, 6, 1.0)
    result = placed([target("s1", -30.0, rir="r.wav")], {"s1": noise(5000, 5)}, s1=response)
    assert measured_db(result.signals["s1"], "rms", RATE_HZ, name="s1") == pytest.approx(-30.0)
    assert len(result.signals["s1"]) == len(result.references["s1_dry"]) == 5399


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("against", ["s1", "s2", "speech"])
@pytest.mark.parametrize("level", [-5.0, 12.5])
def test_snrs_are_reached_against_a_role_and_against_all_speech(
    measure: Measure, against: str, level: float
) -> None:
    sources = [
        target("s1", -27),
        target("s2", -33, start_samples=4000),
        snr("noise", level, against, measure),
    ]
    recordings = {"s1": noise(9000, 7), "s2": noise(8000, 8), "noise": noise(12000, 9)}
    signals = placed(sources, recordings).signals
    total = np.zeros(12000)
    for role in ("s1", "s2") if against == "speech" else (against,):
        total[: len(signals[role])] += signals[role]
    if measure == "rms":
        found = 10 * math.log10(np.sum(total**2) / np.sum(signals["noise"] ** 2))
    else:
        reference = total if against == "speech" else signals[against]
        found = measured_db(reference, measure, RATE_HZ, name="x") - measured_db(
            signals["noise"], measure, RATE_HZ, name="x"
        )
    assert found == pytest.approx(level, abs=2e-2 if measure == "active" else 1e-4)
    told = placed(sources, recordings).measured_snr_db
    assert told == {"noise": pytest.approx(found, abs=1e-6)}
    assert told["noise"] == round(told["noise"], 6)


def test_no_snr_is_measured_where_none_was_planned() -> None:
    result = placed([target("s1", -27), source("s2")], dict.fromkeys(("s1", "s2"), noise(9000, 7)))
    assert result.measured_snr_db == {}


@pytest.mark.parametrize(("gain", "name"), [({"s1": 0.0}, "s1"), ({"noise": 0.0}, "noise:noise")])
def test_an_snr_of_or_against_silence_is_refused(gain: dict[str, float], name: str) -> None:
    recordings = {"s1": noise(900, 7), "noise": noise(900, 8) * np.float32(gain.get("noise", 1))}
    sources = [source("s1", level=gain.get("s1", 1.0)), snr("noise", 3, "s1")]
    with pytest.raises(SourceError, match=rf"{name}.*: has no rms level: it is silent"):
        placed(sources, recordings)


def test_plain_gains_are_taken_as_they_are() -> None:
    result = placed([source("s1", level=0.25)], {"s1": noise(50, 1)})
    np.testing.assert_array_equal(result.signals["s1"], 0.25 * noise(50, 1).astype(float))
    assert (result.gains, result.references) == ({"s1": 0.25}, {})


def test_speech_is_levelled_before_noise_and_references_before_snrs() -> None:
    sources = (snr("noise", 3, "speech"), snr("s1", 2, "s2"), target("noise_2", -30), target("s2", -30))
    order = [one.role for one in levelling_order(Mixture("m", sources))]
    assert order == ["s2", "s1", "noise_2", "noise"]
    recordings = {one.role: noise(500, k) for k, one in enumerate(sources)}
    assert list(placed(list(sources), recordings).signals) == ["noise", "s1", "noise_2", "s2"]


def test_sources_that_were_not_read_are_left_out() -> None:
    result = placed([target("s1", -30), snr("noise", 3, "speech")], {"s1": noise(100, 1)})
    assert list(result.signals) == list(result.gains) == ["s1"]


def test_a_silent_source_is_named() -> None:
    with pytest.raises(SourceError, match=r"speech:s1\.wav: .*silent"):
        placed([target("s1", -30)], {"s1": np.zeros(500, dtype=np.float32)})


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[list[Source], dict[str, Signal], dict[str, Signal]]:
    """One to three talkers, some of them in a room, and perhaps a noise."""
    count, sources = draw(st.integers(1, 3)), []
    recordings, responses = {}, {}
    for number in range(1, count + 1):
        role, seed = f"s{number}", draw(st.integers(0, 999))
        room = draw(st.booleans())
        place: dict[str, Any] = {"start_samples": draw(st.integers(0, 50)), "rir": "r.wav" if room else ""}
        level = draw(st.floats(-40, -10))
        relative = number > 1 and draw(st.booleans())
        sources.append(snr(role, level + 25, "s1", **place) if relative else target(role, level, **place))
        recordings[role] = noise(draw(st.integers(1, 80)), seed)
        if room:
            responses[role] = noise(draw(st.integers(1, 30)), seed + 1, 0.9)
    if draw(st.booleans()):
        sources.append(snr("noise", draw(st.floats(-5, 15)), draw(st.sampled_from(["speech", "s1"]))))
        recordings["noise"] = noise(160, 1234)
    return sources, recordings, responses


def slowly_placed(
    sources: list[Source], recordings: Mapping[str, Signal], responses: Mapping[str, Signal]
) -> dict[str, list[float]]:
    """Does the same sample by sample, over a mixture of 200 samples; sources come in a good order."""
    made: dict[str, list[float]] = {}

    def energy(values: list[float]) -> float:
        return math.fsum(value * value for value in values)

    for one in sorted(sources, key=lambda one: (one.role == "noise", one.level_kind == "snr")):
        dry = [float(value) for value in recordings[one.role]]
        taps = [float(value) for value in responses.get(one.role, [1.0])]
        wet = [0.0] * (len(dry) + len(taps) - 1)
        for n, value in enumerate(dry):
            for k, tap in enumerate(taps):
                wet[n + k] += value * tap
        if one.level_kind == "target":
            gain = 10 ** (one.level / 20) / math.sqrt(energy(wet) / len(wet))
        else:
            roles = [role for role in made if role != "noise"] if one.against == "speech" else [one.against]
            reference = [math.fsum(made[role][n] for role in roles) for n in range(200)]
            gain = math.sqrt(energy(reference) / energy(wet)) * 10 ** (-one.level / 20)
        made[one.role] = [0.0] * 200
        for n, value in enumerate(wet):
            made[one.role][one.start_samples + n] = gain * value
    return made


@given(mixtures())
@settings(deadline=None)
def test_everything_together(drawn: tuple[list[Source], dict[str, Signal], dict[str, Signal]]) -> None:
    sources, recordings, responses = drawn
    result = placed(sources, recordings, **responses)
    expected = slowly_placed(sources, recordings, responses)
    assert result.signals.keys() == expected.keys()
    assert set(result.references) == {f"{role}_dry" for role in responses}
    for role, signal in result.signals.items():
        scale = max(map(abs, expected[role]))
        whole = np.zeros(200)
        whole[: len(signal)] = signal
        np.testing.assert_allclose(whole, expected[role], atol=1e-9 * scale)


# What cannot be placed.


@pytest.mark.parametrize(
    ("sources", "problem"),
    [
        ([target("s1", -3), snr("s2", 0, "s3")], "SNR of s2 is against 's3'; levelled before it: s1, speech"),
        ([snr("s1", 0, "s1")], "the SNR of s1 is against 's1'; levelled before it: nothing"),
        ([snr("s1", 0, "speech")], "the SNR of s1 is against 'speech'; levelled before it: nothing"),
        ([target("noise", -30), snr("noise_2", 0, "speech")], "levelled before it: noise$"),
        ([target("s1", -30), snr("s2", 0, "noise"), target("noise", -30)], "is against 'noise'"),
        ([target("s1", -30, "loud")], "measure 'loud' of s1 is not known; wanted rms, lufs or active"),  # type: ignore[arg-type]
        ([source("s1", level_kind="active_level")], "level kind 'active_level' of s1 is wsj0-mix's"),
        ([source("s1", start_samples=LATEST_START_SAMPLES + 1)], "at sample 268435457, wanted 268435456"),
    ],
)
def test_what_cannot_be_placed(sources: list[Source], problem: str) -> None:
    (found,) = placing_problems(Mixture("m", tuple(sources)))
    assert re.search(problem, found)


def test_what_can_be_placed_has_no_problems() -> None:
    sources = (
        *(target("s1", -30, "lufs"), snr("s2", 0, "s1", "active"), snr("s3", 0, "s2")),
        *(
            source("s4", start_samples=LATEST_START_SAMPLES),
            snr("noise", 0, "speech"),
            snr("noise_2", 1, "noise"),
        ),
    )
    assert list(placing_problems(Mixture("m", sources))) == []
