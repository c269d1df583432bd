"""The ``mixtures`` planner: any speech with any noise, every item drawn from its own name.

Item i of a subset depends on (seed, subset, i), the configuration and the listings, and on no other
item. So any range of items can be planned alone, and a prefix of a larger plan is the plan of a
smaller one. With ``independent`` reuse, sources are chosen on rings (see ``transforms.planning.rings``):
when a source leaves the listings, only the mixtures that had it change. In detail:

- An utterance is chosen among all those whose speakers the mixture does not have yet. The others are
  passed over on the ring, not drawn and refused: a refused draw would depend on an utterance that the
  mixture does not have, and would lead elsewhere once that is gone.
- With ``same`` talkers, and for rooms, the first choice falls among the members of groups that are
  large enough for this item. A group that loses a member and gets too small for the item had exactly
  as many members as it needs, so an item of this group had the lost one.
- All else that is drawn (order, overlap, levels, speeds, excerpts) depends on the item's sources only.

``even`` reuse gives two of these up for even use. Utterances are dealt in one order, which is shuffled
anew for each round; those that a mixture cannot have because it has their speaker already wait for
the next one that can. A prefix of a larger plan still is the plan of a smaller one, and a range still
has the rows it has in the whole; but planning a range deals out all that is before it (microseconds
per item), and when an utterance leaves the listing most mixtures change.

A mixture's id says its subset and number (``train-0000042``), nothing of its sources, of which there
may be many with long names: they are in the plan.
"""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transforms.errors import UsageError
from transforms.licences import UNKNOWN, Licences
from transforms.plan import NOISE, SPEED_DECIMALS, Mixture, Part, Settings, Source
from transforms.planning.distributions import Distribution, Fixed
from transforms.planning.mixture_config import MixturesConfig, config_problems
from transforms.planning.mixture_corpus import (
    Listings,
    SubsetCorpus,
    corpus_problems,
    listing_problems,
    own_per_planned,
    played_length,
)
from transforms.planning.rings import ItemDraws, Ring, position_of

SPEECH_ROOT = "speech"
NOISE_ROOT = "noise"
ROOM_ROOT = "rir"

_FIRST_CHANNEL = 0


@dataclass(frozen=True, slots=True)
class PlannedItem:
    """A mixture and how long it will be, in samples at the plan's rate, with the ends of rooms."""

    mixture: Mixture
    length_samples: int


def part_of(config: MixturesConfig, subset: str) -> Part:
    """Returns the part that a subset's mixtures make up."""
    return Part("mixtures", config.corpus, subset)


def plan_settings(config: MixturesConfig) -> Settings:
    """Returns what a plan tells the renderer beside its rows."""
    return {"rate_hz": config.rate_hz, "clip": config.clip}


def plan_licences(corpus: SubsetCorpus) -> Licences:
    """Returns the licences of all that a subset may be made of, by root, where its listing states any.

    Files of which a listing that states some says nothing are of ``unknown`` licence.
    """
    pools = {SPEECH_ROOT: corpus.speech, NOISE_ROOT: corpus.noise, ROOM_ROOT: corpus.rooms}
    stated = {root: {file.licence for file in pool.files} for root, pool in pools.items()}
    return {root: sorted(text or UNKNOWN for text in texts) for root, texts in stated.items() if any(texts)}


def plan_subset(config: MixturesConfig, corpus: SubsetCorpus) -> Iterator[PlannedItem]:
    """Plans a subset: as many mixtures as are wanted, or as many as make the wanted hours.

    Args:
        config: without problems, see ``problems``.
        corpus: the subset's sources.

    Raises:
        UsageError: ``max_uses`` leaves no utterances.
    """
    count = config.count_of(corpus.subset)
    wanted_samples = config.hours_of(corpus.subset) * 3600 * config.rate_hz
    samples = 0
    for item in plan_range(config, corpus, stop=count):
        yield item
        samples += item.length_samples
        if samples >= wanted_samples:
            return


def plan_range(
    config: MixturesConfig, corpus: SubsetCorpus, *, start: int = 0, stop: int | None = None
) -> Iterator[PlannedItem]:
    """Plans the items from one number up to another, without end if ``stop`` is None."""
    numbers = itertools.count(start) if stop is None else range(start, stop)
    if config.reuse == "independent":
        return (plan_item(config, corpus, number) for number in numbers)
    dealt = itertools.islice(deal(config, corpus), start, stop)
    return (
        _planned(config, corpus, number=number, places=places)
        for number, places in zip(numbers, dealt, strict=False)
    )


def plan_item(config: MixturesConfig, corpus: SubsetCorpus, number: int) -> PlannedItem:
    """Plans one item of a subset; with ``independent`` reuse only, ``even`` use knows no single items."""
    draws = ItemDraws.of(config.seed, corpus.subset, number)
    ring, count = corpus.speech.ring, speaker_count(config, draws)
    choose = _chosen_in_one_group if config.talkers == "same" else _chosen_in_different_groups
    return _planned(config, corpus, number=number, places=choose(ring, draws, purpose="speech", count=count))


def speaker_count(config: MixturesConfig, draws: ItemDraws) -> int:
    """Draws the number of speakers of an item."""
    return int(_drawn(config.speakers, draws, "speakers"))


def deal(config: MixturesConfig, corpus: SubsetCorpus) -> Iterator[tuple[int, ...]]:
    """Deals utterances out to items 0, 1, ..., each as often as any other, to one item by speaker once.

    Yields:
        Places in ``corpus.speech.files``.

    Raises:
        UsageError: all have been used ``max_uses`` times, or cannot be had without their speaker twice.
    """
    groups = corpus.speech.ring.groups.tolist()
    fresh = _rounds(config, corpus)
    waiting: dict[int, deque[int]] = {}
    for number in itertools.count():
        count = speaker_count(config, ItemDraws.of(config.seed, corpus.subset, number))
        chosen: dict[int, int] = {}
        while len(chosen) < count:
            place = _longest_waiting(waiting, chosen)
            place = next(fresh, None) if place is None else place
            if place is None:
                raise UsageError(
                    f"subset {corpus.subset}: {len(corpus.speech.files)} utterances used at most "
                    f"{config.max_uses} times give {number} mixtures; want fewer, or raise --max-uses"
                )
            if groups[place] in chosen:
                waiting.setdefault(groups[place], deque()).append(place)
            else:
                chosen[groups[place]] = place
        yield tuple(chosen.values())


def _rounds(config: MixturesConfig, corpus: SubsetCorpus) -> Iterator[int]:
    """Yields all places in one order after the other, as often as an utterance may be used."""
    for turn in range(config.max_uses) if config.max_uses else itertools.count():
        yield from corpus.speech.ring.shuffled(
            position_of(config.seed, corpus.subset, "round", turn)
        ).tolist()


def _longest_waiting(waiting: dict[int, deque[int]], chosen: dict[int, int]) -> int | None:
    """Takes what waits first of a speaker that an item does not have."""
    speaker = next((speaker for speaker in waiting if speaker not in chosen), None)
    if speaker is None:
        return None
    place = waiting[speaker].popleft()
    if not waiting[speaker]:
        del waiting[speaker]
    return place


def _chosen_in_different_groups(ring: Ring, draws: ItemDraws, *, purpose: str, count: int) -> tuple[int, ...]:
    """Chooses members of different groups."""
    places: list[int] = []
    taken: list[int] = []
    for turn in range(count):
        probes = draws.probes(f"{purpose}/{turn}")
        places.append(ring.choose(probes, lambda place: int(ring.groups[place]) not in taken))
        taken.append(int(ring.groups[places[-1]]))
    return tuple(places)


def _chosen_in_one_group(ring: Ring, draws: ItemDraws, *, purpose: str, count: int) -> tuple[int, ...]:
    """Chooses different members of one group that has so many."""
    places = [ring.choose(draws.probes(f"{purpose}/0"), lambda place: ring.size_at(place) >= count)]
    for turn in range(1, count):
        group = int(ring.groups[places[0]])
        places.append(ring.choose_in(group, draws.probes(f"{purpose}/{turn}"), places))
    return tuple(places)


def _drawn(distribution: Distribution, draws: ItemDraws, purpose: str) -> float:
    """Draws one value; a fixed one without a draw, which takes no time."""
    return (
        distribution.value if isinstance(distribution, Fixed) else distribution.quantile(draws.share(purpose))
    )


def _planned(config: MixturesConfig, corpus: SubsetCorpus, number: int, places: Sequence[int]) -> PlannedItem:
    """Plans an item, given its utterances: all else is drawn."""
    draws = ItemDraws.of(config.seed, corpus.subset, number)
    files = [corpus.speech.files[place] for place in places]
    turns = range(len(files))
    speeds = [round(_drawn(config.speed, draws, f"speed/{turn}"), SPEED_DECIMALS) for turn in turns]
    lengths = [played_length(file, config.rate_hz, speed) for file, speed in zip(files, speeds, strict=True)]
    starts = starts_of(config, draws, lengths)
    rooms = _rooms(corpus, draws, len(files))
    tails = [played_length(room, config.rate_hz) - 1 for room in rooms] or [0] * len(files)
    speech = tuple(
        Source(
            f"s{turn + 1}",
            SPEECH_ROOT,
            files[turn].path,
            **_speech_level(config, draws, turn),
            channel=_FIRST_CHANNEL,
            start_samples=starts[turn],
            speed=speeds[turn],
            rir=rooms[turn].path if rooms else "",
            speaker=files[turn].speaker,
            text=files[turn].text,
        )
        for turn in turns
    )
    length = max(map(sum, zip(starts, lengths, tails, strict=True)))
    sources = (*speech, *_noises(config, corpus, draws, length=length))
    return PlannedItem(Mixture(f"{corpus.subset}-{number:07d}", sources), length)


def starts_of(config: MixturesConfig, draws: ItemDraws, lengths: Sequence[int]) -> list[int]:
    """Draws where utterances begin; the earliest at 0.

    Args:
        config: says how they overlap.
        draws: of the item.
        lengths: samples of each utterance at the plan's rate.

    Returns:
        First sample of each in the mixture, at the plan's rate.
    """
    if config.overlap == "full":
        longest = max(lengths)
        return [
            math.floor(draws.share(f"place/{turn}") * (longest - length + 1))
            for turn, length in enumerate(lengths)
        ]
    order = sorted(range(len(lengths)), key=lambda turn: draws.share(f"order/{turn}"))
    starts = [0] * len(lengths)
    end = lengths[order[0]]
    for turn in order[1:]:
        starts[turn] = end + _shift(config, draws, turn, shorter=min(end, lengths[turn]))
        end = max(end, starts[turn] + lengths[turn])
    return starts


def _shift(config: MixturesConfig, draws: ItemDraws, turn: int, *, shorter: int) -> int:
    """Draws by how many samples an utterance begins after (below 0: before) the end of the speech so far."""
    if config.overlap == "sequential":
        return round(_drawn(config.gap_s, draws, f"gap/{turn}") * config.rate_hz)
    if isinstance(config.overlap, str):
        return 0
    return -round(_drawn(config.overlap, draws, f"overlap/{turn}") * shorter)


def _speech_level(config: MixturesConfig, draws: ItemDraws, turn: int) -> dict[str, Any]:
    """Draws the level of an utterance, as fields of a source."""
    purpose = f"level/{turn}"
    if turn and config.interferer_snr:
        level = _drawn(config.interferer_snr, draws, purpose)
        return {"level_kind": "snr", "level": level, "measure": config.snr_measure, "against": "s1"}
    distribution = (turn and config.interferer_level) or config.speech_level
    return {
        "level_kind": "target",
        "level": _drawn(distribution, draws, purpose),
        "measure": config.level_measure,
    }


def _rooms(corpus: SubsetCorpus, draws: ItemDraws, count: int) -> list[Any]:
    """Chooses as many impulse responses of one room; none where there are no rooms."""
    if not corpus.rooms.files:
        return []
    places = _chosen_in_one_group(corpus.rooms.ring, draws, purpose="room", count=count)
    return [corpus.rooms.files[place] for place in places]


def _noises(
    config: MixturesConfig, corpus: SubsetCorpus, draws: ItemDraws, *, length: int
) -> Iterator[Source]:
    """Chooses different noises, and where in them to begin; one too short begins at 0 and is repeated."""
    places = _chosen_in_different_groups(corpus.noise.ring, draws, purpose="noise", count=config.noises)
    for turn, place in enumerate(places):
        file = corpus.noise.files[place]
        needed = math.ceil(length * own_per_planned(file.rate_hz, 1.0, config.rate_hz))
        free = max(0, file.length_samples - needed)
        yield Source(
            NOISE if turn == 0 else f"{NOISE}_{turn + 1}",
            NOISE_ROOT,
            file.path,
            **_noise_level(config, draws, turn),
            fit="loop",
            channel=_FIRST_CHANNEL,
            offset_samples=math.floor(draws.share(f"excerpt/{turn}") * (free + 1)),
        )


def _noise_level(config: MixturesConfig, draws: ItemDraws, turn: int) -> dict[str, Any]:
    """Draws the level of a noise, as fields of a source."""
    purpose = f"noise-level/{turn}"
    if config.noise_level:
        level = _drawn(config.noise_level, draws, purpose)
        return {"level_kind": "target", "level": level, "measure": config.level_measure}
    return {
        "level_kind": "snr",
        "level": _drawn(config.noise_snr or Fixed(0), draws, purpose),
        "measure": config.snr_measure,
        "against": config.noise_against,
    }


def problems(config: MixturesConfig, listings: Listings) -> list[str]:
    """Lists everything that makes a plan impossible, with the numbers, before any of it is made.

    Where utterances may be used a limited number of times, they are dealt out for that (some seconds
    for a million mixtures; with hours wanted, as long as planning takes).
    """
    found = config_problems(config)
    if found:
        return found
    corpora = [SubsetCorpus.of(config, listings, subset) for subset in config.subsets.names]
    found = listing_problems(config, listings)
    found += itertools.chain.from_iterable(corpus_problems(config, listings, corpus) for corpus in corpora)
    if config.max_uses and not found:
        found += itertools.chain.from_iterable(_dealing_problems(config, corpus) for corpus in corpora)
    return found


def _dealing_problems(config: MixturesConfig, corpus: SubsetCorpus) -> Sequence[str]:
    """Deals out what a subset needs; says how far that goes when it does not go far enough."""
    count = config.count_of(corpus.subset)
    dealing: Iterable[object] = (
        plan_subset(config, corpus) if count is None else itertools.islice(deal(config, corpus), count)
    )
    try:
        deque(dealing, maxlen=0)
    except UsageError as error:
        return error.problems
    return ()
