"""The mixtures planner: reproducible by construction, and distributed as asked for."""

import collections
import dataclasses
import itertools
import math
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from scipy import stats

from transforms.errors import UsageError
from transforms.listing import AudioFile
from transforms.plan import Mixture, Source, mixture_problems
from transforms.planning import distributions
from transforms.planning.mixture_config import MixturesConfig, read_config
from transforms.planning.mixture_corpus import Listings, SubsetCorpus, played_length
from transforms.planning.mixtures import (
    deal,
    part_of,
    plan_item,
    plan_licences,
    plan_range,
    plan_settings,
    plan_subset,
    problems,
)

SPEAKERS = 30
EACH = 8


def file(path: str, samples: int, *, rate_hz: int = 16000, **more: str) -> AudioFile:
    return AudioFile(path, rate_hz, 1, samples, "WAV", "PCM_16", **more)


SPEECH = [
    file(f"r{s}/{u}.wav", 20_000 + 977 * (s + 31 * u) % 60_000, speaker=f"r{s}", text=f"words {s} {u}")
    for s in range(SPEAKERS)
    for u in range(EACH)
]
NOISE = [file(f"n{n}.wav", 44100 * (1 + n % 7), rate_hz=44100) for n in range(40)]
ROOMS = [file(f"room{n // 4}/{n}.wav", 3000 + n) for n in range(40)]
LISTINGS = Listings(SPEECH, NOISE)
IN_ROOMS = Listings(SPEECH, NOISE, ROOMS)
LENGTHS = {row.path: row for row in [*SPEECH, *NOISE, *ROOMS]}

RICH = {
    "speakers": "1:0.2 2:0.5 3:0.3",
    "overlap": "uniform(0,1)",
    "speed": "uniform(0.9,1.1)",
    "noises": "2",
}
KINDS: list[Any] = [
    pytest.param(RICH, id="different"),
    pytest.param(RICH | {"talkers": "same"}, id="same"),
    pytest.param(RICH | {"talkers": "any", "interferer_snr": "normal(0,3)"}, id="any"),
    pytest.param(RICH | {"overlap": "sequential", "noise_level": "-35", "noises": "1"}, id="sequential"),
]
EVEN = pytest.param(RICH | {"reuse": "even"}, id="even")


def config(**options: str) -> MixturesConfig:
    return read_config(({} if "hours" in options else {"count": "300"}) | options)


def corpus(config: MixturesConfig, listings: Listings = LISTINGS, subset: str = "train") -> SubsetCorpus:
    return SubsetCorpus.of(config, listings, subset)


def planned(listings: Listings = LISTINGS, /, **options: str) -> list[Mixture]:
    wanted = config(**options)
    return [item.mixture for item in plan_subset(wanted, corpus(wanted, listings))]


def drawn(mixtures: Iterable[Mixture], value: Callable[[Source], float], *roles: str) -> list[float]:
    return [value(source) for mixture in mixtures for source in mixture.sources if source.role in roles]


def length(source: Source, rate_hz: int = 16000) -> int:
    return played_length(LENGTHS[source.path], rate_hz, source.speed)


def without(listings: Listings, path: str) -> Listings:
    def rest(rows: Sequence[AudioFile]) -> list[AudioFile]:
        return [row for row in rows if row.path != path]

    return Listings(rest(listings.speech), rest(listings.noise), rest(listings.rooms))


def paths(mixture: Mixture) -> set[str]:
    return {path for source in mixture.sources for path in (source.path, source.rir)}


# Reproducible by construction


@pytest.mark.parametrize("options", [*KINDS, EVEN])
def test_a_prefix_of_a_larger_plan_is_the_plan_of_a_smaller_one(options: dict[str, str]) -> None:
    assert planned(IN_ROOMS, **options)[:120] == planned(IN_ROOMS, **options | {"count": "120"})


@pytest.mark.parametrize("options", [*KINDS, EVEN])
def test_any_range_planned_alone_has_the_same_rows(options: dict[str, str]) -> None:
    wanted = config(**options)
    sources = corpus(wanted, IN_ROOMS)
    whole = list(plan_subset(wanted, sources))
    for start, stop in ((0, 1), (37, 91), (299, 300), (10, 10)):
        assert list(plan_range(wanted, sources, start=start, stop=stop)) == whole[start:stop]


@pytest.mark.parametrize("options", KINDS)
def test_single_items_are_those_of_the_plan_on_any_machine(options: dict[str, str]) -> None:
    wanted = config(**options)
    sources = pickle.loads(pickle.dumps(corpus(wanted, IN_ROOMS)))
    for number in (299, 0, 123):
        assert plan_item(wanted, sources, number).mixture == planned(IN_ROOMS, **options)[number]


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("kind", ["speech", "noise", "rooms"])
def test_a_source_that_goes_changes_only_its_own_mixtures(options: dict[str, str], kind: str) -> None:
    before = planned(IN_ROOMS, **options)
    for row in getattr(IN_ROOMS, kind)[:: 40 if kind == "speech" else 9]:
        after = planned(without(IN_ROOMS, row.path), **options)
        changed = [one.id for one, two in zip(before, after, strict=True) if one != two]
        assert changed == [mixture.id for mixture in before if row.path in paths(mixture)]


def test_a_whole_speaker_that_goes_changes_only_its_own_mixtures() -> None:
    before = planned(**RICH)
    rest = Listings([row for row in SPEECH if row.speaker != "r3"], NOISE)
    changed = [one for one, two in zip(before, planned(rest, **RICH), strict=True) if one != two]
    own = [mixture for mixture in before if any(source.speaker == "r3" for source in mixture.sources)]
    assert changed == own
    assert 0 < len(own) < len(before) / 3


def test_speakers_and_rooms_that_get_too_small_change_only_their_own_mixtures() -> None:
    """Every speaker has as many utterances as the largest mixtures need, every room as many responses."""
    speech = [row for row in SPEECH if row.path[-5] in "012"]
    rooms = [row for number, row in enumerate(ROOMS) if number % 4 < 3]
    small = Listings(speech, NOISE, rooms)
    options = RICH | {"talkers": "same"}
    before = planned(small, **options)
    for row in [*small.speech[::9], *small.rooms[::5]]:
        after = planned(without(small, row.path), **options)
        changed = {one.id for one, two in zip(before, after, strict=True) if one != two}
        assert changed == {mixture.id for mixture in before if row.path in paths(mixture)}


def test_even_use_gives_that_up() -> None:
    options = RICH | {"reuse": "even"}
    before, after = planned(**options), planned(without(LISTINGS, SPEECH[5].path), **options)
    changed = [one for one, two in zip(before, after, strict=True) if one != two]
    assert len(changed) > len([mixture for mixture in before if SPEECH[5].path in paths(mixture)])


@pytest.mark.parametrize("name", ["seed", "subset"])
def test_seed_and_subset_give_other_plans(name: str) -> None:
    if name == "seed":
        one, two = planned(**RICH, seed="1"), planned(**RICH, seed="2")
    else:
        wanted = config(**RICH, subsets="a:1 b:1")
        plans = [list(plan_subset(wanted, corpus(wanted, subset=subset))) for subset in "ab"]
        one, two = ([item.mixture for item in plan] for plan in plans)
    assert not any(first.sources == second.sources for first, second in zip(one, two, strict=True))


def test_ids_name_subset_and_number() -> None:
    assert [mixture.id for mixture in planned(count="2")] == ["train-0000000", "train-0000001"]


# What a mixture is made of


@pytest.mark.parametrize("options", [*KINDS, EVEN])
def test_all_mixtures_can_be_rendered(options: dict[str, str]) -> None:
    found = planned(IN_ROOMS, **options)
    assert [p for mixture in found for p in mixture_problems(mixture, ("speech", "noise", "rir"))] == []
    assert len({mixture.id for mixture in found}) == 300


@pytest.mark.parametrize(
    ("options", "speakers"), [(RICH, None), (RICH | {"talkers": "same"}, 1), (RICH | {"reuse": "even"}, None)]
)
def test_utterances_differ_and_speakers_are_as_asked_for(
    options: dict[str, str], speakers: int | None
) -> None:
    for mixture in planned(**options):
        assert len({source.path for source in mixture.speech}) == len(mixture.speech)
        names = {source.speaker for source in mixture.speech}
        assert len(names) == (speakers or len(mixture.speech))


def test_any_talkers_meet_themselves_as_often_as_chance_has_it() -> None:
    found = planned(talkers="any", count="4000")
    met = sum(one.speaker == two.speaker for one, two in (mixture.speech for mixture in found))
    assert met / 4000 == pytest.approx((EACH - 1) / (SPEAKERS * EACH - 1), abs=0.012)


def test_utterances_keep_speaker_and_text() -> None:
    rows = {row.path: row for row in SPEECH}
    for source in (source for mixture in planned(count="20") for source in mixture.speech):
        assert (source.speaker, source.text) == (rows[source.path].speaker, rows[source.path].text)
        assert (source.root, source.channel, source.fit, source.rir) == ("speech", 0, "pad", "")


def test_sources_of_a_mixture_have_different_responses_of_one_room() -> None:
    for mixture in planned(IN_ROOMS, **RICH):
        responses = [source.rir for source in mixture.speech]
        assert len({path.split("/")[0] for path in responses}) == 1
        assert len(set(responses)) == len(responses)
        assert not any(source.rir for source in mixture.sources if source.root == "noise")


def test_several_noises_differ_and_come_last() -> None:
    for mixture in planned(noises="3", count="50"):
        assert [source.role for source in mixture.sources] == ["s1", "s2", "noise", "noise_2", "noise_3"]
        assert len({source.path for source in mixture.sources}) == 5


def test_mixtures_may_have_no_noise() -> None:
    found = planned(Listings(SPEECH), noises="0", count="5")
    assert [len(mixture.sources) for mixture in found] == [2] * 5


@pytest.mark.parametrize("listings", [LISTINGS, IN_ROOMS], ids=["dry", "rooms"])
def test_excerpts_of_noise_fit_or_begin_at_the_start(listings: Listings) -> None:
    wanted = config()
    begun_later = begun_at_once = 0
    for item in plan_subset(wanted, corpus(wanted, listings)):
        noise = item.mixture.sources[-1]
        row = LENGTHS[noise.path]
        rest = dataclasses.replace(row, length_samples=row.length_samples - noise.offset_samples)
        if noise.offset_samples:
            begun_later += 1
            assert played_length(rest, 16000) >= item.length_samples
        else:
            begun_at_once += played_length(row, 16000) > item.length_samples + 100
    assert begun_later > 50
    assert begun_at_once <= 1


def test_length_counts_the_end_of_the_room() -> None:
    wanted = config(speakers="2", overlap="none")
    for item in plan_range(wanted, corpus(wanted, IN_ROOMS), stop=50):
        ends = [
            source.start_samples + length(source) + LENGTHS[source.rir].length_samples - 1
            for source in item.mixture.speech
        ]
        assert item.length_samples == max(ends)


def test_excerpts_begin_anywhere() -> None:
    wanted = config(speakers="1", count="3000", min_utterance_s="1")
    sources = corpus(wanted, Listings(SPEECH, [file("long.wav", 16000 * 600)]))
    items = list(plan_subset(wanted, sources))
    places = [item.mixture.sources[-1].offset_samples / (9_600_000 - item.length_samples) for item in items]
    assert stats.kstest(places, "uniform").pvalue > 0.01


# Places


@pytest.mark.parametrize("speakers", ["2", "3"])
def test_full_overlap_puts_the_shorter_within_the_longest(speakers: str) -> None:
    shares = []
    for mixture in planned(speakers=speakers, overlap="full", count="2000"):
        lengths = [length(source) for source in mixture.speech]
        for source, own in zip(mixture.speech, lengths, strict=True):
            assert 0 <= source.start_samples <= max(lengths) - own
            if own < max(lengths) - 1000:
                shares.append(source.start_samples / (max(lengths) - own))
    assert stats.kstest(shares, "uniform").pvalue > 0.01


def test_without_overlap_one_begins_where_the_other_ends() -> None:
    for mixture in planned(speakers="3", overlap="none"):
        spoken = sorted(
            (source.start_samples, source.start_samples + length(source)) for source in mixture.speech
        )
        assert spoken[0][0] == 0
        assert all(one[1] == two[0] for one, two in itertools.pairwise(spoken))


def test_gaps_are_distributed_as_asked_for() -> None:
    gaps = []
    for mixture in planned(speakers="3", overlap="sequential", gap_s="uniform(0.1,0.5)", count="1500"):
        spoken = sorted(
            (source.start_samples, source.start_samples + length(source)) for source in mixture.speech
        )
        gaps += [(two[0] - one[1]) / 16000 for one, two in itertools.pairwise(spoken)]
    assert stats.kstest(gaps, stats.uniform(0.1, 0.4).cdf).pvalue > 0.01


def test_overlap_ratios_are_distributed_as_asked_for() -> None:
    ratios = []
    for mixture in planned(overlap="triangular(0,0.2,1)", count="3000"):
        (_, first), (start, second) = sorted(
            (source.start_samples, length(source)) for source in mixture.speech
        )
        if start:
            ratios.append((first - start) / min(first, second))
    assert stats.kstest(ratios, stats.triang(0.2, 0, 1).cdf).pvalue > 0.01
    assert len(ratios) > 2990


def test_every_utterance_is_first_in_time_alike() -> None:
    firsts = collections.Counter(
        min(mixture.speech, key=lambda source: source.start_samples).role
        for mixture in planned(speakers="3", overlap="none", count="3000")
    )
    assert stats.chisquare([firsts[role] for role in ("s1", "s2", "s3")]).pvalue > 0.01


def test_one_speaker_alone_begins_at_once() -> None:
    for overlap in ("full", "none", "sequential", "0.5"):
        assert (
            drawn(planned(speakers="1", overlap=overlap), lambda source: source.start_samples, "s1")
            == [0] * 300
        )


# Levels and speeds


@pytest.mark.parametrize(
    ("options", "roles", "reference"),
    [
        ({"speech_level": "uniform(-33,-25)"}, ("s1", "s2"), stats.uniform(-33, 8)),
        ({"speech_level": "normal(-27,3)"}, ("s1", "s2"), stats.norm(-27, 3)),
        ({"interferer_level": "triangular(-35,-30,-20)"}, ("s2",), stats.triang(1 / 3, -35, 15)),
        ({"interferer_snr": "normal(0,3,-6,6)"}, ("s2",), stats.truncnorm(-2, 2, 0, 3)),
        ({"noise_snr": "uniform(-5,15)"}, ("noise",), stats.uniform(-5, 20)),
        ({"noise_level": "normal(-40,2)", "noises": "2"}, ("noise", "noise_2"), stats.norm(-40, 2)),
    ],
)
def test_levels_are_distributed_as_asked_for(
    options: dict[str, str], roles: tuple[str, ...], reference: stats.rv_continuous
) -> None:
    found = drawn(planned(**options, count="3000"), lambda source: source.level, *roles)
    assert len(found) == 3000 * len(roles)
    assert stats.kstest(found, reference.cdf).pvalue > 0.01


def test_levels_of_a_mixture_are_independent() -> None:
    found = planned(count="3000")
    pairs = [drawn(found, lambda source: source.level, role) for role in ("s1", "s2", "noise")]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert abs(stats.pearsonr(pairs[one], pairs[two]).statistic) < 0.06


@pytest.mark.parametrize(
    ("options", "role", "expected"),
    [
        ({"level_measure": "active"}, "s1", ("target", "active", "")),
        ({"level_measure": "rms"}, "s2", ("target", "rms", "")),
        ({"interferer_level": "-30"}, "s2", ("target", "lufs", "")),
        ({"interferer_snr": "0"}, "s1", ("target", "lufs", "")),
        ({"interferer_snr": "0"}, "s2", ("snr", "rms", "s1")),
        ({}, "noise", ("snr", "rms", "speech")),
        ({"noise_against": "s1", "snr_measure": "lufs"}, "noise", ("snr", "lufs", "s1")),
        ({"noise_level": "-35", "level_measure": "rms"}, "noise", ("target", "rms", "")),
    ],
)
def test_levels_say_how_they_are_meant(
    options: dict[str, str], role: str, expected: tuple[str, str, str]
) -> None:
    for mixture in planned(**options, count="3"):
        (source,) = (source for source in mixture.sources if source.role == role)
        assert (source.level_kind, source.measure, source.against) == expected


def test_speeds_are_distributed_as_asked_for_to_a_hundredth() -> None:
    found = drawn(planned(speed="uniform(0.8,1.2)", count="2000"), lambda source: source.speed, "s1", "s2")
    assert all(speed == round(speed, 2) for speed in found)
    assert stats.kstest(found, stats.uniform(0.8, 0.4).cdf).statistic < 0.03
    assert set(drawn(planned(speed="uniform(0.9,1.1)"), lambda source: source.speed, "noise")) == {1.0}


def test_numbers_of_speakers_are_distributed_as_asked_for() -> None:
    counts = collections.Counter(
        len(mixture.speech) for mixture in planned(speakers="1:0.2 2:0.5 3:0.3", count="3000")
    )
    expected = [600, 1500, 900]
    assert stats.chisquare([counts[number] for number in (1, 2, 3)], expected).pvalue > 0.01


@pytest.mark.parametrize("purpose", ["choice(1:0.5,2:0.5)", "choice(1,2)"])
def test_equal_weights_need_not_be_given(purpose: str) -> None:
    assert planned(speakers=purpose) == planned(speakers=str(distributions.parse("choice(1,2)")))


# How often, how many, how long


def uses(mixtures: Iterable[Mixture]) -> collections.Counter[str]:
    return collections.Counter(source.path for mixture in mixtures for source in mixture.speech)


def test_independent_use_is_reasonably_even() -> None:
    used = uses(planned(count="24000"))
    counts = [used[row.path] for row in SPEECH]
    mean = sum(counts) / len(counts)
    deviation = math.sqrt(sum((count - mean) ** 2 for count in counts) / len(counts))
    assert mean == 200
    assert deviation / mean < 0.25
    assert max(counts) < 1.3 * mean


@pytest.mark.parametrize("options", [{"speakers": "2"}, RICH, {"speakers": "3", "talkers": "any"}])
@pytest.mark.parametrize("count", ["100", "1000"])
def test_even_use_differs_by_one_at_most(options: dict[str, str], count: str) -> None:
    used = uses(planned(**options | {"reuse": "even", "count": count}))
    counts = [used[row.path] for row in SPEECH]
    assert max(counts) - min(counts) <= 1 + (int(count) > 500)
    assert sum(count == round(sum(counts) / len(counts)) for count in counts) > 0.2 * len(counts)


@pytest.mark.parametrize(("most", "count"), [("1", "120"), ("2", "240"), ("3", "350")])
def test_no_utterance_is_used_more_often_than_allowed(most: str, count: str) -> None:
    used = uses(planned(reuse="even", max_uses=most, count=count, talkers="any"))
    assert max(used.values()) == int(most)
    assert min(used[row.path] for row in SPEECH) >= int(most) - 1


def test_dealing_says_how_far_it_goes() -> None:
    wanted = config(reuse="even", max_uses="1", count="100", speakers="2 4")
    found = problems(wanted, LISTINGS)
    assert len(found) == 1
    with pytest.raises(
        UsageError,
        match=r"subset train: 240 utterances used at most 1 times give ([78]\d) mixtures; want fewer",
    ):
        raise UsageError(found)
    reached = int(found[0].split("give ")[1].split()[0])
    assert problems(config(reuse="even", max_uses="1", count=str(reached), speakers="2 4"), LISTINGS) == []


def test_dealing_by_hours_is_tried_before_work() -> None:
    options = {"reuse": "even", "max_uses": "1", "speakers": "2"}
    assert problems(config(**options, hours="0.09"), LISTINGS) == []
    assert "used at most 1 times give 120 mixtures" in problems(config(**options, hours="0.15"), LISTINGS)[0]
    assert "0.21 h of speech used at most 1 times" in problems(config(**options, hours="0.5"), LISTINGS)[0]


def test_dealing_goes_on_without_end_where_uses_are_not_limited() -> None:
    wanted = config(reuse="even")
    dealt = deal(wanted, corpus(wanted))
    assert len([next(dealt) for _ in range(5000)]) == 5000


@pytest.mark.parametrize("options", [{}, {"reuse": "even"}])
def test_hours_are_reached_with_the_last_mixture(options: dict[str, str]) -> None:
    wanted = config(**options, hours="0.2")
    lengths = [item.length_samples for item in plan_subset(wanted, corpus(wanted))]
    assert sum(lengths[:-1]) < 0.2 * 3600 * 16000 <= sum(lengths)
    longer = config(**options, hours="0.3")
    assert [item.length_samples for item in plan_subset(longer, corpus(longer))][: len(lengths)] == lengths


def test_problems_of_options_come_before_those_of_listings() -> None:
    assert problems(config(count="0"), Listings([])) == ["--count 0: wanted numbers above 0"]
    found = problems(config(speakers="40", noises="41"), LISTINGS)
    assert [problem.split(" per mixture")[0] for problem in found] == [
        "subset train: 40 different speakers",
        "subset train: 41 noises",
    ]
    assert problems(config(), LISTINGS) == []


def test_parts_and_settings_tell_the_renderer() -> None:
    wanted = config(corpus="mine", rate_hz="8000", clip="reject")
    part = part_of(wanted, "train")
    assert (part.recipe, part.corpus, part.subset) == ("mixtures", "mine", "train")
    assert plan_settings(wanted) == {"rate_hz": 8000, "clip": "reject"}


# Licences.


def licensed(rows: Iterable[AudioFile], *licences: str) -> list[AudioFile]:
    """Returns the rows under the licences in turn."""
    turns = zip(rows, itertools.cycle(licences), strict=False)
    return [dataclasses.replace(row, licence=text) for row, text in turns]


def test_a_plan_knows_the_licences_of_what_its_subset_may_have() -> None:
    found = Listings(licensed(SPEECH, "CC BY 4.0", "", "CC0 1.0"), NOISE, licensed(ROOMS, "MIT"))
    assert plan_licences(corpus(config(), found)) == {
        "speech": ["CC BY 4.0", "CC0 1.0", "unknown"],
        "rir": ["MIT"],
    }
    assert plan_licences(corpus(config(), IN_ROOMS)) == {}


def test_licences_of_what_another_subset_has_do_not_count() -> None:
    own = [dataclasses.replace(row, subset="train") for row in licensed(SPEECH, "CC BY 4.0")]
    other = [
        dataclasses.replace(row, path=f"x/{row.path}", speaker=f"x{row.speaker}", subset="dev")
        for row in licensed(SPEECH, "CC BY-NC 4.0")
    ]
    options = config(subsets="train:1 dev:1", count="train:5 dev:5")
    listings = Listings([*own, *other], NOISE)
    assert plan_licences(corpus(options, listings)) == {"speech": ["CC BY 4.0"]}
    assert plan_licences(corpus(options, listings, "dev")) == {"speech": ["CC BY-NC 4.0"]}


def test_licences_change_no_mixture() -> None:
    stated = Listings(licensed(SPEECH, "MIT"), licensed(NOISE, "CC0 1.0"))
    plans = [list(plan_subset(config(), corpus(config(), found))) for found in (LISTINGS, stated)]
    assert plans[0] == plans[1]
