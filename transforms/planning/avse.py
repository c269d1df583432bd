"""Scene lists of the AVSE challenge, draw for draw as its builder makes them.

One generator serves all datasets in turn, and of each dataset all targets are drawn before all
interferers, and these before all SNRs. What is drawn for interferers beyond the first is thrown away.
"""

import itertools
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from transforms.corpora.avse import Scene
from transforms.corpora.avse_lists import NOISE_MASKERS, SPEECH_MASKERS, TARGETS, Lists, Masker, Target
from transforms.errors import UsageError
from transforms.planning.avse_config import KINDS, AvseConfig, Dataset

_LIST_OF = {"speech": SPEECH_MASKERS, "noise": NOISE_MASKERS}
_DIGITS = 5


@dataclass(frozen=True, slots=True)
class _Interferer:
    kind: str
    time_start: int
    time_end: int
    masker: str
    offset_samples: int


def scene_name(number: int) -> str:
    """Returns the name of a scene: ``S`` and the number, in five digits or more.

    >>> scene_name(7), scene_name(100000)
    ('S00007', 'S100000')
    """
    return f"S{number:0{_DIGITS}d}"


def plan_scenes(lists: Lists, config: AvseConfig, *, datasets: Iterable[str]) -> dict[str, list[Scene]]:
    """Plans the scenes of some datasets, from one generator that is seeded once.

    Args:
        lists: targets and maskers; their order counts.
        config: what to draw from.
        datasets: names of those to plan, of which those left out draw no numbers; their order is that
            of the configuration.

    Returns:
        The scenes by dataset, in the order of the random stream.

    Raises:
        UsageError: a dataset has no target or no masker of some type, or no masker is as long as an
            interferer must be.
    """
    wanted = frozenset(datasets)
    chosen = [dataset for dataset in config.datasets if dataset.name in wanted]
    problems = [
        problem for dataset in chosen if dataset.scenes for problem in _shortages(lists, dataset.name)
    ]
    if problems:
        raise UsageError(problems)
    generator = random.Random(config.seed)
    # One without scenes draws too: its targets are shuffled.
    return {dataset.name: _Draws(lists, config, dataset, generator=generator).scenes() for dataset in chosen}


def _shortages(lists: Lists, dataset: str) -> Iterator[str]:
    if not any(target.dataset == dataset for target in lists.targets):
        yield f"{TARGETS}: has no target of {dataset}; add some, or plan without it (--subsets)"
    for kind, maskers in (("speech", lists.speech), ("noise", lists.noise)):
        if not any(masker.dataset == dataset for masker in maskers):
            problem = f"has no {kind} masker of {dataset}; add some, or plan without it (--subsets)"
            yield f"{_LIST_OF[kind]}: {problem}"


class _Draws:
    """All draws of one dataset.

    Args:
        lists: targets and maskers.
        config: what to draw from.
        dataset: what to draw for.
        generator: draws; changed.
    """

    def __init__(
        self, lists: Lists, config: AvseConfig, dataset: Dataset, *, generator: random.Random
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._generator = generator
        self._targets = [target for target in lists.targets if target.dataset == dataset.name]
        self._groups = {
            "speech": _grouped(lists.speech, dataset.name),
            "noise": _grouped(lists.noise, dataset.name),
        }
        self._longest = {
            kind: max((masker.length_samples for group in groups for masker in group), default=0)
            for kind, groups in self._groups.items()
        }

    def scenes(self) -> list[Scene]:
        """Draws the scenes, in order."""
        targets = self._drawn_targets()
        interferers = [self._interferer(target) for target in targets]
        scenes = []
        for number, (target, interferer) in enumerate(zip(targets, interferers, strict=True)):
            low, high = self._config.snr_db[self._dataset.name][interferer.kind]
            scenes.append(
                Scene(
                    dataset=self._dataset.name,
                    name=scene_name(self._dataset.first + number),
                    target=target.name,
                    duration_samples=target.length_samples,
                    kind=interferer.kind,
                    time_start=interferer.time_start,
                    time_end=interferer.time_end,
                    masker=interferer.masker,
                    offset_samples=interferer.offset_samples,
                    snr_db=self._generator.uniform(low, high),
                )
            )
        return scenes

    def _drawn_targets(self) -> list[Target]:
        shuffled = list(self._targets)
        self._generator.shuffle(shuffled)
        count = self._dataset.scenes
        if self._config.selection == "SEQUENTIAL":
            return list(itertools.islice(itertools.cycle(shuffled), count))
        return [self._generator.choice(shuffled) for _ in range(count)]

    def _interferer(self, target: Target) -> _Interferer:
        """Draws all interferers of a scene and returns the first."""
        count = self._generator.choice(self._config.numbers)
        kinds = self._generator.choices(KINDS, k=count)
        first, *_ = [self._drawn_interferer(kind, target) for kind in kinds]
        return first

    def _drawn_interferer(self, kind: str, target: Target) -> _Interferer:
        duration = target.length_samples
        start = min(duration, self._generator.randint(*self._config.start_samples))
        end = max(start, duration - self._generator.randint(*self._config.end_early_samples))
        required = end - start
        if required > self._longest[kind]:
            raise UsageError(self._too_short(kind, target, required))
        candidates: Sequence[Masker] = ()
        while not candidates:
            group = self._generator.choice(self._groups[kind])
            candidates = [masker for masker in group if masker.length_samples >= required]
        masker = self._generator.choice(candidates)
        offset = self._generator.randint(0, masker.length_samples - required)
        return _Interferer(kind, start, end, masker.name, offset)

    def _too_short(self, kind: str, target: Target, required: int) -> str:
        maskers = (masker for group in self._groups[kind] for masker in group)
        longest = max(maskers, key=lambda masker: masker.length_samples)
        group = f" (class {longest.group})" if longest.group else ""
        missing = required - longest.length_samples
        return (
            f"{_LIST_OF[kind]}: no {kind} masker of {self._dataset.name} is long enough for the target "
            f"{target.name}, which needs {required} samples; the longest, {longest.name}{group}, has "
            f"{longest.length_samples}, so {missing} are missing; add a longer one, or leave out such targets"
        )


def _grouped(maskers: Sequence[Masker], dataset: str) -> list[list[Masker]]:
    """Returns the maskers of a dataset by group; a group that has some in other datasets only is empty.

    Groups come in the order in which the list first names them, whatever the dataset.
    """
    groups: Mapping[str, list[Masker]] = {masker.group: [] for masker in maskers}
    for masker in maskers:
        if masker.dataset == dataset:
            groups[masker.group].append(masker)
    return list(groups.values())
