"""What may be asked of the ``mixtures`` planner: every option, its text form, and what cannot be.

Flags, configuration files and the configuration stored beside a plan hold the same texts.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from transforms.errors import UsageError
from transforms.planning.distributions import (
    Choice,
    Distribution,
    Fixed,
    Uniform,
    number_text,
    parse,
    weighted,
)

Talkers = Literal["different", "same", "any"]
Reuse = Literal["independent", "even"]
LevelMeasure = Literal["lufs", "rms", "active"]
Against = Literal["speech", "s1"]
Clip = Literal["scale", "reject"]
Arrangement = Literal["full", "none", "sequential"]
Overlap = Arrangement | Distribution

SHORTEST_LUFS_S = 0.4
_TWO_SPEAKERS = Fixed(2)
_SHORT_GAPS_S = Uniform(0.1, 0.5)
_SPEECH_LUFS = Uniform(-33, -25)
_NOISE_SNR_DB = Uniform(-5, 15)
_AS_RECORDED = Fixed(1)
_ONE_SUBSET = (("train", 1.0),)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_SPEEDS = (0.25, 4.0)


@dataclass(frozen=True, slots=True)
class Amounts:
    """A number per subset (``train:0.8 dev:0.2``), or one for all of them (``1000``).

    Attributes:
        by_name: subset and number, in the order given; the name is empty for all of them.
    """

    by_name: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        words = (f"{name}:{number_text(number)}" if name else number_text(number) for name, number in self)
        return " ".join(words)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(self.by_name)

    @property
    def names(self) -> tuple[str, ...]:
        """The subsets named."""
        return tuple(name for name, _ in self if name)

    @classmethod
    def parse(cls, text: str) -> "Amounts":
        """Reads the text form. Raises ValueError when it is none."""
        words = text.split()
        if len(words) == 1 and ":" not in text:
            return cls((("", float(text)),))
        pairs = [word.split(":") for word in words]
        amounts = cls(tuple((name, float(number)) for name, number in pairs))
        if not words or len(set(amounts.names)) < len(words):
            raise ValueError("wanted different names")
        return amounts


@dataclass(frozen=True)
class MixturesConfig:
    """Everything that decides a plan of mixtures beside the listings.

    Attributes:
        corpus: name of the corpus: folder and file names begin with it.
        subsets: share of the speakers (and of the noises and rooms) of each subset. A digest of the
            speaker's name decides, so no speaker and no utterance is in two subsets, whatever the seed;
            a row's own ``subset`` in a listing goes before that.
        count: mixtures; one number is shared out as the speakers are.
        hours: hours of mixtures, instead of ``count``.
        speakers: speakers (utterances) per mixture.
        talkers: whether the utterances of a mixture are by ``different`` speakers, by the ``same``, or
            by ``any``, also unknown ones.
        reuse: ``independent`` draws every mixture without a look at the others; ``even`` deals all
            utterances out before any is used again. See ``transforms.planning.mixtures``.
        max_uses: how often an utterance may be used, only with ``even``; 0 is no limit.
        overlap: ``full``: shorter utterances lie within what is there, at a random place; ``none``:
            one begins where the other ends; ``sequential``: after a gap; a distribution: ratio, of the
            shorter of an utterance and the speech before it, by which these two overlap.
        gap_s: pause before each further utterance, in seconds, for ``sequential``.
        level_measure: measure of wanted levels: LUFS, RMS in dB, or active level (ITU-T P.56) in dB.
        speech_level: wanted level of every utterance.
        interferer_level: wanted level of all utterances but the first, if another one.
        interferer_snr: instead of it: by how many dB ``s1`` exceeds each of them.
        snr_measure: measure of SNRs: energy over the whole mixture (``rms``), ``lufs`` or ``active``.
        noises: noises per mixture, 0 or more.
        noise_snr: by how many dB ``noise_against`` exceeds each noise.
        noise_level: instead of it: wanted level of each noise.
        noise_against: ``speech`` (the sum of all) or ``s1``.
        speed: factor by which each utterance is played faster, rounded to a hundredth.
        min_utterance_s: shorter utterances are left out; seconds, as recorded.
        max_utterance_s: longer utterances are left out; seconds, as recorded.
        rate_hz: sampling rate of the mixtures.
        clip: what becomes of a mixture beyond full scale: ``scale`` all its members, or ``reject`` it.
        seed: seed of all draws.
    """

    corpus: str = "mixtures"
    subsets: Amounts = Amounts(_ONE_SUBSET)
    count: Amounts | None = None
    hours: Amounts | None = None
    speakers: Distribution = _TWO_SPEAKERS
    talkers: Talkers = "different"
    reuse: Reuse = "independent"
    max_uses: int = 0
    overlap: Overlap = "full"
    gap_s: Distribution = _SHORT_GAPS_S
    level_measure: LevelMeasure = "lufs"
    speech_level: Distribution = _SPEECH_LUFS
    interferer_level: Distribution | None = None
    interferer_snr: Distribution | None = None
    snr_measure: LevelMeasure = "rms"
    noises: int = 1
    noise_snr: Distribution | None = _NOISE_SNR_DB
    noise_level: Distribution | None = None
    noise_against: Against = "speech"
    speed: Distribution = _AS_RECORDED
    min_utterance_s: float = 1.0
    max_utterance_s: float = math.inf
    rate_hz: int = 16000
    clip: Clip = "scale"
    seed: int = 0

    def count_of(self, subset: str) -> int | None:
        """Returns the mixtures wanted of a subset; None where hours decide."""
        return None if self.count is None else math.floor(self._amount(self.count, subset) + Fraction(1, 2))

    def hours_of(self, subset: str) -> float:
        """Returns the hours wanted of a subset; without an end where a count decides."""
        return math.inf if self.hours is None else float(self._amount(self.hours, subset))

    def _amount(self, amounts: Amounts, subset: str) -> Fraction:
        shares = {name: Fraction(number_text(share)) for name, share in self.subsets}
        found = {name: Fraction(number_text(number)) for name, number in amounts}
        if "" in found:
            return found[""] * shares[subset] / sum(shares.values())
        return found[subset]

    @property
    def most_speakers(self) -> int:
        """Speakers of the largest mixtures."""
        return int(self.speakers.bounds()[1])

    @property
    def mean_speakers(self) -> float:
        """Speakers per mixture on average."""
        if not isinstance(self.speakers, Choice):
            return self.speakers.bounds()[0]
        pairs = zip(self.speakers.values, self.speakers.weights, strict=True)
        return sum(value * weight for value, weight in pairs) / sum(self.speakers.weights)


Reader = Callable[[str], Any]


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError("wanted 0 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError("wanted 0 or more")
    return value


def _speakers(text: str) -> Distribution:
    words = text.split()
    return weighted(words) if len(words) > 1 and "(" not in text else parse(text)


def _overlap(text: str) -> Overlap:
    return text if text in get_args(Arrangement) else parse(text)  # type: ignore[return-value]


def _one_of(kind: Any) -> Reader:
    def read(text: str) -> str:
        if text not in get_args(kind):
            raise ValueError(f"wanted one of {', '.join(get_args(kind))}")
        return text

    return read


_READERS: Mapping[str, tuple[Reader, str]] = {
    "corpus": (str, "a name"),
    "subsets": (Amounts.parse, "shares such as train:0.8 dev:0.1 test:0.1"),
    "count": (Amounts.parse, "a number such as 20000, or one per subset such as train:20000 dev:3000"),
    "hours": (Amounts.parse, "a number such as 100, or one per subset such as train:80 dev:20"),
    "speakers": (_speakers, "a number such as 2, or weights such as 2:0.6 3:0.4"),
    "talkers": (_one_of(Talkers), ""),
    "reuse": (_one_of(Reuse), ""),
    "max_uses": (_whole, "a whole number of 0 or more"),
    "overlap": (_overlap, "full, none, sequential, or ratios such as uniform(0,1)"),
    "gap_s": (parse, ""),
    "level_measure": (_one_of(LevelMeasure), ""),
    "speech_level": (parse, ""),
    "interferer_level": (parse, ""),
    "interferer_snr": (parse, ""),
    "snr_measure": (_one_of(LevelMeasure), ""),
    "noises": (_whole, "a whole number of 0 or more"),
    "noise_snr": (parse, ""),
    "noise_level": (parse, ""),
    "noise_against": (_one_of(Against), ""),
    "speed": (parse, ""),
    "min_utterance_s": (_seconds, "seconds of 0 or more"),
    "max_utterance_s": (_seconds, "seconds of 0 or more"),
    "rate_hz": (_whole, "a whole number"),
    "clip": (_one_of(Clip), ""),
    "seed": (_whole, "a whole number of 0 or more"),
}
OPTIONS = tuple(_READERS)
_RIVALS = (("count", "hours"), ("interferer_level", "interferer_snr"), ("noise_level", "noise_snr"))


def option_text(value: Any) -> str:
    """Returns an option as one text: lists with blanks, mappings with colons and blanks between.

    >>> option_text({"train": 0.8, "dev": 0.2})
    'train:0.8 dev:0.2'
    """
    if isinstance(value, Mapping):
        return " ".join(f"{key}:{number}" for key, number in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, str]:
    """Puts options together, those above before those below; empty ones count as not given.

    Where two options exclude each other, the one above also displaces its rival below.
    """
    lower = {name: option_text(value) for name, value in below.items() if value not in (None, "", [])}
    upper = {name: option_text(value) for name, value in above.items() if value not in (None, "", [])}
    for pair in _RIVALS:
        if upper.keys() & set(pair):
            lower = {name: text for name, text in lower.items() if name not in pair}
    return lower | upper


def read_config(options: Mapping[str, str]) -> MixturesConfig:
    """Makes a configuration of texts; what is not given has its default.

    Raises:
        UsageError: names every option that is not known or cannot be read.
    """
    problems = [
        f"{flag(name)}: no such option; known: {', '.join(OPTIONS)}"
        for name in options
        if name not in _READERS
    ]
    values: dict[str, Any] = {"noise_snr": None} if "noise_level" in options else {}
    for name in _READERS.keys() & options.keys():
        read, wanted = _READERS[name]
        try:
            values[name] = read(options[name])
        except UsageError as error:
            problems += [f"{flag(name)} {problem}" for problem in error.problems]
        except ValueError as error:
            problems.append(f"{flag(name)} {options[name]!r}: {f'wanted {wanted}' if wanted else error}")
    if problems:
        raise UsageError(sorted(problems))
    return MixturesConfig(**values)


def config_texts(config: MixturesConfig) -> dict[str, str | int | float]:
    """Returns the effective configuration; ``read_config(merged({}, ...))`` makes the same of it."""
    fields = ((field.name, getattr(config, field.name)) for field in dataclasses.fields(config))
    return {
        name: value if isinstance(value, int | float) and math.isfinite(value) else str(value)
        for name, value in fields
        if value is not None
    }


def flag(name: str) -> str:
    """Returns an option's name as people type it."""
    return "--" + name.replace("_", "-")


def config_problems(config: MixturesConfig) -> list[str]:
    """Lists what cannot be in a configuration, whatever the listings hold."""
    return [
        *_subset_problems(config),
        *_speech_problems(config),
        *_rival_problems(config),
        *_range_problems(config),
    ]


def _subset_problems(config: MixturesConfig) -> Iterator[str]:
    for name in (config.corpus, *config.subsets.names):
        if not _NAME.fullmatch(name):
            yield f"name {name!r}: wanted up to 64 letters, digits and . _ + - and first a letter or digit"
    if not config.subsets.names or not all(0 < share < math.inf for _, share in config.subsets):
        yield f"--subsets {config.subsets}: wanted names with shares above 0, such as train:0.8 dev:0.2"
    if (config.count is None) == (config.hours is None):
        yield "give one of --count and --hours"
    for name, amounts in (("--count", config.count), ("--hours", config.hours)):
        yield from _amount_problems(name, amounts, config.subsets.names) if amounts else ()


def _amount_problems(name: str, amounts: Amounts, subsets: tuple[str, ...]) -> Iterator[str]:
    if not all(0 < number < math.inf for _, number in amounts):
        yield f"{name} {amounts}: wanted numbers above 0"
    elif name == "--count" and any(number != int(number) for _, number in amounts):
        yield f"{name} {amounts}: wanted whole numbers"
    if amounts.names and set(amounts.names) != set(subsets):
        yield f"{name} {amounts}: wanted a number for each of the subsets {', '.join(subsets) or '(none)'}"


def _speech_problems(config: MixturesConfig) -> Iterator[str]:
    counts = config.speakers.values if isinstance(config.speakers, Choice) else config.speakers.bounds()
    if not isinstance(config.speakers, Choice | Fixed) or any(
        count < 1 or count != int(count) for count in counts
    ):
        yield f"--speakers {config.speakers}: wanted whole numbers of 1 or more, such as 2 or 2:0.6 3:0.4"
    if config.max_uses and config.reuse == "independent":
        yield (
            f"--max-uses {config.max_uses}: needs --reuse even; independent mixtures do not look at each "
            "other, so that nobody counts how often an utterance was used"
        )
    if config.reuse == "even" and config.talkers == "same":
        yield "--reuse even cannot be had with --talkers same; use --reuse independent"
    if "lufs" in (config.level_measure, config.snr_measure):
        shortest_s = config.min_utterance_s / max(config.speed.bounds()[1], 1e-9)
        if shortest_s < SHORTEST_LUFS_S:
            yield (
                f"--min-utterance-s {number_text(config.min_utterance_s)} at --speed {config.speed} leaves "
                f"{shortest_s:.3f} s of an utterance, LUFS needs {SHORTEST_LUFS_S} s; raise it"
            )
    if not config.min_utterance_s < config.max_utterance_s:
        yield (
            f"--min-utterance-s {number_text(config.min_utterance_s)} is not below "
            f"--max-utterance-s {number_text(config.max_utterance_s)}"
        )


def _rival_problems(config: MixturesConfig) -> Iterator[str]:
    if config.interferer_level and config.interferer_snr:
        yield "--interferer-level and --interferer-snr exclude each other"
    if config.noises and (config.noise_level is None) == (config.noise_snr is None):
        yield "give one of --noise-level and --noise-snr"


def _range_problems(config: MixturesConfig) -> Iterator[str]:
    overlap = Fixed(0) if isinstance(config.overlap, str) else config.overlap
    allowed: tuple[tuple[str, Distribution | None, float, float], ...] = (
        ("overlap", overlap, 0.0, 1.0),
        ("gap_s", config.gap_s, 0.0, 3600.0),
        ("speed", config.speed, *_SPEEDS),
        ("speech_level", config.speech_level, -math.inf, 0.0),
        ("interferer_level", config.interferer_level, -math.inf, 0.0),
        ("noise_level", config.noise_level, -math.inf, 0.0),
    )
    for name, distribution, low, high in allowed:
        lowest, highest = distribution.bounds() if distribution else (low, high)
        endless = math.isinf(low) and math.isinf(highest)
        if lowest < low or (highest > high and not endless):
            yield (
                f"{flag(name)} {distribution}: gives values from {lowest:g} to {highest:g}, "
                f"wanted {low:g} to {high:g}"
            )
    if not 1000 <= config.rate_hz <= 768000:
        yield f"--rate-hz {config.rate_hz}: wanted 1000 to 768000"
