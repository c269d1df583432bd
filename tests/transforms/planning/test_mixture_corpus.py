"""What a subset's mixtures are made of: subsets, limits, rooms, and what is missing, with numbers."""

import dataclasses
import math
import pickle
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.errors import UsageError
from transforms.listing import AudioFile
from transforms.planning.mixture_config import MixturesConfig, read_config
from transforms.planning.mixture_corpus import (
    Listings,
    SubsetCorpus,
    corpus_problems,
    listing_problems,
    played_length,
    room_of,
    subset_of,
)

SPLIT = "train:0.8 dev:0.1 test:0.1"


def file(path: str, seconds: float = 3.0, *, rate_hz: int = 16000, **more: str) -> AudioFile:
    return AudioFile(path, rate_hz, 1, round(seconds * rate_hz), "WAV", "PCM_16", **more)


def speech(speakers: int, each: int = 4) -> list[AudioFile]:
    return [file(f"{s}/{u}.wav", speaker=f"r{s}") for s in range(speakers) for u in range(each)]


def noises(count: int, seconds: float = 10.0) -> list[AudioFile]:
    return [file(f"n{number}.wav", seconds) for number in range(count)]


def config(**options: str) -> MixturesConfig:
    return read_config({"count": "10"} | options)


def corpora(config: MixturesConfig, listings: Listings) -> list[SubsetCorpus]:
    return [SubsetCorpus.of(config, listings, name) for name in config.subsets.names]


def problems(config: MixturesConfig, listings: Listings) -> list[str]:
    return [
        *listing_problems(config, listings),
        *(
            problem
            for corpus in corpora(config, listings)
            for problem in corpus_problems(config, listings, corpus)
        ),
    ]


@pytest.mark.parametrize("talkers", ["different", "same", "any"])
def test_no_speaker_and_no_file_is_in_two_subsets(talkers: str) -> None:
    listings = Listings(speech(300), noises(200), [file(f"room{n // 3}/{n}.wav") for n in range(300)])
    found = corpora(config(subsets=SPLIT, talkers=talkers), listings)
    for kind in ("speech", "noise", "rooms"):
        paths = [[row.path for row in getattr(corpus, kind).files] for corpus in found]
        assert sum(map(len, paths)) == len(set().union(*paths)) == len(getattr(listings, kind))
    speakers = [{row.speaker for row in corpus.speech.files} for corpus in found]
    rooms = [{room_of(row) for row in corpus.rooms.files} for corpus in found]
    for sets in (speakers, rooms):
        assert all(sets)
        assert sum(map(len, sets)) == len(set().union(*sets))


def test_subsets_have_their_shares_of_the_speakers() -> None:
    subsets = config(subsets=SPLIT).subsets
    found = [subset_of(f"speaker {number}", subsets) for number in range(20_000)]
    for name, share in subsets:
        spread = math.sqrt(share * (1 - share) / 20_000)
        assert found.count(name) / 20_000 == pytest.approx(share, abs=4 * spread)


def test_another_seed_moves_nobody_to_another_subset() -> None:
    listings = Listings(speech(50))
    for one, two in zip(
        *(corpora(config(subsets=SPLIT, seed=seed), listings) for seed in ("1", "2")), strict=True
    ):
        assert {row.path for row in one.speech.files} == {row.path for row in two.speech.files}
        moved = [row.path for row in one.speech.files] != [row.path for row in two.speech.files]
        assert moved or one.subset != "train"


def test_the_listing_may_name_subsets_itself() -> None:
    rows = [
        file("a.wav", speaker="1", subset="dev"),
        file("b.wav", speaker="2", subset="train"),
        file("c.wav", speaker="3", subset="elsewhere"),
    ]
    train, dev = corpora(config(subsets="train:1 dev:1"), Listings(rows))
    assert [row.path for row in train.speech.files] == ["b.wav"]
    assert [row.path for row in dev.speech.files] == ["a.wav"]


def test_the_order_of_rows_does_not_count() -> None:
    rows = speech(20)
    (one,), (two,) = (corpora(config(), Listings(order)) for order in (rows, rows[::-1]))
    assert one.speech.files == two.speech.files
    assert one.speech.ring.groups.tolist() == two.speech.ring.groups.tolist()


def test_groups_are_speakers_unless_any_will_do() -> None:
    listings = Listings(speech(5, each=3))
    assert len(corpora(config(), listings)[0].speech.ring.sizes) == 5
    assert len(corpora(config(talkers="any"), listings)[0].speech.ring.sizes) == 15


def test_utterances_beyond_the_limits_are_left_out() -> None:
    rows = [file(f"{seconds}.wav", seconds, speaker=str(seconds)) for seconds in (1.9, 2.0, 5.0, 5.1)]
    (found,) = corpora(config(min_utterance_s="2", max_utterance_s="5"), Listings(rows))
    assert {row.path for row in found.speech.files} == {"2.0.wav", "5.0.wav"}
    assert found.speech.hours == pytest.approx(7 / 3600)


@pytest.mark.parametrize(("samples", "kept"), [(8001, False), (8002, True)])
def test_noises_too_short_to_be_repeated_are_left_out(samples: int, kept: bool) -> None:
    row = dataclasses.replace(file("n.wav"), length_samples=samples)
    assert bool(corpora(config(), Listings([], [row]))[0].noise.files) is kept
    at_double = dataclasses.replace(row, rate_hz=32000, length_samples=2 * samples)
    assert bool(corpora(config(), Listings([], [at_double]))[0].noise.files) is kept


@pytest.mark.parametrize(
    ("path", "room", "expected"), [("a/b/c.wav", "", "a/b"), ("a/c.wav", "hall", "hall")]
)
def test_rooms_are_named_by_column_or_folder(path: str, room: str, expected: str) -> None:
    assert room_of(file(path, room=room)) == expected


@given(st.integers(1, 10**7), st.sampled_from([8000, 16000, 22050, 44100]), st.integers(25, 400))
def test_played_lengths_are_rounded_up(samples: int, own_hz: int, hundredths: int) -> None:
    row = AudioFile("a.wav", own_hz, 1, samples, "WAV", "PCM_16")
    found = played_length(row, 16000, hundredths / 100)
    assert found == math.ceil(samples * 16000 * 100 / (own_hz * hundredths))


def test_a_corpus_travels_to_workers() -> None:
    (corpus,) = corpora(config(), Listings(speech(5), noises(2)))
    again = pickle.loads(pickle.dumps(corpus))
    assert again.speech.files == corpus.speech.files
    assert again.speech.ring.positions.tolist() == corpus.speech.ring.positions.tolist()


def test_enough_of_everything_is_no_problem() -> None:
    listings = Listings(speech(5), noises(1), [file(f"room/{number}.wav") for number in range(2)])
    assert problems(config(), listings) == []


def unknown(rows: Sequence[AudioFile]) -> list[AudioFile]:
    return [dataclasses.replace(row, path=f"unknown/{row.path}", speaker="") for row in rows]


@pytest.mark.parametrize(
    ("options", "listings", "problem"),
    [
        (
            {"speakers": "3"},
            Listings(speech(2, each=30), noises(1)),
            r"subset train: 3 different speakers per mixture are wanted, 2 available; "
            r"it has 60 of 60 utterances \(0.05 h\) from 1 s to inf s; list more speech",
        ),
        (
            {"min_utterance_s": "4"},
            Listings(speech(9), noises(1)),
            r"2 different speakers per mixture are wanted, 0 available; "
            r"it has 0 of 36 utterances \(0.00 h\) from 4 s",
        ),
        (
            {"talkers": "any", "speakers": "2:0.5 5:0.5"},
            Listings(unknown(speech(1)), noises(1)),
            "5 different utterances per mixture are wanted, 4 available",
        ),
        (
            {"talkers": "same", "speakers": "5"},
            Listings(speech(9), noises(1)),
            "5 utterances of one speaker are wanted, the most that one has is 4; it has 36 of 36",
        ),
        (
            {},
            Listings(speech(9), noises(5, seconds=0.4)),
            "1 noises per mixture are wanted, 0 of the 5 listed are available; .* more than 8001 samples at "
            "16000 Hz to be repeated, the longest listed has 6400;",
        ),
        (
            {"noises": "3"},
            Listings(speech(9), noises(2)),
            "3 noises per mixture are wanted, 2 of the 2 listed are available; .* has 160000",
        ),
        (
            {"subsets": "train:0.999 dev:0.001"},
            Listings(speech(9), noises(9)),
            "subset dev: 2 different speakers per mixture are wanted, 0 available; it has 0 of 36",
        ),
        (
            {"speakers": "3"},
            Listings(speech(9), noises(9), [file("a/1.wav"), file("a/2.wav"), file("b/1.wav")]),
            "3 responses of one room are wanted, the most that one of its 2 rooms has is 2",
        ),
        (
            {},
            Listings([*speech(9), *unknown(speech(2))], noises(9)),
            "the speakers of 8 of 44 utterances are not known; list them with --speaker-pattern",
        ),
        (
            {"subsets": "train:1 dev:1"},
            Listings(
                [file("a", speaker="7", subset="dev"), file("b", speaker="7", subset="train")], noises(9)
            ),
            "speaker 7 is in the subsets dev and train; name one of them",
        ),
        (
            {"reuse": "even", "speakers": "2 3"},
            Listings([*speech(1, each=30), *speech(9)[4:]], noises(9)),
            "one speaker has 30 of 62 utterances; "
            "mixtures of 2.5 different speakers cannot use all of them evenly",
        ),
        (
            {"reuse": "even", "max_uses": "2", "count": "37"},
            Listings(speech(9), noises(9)),
            "37 mixtures need 74 utterances or more, 36 used at most 2 times give 72; "
            "lower --count to 36 or less",
        ),
    ],
)
def test_what_is_short_is_said_with_numbers(
    options: dict[str, str], listings: Listings, problem: str
) -> None:
    found = problems(config(**options), listings)
    with pytest.raises(UsageError, match=problem):
        raise UsageError(found)


def test_half_of_the_utterances_by_one_speaker_can_just_be_used_evenly() -> None:
    listings = Listings([*speech(1, each=30), *speech(9)[4:]], noises(9))
    assert problems(config(reuse="even"), listings) == []


def test_hours_beyond_the_uses_are_refused() -> None:
    wanted = read_config({"hours": "0.07", "reuse": "even", "max_uses": "2", "overlap": "none"})
    found = problems(wanted, Listings(speech(9), noises(9)))
    assert found == [
        "subset train: 0.07 h are wanted, 0.03 h of speech used at most 2 times give 0.06 h at most; "
        "lower --hours, or raise --max-uses"
    ]
    assert problems(dataclasses.replace(wanted, max_uses=3), Listings(speech(9), noises(9))) == []
