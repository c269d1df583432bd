"""The three lists that scenes are planned from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transforms.corpora.avse_lists import (
    Lists,
    Masker,
    Target,
    read_lists,
    read_noise_maskers,
    read_speech_maskers,
    read_targets,
    speech_maskers_json,
    targets_json,
)
from transforms.errors import UsageError

TARGET = {"wavfile": "pretrain/a/1", "speaker": "a", "dataset": "train", "nsamples": 40000, "fs": 16000}
SPEECH = {"speaker": "b", "dataset": "dev", "nsamples": 5, "fs": 16000, "type": "speech"}
NOISE = {"ID": "n_1", "class": "rain", "dataset": "train", "nsamples": 7}
READERS: dict[str, tuple[Callable[[str], Any], dict[str, Any]]] = {
    "target_speech_list.json": (read_targets, TARGET),
    "masker_speech_list.json": (read_speech_maskers, SPEECH),
    "masker_noise_list.json": (read_noise_maskers, NOISE),
}


def write(folder: Path, name: str, *rows: Any) -> str:
    (folder / name).write_text(json.dumps(list(rows)))
    return str(folder / name)


def test_all_lists_of_a_folder(tmp_path: Path) -> None:
    for name, (_, row) in READERS.items():
        write(tmp_path, name, row)
    assert read_lists(str(tmp_path)) == Lists(
        (Target("pretrain/a/1", "a", "train", 40000),),
        (Masker("b", "", "dev", 5),),
        (Masker("n_1", "rain", "train", 7),),
    )


def test_the_published_lists(repository: Path) -> None:
    lists = read_lists(str(repository / "tests/golden/avse/main"))
    assert (len(lists.targets), len(lists.speech), len(lists.noise)) == (8, 3, 7)
    assert lists.targets[0] == Target("pretrain/spkA01/00001", "spkA01", "train", 53248)
    assert lists.noise[0].group == "hum"


def test_the_order_of_a_list_stays(tmp_path: Path) -> None:
    rows = [{**NOISE, "ID": name} for name in ("z", "a", "m")]
    url = write(tmp_path, "masker_noise_list.json", *rows)
    assert [masker.name for masker in read_noise_maskers(url)] == ["z", "a", "m"]


def test_what_is_not_used_need_not_be_there(tmp_path: Path) -> None:
    row = {name: TARGET[name] for name in ("wavfile", "dataset", "nsamples")}
    url = write(tmp_path, "target_speech_list.json", row)
    assert read_targets(url) == (Target("pretrain/a/1", "", "train", 40000),)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("value", [-1, 1.5, "3", None, True], ids=repr)
def test_lengths_are_whole_numbers(tmp_path: Path, name: str, value: Any) -> None:
    read, row = READERS[name]
    url = write(tmp_path, name, row, {**row, "nsamples": value})
    with pytest.raises(UsageError) as caught:
        read(url)
    assert caught.value.problems == (f"{url}, entry 2: nsamples is {value!r}; wanted a number of samples",)


@pytest.mark.parametrize("value", ["", 3, None], ids=repr)
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("target_speech_list.json", "wavfile"),
        ("target_speech_list.json", "dataset"),
        ("masker_speech_list.json", "speaker"),
        ("masker_noise_list.json", "ID"),
        ("masker_noise_list.json", "class"),
    ],
)
def test_names_are_texts(tmp_path: Path, name: str, key: str, value: Any) -> None:
    read, row = READERS[name]
    url = write(tmp_path, name, {**row, key: value})
    with pytest.raises(UsageError, match=rf"entry 1: {key} is {value!r}; wanted a text$"):
        read(url)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("[", "is not JSON"), ("{}", "wanted an array of objects"), ("[[]]", "wanted an array")],
)
def test_files_that_are_no_list(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "target_speech_list.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"^{path}: {problem}"):
        read_targets(str(path))


def test_all_problems_of_all_lists_are_named(tmp_path: Path) -> None:
    write(tmp_path, "target_speech_list.json", {**TARGET, "nsamples": -1})
    write(tmp_path, "masker_noise_list.json", {**NOISE, "class": ""})
    with pytest.raises(UsageError) as caught:
        read_lists(str(tmp_path))
    assert caught.value.problems == (
        f"{tmp_path}/target_speech_list.json, entry 1: nsamples is -1; wanted a number of samples",
        f"{tmp_path}/masker_speech_list.json: no such file or folder; check the path",
        f"{tmp_path}/masker_noise_list.json, entry 1: class is ''; wanted a text",
    )


def test_lists_are_written_as_published(tmp_path: Path) -> None:
    target, masker = Target("pretrain/a/1", "a", "train", 40000), Masker("b", "", "dev", 5)
    assert targets_json([target]) == json.dumps([TARGET], indent=2).encode()
    assert speech_maskers_json([masker]) == json.dumps([SPEECH], indent=2).encode()
    (tmp_path / "t.json").write_bytes(targets_json([target]))
    (tmp_path / "m.json").write_bytes(speech_maskers_json([masker]))
    assert read_targets(str(tmp_path / "t.json")) == (target,)
    assert read_speech_maskers(str(tmp_path / "m.json")) == (masker,)


def test_a_published_list_is_written_to_the_byte(repository: Path) -> None:
    folder = repository / "tests/golden/avse/main"
    for name, read, text in (
        ("target_speech_list.json", read_targets, targets_json),
        ("masker_speech_list.json", read_speech_maskers, speech_maskers_json),
    ):
        assert text(read(str(folder / name))) == (folder / name).read_bytes()  # type: ignore[operator]
