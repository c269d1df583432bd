"""Scene lists: byte for byte as published, and draw for draw as the published rules say."""

import dataclasses
import gzip
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.corpora.avse import Scene, scenes_json
from transforms.corpora.avse_lists import Lists, Masker, Target, read_lists
from transforms.errors import UsageError
from transforms.planning.avse import plan_scenes, scene_name
from transforms.planning.avse_config import AvseConfig, Dataset, make_config

CASES = {
    "main": ("main", ("train", "dev")),
    "A_default": ("A_default", ("train", "dev")),
    "B_random_multi": ("B_random_multi", ("train", "dev")),
    "C_train_exists": ("A_default", ("dev",)),
}

TARGETS = tuple(Target(f"pretrain/spk{k}/0000{k}", f"spk{k}", "train", 100 + 10 * k) for k in range(4))
SPEECH = (Masker("m1", "", "train", 500), Masker("m2", "", "dev", 900), Masker("m3", "", "train", 130))
NOISE = (
    Masker("n1", "rain", "train", 400),
    Masker("n2", "hum", "dev", 300),
    Masker("n3", "rain", "dev", 1000),
    Masker("n4", "fan", "train", 120),
)
LISTS = Lists(TARGETS, SPEECH, NOISE)


def config(scenes: int = 12, **changes: Any) -> AvseConfig:
    return dataclasses.replace(AvseConfig(datasets=(Dataset("train", scenes, 1),)), **changes)


def plan(lists: Lists = LISTS, **changes: Any) -> list[Scene]:
    made = config(**changes)
    return plan_scenes(lists, made, datasets=["train"])["train"]


def unpacked(folder: Path, to: Path) -> Path:
    """Copies a case, whose files may be packed, and returns where to."""
    to.mkdir()
    for path in folder.iterdir():
        data = path.read_bytes()
        name, packed = path.name.removesuffix(".gz"), path.suffix == ".gz"
        (to / name).write_bytes(gzip.decompress(data) if packed else data)
    return to


@pytest.mark.parametrize("case", CASES)
def test_published_lists_byte_for_byte(repository: Path, tmp_path: Path, case: str) -> None:
    golden = repository / "tests/golden/avse"
    lists_in, datasets = CASES[case]
    own = unpacked(golden / case, tmp_path / "own")
    lists = read_lists(str(unpacked(golden / lists_in, tmp_path / "lists")))
    made, _ = make_config(json.loads((own / "config.json").read_bytes()))
    scenes = plan_scenes(lists, made, datasets=datasets)
    assert list(scenes) == list(datasets)
    for name in datasets:
        assert scenes_json(scenes[name]) == (own / f"scenes.{name}.json").read_bytes()


def test_dev_alone_differs_from_dev_after_train(repository: Path) -> None:
    folder = repository / "tests/golden/avse/main"
    made, _ = make_config(json.loads((folder / "config.json").read_bytes()))
    lists = read_lists(str(folder))
    both = plan_scenes(lists, made, datasets=["dev", "train"])
    alone = plan_scenes(lists, made, datasets=["dev"])
    assert list(both) == ["train", "dev"], "the order is that of the configuration"
    assert [scene.name for scene in alone["dev"]] == [scene.name for scene in both["dev"]]
    assert alone["dev"] != both["dev"]


@pytest.mark.golden
@pytest.mark.parametrize("case", ["A_default", "B_random_multi", "C_train_exists"])
def test_all_published_lists(shared_golden: Path, case: str) -> None:
    cases = shared_golden / "avse/scene_cases"
    lists_in, datasets = CASES[case]
    made, _ = make_config(json.loads((cases / case / "config.json").read_bytes()))
    scenes = plan_scenes(read_lists(str(cases / lists_in)), made, datasets=datasets)
    for name in datasets:
        assert scenes_json(scenes[name]) == (cases / case / f"scenes.{name}.json").read_bytes()


# The rules, from raw 32-bit outputs of the generator.


class Raw:
    """Draws as the published description says, from the outputs of the Mersenne Twister alone."""

    def __init__(self, seed: int) -> None:
        self._twister = random.Random(seed)

    def below(self, limit: int) -> int:
        bits = limit.bit_length()
        while True:
            value = self._twister.getrandbits(32) >> (32 - bits)
            if value < limit:
                return value

    def unit(self) -> float:
        high, low = self._twister.getrandbits(32) >> 5, self._twister.getrandbits(32) >> 6
        return (high * 67108864 + low) / 9007199254740992

    def shuffled(self, items: list[Any]) -> list[Any]:
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items


def obvious(lists: Lists, made: AvseConfig) -> list[tuple[Any, ...]]:
    """Plans one dataset in the plainest way: target, kind, start, end, masker, offset, SNR of each scene."""
    (dataset,) = made.datasets
    raw = Raw(made.seed)
    targets = raw.shuffled([target for target in lists.targets if target.dataset == dataset.name])
    chosen = []
    for number in range(dataset.scenes):
        place = number % len(targets) if made.selection == "SEQUENTIAL" else raw.below(len(targets))
        chosen.append(targets[place])
    interferers = []
    for target in chosen:
        count = made.numbers[raw.below(len(made.numbers))]
        kinds = [("speech", "noise")[math.floor(raw.unit() * 2)] for _ in range(count)]
        drawn = []
        for kind in kinds:
            low, high = made.start_samples
            start = min(target.length_samples, low + raw.below(high - low + 1))
            low, high = made.end_early_samples
            end = max(start, target.length_samples - (low + raw.below(high - low + 1)))
            maskers = lists.speech if kind == "speech" else lists.noise
            groups = list(dict.fromkeys(masker.group for masker in maskers))
            candidates: list[Masker] = []
            while not candidates:
                group = groups[raw.below(len(groups))]
                candidates = [
                    masker
                    for masker in maskers
                    if masker.group == group
                    and masker.dataset == dataset.name
                    and masker.length_samples >= end - start
                ]
            masker = candidates[raw.below(len(candidates))]
            offset = raw.below(masker.length_samples - (end - start) + 1)
            drawn.append((kind, start, end, masker.name, offset))
        interferers.append(drawn[0])
    scenes = []
    for target, interferer in zip(chosen, interferers, strict=True):
        low_db, high_db = made.snr_db[dataset.name][interferer[0]]
        scenes.append((target.name, *interferer, low_db + (high_db - low_db) * raw.unit()))
    return scenes


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**40),
    scenes=st.integers(1, 12),
    selection=st.sampled_from(["SEQUENTIAL", "RANDOM"]),
    numbers=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    start=st.tuples(st.integers(0, 60), st.integers(60, 200)),
    early=st.tuples(st.integers(0, 20), st.integers(20, 300)),
)
def test_every_draw_is_the_published_one(
    seed: int,
    scenes: int,
    selection: Any,
    numbers: tuple[int, ...],
    start: tuple[int, int],
    early: tuple[int, int],
) -> None:
    made = config(
        scenes, seed=seed, selection=selection, numbers=numbers, start_samples=start, end_early_samples=early
    )
    found = [
        (
            *(scene.target, scene.kind, scene.time_start, scene.time_end),
            *(scene.masker, scene.offset_samples, scene.snr_db),
        )
        for scene in plan_scenes(LISTS, made, datasets=["train"])["train"]
    ]
    assert found == obvious(LISTS, made)


# What holds of all scenes.


def test_every_target_is_used_once_before_any_is_used_twice() -> None:
    names = [scene.target for scene in plan(scenes=10)]
    assert Counter(names[:4]) == Counter(target.name for target in TARGETS)
    assert names[4:8] == names[:4]
    assert names[8:] == names[:2]


def test_random_targets_are_drawn_with_replacement() -> None:
    names = [scene.target for scene in plan(scenes=40, selection="RANDOM")]
    assert names[4:8] != names[:4]
    assert set(names) == {target.name for target in TARGETS}


def test_maskers_are_of_the_same_dataset_and_long_enough() -> None:
    length = {masker.name: masker.length_samples for masker in (*SPEECH, *NOISE) if masker.dataset == "train"}
    for scene in plan(scenes=200):
        assert scene.offset_samples + scene.duration_samples <= length[scene.masker]
        assert (scene.time_start, scene.time_end) == (0, scene.duration_samples)


def test_snrs_lie_in_the_range_of_their_kind() -> None:
    ranges = {"train": {"speech": (-3.0, -2.0), "noise": (7.0, 8.0)}}
    for scene in plan(scenes=50, snr_db=ranges):
        low, high = ranges["train"][scene.kind]
        assert low <= scene.snr_db <= high


def test_both_kinds_are_equally_probable() -> None:
    kinds = Counter(scene.kind for scene in plan(scenes=2000))
    assert abs(kinds["speech"] - 1000) < 100


def test_classes_are_equally_probable_whatever_their_size() -> None:
    many = tuple(Masker(f"r{number}", "rain", "train", 400) for number in range(30))
    lists = dataclasses.replace(LISTS, noise=(*many, Masker("one", "hum", "train", 400)))
    maskers = Counter(scene.masker for scene in plan(lists, scenes=2000) if scene.kind == "noise")
    share = maskers["one"] / sum(maskers.values())
    assert abs(share - 0.5) < 0.06


def test_numbers_of_scenes() -> None:
    assert [scene_name(number) for number in (1, 99999, 100000)] == ["S00001", "S99999", "S100000"]
    made = config(datasets=(Dataset("train", 3, 99998),))
    names = [scene.name for scene in plan_scenes(LISTS, made, datasets=["train"])["train"]]
    assert names == ["S99998", "S99999", "S100000"]


def test_the_seed_decides() -> None:
    assert plan(seed=1) == plan(seed=1)
    assert plan(seed=1) != plan(seed=2)


def test_the_global_generator_is_left_alone() -> None:
    random.seed(7)
    before = random.getstate()
    plan()
    assert random.getstate() == before


def test_a_dataset_without_scenes_has_its_targets_shuffled_as_published() -> None:
    own = tuple(Target(f"pretrain/x/{k}", "x", "dev", 100) for k in range(5))
    lists = dataclasses.replace(LISTS, targets=(*TARGETS, *own))
    both = config(datasets=(Dataset("dev", 0, 1), Dataset("train", 5, 1)))
    found = plan_scenes(lists, both, datasets=["train", "dev"])
    assert found["dev"] == []
    raw = Raw(both.seed)
    raw.shuffled(list(own))
    shuffled = raw.shuffled(list(TARGETS))
    assert [scene.target for scene in found["train"][:4]] == [target.name for target in shuffled]
    assert found["train"] != plan(scenes=5)


def test_a_dataset_without_scenes_needs_neither_targets_nor_maskers() -> None:
    both = config(datasets=(Dataset("test", 0, 1), Dataset("train", 5, 1)))
    found = plan_scenes(LISTS, both, datasets=["train", "test"])
    assert found == {"test": [], "train": plan(scenes=5)}


# What cannot be planned.


@pytest.mark.parametrize("kind", ["speech", "noise"])
def test_no_masker_is_long_enough(kind: str) -> None:
    short = {
        "speech": (Masker("s1", "", "train", 90), Masker("s2", "", "train", 125)),
        "noise": (Masker("n1", "hum", "train", 125), Masker("n2", "fan", "train", 90)),
    }
    lists = dataclasses.replace(LISTS, **{kind: short[kind]})
    name = {"speech": "s2", "noise": r"n1 \(class hum\)"}[kind]
    wanted = (
        rf"^masker_{kind}_list.json: no {kind} masker of train is long enough for the target "
        rf"pretrain/spk3/00003, which needs 130 samples; the longest, {name}, has 125, so 5 are missing; "
        "add a longer one, or leave out such targets$"
    )
    with pytest.raises(UsageError, match=wanted):
        plan(lists, scenes=40)


def test_maskers_of_another_dataset_do_not_count() -> None:
    longer = (*NOISE[:2], Masker("long", "rain", "dev", 10_000), Masker("n", "rain", "train", 5))
    with pytest.raises(UsageError, match="no noise masker of train is long enough"):
        plan(dataclasses.replace(LISTS, noise=longer[2:]), scenes=40)


def test_what_is_too_long_and_never_drawn_is_no_problem() -> None:
    long_target = Target("pretrain/long/1", "long", "train", 1000)
    lists = Lists((long_target,), (Masker("m", "", "train", 2000),), (Masker("n", "hum", "train", 500),))
    seed = next(seed for seed in range(50) if _kind_of_the_first(seed) == "speech")
    assert plan(lists, scenes=1, seed=seed)[0].masker == "m"


def _kind_of_the_first(seed: int) -> str:
    raw = Raw(seed)
    raw.below(1)
    return ("speech", "noise")[math.floor(raw.unit() * 2)]


def test_everything_that_is_missing_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        plan(Lists((), (), (Masker("n", "hum", "dev", 10),)))
    advice = "add some, or plan without it (--subsets)"
    assert caught.value.problems == (
        f"target_speech_list.json: has no target of train; {advice}",
        f"masker_speech_list.json: has no speech masker of train; {advice}",
        f"masker_noise_list.json: has no noise masker of train; {advice}",
    )
