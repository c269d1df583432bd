"""The published configuration keys: defaults, what is read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from transforms.errors import UsageError
from transforms.planning.avse_config import AvseConfig, Dataset, make_config, read_config

NO_DATASET = "wanted n_scenes and scene_start_index"


def problems(given: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        make_config(given)
    return caught.value.problems


def test_the_defaults_are_those_published() -> None:
    config, unknown = make_config({})
    assert (config, unknown) == (AvseConfig(), ())
    assert (config.seed, config.selection, config.numbers) == (0, "SEQUENTIAL", (1,))
    assert (config.start_samples, config.end_early_samples) == ((0, 0), (0, 0))
    assert config.datasets == (Dataset("train", 34525, 1), Dataset("dev", 3365, 34526))
    for name in ("train", "dev"):
        assert config.snr_db[name] == {"speech": (-15, 5), "noise": (-10, 10)}


def test_a_published_file(repository: Path) -> None:
    config, unknown = read_config(str(repository / "tests/golden/avse/main/config.json"))
    assert unknown == ()
    assert config.datasets == (Dataset("train", 14, 1), Dataset("dev", 7, 15))
    assert config.snr_db["dev"]["noise"] == (-10, 10)


def test_yaml_and_json_say_the_same(tmp_path: Path, repository: Path) -> None:
    given = json.loads((repository / "tests/golden/avse/main/config.json").read_bytes())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    (tmp_path / "config.json").write_text(json.dumps(given))
    assert read_config(str(tmp_path / "config.yaml")) == read_config(str(tmp_path / "config.json"))


def test_json_may_be_indented_by_tabs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"random_seed": 4}, indent="\t"))
    assert read_config(str(tmp_path / "config.json"))[0].seed == 4


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("# nothing\n")
    assert read_config(str(tmp_path / "config.yaml")) == (AvseConfig(), ())


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"random_seed": -3}, "seed", -3),
        ({"target": {"target_selection": "RANDOM"}}, "selection", "RANDOM"),
        ({"interferer": {"number": [1, 2, 2]}}, "numbers", (1, 2, 2)),
        ({"interferer": {"start_time_range": [0, 16000]}}, "start_samples", (0, 16000)),
        ({"interferer": {"end_early_time_range": [5, 5]}}, "end_early_samples", (5, 5)),
        (
            {"scene_datasets": {"dev": {"n_scenes": 4, "scene_start_index": 9}}},
            "datasets",
            (Dataset("dev", 4, 9),),
        ),
    ],
)
def test_what_is_given_counts_and_the_rest_stays(given: dict[str, Any], field: str, value: Any) -> None:
    config, _ = make_config(given)
    assert getattr(config, field) == value
    assert {**vars(config), field: None} == {**vars(AvseConfig()), field: None}


def test_the_order_of_datasets() -> None:
    sizes = {"n_scenes": 1, "scene_start_index": 1}
    given = {"scene_datasets": {"dev": sizes, "train": sizes}}
    assert [one.name for one in make_config(given)[0].datasets] == ["dev", "train"]
    ordered = make_config({**given, "dataset_order": ["train", "dev"]})[0]
    assert [one.name for one in ordered.datasets] == ["train", "dev"]


def test_one_range_can_be_given_alone() -> None:
    config, _ = make_config({"snr_range": {"dev": {"noise": [0, 0.5]}}})
    assert config.snr_db["dev"] == {"speech": (-15, 5), "noise": (0, 0.5)}
    assert config.snr_db["train"] == AvseConfig().snr_db["train"]
    assert AvseConfig().snr_db["dev"]["noise"] == (-10, 10), "the defaults stay as they are"


def test_a_dataset_of_another_name_needs_ranges() -> None:
    given: dict[str, Any] = {"scene_datasets": {"eval": {"n_scenes": 2, "scene_start_index": 1}}}
    assert problems(given) == ("snr_range: has nothing for eval, which scene_datasets names",)
    given["snr_range"] = {"eval": {"speech": [0, 1], "noise": [2, 3]}}
    assert make_config(given)[0].snr_db["eval"] == {"speech": (0, 1), "noise": (2, 3)}
    given["snr_range"] = {"eval": {"speech": [0, 1]}}
    assert problems(given) == ("snr_range.eval has nothing for noise",)


def test_sections_of_the_published_file_that_mean_nothing_are_named() -> None:
    config, unknown = make_config({"hydra": {"run": {}}, "random_seed": 1, "path": {"root": "/x"}})
    assert (config.seed, unknown) == (1, ("hydra", "path"))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"random_seed": None}, "random_seed is None; wanted a whole number"),
        ({"random_seed": True}, "random_seed is True; wanted a whole number"),
        ({"random_sead": 1}, "random_sead is not known; did you mean random_seed?"),
        ({"scene_dataset": {}}, "scene_dataset is not known; did you mean scene_datasets?"),
        ({"target": "RANDOM"}, "target is 'RANDOM'; wanted keys and values"),
        (
            {"target": {"target_selection": "random"}},
            "target.target_selection is 'random'; wanted SEQUENTIAL or RANDOM",
        ),
        ({"target": {"selection": "RANDOM"}}, "target.selection is not known; known: target_selection"),
        ({"interferer": {"number": []}}, "interferer.number is []; wanted a list such as [1]"),
        ({"interferer": {"number": [0]}}, "interferer.number is 0; wanted a whole number of 1 or more"),
        (
            {"interferer": {"start_time_range": 3}},
            "interferer.start_time_range is 3; wanted two numbers of samples, such as [0, 0]",
        ),
        (
            {"interferer": {"start_time_range": [5, 1]}},
            "interferer.start_time_range is [5, 1]; wanted the lower number first",
        ),
        (
            {"interferer": {"end_early_time_range": [0, 1.5]}},
            "interferer.end_early_time_range is 1.5; wanted a whole number of 0 or more",
        ),
        (
            {"snr_range": {"train": {"noise": [1]}}},
            "snr_range.train.noise is [1]; wanted two numbers of dB, such as [-10, 10]",
        ),
        (
            {"snr_range": {"train": {"noise": [0, float("inf")]}}},
            "snr_range.train.noise is [0, inf]; wanted two numbers of dB, such as [-10, 10]",
        ),
        (
            {"snr_range": {"train": {"music": [0, 1]}}},
            "snr_range.train is {'music': [0, 1]}; wanted speech and noise",
        ),
        ({"scene_datasets": {"dev": 3}}, f"scene_datasets.dev is 3; {NO_DATASET}"),
        (
            {"scene_datasets": {"dev": {"n_scenes": 3}}},
            f"scene_datasets.dev is {{'n_scenes': 3}}; {NO_DATASET}",
        ),
        (
            {"scene_datasets": {"dev": {"n_scenes": -3, "scene_start_index": 1}}},
            "scene_datasets.dev.n_scenes is -3; wanted a whole number of 0 or more",
        ),
        ({"dataset_order": ["train"]}, "dataset_order is ['train']; wanted train and dev in some order"),
        ({"fs": 8000}, "fs is 8000; scenes are rendered with 16000 only"),
        ({"ramp_duration": 0.25}, "ramp_duration is 0.25; scenes are rendered with 0.5 only"),
        ({"num_channels": 2}, "num_channels is 2; scenes are rendered with 1 only"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(given: dict[str, Any], problem: str) -> None:
    assert problems(given) == (problem,)


@pytest.mark.parametrize("name", ["a b", "../train", "a.b"])
def test_names_that_cannot_name_a_file(name: str) -> None:
    given = {
        "scene_datasets": {name: {"n_scenes": 1, "scene_start_index": 1}},
        "snr_range": {name: {"speech": [0, 1], "noise": [0, 1]}},
    }
    (problem,) = problems(given)
    assert problem.startswith(f"scene_datasets.{name}: ")


def test_all_problems_are_named_together() -> None:
    assert len(problems({"random_seed": "x", "fs": 1, "target": 3, "dataset_order": 1})) == 4


@pytest.mark.parametrize("text", ["random_seed: [", "{", "\t- x"])
def test_a_file_that_is_neither_yaml_nor_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=rf"^{path}: is neither YAML nor JSON \(.*\)$"):
        read_config(str(path))


def test_a_file_that_is_not_there_or_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with pytest.raises(UsageError, match=r"config\.yaml: no such file or folder"):
        read_config(str(path))
    path.write_text("- 1\n")
    with pytest.raises(UsageError, match=r"config\.yaml: wanted keys and values, such as random_seed: 0"):
        read_config(str(path))
    path.write_text("random_seed: x\n")
    with pytest.raises(UsageError, match=rf"^{path}: random_seed is 'x'; wanted a whole number$"):
        read_config(str(path))
