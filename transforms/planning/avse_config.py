"""What may be asked of the AVSE planner: the published keys, their defaults, and what cannot be."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import yaml

from transforms import storage
from transforms.corpora.avse import MASKER_ROOTS, scenes_path
from transforms.errors import StorageError, UsageError
from transforms.plan import id_problem

Selection = Literal["SEQUENTIAL", "RANDOM"]
Range = tuple[float, float]
Samples = tuple[int, int]

KINDS = tuple(MASKER_ROOTS)
_FIXED: Mapping[str, float] = {"num_channels": 1, "fs": 16000, "ramp_duration": 0.5, "nbits": 16}
_SECTIONS = (
    *("random_seed", "target", "snr_range", "interferer", "scene_datasets", "dataset_order"),
    *_FIXED,
)
_DATASET_KEYS = ("n_scenes", "scene_start_index")
_INTERFERER_KEYS = ("number", "start_time_range", "end_early_time_range")
_LIKENESS = 0.75
_MOST_DB = 200.0
_Snrs = Mapping[str, Mapping[str, Range]]


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset to plan.

    Attributes:
        name: ``train`` or ``dev``.
        scenes: how many.
        first: number of the first.
    """

    name: str
    scenes: int
    first: int


_PUBLISHED_SNRS: _Snrs = {name: {"speech": (-15.0, 5.0), "noise": (-10.0, 10.0)} for name in ("train", "dev")}
_PUBLISHED_DATASETS = (Dataset("train", 34525, 1), Dataset("dev", 3365, 34526))


@dataclass(frozen=True)
class AvseConfig:
    """Everything that decides scene lists beside the three lists; the defaults are as published.

    Attributes:
        seed: seed of the random stream.
        selection: ``SEQUENTIAL`` uses every target once before any is used twice; ``RANDOM`` draws.
        snr_db: lowest and highest SNR by dataset and type of interferer.
        numbers: from which the number of interferers is drawn; only the first is in the scene.
        start_samples: lowest and highest start of an interferer.
        end_early_samples: lowest and highest number of samples by which it ends early.
        datasets: in the order of the random stream.
    """

    seed: int = 0
    selection: Selection = "SEQUENTIAL"
    snr_db: _Snrs = field(default_factory=lambda: _PUBLISHED_SNRS)
    numbers: tuple[int, ...] = (1,)
    start_samples: Samples = (0, 0)
    end_early_samples: Samples = (0, 0)
    datasets: tuple[Dataset, ...] = _PUBLISHED_DATASETS


def read_config(url: str) -> tuple[AvseConfig, tuple[str, ...]]:
    """Reads a configuration file, YAML or JSON, with the published keys; what it leaves out is as published.

    Returns:
        The configuration, and the names of its sections that have no meaning here.

    Raises:
        UsageError: everything that is wrong with it.
    """
    try:
        text = storage.read_text(url)
        given = json.loads(text) if url.endswith(".json") else yaml.safe_load(text)
    except StorageError as error:
        raise UsageError(str(error)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{url}: is neither YAML nor JSON ({' '.join(str(error).split())})") from error
    if given is not None and not isinstance(given, dict):
        raise UsageError(f"{url}: wanted keys and values, such as random_seed: 0")
    try:
        return make_config(given or {})
    except UsageError as error:
        raise UsageError([f"{url}: {problem}" for problem in error.problems]) from error


def make_config(given: Mapping[str, Any]) -> tuple[AvseConfig, tuple[str, ...]]:
    """Does what ``read_config`` does, given the keys and values."""
    reading = _Reading(given)
    config = AvseConfig(
        seed=reading.whole("random_seed", given.get("random_seed", 0), at_least=None),
        selection=reading.selection(),
        snr_db=reading.snrs(),
        numbers=reading.numbers(),
        start_samples=reading.samples("start_time_range"),
        end_early_samples=reading.samples("end_early_time_range"),
        datasets=reading.datasets(),
    )
    reading.problems += _fixed_problems(given)
    for dataset in config.datasets:
        if dataset.name not in config.snr_db:
            reading.problems.append(f"snr_range: has nothing for {dataset.name}, which scene_datasets names")
    unknown = tuple(str(name) for name in given if name not in _SECTIONS)
    for name in unknown:
        if close := difflib.get_close_matches(name, _SECTIONS, n=1, cutoff=_LIKENESS):
            reading.problems.append(f"{name} is not known; did you mean {close[0]}?")
    if reading.problems:
        raise UsageError(reading.problems)
    return config, unknown


def _fixed_problems(given: Mapping[str, Any]) -> Iterator[str]:
    for name, wanted in _FIXED.items():
        if given.get(name, wanted) != wanted:
            yield f"{name} is {given[name]!r}; scenes are rendered with {wanted:g} only"


class _Reading:
    """Reads a configuration piece by piece and gathers what is wrong with it."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._given = given

    def _section(self, name: str, known: Sequence[str] | None) -> Mapping[str, Any]:
        section = self._given.get(name, {})
        if not isinstance(section, dict):
            self.problems.append(f"{name} is {section!r}; wanted keys and values")
            return {}
        if known is not None:
            for key in section:
                if key not in known:
                    self.problems.append(f"{name}.{key} is not known; known: {' '.join(known)}")
        return section

    def whole(self, label: str, value: object, *, at_least: int | None) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and (at_least is None or value >= at_least):
            return value
        bound = "" if at_least is None else f" of {at_least} or more"
        self.problems.append(f"{label} is {value!r}; wanted a whole number{bound}")
        return 0

    def selection(self) -> Selection:
        value = self._section("target", ("target_selection",)).get("target_selection", "SEQUENTIAL")
        if value not in get_args(Selection):
            known = " or ".join(get_args(Selection))
            self.problems.append(f"target.target_selection is {value!r}; wanted {known}")
        return cast(Selection, value)

    def numbers(self) -> tuple[int, ...]:
        values = self._section("interferer", _INTERFERER_KEYS).get("number", [1])
        if not isinstance(values, list) or not values:
            self.problems.append(f"interferer.number is {values!r}; wanted a list such as [1]")
            return (1,)
        return tuple(self.whole("interferer.number", value, at_least=1) for value in values)

    def samples(self, key: str) -> Samples:
        label = f"interferer.{key}"
        section = self._given.get("interferer")
        values = section.get(key, [0, 0]) if isinstance(section, dict) else [0, 0]
        if not isinstance(values, list) or len(values) != 2:
            self.problems.append(f"{label} is {values!r}; wanted two numbers of samples, such as [0, 0]")
            return (0, 0)
        low, high = (self.whole(label, value, at_least=0) for value in values)
        if low > high:
            self.problems.append(f"{label} is {values!r}; wanted the lower number first")
        return low, high

    def snrs(self) -> _Snrs:
        ranges = {name: dict(of) for name, of in _PUBLISHED_SNRS.items()}
        for dataset, by_kind in self._section("snr_range", None).items():
            if not isinstance(by_kind, dict) or not set(by_kind) <= set(KINDS):
                self.problems.append(f"snr_range.{dataset} is {by_kind!r}; wanted {' and '.join(KINDS)}")
                continue
            for kind, bounds in by_kind.items():
                ranges.setdefault(dataset, {})[kind] = self._snr_range(f"snr_range.{dataset}.{kind}", bounds)
            if missing := [kind for kind in KINDS if kind not in ranges[dataset]]:
                self.problems.append(f"snr_range.{dataset} has nothing for {' and '.join(missing)}")
        return ranges

    def _snr_range(self, label: str, bounds: object) -> Range:
        if (
            isinstance(bounds, list)
            and len(bounds) == 2
            and all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds)
            and all(abs(bound) <= _MOST_DB for bound in bounds)
        ):
            return bounds[0], bounds[1]
        self.problems.append(f"{label} is {bounds!r}; wanted two numbers of dB, such as [-10, 10]")
        return 0.0, 0.0

    def datasets(self) -> tuple[Dataset, ...]:
        given = self._section("scene_datasets", None)
        by_name = {str(name): self._dataset(str(name), keys) for name, keys in given.items()}
        if not by_name:
            by_name = {dataset.name: dataset for dataset in _PUBLISHED_DATASETS}
        order = self._given.get("dataset_order", list(by_name))
        if not isinstance(order, list) or sorted(map(str, order)) != sorted(by_name):
            self.problems.append(f"dataset_order is {order!r}; wanted {' and '.join(by_name)} in some order")
            order = list(by_name)
        return tuple(by_name[name] for name in order)

    def _dataset(self, name: str, keys: object) -> Dataset:
        label = f"scene_datasets.{name}"
        if problem := id_problem(name):
            self.problems.append(f"{label}: the name {problem}")
        elif "." in name:
            self.problems.append(f"{label}: a point cannot be in a name, see {scenes_path('<name>')}")
        if not isinstance(keys, dict) or set(keys) != set(_DATASET_KEYS):
            self.problems.append(f"{label} is {keys!r}; wanted {' and '.join(_DATASET_KEYS)}")
            return Dataset(name, 0, 0)
        count, first = (self.whole(f"{label}.{key}", keys[key], at_least=0) for key in _DATASET_KEYS)
        return Dataset(name, count, first)
