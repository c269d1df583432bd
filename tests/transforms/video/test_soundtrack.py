"""Windows of placed and resampled sound are what the whole file has there."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transforms.resampling import resample
from transforms.video.alignment import Placer
from transforms.video.soundtrack import Sound, Soundtrack, window_needed

Samples = NDArray[np.float32]


def noise(samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


def pieces(samples: Samples, length: int = 1024) -> Iterator[Sound]:
    for start in range(0, len(samples), length):
        yield Sound(start, samples[start : start + length])


def track(sounds: Iterator[Sound], own_hz: int = 16000, rate_hz: int = 16000) -> Soundtrack:
    return Soundtrack(sounds, own_hz, rate_hz, Placer(0))


RATES = [(16000, 16000), (48000, 16000), (44100, 16000), (8000, 16000), (11025, 48000), (22050, 16000)]


@pytest.mark.parametrize(("own_hz", "rate_hz"), RATES)
@pytest.mark.parametrize("step", [640, 1601, 50000])
def test_windows_are_exactly_pieces_of_the_whole(own_hz: int, rate_hz: int, step: int) -> None:
    samples = noise(30000)
    whole = resample(samples, own_hz, rate_hz)
    sound = track(pieces(samples), own_hz, rate_hz)
    for first in range(0, len(whole), step):
        count = min(step, len(whole) - first)
        assert np.array_equal(sound.read(first, count), whole[first : first + count])


@settings(max_examples=60)
@given(rates=st.sampled_from(RATES), first=st.integers(0, 20000), count=st.integers(1, 3000))
def test_any_window_alone(rates: tuple[int, int], first: int, count: int) -> None:
    samples = noise(9000)
    own_hz, rate_hz = rates
    whole = np.zeros(30000 * 5, dtype=np.float32)
    made = resample(samples, own_hz, rate_hz)
    whole[: len(made)] = made
    found = track(pieces(samples), own_hz, rate_hz).read(first, count)
    inside = max(0, min(count, len(made) - first))
    assert np.array_equal(found[:inside], whole[first : first + inside])
    assert found.dtype == np.float32
    assert len(found) == count


@given(rates=st.sampled_from(RATES), first=st.integers(0, 10**6), count=st.integers(1, 10**5))
def test_what_a_window_needs_begins_where_both_rates_meet(
    rates: tuple[int, int], first: int, count: int
) -> None:
    own_hz, rate_hz = rates
    window = window_needed(first, count, from_hz=own_hz, to_hz=rate_hz)
    assert window.start * rate_hz % own_hz == 0
    assert window.start * rate_hz // own_hz + window.skip == first
    assert window.start <= first * own_hz / rate_hz
    assert window.stop > (first + count - 1) * own_hz / rate_hz


def test_the_sound_does_not_move() -> None:
    click = np.zeros(48000, dtype=np.float32)
    click[24024] = 1.0
    heard = track(pieces(click), 48000, 16000).read(0, 16000)
    assert int(np.argmax(np.abs(heard))) == 8008


def test_holes_are_silent_and_counted() -> None:
    sounds = iter([Sound(0, noise(100)), Sound(356, noise(50, 1))])
    sound = track(sounds)
    heard = sound.read(0, 500)
    assert np.array_equal(heard[:100], noise(100))
    assert not heard[100:356].any()
    assert np.array_equal(heard[356:406], noise(50, 1))
    assert not heard[406:].any()
    assert (sound.gap_samples, sound.overlap_samples, sound.decoded_samples, sound.samples) == (
        256,
        0,
        150,
        406,
    )


def test_overlaps_keep_what_came_first() -> None:
    sound = track(iter([Sound(0, noise(100)), Sound(60, noise(80, 1))]))
    heard = sound.read(0, 140)
    assert np.array_equal(heard, np.concatenate([noise(100), noise(80, 1)[40:]]))
    assert (sound.gap_samples, sound.overlap_samples, sound.decoded_samples) == (0, 40, 180)


def test_sound_without_timestamps_follows() -> None:
    sound = track(iter([Sound(50, noise(100)), Sound(None, noise(80, 1))]))
    heard = sound.read(0, 230)
    assert np.array_equal(heard[50:], np.concatenate([noise(100), noise(80, 1)]))


def test_what_lies_before_zero_is_not_heard() -> None:
    sound = track(iter([Sound(-70, noise(100)), Sound(30, noise(20, 1))]))
    assert np.array_equal(sound.read(0, 50), np.concatenate([noise(100)[70:], noise(20, 1)]))
    assert sound.overlap_samples == 70


def test_late_sound_begins_with_silence() -> None:
    sound = track(iter([Sound(6976, noise(10))]))
    heard = sound.read(0, 6986)
    assert not heard[:6976].any()
    assert np.array_equal(heard[6976:], noise(10))


def test_a_window_may_be_read_again_and_windows_may_leave_gaps() -> None:
    samples = noise(20000)
    sound = track(pieces(samples))
    assert np.array_equal(sound.read(5000, 100), samples[5000:5100])
    assert np.array_equal(sound.read(5000, 200), samples[5000:5200])
    assert np.array_equal(sound.read(15000, 100), samples[15000:15100])
    assert len(sound.read(15100, 0)) == 0


@pytest.mark.parametrize(("own_hz", "rate_hz"), RATES)
def test_skipping_is_as_if_the_window_before_was_read(own_hz: int, rate_hz: int) -> None:
    samples = noise(60000)
    read, skipped = (track(pieces(samples), own_hz, rate_hz) for _ in range(2))
    read.read(0, 4000)
    skipped.skip(4000)
    for sound in (read, skipped):
        sound.skip(4000)
    assert read.decoded_samples == skipped.decoded_samples
    assert np.array_equal(read.read(4000, 3000), skipped.read(4000, 3000))


def test_only_a_window_is_held() -> None:
    block = noise(1024)
    sound = track((Sound(1024 * k, block) for k in range(5000)), 48000, 16000)
    most = 0
    for first in range(0, 1_600_000, 16000):
        sound.read(first, 16000)
        most = max(most, sum(map(len, sound._pieces)))
    assert most < 48000 + 3 * 1024


def test_draining_counts_all_and_holds_nothing() -> None:
    sound = track(pieces(noise(20000)))
    sound.read(0, 10)
    sound.drain()
    assert (sound.decoded_samples, sound.samples) == (20000, 20000)
    assert not sound._pieces


def test_whole_samples_at_the_other_rate() -> None:
    sound = track(pieces(noise(144384)), 48000, 16000)
    sound.drain()
    assert sound.samples == 48128
    odd = track(pieces(noise(100)), 44100, 16000)
    odd.drain()
    assert odd.samples == 36
