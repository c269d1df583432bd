"""``mixtape plan avse``: scene lists as published, kept lists, and what is refused."""

import json
import shutil
from pathlib import Path

import pytest

from tests import trees
from tests.pipelines.conftest import Mixtape
from transforms.corpora import avse


@pytest.fixture
def golden(repository: Path) -> Path:
    """Lists, configuration, and the scene lists built from them."""
    return repository / "tests/golden/avse/main"


@pytest.fixture
def words(golden: Path, tmp_path: Path) -> list[str | Path]:
    config = golden / "config.json"
    return ["plan", "avse", "--metadata", golden, "--config", config, "--out", tmp_path / "out"]


def lists(folder: Path) -> dict[str, bytes]:
    """Returns the scene lists in a folder, which must hold nothing else that a user sees."""
    return {
        name: (folder / name).read_bytes() for name in trees.files(folder) if not name.startswith("_mixtape")
    }


def test_lists_as_published(mixtape: Mixtape, words: list[str | Path], golden: Path, tmp_path: Path) -> None:
    outcome = mixtape(*words)
    assert outcome.status == 0, outcome.err
    out = tmp_path / "out"
    assert outcome.out.splitlines() == [
        f"14 scenes planned in {out}/scenes.train.json",
        f"7 scenes planned in {out}/scenes.dev.json",
    ]
    assert lists(out) == {
        name: (golden / name).read_bytes() for name in ("scenes.dev.json", "scenes.train.json")
    }


def test_a_list_that_is_there_stays_and_draws_nothing(
    mixtape: Mixtape, words: list[str | Path], golden: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scenes.train.json").write_text("[]")
    outcome = mixtape(*words)
    assert outcome.status == 0
    assert f"{tmp_path}/out/scenes.train.json is there and stays (--force makes it anew)" in outcome.out
    assert (tmp_path / "out/scenes.train.json").read_text() == "[]"
    fresh = mixtape(*words[:-1], tmp_path / "dev", "--subsets", "dev")
    assert fresh.status == 0
    assert lists(tmp_path / "dev") == {"scenes.dev.json": (tmp_path / "out/scenes.dev.json").read_bytes()}
    assert (tmp_path / "out/scenes.dev.json").read_bytes() != (golden / "scenes.dev.json").read_bytes()


def test_force_makes_lists_anew(
    mixtape: Mixtape, words: list[str | Path], golden: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scenes.train.json").write_text("[]")
    assert mixtape(*words, "--force").status == 0
    for name, data in lists(tmp_path / "out").items():
        assert data == (golden / name).read_bytes()


def test_after_a_run_that_was_killed_between_two_lists(
    mixtape: Mixtape, words: list[str | Path], golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last list is written first: with it there, the others come out as in one go."""
    written: list[str] = []
    original = trees.OutputTree.write_if_changed

    def write(tree: trees.OutputTree, path: str, data: bytes) -> bool:
        if written:
            raise KeyboardInterrupt
        written.append(path)
        return original(tree, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(trees.OutputTree, "write_if_changed", write)
        assert mixtape(*words).status == 130
    assert lists(tmp_path / "out").keys() == {"scenes.dev.json"}
    assert mixtape(*words).status == 0
    assert lists(tmp_path / "out") == {
        name: (golden / name).read_bytes() for name in ("scenes.dev.json", "scenes.train.json")
    }


def test_nothing_is_left_to_do(mixtape: Mixtape, words: list[str | Path], tmp_path: Path) -> None:
    assert mixtape(*words).status == 0
    before = trees.identities(tmp_path / "out")
    outcome = mixtape(*words)
    assert (outcome.status, outcome.out.count("is there and stays")) == (0, 2)
    assert not {name for name in trees.changed(before, tmp_path / "out") if name.startswith("scenes")}


def test_a_dry_run_writes_nothing(mixtape: Mixtape, words: list[str | Path], tmp_path: Path) -> None:
    outcome = mixtape(*words, "--dry-run")
    assert outcome.status == 0
    assert outcome.out.startswith(f"14 scenes would be planned in {tmp_path}/out/scenes.train.json\n")
    assert not (tmp_path / "out").exists()


def test_plans_can_be_rendered(mixtape: Mixtape, words: list[str | Path], tmp_path: Path) -> None:
    assert mixtape(*words).status == 0
    for name, scenes in (("train", 14), ("dev", 7)):
        part, mixtures = avse.read_plan(str(tmp_path / f"out/scenes.{name}.json"))
        assert (part.subset, len(mixtures)) == (name, scenes)


def test_the_published_sizes_are_the_default(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    outcome = mixtape("plan", "avse", "--metadata", golden, "--out", tmp_path / "out", "--dry-run")
    assert [line.split(" would")[0] for line in outcome.out.splitlines()] == ["34,525 scenes", "3,365 scenes"]


def test_sections_without_meaning_are_named(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    given = json.loads((golden / "config.json").read_bytes()) | {"hydra": {}, "path": "/x"}
    config.write_text(json.dumps(given))
    outcome = mixtape("plan", "avse", "--metadata", golden, "--config", config, "--out", tmp_path / "out")
    assert outcome.out.splitlines()[0] == "--config: these have no meaning here: hydra, path"


# --- what is refused ---------------------------------------------------------------------------


def test_what_is_needed_is_named(mixtape: Mixtape) -> None:
    outcome = mixtape("plan", "avse")
    assert outcome.status == 2
    assert outcome.problems == [
        f"--{name} is needed; see mixtape plan avse --help" for name in ("metadata", "out")
    ]


def test_all_problems_of_the_command_line_are_named(mixtape: Mixtape, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"fs": 8000}')
    outcome = mixtape(
        *("plan", "avse", "--metadata", tmp_path / "none", "--out", tmp_path / "out"),
        *("--config", config, "--subsets", "train", "test"),
    )
    assert outcome.status == 2
    assert outcome.problems == [
        f"--metadata {tmp_path}/none: no such folder; check the path",
        f"{config}: fs is 8000; scenes are rendered with 16000 only",
        "--subsets test: wanted some of train dev",
    ]


def test_lists_that_are_missing(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    folder.mkdir()
    shutil.copy(golden / "masker_noise_list.json", folder)
    outcome = mixtape("plan", "avse", "--metadata", folder, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert outcome.problems == [
        f"{folder}/{name}_speech_list.json: no such file or folder; check the path"
        for name in ("target", "masker")
    ]
    assert not (tmp_path / "out").exists()


def test_no_candidate_is_an_error_and_no_endless_loop(mixtape: Mixtape, golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lists"
    shutil.copytree(golden, folder)
    noises = json.loads((folder / "masker_noise_list.json").read_bytes())
    short = [{**noise, "nsamples": 30_000} for noise in noises]
    (folder / "masker_noise_list.json").write_text(json.dumps(short))
    outcome = mixtape(
        "plan", "avse", "--metadata", folder, "--config", folder / "config.json", "--out", tmp_path
    )
    assert outcome.status == 2
    (problem,) = outcome.problems
    assert problem.startswith(
        "masker_noise_list.json: no noise masker of train is long enough for the target"
    )
    assert "(class hum), has 30000, so 23248 are missing" in problem
    assert not list(tmp_path.glob("scenes*"))
