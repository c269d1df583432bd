"""What the mixtures of a subset may be made of: listings shared out to subsets and put on rings."""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from transforms.audio import played_ratio
from transforms.listing import AudioFile, limited
from transforms.planning.distributions import number_text
from transforms.planning.mixture_config import Amounts, MixturesConfig
from transforms.planning.rings import Ring, position_of
from transforms.rendering import CROSS_FADE_SAMPLES


@dataclass(frozen=True)
class Listings:
    """What may be mixed.

    Attributes:
        speech: utterances, with speakers.
        noise: noises; none if no mixture has any.
        rooms: impulse responses; none for dry mixtures. A row's room is its column ``room``, or the
            folder it is in.
    """

    speech: Sequence[AudioFile]
    noise: Sequence[AudioFile] = ()
    rooms: Sequence[AudioFile] = ()


@dataclass(frozen=True, eq=False)
class Pool:
    """The files of one kind that a subset may use, in the order of their places on a ring.

    Attributes:
        files: the files.
        ring: their places; groups are speakers, or rooms.
    """

    files: tuple[AudioFile, ...]
    ring: Ring

    @classmethod
    def of(cls, files: Iterable[AudioFile], seed: int, group: Callable[[AudioFile], str]) -> "Pool":
        """Puts files on a ring, whatever their order."""
        placed = sorted(((position_of(seed, file.path), file) for file in files), key=_by_position)
        ring = Ring.of([position for position, _ in placed], [group(file) for _, file in placed])
        return cls(tuple(file for _, file in placed), ring)

    @property
    def hours(self) -> float:
        """Length of all files in hours."""
        return sum(file.duration_s for file in self.files) / 3600.0

    @property
    def largest_group(self) -> int:
        """Members of the largest group; 0 without any."""
        return int(self.ring.sizes.max(initial=0))


@dataclass(frozen=True, eq=False)
class SubsetCorpus:
    """All that the mixtures of one subset are made of.

    Attributes:
        subset: the subset.
        speech: its utterances, by speaker; each for itself where speakers do not count.
        noise: its noises.
        rooms: its impulse responses, by room.
    """

    subset: str
    speech: Pool
    noise: Pool
    rooms: Pool

    @classmethod
    def of(cls, config: MixturesConfig, listings: Listings, subset: str) -> "SubsetCorpus":
        """Chooses what a subset may use.

        Left out are utterances beyond the length limits, and noises too short to be repeated.
        """

        def own(rows: Iterable[AudioFile], owner: Callable[[AudioFile], str]) -> Iterator[AudioFile]:
            return (row for row in rows if (row.subset or subset_of(owner(row), config.subsets)) == subset)

        speech = own(filter(functools.partial(is_within_limits, config), listings.speech), speaker_of)
        noise = own((row for row in listings.noise if is_loopable(row, config.rate_hz)), _path_of)
        rooms = own(listings.rooms, room_of)
        return cls(
            subset,
            Pool.of(speech, config.seed, _path_of if config.talkers == "any" else speaker_of),
            Pool.of(noise, config.seed, _path_of),
            Pool.of(rooms, config.seed, room_of),
        )


def subset_of(name: str, subsets: Amounts) -> str:
    """Returns the subset of a speaker, noise or room whose listing names none.

    A digest of the name decides, without the seed: another seed moves nobody to another subset.
    """
    ends = list(itertools.accumulate(weight for _, weight in subsets))
    share = position_of("subset", name) / 2.0**64 * ends[-1]
    return next(
        (name for name, end in zip(subsets.names, ends, strict=True) if share < end), subsets.names[-1]
    )


def speaker_of(file: AudioFile) -> str:
    """Returns an utterance's speaker; of an unknown one, the utterance's path."""
    return file.speaker or file.path


def room_of(file: AudioFile) -> str:
    """Returns the room of an impulse response: as its row says, or its folder."""
    return file.room or file.path.rpartition("/")[0]


def _by_position(placed: tuple[int, AudioFile]) -> tuple[int, str]:
    return placed[0], placed[1].path


def _path_of(file: AudioFile) -> str:
    return file.path


@functools.lru_cache(maxsize=65536)
def own_per_planned(own_hz: int, speed: float, rate_hz: int) -> Fraction:
    """Returns how many of a file's own samples make one of a mixture's."""
    return played_ratio(speed, own_hz, rate_hz)


def played_length(file: AudioFile, rate_hz: int, speed: float = 1.0) -> int:
    """Returns how many samples a file gives in a mixture: ceil(n * rate / (own rate * speed))."""
    ratio = own_per_planned(file.rate_hz, speed, rate_hz)
    return -(-file.length_samples * ratio.denominator // ratio.numerator)


def is_within_limits(config: MixturesConfig, file: AudioFile) -> bool:
    """Tells whether an utterance is neither too short nor too long, as recorded."""
    return config.min_utterance_s <= file.duration_s <= config.max_utterance_s


def is_loopable(file: AudioFile, rate_hz: int) -> bool:
    """Tells whether a noise is longer than the cross-fade that repeats it."""
    return played_length(file, rate_hz) > CROSS_FADE_SAMPLES


def listing_problems(config: MixturesConfig, listings: Listings) -> list[str]:
    """Lists what is wrong with listings as a whole: unknown speakers, and speakers in two subsets."""
    problems = []
    unknown = sum(not row.speaker for row in listings.speech)
    if config.talkers != "any" and unknown:
        problems.append(
            f"the speakers of {unknown} of {len(listings.speech)} utterances are not known; list them with "
            "--speaker-pattern, or take --talkers any"
        )
    subsets: dict[str, set[str]] = defaultdict(set)
    for row in listings.speech:
        if row.speaker:
            subsets[row.speaker].add(row.subset or subset_of(row.speaker, config.subsets))
    shared = sorted(speaker for speaker, names in subsets.items() if len(names) > 1)
    problems += limited(
        [
            f"speaker {speaker} is in the subsets {' and '.join(sorted(subsets[speaker]))}; name one of them "
            "in the listing's column subset, in all rows of the speaker"
            for speaker in shared
        ]
    )
    return problems


def corpus_problems(config: MixturesConfig, listings: Listings, corpus: SubsetCorpus) -> list[str]:
    """Lists what a subset is short of, with the numbers."""
    problems = [
        *_speech_problems(config, listings, corpus),
        *_noise_problems(config, listings, corpus),
        *_room_problems(config, listings, corpus),
    ]
    return [f"subset {corpus.subset}: {problem}" for problem in problems]


def _speech_problems(config: MixturesConfig, listings: Listings, corpus: SubsetCorpus) -> Iterator[str]:
    wanted, speech = config.most_speakers, corpus.speech
    has = (
        f"it has {len(speech.files)} of {len(listings.speech)} utterances ({speech.hours:.2f} h) "
        f"from {number_text(config.min_utterance_s)} s to {number_text(config.max_utterance_s)} s"
    )
    way_out = "list more speech, or change the subsets' shares or the length limits"
    if config.talkers == "same":
        if speech.largest_group < wanted:
            yield (
                f"{wanted} utterances of one speaker are wanted, the most that one has is "
                f"{speech.largest_group}; {has}; {way_out}"
            )
        return
    available, kind = len(speech.ring.sizes), "utterances" if config.talkers == "any" else "speakers"
    if available < wanted:
        yield f"{wanted} different {kind} per mixture are wanted, {available} available; {has}; {way_out}"
    elif config.reuse == "even":
        yield from _even_problems(config, corpus, kind)


def _even_problems(config: MixturesConfig, corpus: SubsetCorpus, kind: str) -> Iterator[str]:
    """Says so when one speaker has too many utterances, or all have too few for the wanted count."""
    utterances, fewest = len(corpus.speech.files), int(config.speakers.bounds()[0])
    if corpus.speech.largest_group * config.mean_speakers > utterances:
        yield (
            f"one speaker has {corpus.speech.largest_group} of {utterances} utterances; mixtures of "
            f"{config.mean_speakers:g} different {kind} cannot use all of them evenly; take --reuse "
            "independent, or list fewer of them"
        )
    if config.max_uses == 0:
        return
    uses, count = config.max_uses * utterances, config.count_of(corpus.subset)
    if count is not None and uses < count * fewest:
        yield (
            f"{count} mixtures need {count * fewest} utterances or more, {utterances} used at most "
            f"{config.max_uses} times give {uses}; lower --count to {uses // fewest} or less, or raise "
            "--max-uses"
        )
    slowest = config.speed.bounds()[0]
    longest_h = config.max_uses * corpus.speech.hours / slowest
    wanted_h = config.hours_of(corpus.subset)
    gaps_h = uses * config.gap_s.bounds()[1] / 3600.0 if config.overlap == "sequential" else 0.0
    if not corpus.rooms.files and math.isfinite(wanted_h) and longest_h + gaps_h < wanted_h:
        yield (
            f"{wanted_h:.2f} h are wanted, {corpus.speech.hours:.2f} h of speech used at most "
            f"{config.max_uses} times give {longest_h + gaps_h:.2f} h at most; lower --hours, or raise "
            "--max-uses"
        )


def _noise_problems(config: MixturesConfig, listings: Listings, corpus: SubsetCorpus) -> Iterator[str]:
    if len(corpus.noise.files) >= config.noises:
        return
    longest = max((played_length(row, config.rate_hz) for row in listings.noise), default=0)
    yield (
        f"{config.noises} noises per mixture are wanted, {len(corpus.noise.files)} of the "
        f"{len(listings.noise)} listed are available; it takes more than {CROSS_FADE_SAMPLES} samples at "
        f"{config.rate_hz} Hz to be repeated, the longest listed has {longest}; list more or longer noises, "
        "name their subsets in the listing's column subset, or lower --noises"
    )


def _room_problems(config: MixturesConfig, listings: Listings, corpus: SubsetCorpus) -> Iterator[str]:
    if listings.rooms and corpus.rooms.largest_group < config.most_speakers:
        yield (
            f"{config.most_speakers} responses of one room are wanted, the most that one of its "
            f"{len(corpus.rooms.ring.sizes)} rooms has is {corpus.rooms.largest_group}; list more responses, "
            "or name the rooms in the listing's column room"
        )
