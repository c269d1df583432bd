"""Scene lists in the published form: written, read, and refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.corpora.avse import (
    Scene,
    find_plans,
    read_plan,
    scenes_json,
    scenes_path,
    to_mixture,
    video_of,
)
from transforms.errors import UsageError
from transforms.plan import Part, Source

SCENE = Scene("train", "S00001", "pretrain/a/00001", 40000, "noise", 0, 40000, "CIN_rain_1", 12, 1.3424)


def row(**changes: Any) -> dict[str, Any]:
    """Returns a scene as JSON holds it; keys with a point are of the objects in it."""
    fields: dict[str, Any] = json.loads(scenes_json([SCENE]))[0]
    for name, value in changes.items():
        place, _, key = name.rpartition("__")
        (fields[place] if place else fields)[key] = value
    return fields


def write(folder: Path, *rows: Any, name: str = "scenes.train.json") -> str:
    (folder / name).write_text(json.dumps(list(rows)))
    return str(folder / name)


# --- writing -----------------------------------------------------------------------------------


def test_a_scene_is_written_as_published() -> None:
    assert scenes_json([SCENE]) == (
        b'[\n  {\n    "dataset": "train",\n    "scene": "S00001",\n    "target": {\n'
        b'      "name": "pretrain/a/00001"\n    },\n    "duration": 40000,\n    "interferer": {\n'
        b'      "type": "noise",\n      "time_start": 0,\n      "time_end": 40000,\n'
        b'      "name": "CIN_rain_1",\n      "offset": 12\n    },\n    "SNR": 1.3424,\n'
        b'    "pre_samples": 0,\n    "post_samples": 0\n  }\n]'
    )


def test_no_scene_at_all() -> None:
    assert scenes_json([]) == b"[]"


@pytest.mark.parametrize(
    ("snr_db", "text"),
    [(0.0, "0.0000"), (-0.00001, "-0.0000"), (-2.31589, "-2.3159"), (5, "5.0000"), (0.00005, "0.0001")],
)
def test_snrs_have_four_decimals(snr_db: float, text: str) -> None:
    scene = Scene("dev", "S1", "a/b/c", 1, "speech", 0, 1, "m", 0, snr_db)
    assert f'"SNR": {text},' in scenes_json([scene]).decode()


@given(
    st.lists(
        st.builds(
            Scene,
            *(st.text(), st.text(), st.text(), st.integers(0), st.sampled_from(["speech", "noise"])),
            *(st.integers(0), st.integers(0), st.text(), st.integers(0), st.floats(-200, 200)),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_what_the_json_module_writes(scenes: list[Scene]) -> None:
    objects = [
        {
            "dataset": scene.dataset,
            "scene": scene.name,
            "target": {"name": scene.target},
            "duration": scene.duration_samples,
            "interferer": {
                "type": scene.kind,
                "time_start": scene.time_start,
                "time_end": scene.time_end,
                "name": scene.masker,
                "offset": scene.offset_samples,
            },
            "SNR": f"<{scene.snr_db:.4f}>",
            "pre_samples": 0,
            "post_samples": 0,
        }
        for scene in scenes
    ]
    expected = re.sub(r'"SNR": "<(.*?)>"', r'"SNR": \1', json.dumps(objects, indent=2))
    assert scenes_json(scenes).decode() == expected


def test_names_of_lists() -> None:
    assert scenes_path("train") == "scenes.train.json"


# --- as mixtures -------------------------------------------------------------------------------


def test_a_scene_as_a_mixture() -> None:
    found = to_mixture("S1", "pretrain/a/1", kind="noise", masker="n", offset_samples=7, snr_db=-2.5)
    assert found.id == "S1"
    target, interferer = found.sources
    assert target == Source("target", "lrs3", "pretrain/a/1.mp4", speaker="a")
    assert interferer == Source(
        *("interferer", "noise_maskers", "n.wav"),
        level_kind="snr",
        level=-2.5,
        measure="weighted",
        against="target",
        fit="cut",
        offset_samples=7,
    )


def test_a_speech_masker_is_named_by_its_speaker() -> None:
    found = to_mixture("S1", "pretrain/a/1", kind="speech", masker="bob", offset_samples=0, snr_db=0.0)
    interferer = found.sources[1]
    assert (interferer.root, interferer.path, interferer.speaker) == ("speech_maskers", "bob.wav", "bob")


@pytest.mark.parametrize(("wavs", "name"), [(False, "lrs3:a/b/1.mp4"), (True, "target_wavs:a/b/1.wav")])
def test_the_video_is_the_same_wherever_the_sound_is_read(wavs: bool, name: str) -> None:
    found = to_mixture("S1", "a/b/1", kind="noise", masker="n", offset_samples=0, snr_db=0, wavs=wavs)
    assert found.sources[0].name == name
    assert video_of(found).name == "lrs3:a/b/1.mp4"


# --- reading -----------------------------------------------------------------------------------


def test_a_list_is_read(repository: Path) -> None:
    part, mixtures = read_plan(str(repository / "tests/golden/avse/main/scenes.train.json"))
    assert part == Part("avse", "AVSE", "train")
    assert [mixture.id for mixture in mixtures] == [f"S{number:05d}" for number in range(1, 15)]
    target, interferer = mixtures[0].sources
    assert target.name == "lrs3:trainval/spkB02/50001.mp4"
    assert (interferer.name, interferer.offset_samples, interferer.level) == (
        "speech_maskers:mskP11.wav",
        132300,
        1.3424,
    )


def test_the_name_of_the_file_tells_the_subset(tmp_path: Path) -> None:
    part, _ = read_plan(write(tmp_path, row(dataset="train"), name="scenes.edge.json"))
    assert part.subset == "edge"


def test_only_what_is_used_must_be_there(tmp_path: Path) -> None:
    fields = row()
    for name in ("dataset", "duration", "pre_samples", "post_samples"):
        del fields[name]
    del fields["interferer"]["time_start"], fields["interferer"]["time_end"]
    _, (mixture,) = read_plan(write(tmp_path, fields))
    assert mixture.id == "S00001"


def test_whole_snrs_are_numbers_too(tmp_path: Path) -> None:
    _, (mixture,) = read_plan(write(tmp_path, row(SNR=-40)))
    level = mixture.sources[1].level
    assert (level, type(level)) == (-40.0, float)


def test_lists_are_found_in_folders(tmp_path: Path) -> None:
    inner = tmp_path / "deep"
    inner.mkdir()
    paths = [write(tmp_path, row()), write(inner, row(), name="scenes.dev.json")]
    write(tmp_path, name="target_speech_list.json")
    assert sorted(find_plans([str(tmp_path)])) == sorted(paths)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"scene": 3}, "scene is 3; wanted a text"),
        ({"target": "x"}, "target.name is None; wanted a text"),
        ({"target__name": ""}, "target.name is ''; wanted a text"),
        ({"interferer__name": None}, "interferer.name is None; wanted a text"),
        ({"interferer__type": "music"}, "interferer.type is 'music'; wanted speech or noise"),
        ({"interferer__type": ["noise"]}, "interferer.type is ['noise']; wanted speech or noise"),
        ({"interferer__offset": -1}, "interferer.offset is -1; wanted a whole number of 0 or more"),
        ({"interferer__offset": 1.0}, "interferer.offset is 1.0; wanted a whole number of 0 or more"),
        ({"interferer__offset": True}, "interferer.offset is True; wanted a whole number of 0 or more"),
        ({"SNR": "3"}, "SNR is '3'; wanted a number of dB"),
        ({"SNR": float("nan")}, "SNR is nan; wanted a number of dB"),
        ({"SNR": 2000.0}, "level 2000.0 dB of interferer is beyond 1000.0 dB"),
        ({"target__name": "../x"}, "path '../x.mp4' of target must be relative and stay below its root"),
        ({"interferer__name": "/etc/x"}, "path '/etc/x.wav' of interferer must be relative and stay below"),
        ({"scene": "a/b"}, "id 'a/b' may hold letters, digits and"),
    ],
)
def test_scenes_that_are_refused(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    url = write(tmp_path, row(scene="S00000"), row(**changes))
    with pytest.raises(UsageError) as caught:
        read_plan(url)
    (found,) = caught.value.problems
    assert found.startswith(f"{url}, entry 2: {problem}")


def test_a_scene_cannot_stand_twice(tmp_path: Path) -> None:
    url = write(tmp_path, row(), row(scene="S2"), row())
    with pytest.raises(UsageError, match=r"entry 3: 'S00001' is entry 1 already; remove one of them$"):
        read_plan(url)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("{}", "wanted an array of objects; fetch it again, or make it anew"),
        ("[1]", "wanted an array of objects"),
        ("[]", "holds no scene; fetch it again, or plan again"),
    ],
)
def test_files_that_are_no_list(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "scenes.dev.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"^{path}: {problem}"):
        read_plan(str(path))


def test_a_file_of_another_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train\.json: is not named like a scene list; wanted scenes\.<sub"):
        read_plan(write(tmp_path, row(), name="train.json"))
