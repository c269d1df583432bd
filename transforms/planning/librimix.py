"""LibriMix's planner: which utterances and which noise make up every mixture, exactly as published.

All draws come from one stream, ``random.Random(seed)``, which is never seeded again: what a subset
gets depends on the subsets before it. The order of draws is part of the published recipe:

1. groups of utterances: ``sample`` of the rows still free, until 200 draws in a row bring two
   utterances of one reader;
2. a noise per group: ``sample`` of the noises that are long enough;
3. dev and test sets only: 1 and 2 again over all groups so far, and duplicates removed, until there
   are enough; from the second pass on, a group's noise is the one at its place in the list of all
   noises ever chosen, whichever group that was chosen for;
4. per mixture one ``uniform`` target loudness per source and two for the noise (the second counts).

Groups and noises are row numbers in here; listings are never sorted.
"""

import contextlib
import itertools
import math
import random
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transforms.errors import UsageError
from transforms.listing import NoiseClip, Utterance, limited
from transforms.plan import NOISE, Mixture, Source, id_problem

PUBLISHED_SEED = 72
PUBLISHED_ROUND_TO = 100
PUBLISHED_DEV_TEST_SIZE = 3000
SPEECH_TARGETS_LUFS = (-33.0, -25.0)
NOISE_TARGETS_LUFS = (-38.0, -30.0)

Group = tuple[int, ...]

_FAILED_DRAWS = 200
_STALLED_PASSES = 200
_EXTENSION_CHARACTERS = ".flac"


@dataclass(frozen=True, slots=True)
class PlannedMixture:
    """One mixture before any audio is read.

    Attributes:
        utterances: the speech, in drawn order.
        noise: the noise.
        targets_lufs: wanted loudness of each utterance, then of the noise.
    """

    utterances: tuple[Utterance, ...]
    noise: NoiseClip
    targets_lufs: tuple[float, ...]

    @property
    def id(self) -> str:
        """The published id, see ``mixture_id``."""
        return mixture_id([utterance.path for utterance in self.utterances])


@dataclass(frozen=True, slots=True)
class PlannedSubset:
    """All mixtures of one speech listing.

    Attributes:
        listing_name: name of the listing without its suffix, for instance ``train-clean-100``.
        mixtures: in plan order.
    """

    listing_name: str
    mixtures: tuple[PlannedMixture, ...]


def mixture_id(paths: Sequence[str]) -> str:
    """Joins the utterances' names with ``_``, each without its extension.

    As published, the extension goes by trimming the characters of ``.flac`` from both ends of the
    name, so ``alfa-1.flac`` becomes ``-1``; names that begin and end with a digit are unharmed.
    """
    return "_".join(path.rsplit("/", 1)[-1].strip(_EXTENSION_CHARACTERS) for path in paths)


def to_mixture(planned: PlannedMixture, gains: Sequence[float] | None = None) -> Mixture:
    """Describes a planned mixture for the renderer.

    Args:
        planned: the mixture.
        gains: linear gain of each utterance, then of the noise; all 1 if not given.
    """
    speech = [
        Source(f"s{number}", "librispeech", utterance.path, speaker=utterance.speaker, sex=utterance.sex)
        for number, utterance in enumerate(planned.utterances, start=1)
    ]
    sources = (*speech, Source(NOISE, "wham", planned.noise.path, fit="loop", channel=0))
    if gains is not None:
        levels = zip(sources, gains, strict=True)
        sources = tuple(replace(source, level=float(gain)) for source, gain in levels)
    return Mixture(planned.id, sources)


def plan_subsets(
    speech_listings: Mapping[str, Sequence[Utterance]],
    noise_listings: Mapping[str, Sequence[NoiseClip]],
    *,
    speakers: int,
    seed: int = PUBLISHED_SEED,
    round_to: int = PUBLISHED_ROUND_TO,
    dev_test_size: int = PUBLISHED_DEV_TEST_SIZE,
) -> list[PlannedSubset]:
    """Plans subsets from listings alone, one after the other from one random stream.

    Args:
        speech_listings: rows of each speech listing, by name without suffix; the order counts.
        noise_listings: rows of each noise listing, by name without suffix. A speech listing uses
            the first one, by name, that begins as it does up to its first ``-``.
        speakers: utterances per mixture.
        seed: seed of the stream.
        round_to: cut each subset to a multiple of this, after all draws; 0 and 1 leave it whole.
        dev_test_size: mixtures to make of a listing that is not for training.

    Returns:
        One subset per speech listing, in order.

    Raises:
        UsageError: a noise listing is missing, a listing is empty or too small for what is wanted,
            or names of utterances make no good mixture ids.
    """
    problems = _option_problems(speakers, round_to, dev_test_size)
    problems += _listing_problems(speech_listings, noise_listings)
    if problems:
        raise UsageError(problems)
    stream = random.Random(seed)
    subsets = []
    for name, speech in speech_listings.items():
        noises = noise_listings[_noise_listing_for(name, noise_listings) or ""]
        try:
            pairs = pair(speech, noises, speakers=speakers, dev_test_size=dev_test_size, stream=stream)
        except UsageError as error:
            raise UsageError([f"listing {name}: {problem}" for problem in error.problems]) from None
        mixtures = tuple(
            PlannedMixture(tuple(speech[row] for row in group), noises[noise], draw_targets(stream, speakers))
            for group, noise in pairs
        )
        subsets.append(PlannedSubset(name, mixtures[: _rounded(len(mixtures), round_to)]))
    if problems := list(itertools.chain.from_iterable(map(_id_problems, subsets))):
        raise UsageError(limited(problems))
    return subsets


def draw_targets(stream: random.Random, speakers: int) -> tuple[float, ...]:
    """Draws one mixture's target loudnesses in LUFS: utterances, then noise, whose first draw is void."""
    speech = [stream.uniform(*SPEECH_TARGETS_LUFS) for _ in range(speakers + 1)][:speakers]
    return (*speech, stream.uniform(*NOISE_TARGETS_LUFS))


def pair(
    speech: Sequence[Utterance],
    noises: Sequence[NoiseClip],
    *,
    speakers: int,
    dev_test_size: int,
    stream: random.Random,
) -> list[tuple[Group, int]]:
    """Chooses groups of utterances of different readers, and a noise for each.

    Args:
        speech: rows of a speech listing; it is for training if the first row's subset says ``train``.
        noises: rows of a noise listing.
        speakers: utterances per group.
        dev_test_size: groups to make of a listing that is not for training.
        stream: the random stream; left where the published planner leaves it.

    Returns:
        Row numbers of the utterances in drawn order, and of the noise.

    Raises:
        UsageError: too few noises, or too few different groups for ``dev_test_size``.
    """
    if _is_training(speech):
        groups = _draw_groups([utterance.speaker for utterance in speech], speakers, stream)
        if len(groups) > len(noises):
            raise UsageError(
                f"{len(groups)} mixtures need a noise each and the noise listing has {len(noises)}; "
                "augment the noises, or shorten the speech listing"
            )
        return list(zip(groups, _draw_noises(groups, speech, noises, stream=stream)[1], strict=True))
    _check_reachable(speech, noises, speakers=speakers, wanted=dev_test_size)
    return _pair_in_passes(speech, noises, speakers=speakers, wanted=dev_test_size, stream=stream)


def _is_training(speech: Sequence[Utterance]) -> bool:
    return "train" in speech[0].subset


def _draw_groups(readers: Sequence[str], size: int, stream: random.Random) -> list[Group]:
    """Draws groups of rows with different readers, each row once, until 200 draws in a row fail."""
    free = array("q", range(len(readers)))
    groups: list[Group] = []
    failures = 0
    while len(free) >= size and failures < _FAILED_DRAWS:
        places = stream.sample(range(len(free)), size)
        group = tuple(free[place] for place in places)
        if len({readers[row] for row in group}) < size:
            failures += 1
            continue
        groups.append(group)
        failures = 0
        for place in sorted(places, reverse=True):
            del free[place]
    return groups


class _NoisePool:
    """Noises not yet used in one choice, in listing order; candidates are found by bisection."""

    def __init__(self, lengths_samples: Sequence[int], rows: Iterable[int]) -> None:
        self._rows = array("q", rows)
        self._lengths = array("q", (lengths_samples[row] for row in self._rows))
        self._sorted = all(short <= long for short, long in itertools.pairwise(self._lengths))

    def draw(self, at_least_samples: int, stream: random.Random) -> int | None:
        """Takes a random noise that is long enough; None, without a draw, where there is none."""
        places = self._long_enough(at_least_samples)
        if not len(places):
            return None
        return self._take(int(places[stream.sample(range(len(places)), 1)[0]]))

    def take_last(self) -> int:
        """Takes the last noise, of a sorted listing the longest."""
        return self._take(len(self._rows) - 1)

    def _long_enough(self, samples: int) -> range | NDArray[np.intp]:
        if self._sorted:
            return range(bisect_left(self._lengths, samples), len(self._lengths))
        return np.flatnonzero(np.asarray(self._lengths) >= samples)

    def _take(self, place: int) -> int:
        del self._lengths[place]
        return self._rows.pop(place)


def _draw_noises(
    groups: Sequence[Group],
    speech: Sequence[Utterance],
    noises: Sequence[NoiseClip],
    *,
    stream: random.Random,
) -> tuple[list[Group], list[int]]:
    """Chooses a noise for each group, at least as long as its longest utterance.

    Without such a noise a training group gets the last one left; any other group is dropped, and
    of several equal groups the first.

    Returns:
        The groups that stay, and as many noises.
    """
    training = _is_training(speech)
    rows: Sequence[int] = [row for row, noise in enumerate(noises) if not noise.augmented]
    if len(groups) > len(rows):
        rows = range(len(noises))
    pool = _NoisePool([noise.length_samples for noise in noises], rows)
    chosen: list[int] = []
    dropped: Counter[Group] = Counter()
    for group in groups:
        noise = pool.draw(max(speech[row].length_samples for row in group), stream)
        if noise is None and not training:
            dropped[group] += 1
        else:
            chosen.append(pool.take_last() if noise is None else noise)
    return _without_first(groups, dropped), chosen


def _without_first(groups: Sequence[Group], counts: Counter[Group]) -> list[Group]:
    """Drops the first so many of equal groups."""
    if not counts:
        return list(groups)
    kept = []
    for group in groups:
        if counts[group]:
            counts[group] -= 1
        else:
            kept.append(group)
    return kept


def _pair_in_passes(
    speech: Sequence[Utterance],
    noises: Sequence[NoiseClip],
    *,
    speakers: int,
    wanted: int,
    stream: random.Random,
) -> list[tuple[Group, int]]:
    """Repeats whole passes over a listing until there are enough different groups.

    Raises:
        UsageError: pass after pass brings no more.
    """
    readers = [utterance.speaker for utterance in speech]
    patience = _patience(speech, noises, speakers=speakers, wanted=wanted)
    groups: list[Group] = []
    chosen: list[int] = []
    most = stalled = 0
    while len(groups) < wanted:
        groups += _draw_groups(readers, speakers, stream)
        groups, fresh = _draw_noises(groups, speech, noises, stream=stream)
        chosen += fresh
        remove_duplicates(groups, chosen)
        stalled = 0 if len(groups) > most else stalled + 1
        most = max(most, len(groups))
        if stalled >= patience:
            raise UsageError(
                f"{wanted} mixtures are wanted, and {patience} passes over the listing brought no more than "
                f"{most} with a long enough noise; lower --dev-test-size to {most}, or list more noises"
            )
    return list(zip(groups[:wanted], chosen, strict=False))


def remove_duplicates(groups: list[Group], noises: list[int]) -> None:
    """Removes groups of the same utterances, in place, with all quirks of the published planner.

    Two nested loops go by place over lists that shrink under them: a removal takes away the *first*
    equal group and, separately, the first equal noise, which may both stand before the place looked
    at; and the element that moves up to that place is never looked at.

    Args:
        groups: the groups.
        noises: at least as many noises.
    """
    keys = [tuple(sorted(group)) for group in groups]
    counts = Counter(keys)
    place = 0
    while place < len(groups):
        if counts[keys[place]] > 1:
            counts[keys[place]] -= _remove_equal(place, keys, groups, noises)
        place += 1


def _remove_equal(place: int, keys: list[Group], groups: list[Group], noises: list[int]) -> int:
    """Runs the inner loop for the group at one place; returns how many groups it removed."""
    key = keys[place]
    removed = other = 0
    with contextlib.suppress(ValueError):
        while True:
            other = keys.index(key, other)
            if other != place:
                noise = noises[other]
                first = groups.index(groups[other])
                del groups[first], keys[first]
                noises.remove(noise)
                removed += 1
            other += 1
    return removed


def _distinct_groups(speech: Iterable[Utterance], size: int) -> int:
    """Counts the sets of so many utterances of different readers.

    That is the elementary symmetric polynomial of the readers' utterance counts.
    """
    sets = [1] + [0] * size
    for count in Counter(utterance.speaker for utterance in speech).values():
        for chosen in range(size, 0, -1):
            sets[chosen] += count * sets[chosen - 1]
    return sets[size]


def _servable_groups(speech: Sequence[Utterance], noises: Sequence[NoiseClip], size: int) -> int:
    """Counts the different groups for which some noise is long enough."""
    longest = max(noise.length_samples for noise in noises)
    return _distinct_groups((row for row in speech if row.length_samples <= longest), size)


def _check_reachable(
    speech: Sequence[Utterance], noises: Sequence[NoiseClip], *, speakers: int, wanted: int
) -> None:
    """Raises UsageError when no number of passes can bring so many groups."""
    servable = _servable_groups(speech, noises, speakers)
    possible = min(servable, len(noises))
    if possible < wanted:
        raise UsageError(
            f"{wanted} mixtures are wanted, at most {possible} are possible: {servable} different groups of "
            f"{speakers} utterances by different readers are no longer than the longest noise, and the noise "
            f"listing has {len(noises)} rows; lower --dev-test-size, or give larger listings"
        )


def _patience(speech: Sequence[Utterance], noises: Sequence[NoiseClip], *, speakers: int, wanted: int) -> int:
    """Returns after how many passes without progress to give up.

    That is 20 times what a pass needs, on average, to hit one of the groups still missing at the
    very end, plus 200 for sets of noises that can just serve so many groups.
    """
    servable = _servable_groups(speech, noises, speakers)
    drawn_per_pass = max(1, len(speech) // speakers)
    return _STALLED_PASSES + math.ceil(20 * servable / (drawn_per_pass * (servable - wanted + 1)))


def _rounded(count: int, round_to: int) -> int:
    return count - count % max(1, round_to)


def _noise_listing_for(name: str, noise_listings: Mapping[str, Sequence[NoiseClip]]) -> str | None:
    """Returns the first noise listing that begins like a speech listing, or None."""
    beginning = name.split("-", 1)[0]
    return next((noise for noise in sorted(noise_listings) if noise.startswith(beginning)), None)


def _option_problems(speakers: int, round_to: int, dev_test_size: int) -> list[str]:
    limits = (("--speakers", speakers, 1), ("--round-to", round_to, 0), ("--dev-test-size", dev_test_size, 1))
    return [f"{name} {value}: wanted {least} or more" for name, value, least in limits if value < least]


def _listing_problems(
    speech_listings: Mapping[str, Sequence[Utterance]], noise_listings: Mapping[str, Sequence[NoiseClip]]
) -> list[str]:
    problems = []
    for name, speech in speech_listings.items():
        noise = _noise_listing_for(name, noise_listings)
        if not speech:
            problems.append(f"listing {name}: has no rows; list the corpus again")
        if noise is None:
            problems.append(
                f"listing {name}: no noise listing begins with {name.split('-', 1)[0]!r} "
                f"(found: {', '.join(sorted(noise_listings)) or 'none'}); list the noises, or rename one"
            )
        elif not noise_listings[noise]:
            problems.append(f"noise listing {noise}: has no rows; list the noises again")
    return problems


def _id_problems(subset: PlannedSubset) -> Iterator[str]:
    """Says which utterances' names make ids that cannot name files, or the same id twice."""
    seen: set[str] = set()
    for mixture in subset.mixtures:
        if problem := id_problem(mixture.id):
            yield f"listing {subset.listing_name}: id {mixture.id!r} {problem}; rename the utterances"
        if mixture.id in seen:
            yield (
                f"listing {subset.listing_name}: id {mixture.id!r} occurs twice, for utterances of one name "
                "in different folders; rename them"
            )
        seen.add(mixture.id)
