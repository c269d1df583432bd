"""Exact times: frames and samples, conversion to a fixed rate, segments, placing."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.video.alignment import (
    FrameRange,
    Integers,
    Placement,
    Placer,
    Rule,
    Timestamps,
    ceil_of,
    clock_tolerance,
    first_sample_of_frame,
    floor_of,
    frame_count,
    frame_of_sample,
    nearest_sample,
    pictures_of_samples,
    segments,
    shown_pictures,
    slot_of,
    whole_frames,
)

FPS = {
    "25": Fraction(25),
    "30": Fraction(30),
    "24": Fraction(24),
    "29.97": Fraction(30000, 1001),
    "23.976": Fraction(24000, 1001),
    "50": Fraction(50),
}
RATES_HZ = (8000, 16000, 44100, 48000)

all_fps = pytest.mark.parametrize("fps", FPS.values(), ids=FPS)
all_rates = pytest.mark.parametrize("rate_hz", RATES_HZ)
any_fps = st.sampled_from(list(FPS.values()))
any_rate = st.sampled_from(RATES_HZ)
times = st.fractions(min_value=-2, max_value=1000, max_denominator=90000)


def visible(sample: int, first_times: list[Fraction], rate_hz: int) -> int:
    """The obvious way: the last picture whose time is not after that of the sample."""
    found = -1
    for number, time in enumerate(first_times):
        if time <= Fraction(sample, rate_hz):
            found = number
    return found


@all_fps
@all_rates
@given(frame=st.integers(0, 10**9))
def test_a_frame_begins_at_the_first_sample_that_is_not_before_it(
    fps: Fraction, rate_hz: int, frame: int
) -> None:
    first = first_sample_of_frame(frame, fps, rate_hz)
    assert Fraction(first - 1, rate_hz) < frame / fps <= Fraction(first, rate_hz)


@all_fps
@all_rates
@given(sample=st.integers(0, 10**12))
def test_samples_and_frames_are_each_other_s_inverse(fps: Fraction, rate_hz: int, sample: int) -> None:
    frame = frame_of_sample(sample, fps, rate_hz)
    assert (
        first_sample_of_frame(frame, fps, rate_hz) <= sample < first_sample_of_frame(frame + 1, fps, rate_hz)
    )
    assert frame_of_sample(first_sample_of_frame(frame, fps, rate_hz), fps, rate_hz) == frame


@all_fps
@all_rates
def test_slow_obvious_version(fps: Fraction, rate_hz: int) -> None:
    first_times = [number / fps for number in range(12)]
    for sample in range(0, int(11 / fps * rate_hz), 97):
        assert frame_of_sample(sample, fps, rate_hz) == visible(sample, first_times, rate_hz)


@all_fps
@all_rates
def test_arrays_give_the_same_as_numbers(fps: Fraction, rate_hz: int) -> None:
    numbers = np.concatenate([np.arange(1500), np.arange(10**9, 10**9 + 500)])
    firsts = first_sample_of_frame(numbers, fps, rate_hz)
    assert firsts.tolist() == [first_sample_of_frame(int(one), fps, rate_hz) for one in numbers]
    frames = frame_of_sample(firsts, fps, rate_hz)
    assert frames.tolist() == numbers.tolist()


SAMPLES_PER_FRAMES = {
    "25": {8000: (320, 1), 16000: (640, 1), 44100: (1764, 1), 48000: (1920, 1)},
    "30": {8000: (800, 3), 16000: (1600, 3), 44100: (1470, 1), 48000: (1600, 1)},
    "24": {8000: (1000, 3), 16000: (2000, 3), 44100: (3675, 2), 48000: (2000, 1)},
    "29.97": {8000: (4004, 15), 16000: (8008, 15), 44100: (147147, 100), 48000: (8008, 5)},
    "23.976": {8000: (1001, 3), 16000: (2002, 3), 44100: (147147, 80), 48000: (2002, 1)},
    "50": {8000: (160, 1), 16000: (320, 1), 44100: (882, 1), 48000: (960, 1)},
}


@pytest.mark.parametrize(("name", "rate_hz"), list(itertools.product(SAMPLES_PER_FRAMES, RATES_HZ)), ids=str)
def test_frames_fit_samples_in_the_known_periods(name: str, rate_hz: int) -> None:
    samples, frames = SAMPLES_PER_FRAMES[name][rate_hz]
    fps = FPS[name]
    for period in range(20):
        assert first_sample_of_frame(period * frames, fps, rate_hz) == period * samples
    between = [first_sample_of_frame(frame, fps, rate_hz) * fps / rate_hz for frame in range(1, frames)]
    assert all(one.denominator > 1 for one in between)


def test_floating_point_would_be_wrong() -> None:
    frames = np.arange(100_000)
    exact = first_sample_of_frame(frames, FPS["25"], 16000)
    assert np.count_nonzero((frames / 25 * 16000).astype(np.int64) != exact) == 590
    assert (exact == 640 * frames).all()


def test_rounding_half_up_would_lose_the_frame() -> None:
    fps, frames = FPS["29.97"], np.arange(20_000)
    rounded = np.array([floor_of(int(k) * 16000 / fps + Fraction(1, 2)) for k in frames])
    assert np.count_nonzero(frame_of_sample(rounded, fps, 16000) != frames) == 9332
    exact = first_sample_of_frame(frames, fps, 16000)
    assert (frame_of_sample(exact, fps, 16000) == frames).all()


@given(time=times)
def test_floor_and_ceiling(time: Fraction) -> None:
    assert (floor_of(time), ceil_of(time)) == (math.floor(time), math.ceil(time))


@pytest.mark.parametrize(
    ("time", "place"), [("1/32000", 1), ("-1/32000", 0), ("0.436", 6976), ("3/32000", 2), ("-3/32000", -1)]
)
def test_decoded_sound_is_placed_at_the_nearest_sample_halves_up(time: str, place: int) -> None:
    assert nearest_sample(Fraction(time), 16000) == place


# Times of pictures that do not come at a constant rate.


@st.composite
def timestamps(draw: st.DrawFn) -> Timestamps:
    unit = draw(
        st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000), Fraction(1, 12800)])
    )
    longest = int(Fraction(3, 10) / unit) + 1
    steps = draw(st.lists(st.integers(1, longest), min_size=1, max_size=30))
    start = draw(st.integers(-longest, longest))
    return Timestamps(np.cumsum([start, *steps], dtype=np.int64), unit)


def seconds(stamps: Timestamps) -> list[Fraction]:
    return [int(tick) * stamps.unit for tick in stamps.ticks]


@given(stamps=timestamps(), rate_hz=any_rate)
def test_first_samples_of_pictures(stamps: Timestamps, rate_hz: int) -> None:
    expected = [math.ceil(time * rate_hz) for time in seconds(stamps)]
    assert stamps.first_samples(rate_hz).tolist() == expected


@given(stamps=timestamps(), rate_hz=any_rate, data=st.data())
def test_pictures_of_samples_are_the_exact_inverse(
    stamps: Timestamps, rate_hz: int, data: st.DataObject
) -> None:
    firsts = stamps.first_samples(rate_hz)
    samples = data.draw(st.lists(st.integers(int(firsts[0]) - 100, int(firsts[-1]) + 100), min_size=1))
    found = pictures_of_samples(np.array(samples), firsts)
    assert found.tolist() == [visible(sample, seconds(stamps), rate_hz) for sample in samples]


def shown_slowly(stamps: Timestamps, fps: Fraction, rule: Rule, frame: int) -> int:
    """The obvious way, by the words of each rule."""
    if rule == "hold":
        members = [k for k, time in enumerate(seconds(stamps)) if time <= frame / fps]
    else:
        slots = [math.floor(time * fps + Fraction(1, 2)) for time in seconds(stamps)]
        members = [k for k, slot in enumerate(slots) if slot <= frame]
    return max(members, default=0)


@pytest.mark.parametrize("rule", ["hold", "nearest"])
@given(stamps=timestamps(), fps=any_fps, start=st.integers(0, 50))
def test_shown_pictures(rule: Rule, stamps: Timestamps, fps: Fraction, start: int) -> None:
    slots = stamps.slots(fps, rule)
    assert slots.tolist() == [slot_of(time, fps, rule) for time in seconds(stamps)]
    shown = shown_pictures(slots, start, start + 60)
    assert shown.tolist() == [shown_slowly(stamps, fps, rule, frame) for frame in range(start, start + 60)]


VFR_TIMES_MS = (
    0, 67, 100, 140, 180, 220, 287, 387, 437, 470, 503, 543, 583, 633, 673, 713, 746, 813, 880, 913
)  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "members"),
    [
        ("hold", [0, 0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
        ("nearest", [0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
    ],
)
def test_a_variable_rate_becomes_25(rule: Rule, members: list[int]) -> None:
    stamps = Timestamps(np.array(VFR_TIMES_MS), Fraction(1, 1000))
    assert shown_pictures(stamps.slots(FPS["25"], rule), 0, 20).tolist() == members


def test_both_rules_make_75_of_90_pictures_but_choose_others() -> None:
    stamps = Timestamps(np.arange(90), 1 / FPS["29.97"])
    hold, nearest = (shown_pictures(stamps.slots(FPS["25"], rule), 0, 75) for rule in ("hold", "nearest"))
    assert len(set(hold.tolist())) == len(set(nearest.tolist())) == 75
    assert hold.tolist() != nearest.tolist()


@pytest.mark.parametrize("rule", ["hold", "nearest"])
def test_nothing_changes_at_the_rate_that_there_is(rule: Rule) -> None:
    for fps in FPS.values():
        stamps = Timestamps(np.arange(200), 1 / fps)
        assert shown_pictures(stamps.slots(fps, rule), 0, 200).tolist() == list(range(200))


def test_ticks_of_any_size_stay_exact() -> None:
    unit = Fraction(1, 10**9)
    late = Timestamps(np.array([2**61, 2**61 + 1, -(2**61)]), unit)
    expected = [math.ceil(int(tick) * unit * 48000) for tick in late.ticks]
    assert late.first_samples(48000).tolist() == expected
    assert late.slots(FPS["29.97"], "nearest").tolist() == [
        slot_of(int(tick) * unit, FPS["29.97"], "nearest") for tick in late.ticks
    ]


@pytest.mark.parametrize(
    ("ticks", "variable"),
    [
        ([0, 40, 80, 120], False),
        ([21, 54, 88, 121, 154], False),
        ([0, 33, 67, 99], True),
        ([0, 40, 120], True),
        ([0, 40], False),
        ([7], False),
        ([], False),
    ],
)
def test_a_rate_varies_when_steps_differ_by_more_than_a_tick(ticks: list[int], variable: bool) -> None:
    assert Timestamps(np.array(ticks, dtype=np.int64), Fraction(1, 1000)).is_variable == variable


# Frames of a file, and segments.


@pytest.mark.parametrize(
    ("end", "fps", "frames"),
    [
        ("3", "25", 75),
        ("3.003", "25", 76),
        ("3.136", "25", 79),
        ("1.64", "25", 41),
        ("-1", "25", 0),
        ("0", "25", 0),
    ],
)
def test_frames_begin_before_the_last_picture_ends(end: str, fps: str, frames: int) -> None:
    assert frame_count(Fraction(end), FPS[fps]) == frames


@pytest.mark.parametrize(
    ("samples", "dropped", "padded"),
    [(48000, 75, 75), (48128, 75, 75), (47999, 74, 75), (30720, 48, 75), (0, 0, 75)],
)
def test_the_tail(samples: int, dropped: int, padded: int) -> None:
    end, fps = Fraction(3), FPS["25"]
    assert whole_frames(end, samples, fps, rate_hz=16000, tail="drop") == dropped
    assert whole_frames(end, samples, fps, rate_hz=16000, tail="pad") == padded


@given(frames=st.integers(0, 500), step=st.integers(0, 60), fps=any_fps, rate_hz=any_rate)
def test_segments_leave_nothing_out(frames: int, step: int, fps: Fraction, rate_hz: int) -> None:
    found = list(segments(frames, step))
    assert [frame for one in found for frame in range(one.start, one.stop)] == list(range(frames))
    ranges = [one.samples(fps, rate_hz) for one in found]
    assert all(first + count == after for (first, count), (after, _) in itertools.pairwise(ranges))
    lengths = {count for (_, count), one in zip(ranges, found, strict=True) if one.stop - one.start == step}
    assert not lengths or max(lengths) - min(lengths) <= 1


def test_segments_of_whole_files() -> None:
    assert list(segments(7, 0)) == [FrameRange(0, 7)]
    assert list(segments(7, 3)) == [FrameRange(0, 3), FrameRange(3, 6), FrameRange(6, 7)]
    assert not list(segments(0, 0))


def test_samples_of_a_segment() -> None:
    assert FrameRange(15, 45).samples(FPS["29.97"], 48000) == (24024, 48048)
    assert FrameRange(12, 13).samples(FPS["25"], 16000) == (7680, 640)


# Placing of decoded sound.


@pytest.mark.parametrize(
    ("unit", "rate_hz", "tolerance"),
    [
        ("1/16000", 16000, 0),
        ("1/48000", 16000, 0),
        ("1/48000", 44100, 1),
        ("1/90000", 44100, 1),
        ("1/90000", 48000, 1),
        ("1/1000", 48000, 48),
        ("1/1000", 44100, 45),
    ],
)
def test_clocks_that_cannot_tell_samples_apart(unit: str, rate_hz: int, tolerance: int) -> None:
    assert clock_tolerance(Fraction(unit), rate_hz) == tolerance


def place_all(frames: list[tuple[int, int]], tolerance: int = 0) -> tuple[list[Placement], int]:
    placer = Placer(tolerance)
    return [placer.place(index, samples) for index, samples in frames], placer.position


@pytest.mark.parametrize(
    ("frames", "placements", "end"),
    [
        ([(0, 1024), (1024, 1024)], [(0, 0), (0, 0)], 2048),
        ([(0, 1024), (1280, 1024)], [(0, 0), (256, 0)], 2304),
        ([(6976, 1024)], [(6976, 0)], 8000),
        ([(0, 1024), (1000, 1024)], [(0, 0), (0, 24)], 2024),
        ([(0, 1024), (500, 100), (1024, 8)], [(0, 0), (0, 100), (0, 0)], 1032),
        ([(-1024, 1024), (0, 64)], [(0, 1024), (0, 0)], 64),
        ([(-1000, 1024)], [(0, 1000)], 24),
    ],
)
def test_holes_are_filled_and_overlaps_dropped(
    frames: list[tuple[int, int]], placements: list[tuple[int, int]], end: int
) -> None:
    found, position = place_all(frames)
    assert [(one.gap, one.overlap) for one in found] == placements
    assert position == end


def test_milliseconds_make_neither_holes_nor_overlaps() -> None:
    frames = [(1024 * k * 1000 // 48000 * 48, 1024) for k in range(1000)]
    assert all(index != 1024 * k for k, (index, _) in enumerate(frames) if k % 3)
    found, position = place_all(frames, clock_tolerance(Fraction(1, 1000), 48000))
    assert set(found) == {Placement(0, 0)}
    assert position == 1024 * 1000


def test_a_real_hole_on_a_coarse_clock_is_filled() -> None:
    found, position = place_all([(0, 1024), (1024 + 4800, 1024)], 48)
    assert (found[1], position) == (Placement(4800, 0), 6848)


def test_the_first_frame_is_placed_exactly() -> None:
    assert place_all([(20, 100)], 48) == ([Placement(20, 0)], 120)


@given(
    frames=st.lists(st.tuples(st.integers(-50, 300), st.integers(1, 60)), max_size=20),
    tolerance=st.sampled_from([0, 5]),
)
def test_placing_like_writing_into_an_array(frames: list[tuple[int, int]], tolerance: int) -> None:
    placer, written = Placer(tolerance), [0] * 400
    for number, (index, samples) in enumerate(frames, start=1):
        before = placer.position
        placement = placer.place(index, samples)
        begin = before + placement.gap
        kept = samples - placement.overlap
        if kept:
            assert placer.position == begin + kept
            assert abs(begin - placement.overlap - index) <= (tolerance if before else 0)
        else:
            assert placer.position == before
        assert not any(written[begin : begin + kept])
        written[begin : begin + kept] = [number] * kept


def test_types_of_arrays() -> None:
    slots: Integers = Timestamps(np.array([0, 1]), Fraction(1, 25)).slots(FPS["50"], "hold")
    assert slots.dtype == np.int64
    assert shown_pictures(slots, 0, 4).tolist() == [0, 0, 1, 1]
