"""Rendering of placed mixtures: what is written of them, at every rate and in both length modes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms import sums
from transforms.audio import SourceReader
from transforms.errors import MixtapeError, SourceError
from transforms.plan import WHOLE, Mixture, Mode, RenderOptions, Source
from transforms.recipes import LIBRIMIX, MIXTURES
from transforms.rendering import (
    CROSS_FADE_SAMPLES,
    RenderedMixture,
    RenderedVariant,
    loop_to,
    render_mixture,
)
from transforms.resampling import resample
from transforms.sharding import item_record

Signal = NDArray[np.float32]
TYPES = ("mix_clean", "mix_both", "mix_single")
SCALE = MIXTURES.with_settings({"rate_hz": 16000, "clip": "scale"})
REJECT = MIXTURES.with_settings({"rate_hz": 16000, "clip": "reject"})


def noise(samples: int, seed: int, amplitude: float = 0.2) -> Signal:
    values = np.random.default_rng(seed).uniform(-amplitude, amplitude, samples)
    return np.asarray(values, dtype=np.float32)


def talker(number: int, level: float = -26.0, **fields: Any) -> Source:
    kind = {"level_kind": "target", "level": level, "measure": "rms"}
    return Source(f"s{number}", "speech", f"{number}.wav", **{**kind, **fields})


def background(level: float = 6.0, against: str = "speech", **fields: Any) -> Source:
    kind = {"level_kind": "snr", "level": level, "measure": "rms", "against": against, "fit": "loop"}
    return Source("noise", "noise", "n.wav", **{**kind, **fields})


SOUNDS = {
    "speech:1.wav": noise(3000, 1),
    "speech:2.wav": noise(2500, 2),
    "speech:3.wav": noise(1800, 3),
    "noise:n.wav": noise(20000, 4),
    "rir:1.wav": np.asarray([0, 0, 0.7, 0, -0.3, *noise(200, 5, 0.1)], dtype=np.float32),
    "rir:2.wav": np.asarray([0] * 30 + [-0.6, 0.2, *noise(90, 6, 0.1)], dtype=np.float32),
}


def read(source: Source, at_most_samples: int) -> Signal:
    samples = SOUNDS[source.name][source.offset_samples :]
    return samples if at_most_samples == WHOLE else samples[:at_most_samples]


def render(*sources: Source, recipe: Any = SCALE, **options: Any) -> tuple[RenderedVariant, ...]:
    chosen = RenderOptions(**{"rates_hz": (16000,), "modes": ("max",), "types": TYPES, **options})
    return render_mixture(Mixture("m", sources), recipe, chosen, read).variants


def power_db(pcm: NDArray[Any]) -> float:
    return 10 * math.log10(np.mean(np.square(pcm / 32768)))


# What is there.


def test_streams_are_sources_then_dry_references_then_mixtures() -> None:
    (one,) = render(talker(1, rir="1.wav"), talker(2), background())
    assert tuple(one.pcm) == ("s1", "s2", "noise", "s1_dry", *TYPES)
    assert {pcm.shape for pcm in one.pcm.values()} == {(3000 + 204,)}
    assert {pcm.dtype for pcm in one.pcm.values()} == {np.dtype(np.int16)}


def test_noise_is_read_only_for_types_that_hold_it() -> None:
    missing = Source("noise", "noise", "nowhere.wav", fit="loop")
    (one,) = render(talker(1), missing, types=("mix_clean",))
    assert tuple(one.pcm) == ("s1", "mix_clean")


def test_one_talker_alone() -> None:
    (one,) = render(talker(1))
    assert tuple(one.pcm) == ("s1", *TYPES)
    for name in TYPES:
        np.testing.assert_array_equal(one.pcm[name], one.pcm["s1"])


# Sums.

LEVELS = st.floats(-40, 5)
STARTS = st.integers(0, 2000)
ROOMS = st.sampled_from(["", "1.wav", "2.wav"])


@given(st.integers(1, 3), st.data(), st.sampled_from([8000, 11025, 16000]), st.booleans())
@settings(max_examples=40)
def test_references_sum_to_the_mixture(count: int, data: st.DataObject, rate_hz: int, noisy: bool) -> None:
    talkers = [
        talker(k, data.draw(LEVELS), start_samples=data.draw(STARTS), rir=data.draw(ROOMS))
        for k in range(1, count + 1)
    ]
    sources = [*talkers, *([background(data.draw(st.floats(-10, 20)))] if noisy else [])]
    for one in render(*sources, rates_hz=(rate_hz,), modes=("min", "max")):
        for name in TYPES:
            members = SCALE.types[name]([source.role for source in sources])
            total = sum(one.pcm[role].astype(int) for role in members)
            assert np.abs(one.pcm[name] - total).max() <= (len(members) + 1) / 2
        peak = max(int(np.abs(pcm.astype(int)).max()) for pcm in one.pcm.values())
        assert peak <= 32767


def test_the_short_mode_is_the_beginning_of_the_long_one() -> None:
    shorter, longer = render(talker(1), talker(2, start_samples=100), modes=("min", "max"))
    assert (shorter.samples, longer.samples) == (2600, 3000)
    for name, pcm in shorter.pcm.items():
        np.testing.assert_array_equal(pcm, longer.pcm[name][:2600])


@pytest.mark.parametrize("rate_hz", [8000, 16000, 32000])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_one_variant_alone_gives_the_same_samples(rate_hz: int, mode: Mode) -> None:
    sources = (talker(1, rir="2.wav"), talker(2, start_samples=50), background())
    together = render(*sources, rates_hz=(8000, 16000, 32000), modes=("min", "max"))
    (alone,) = render(*sources, rates_hz=(rate_hz,), modes=(mode,))
    (same,) = (one for one in together if one.variant == alone.variant)
    for name, pcm in alone.pcm.items():
        np.testing.assert_array_equal(pcm, same.pcm[name])


# Levels as they come out.


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 7.25])
@pytest.mark.parametrize(("against", "mix_type"), [("speech", "mix_both"), ("s1", "mix_single")])
def test_the_measured_snr_is_the_planned_one(snr_db: float, against: str, mix_type: str) -> None:
    sources = (talker(1), talker(2, -30, start_samples=900), background(snr_db, against))
    (one,) = render(*sources)
    assert one.snr_db[mix_type][-1] == pytest.approx(-snr_db, abs=1e-3)
    speech = one.pcm["mix_clean"] if against == "speech" else one.pcm["s1"]
    assert power_db(speech) - power_db(one.pcm["noise"]) == pytest.approx(snr_db, abs=0.01)


def test_the_measured_snr_of_talkers_is_the_planned_one() -> None:
    second = talker(2, 4.0, level_kind="snr", against="s1", start_samples=700)
    (one,) = render(talker(1), second, background())
    assert one.snr_db["mix_clean"] == pytest.approx((4.0, -4.0), abs=1e-3)


def test_a_resampled_corpus_keeps_its_snr_as_far_as_its_band_goes() -> None:
    """All sounds are white, so each loses the same share above 4 kHz."""
    (one,) = render(talker(1), background(3.0), rates_hz=(8000,))
    assert one.snr_db["mix_both"][0] == pytest.approx(3.0, abs=0.3)


def test_targets_are_those_of_the_written_source() -> None:
    (one,) = render(talker(1, -31.5))
    assert power_db(one.pcm["s1"]) == pytest.approx(-31.5, abs=1e-2)


# Rooms and places.


@pytest.mark.parametrize("start", [0, 1, 777])
def test_dry_references_are_the_direct_sound_in_time_and_level(start: int) -> None:
    (one,) = render(talker(2, start_samples=start, rir="2.wav"), talker(1))
    first = start + 30
    assert not one.pcm["s2_dry"][:first].any()
    assert not one.pcm["s2_dry"][first + 2500 :].any()
    direct = -0.6 * SOUNDS["speech:2.wav"].astype(float)
    heard = one.pcm["s2_dry"][first : first + 2500]
    gain = float(np.dot(heard, direct) / np.dot(direct, direct))
    assert gain > 0
    assert np.abs(heard - gain * direct).max() <= 0.6
    np.testing.assert_allclose(
        one.pcm["s2"][start : start + 2621],
        gain * np.convolve(SOUNDS["speech:2.wav"].astype(float), SOUNDS["rir:2.wav"].astype(float)),
        atol=0.7,
    )


def test_a_reference_that_is_not_in_a_room_has_no_dry_one() -> None:
    (one,) = render(talker(1, rir="1.wav"), talker(2))
    assert "s2_dry" not in one.pcm


def test_nothing_sounds_before_its_place_nor_after_its_end() -> None:
    (one,) = render(talker(1), talker(3, start_samples=1500))
    assert one.samples == 3300
    assert not one.pcm["s3"][:1500].any()
    assert not one.pcm["s1"][3000:].any()
    assert one.pcm["s3"][1500:1510].any()


# Noise that follows the mixture.


def test_short_noise_is_repeated_over_the_whole_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    short = noise(CROSS_FADE_SAMPLES + 50, 9)
    monkeypatch.setitem(SOUNDS, "noise:n.wav", short)
    (one,) = render(talker(1), talker(2, start_samples=20000), background(0.0))
    assert one.samples == 22500
    looped = loop_to(short, 22500, "n")
    gain = float(np.dot(one.pcm["noise"], looped) / np.dot(looped, looped))
    np.testing.assert_allclose(one.pcm["noise"], gain * looped, atol=0.6)


def test_noise_begins_where_the_plan_says_and_is_cut() -> None:
    (one,) = render(talker(1), background(0.0, offset_samples=5000))
    excerpt = SOUNDS["noise:n.wav"][5000:8000].astype(float)
    gain = float(np.dot(one.pcm["noise"], excerpt) / np.dot(excerpt, excerpt))
    np.testing.assert_allclose(one.pcm["noise"], gain * excerpt, atol=0.6)


def test_noise_too_short_to_be_repeated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOUNDS, "noise:n.wav", noise(2999, 9))
    with pytest.raises(SourceError, match=r"noise:n\.wav: .*has 2999 samples; to fill 3000"):
        render(talker(1), background())


# Peaks.


def test_clipping_mixtures_are_scaled_as_a_whole() -> None:
    quiet_sources = (talker(1, -30, rir="1.wav"), talker(2, -33), background(3.0))
    loud_sources = (talker(1, 0, rir="1.wav"), talker(2, -3), background(3.0))
    (quiet,), (loud,) = render(*quiet_sources), render(*loud_sources)
    assert max(int(np.abs(pcm.astype(int)).max()) for pcm in loud.pcm.values()) == 32767
    reference = quiet.pcm["mix_both"].astype(float)
    ratio = float(np.dot(loud.pcm["mix_both"], reference) / np.dot(reference, reference))
    assert 1 < ratio < 10**1.5
    for name, pcm in loud.pcm.items():
        assert np.abs(pcm - ratio * quiet.pcm[name].astype(float)).max() <= 0.5 * ratio + 0.6, name
    for name in TYPES:
        assert loud.snr_db[name] == pytest.approx(quiet.snr_db[name], abs=1e-3)


def test_clipping_mixtures_are_refused_where_the_plan_says_so() -> None:
    with pytest.raises(SourceError, match=r"would clip: its peak is \d\.\d+ of full scale"):
        render(talker(1, 0), talker(2, -3), background(3.0), recipe=REJECT)


def test_what_does_not_clip_is_the_same_under_both_policies() -> None:
    sources = (talker(1, -30), talker(2, -33), background(3.0))
    (scaled,), (kept,) = render(*sources), render(*sources, recipe=REJECT)
    for name, pcm in scaled.pcm.items():
        np.testing.assert_array_equal(pcm, kept.pcm[name])


# Ends, sums, and SNRs as measured.


def test_speech_ends_with_its_direct_sound_and_never_after_the_mixture() -> None:
    sources = (talker(1, start_samples=160), talker(2, start_samples=500, rir="2.wav"), background())
    shorter, longer = render(*sources, modes=("min", "max"))
    first, second, end = (160 + 3000) / 16000, (500 + 30 + 2500) / 16000, longer.samples / 16000
    assert longer.samples == 160 + 3000
    assert longer.ends_s == {"s1": first, "s2": second, "noise": end}
    assert shorter.samples == 500 + 2500 + 121 == 3121
    assert shorter.ends_s == {"s1": 3121 / 16000, "s2": second, "noise": 3121 / 16000}


def test_speech_that_is_cut_away_ends_before_it_begins() -> None:
    (one,) = render(talker(1, start_samples=9000), talker(2), modes=("min",))
    assert (one.samples, one.starts_s["s1"], one.ends_s["s1"]) == (2500, 9000 / 16000, 2500 / 16000)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000])
def test_ends_are_those_of_the_sound_in_the_dry_reference(rate_hz: int) -> None:
    (one,) = render(talker(1, start_samples=160, rir="1.wav"), rates_hz=(rate_hz,))
    last = int(np.flatnonzero(np.abs(one.pcm["s1_dry"]) > 100)[-1])
    assert last / rate_hz == pytest.approx(one.ends_s["s1"], abs=4 / rate_hz)


def test_a_mixture_that_does_not_add_up_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defect has to be made: nothing that a person can give does it."""
    right = sums.mix_down

    def wrong(*arguments: Any) -> dict[str, Any]:
        mixed = right(*arguments)
        mixed["mix_both"][1234] += 3 / 32768
        return mixed

    monkeypatch.setattr("transforms.rendering.mix_down", wrong)
    message = (
        r"item m at 16000 Hz, max: mix_both differs from the sum of its 2 references by 3 steps of 16 bit, "
        r"wanted 1 at most; this is a defect of Mixtape"
    )
    with pytest.raises(MixtapeError, match=message):
        render(talker(1), background())


def test_planned_snrs_are_told_as_they_are_measured() -> None:
    sources = (talker(1), talker(2, level_kind="snr", level=3.5, against="s1"), background(-4.0))
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=TYPES)
    rendered = render_mixture(Mixture("m", sources), SCALE, options, read)
    record = item_record(rendered, SCALE)
    assert {role: snr.planned for role, snr in record.planned_snr_db.items()} == {"s2": 3.5, "noise": -4.0}
    assert [snr.deviation for snr in record.planned_snr_db.values()] == pytest.approx([0.0, 0.0], abs=1e-6)
    pcm = {name: one / 32768 for name, one in rendered.variants[0].pcm.items()}
    for role, against in (("s2", "s1"), ("noise", "mix_clean")):
        found = 10 * math.log10(np.sum(pcm[against] ** 2) / np.sum(pcm[role] ** 2))
        assert record.planned_snr_db[role].measured == pytest.approx(found, abs=0.01)


def test_only_recipes_with_records_keep_places_in_the_ledger() -> None:
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=TYPES)
    rendered = render_mixture(Mixture("m", (talker(1), background())), SCALE, options, read)
    (kept,), (bare,) = (item_record(rendered, recipe).variants for recipe in (MIXTURES, LIBRIMIX))
    assert (kept.gains, kept.ends_s) == (rendered.variants[0].gains, rendered.variants[0].ends_s)
    assert (bare.gains, bare.starts_s, bare.ends_s) == ({}, {}, {})


@pytest.mark.parametrize(("level", "clips"), [(-20.0, False), (3.0, True)])
def test_the_scale_of_all_streams_is_kept_where_the_rule_may_scale(level: float, clips: bool) -> None:
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=TYPES)
    mixture = Mixture("m", (talker(1, level_kind="target", measure="rms", level=level),))
    (one,) = render_mixture(mixture, SCALE, options, read).variants
    assert one.scale is not None
    assert (one.scale < 1, one.scale == 1) == (clips, not clips)
    (record,) = item_record(RenderedMixture(mixture, (one,)), LIBRIMIX).variants
    assert record.scale == one.scale
    if not clips:
        refusing = SCALE.with_settings({"rate_hz": 16000, "clip": "reject"})
        assert render_mixture(mixture, refusing, options, read).variants[0].scale is None


# Real files: rates and speeds.


def tone(path: Path, frequency_hz: float, *, rate_hz: int, seconds: float = 1.0) -> None:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency_hz * times), rate_hz, subtype="PCM_16")


def pitch_hz(pcm: NDArray[Any], rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm)), n=1 << 18))
    return float(np.argmax(spectrum)) * rate_hz / (1 << 18)


@pytest.mark.parametrize("own_hz", [8000, 16000, 44100])
@pytest.mark.parametrize("speed", [0.9, 1.0, 1.25])
def test_sources_of_any_rate_at_any_speed(tmp_path: Path, own_hz: int, speed: float) -> None:
    tone(tmp_path / "speech" / "1.wav", 440.0, rate_hz=own_hz)
    reader = SourceReader({"speech": str(tmp_path / "speech")}, 16000, any_rate=True)
    options = RenderOptions(rates_hz=(16000,), modes=("max",), types=("mix_clean",))
    (one,) = render_mixture(Mixture("m", (talker(1, speed=speed),)), SCALE, options, reader.read).variants
    assert one.samples == math.ceil(16000 / speed - 1e-9)
    assert pitch_hz(one.pcm["s1"], 16000) == pytest.approx(440 * speed, abs=0.5)
    samples, _ = soundfile.read(tmp_path / "speech" / "1.wav", dtype="float32")
    expected = resample(samples, round(own_hz * speed * 100), 16000 * 100).astype(float)
    gain = float(np.dot(one.pcm["s1"], expected) / np.dot(expected, expected))
    np.testing.assert_allclose(one.pcm["s1"], gain * expected, atol=0.6)
