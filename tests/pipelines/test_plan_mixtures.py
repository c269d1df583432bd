"""``plan mixtures``: flags, configuration files, and whole runs."""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.plan_mixtures import PlanMixturesOptions, build, config_yaml, describe, read_yaml
from pipelines.plan_mixtures_arguments import LISTING_FLAGS, add_arguments
from transforms.errors import StorageError, UsageError
from transforms.listing import AudioFile, audio_files_csv
from transforms.plan import StoredPlan
from transforms.planning.distributions import Choice, Uniform
from transforms.planning.mixture_config import OPTIONS, flag
from transforms.storage import OutputTree


@pytest.fixture
def listings(tmp_path: Path) -> dict[str, str]:
    """Flags that name a speech and a noise listing."""
    speech = [
        AudioFile(f"{s}/{u}.wav", 16000, 1, 40000, "WAV", "PCM_16", f"r{s}", text="well, yes")
        for s in range(40)
        for u in range(3)
    ]
    noise = [AudioFile(f"n{n}.wav", 8000, 1, 99999, "WAV", "PCM_16") for n in range(40)]
    found = {"speech": tmp_path / "speech.csv", "noise": tmp_path / "noise.csv"}
    found["speech"].write_bytes(audio_files_csv(speech))
    found["noise"].write_bytes(audio_files_csv(noise))
    return {name: str(path) for name, path in found.items()}


def parsed(words: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return vars(parser.parse_args(words.split()))


def options(flags: dict[str, Any], out: str = "out") -> PlanMixturesOptions:
    return PlanMixturesOptions.of(flags, out=out)


def written(folder: Path, text: str) -> str:
    (folder / "options.yaml").write_text(text)
    return str(folder / "options.yaml")


def test_every_option_has_a_flag_that_states_its_default() -> None:
    parser = argparse.ArgumentParser(prog="x", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add_arguments(parser)
    text = " ".join(parser.format_help().split())
    for name in (*OPTIONS, *LISTING_FLAGS, "config", "out", "shard_size"):
        assert f" {flag(name)} " in text
    for default in ("uniform(-33,-25)", "(default: full)", "(default: uniform(-5,15))", "(default: inf)"):
        assert default in text


def test_flags_that_are_not_given_are_none() -> None:
    found = parsed("")
    assert found.pop("shard_size") == "100"
    assert set(found.values()) == {None}
    assert set(found) == {*OPTIONS, *LISTING_FLAGS, "config", "out"}


def test_describing_the_flags_imports_nothing_heavy(repository: Path) -> None:
    code = "import sys, pipelines.plan_mixtures_arguments as _; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "apache_beam", "yaml", "soundfile", "fsspec"} & set(done.stdout.split())


def test_flags_are_understood() -> None:
    found = options(
        parsed(
            "--speakers 2:0.6 3:0.4 --subsets train:0.9 dev:0.1 --count 50 --overlap uniform(0,1) --seed 3"
        )
    ).config
    assert found.speakers == Choice((2, 3), (0.6, 0.4))
    assert (found.subsets.names, found.count_of("train"), found.seed) == (("train", "dev"), 45, 3)
    assert found.overlap == Uniform(0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "speakers: {2: 0.6, 3: 0.4}\ncount: 50\nseed: 010\n",
        "speakers: [2:0.6, 3:0.4]\ncount: '50'\nseed: 10\n",
        "speakers: 2:0.6 3:0.4\ncount: 50\nseed: 10\nnoise-level:\n",
    ],
)
def test_values_of_a_file_are_the_texts_that_are_written(tmp_path: Path, text: str) -> None:
    found = options({"config": written(tmp_path, text)}).config
    assert (found.speakers, found.count_of("train"), found.seed) == (Choice((2, 3), (0.6, 0.4)), 50, 10)


def test_times_to_the_base_of_sixty_are_no_trap(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "speakers: 2:30\n")) == {"speakers": "2:30"}
    assert yaml.safe_load("speakers: 2:30") == {"speakers": 150}


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path, listings: dict[str, str]) -> None:
    file = written(tmp_path, "speech: elsewhere.csv\ncount: 50\nclip: reject\nnoise_snr: 3\nmax-uses: 0\n")
    found = options({**listings, **{"config": file, "hours": ["2"], "noise_level": "-30", "clip": None}})
    assert found.urls.speech == listings["speech"]
    assert (found.config.count, found.config.hours_of("train"), found.config.clip) == (None, 2.0, "reject")
    assert (found.config.noise_snr, str(found.config.noise_level)) == (None, "-30")
    assert found.config.talkers == "different"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("count: [1", r"options\.yaml: is not YAML \(while parsing"),
        ("- count\n", r"options\.yaml: wanted options such as 'count: 20000'"),
        ("count\n", "wanted options such as"),
        ("", "wanted options such as"),
        ("cuont: 5\n", "--cuont: no such option; known: corpus"),
        ("clip: hard\nseed: x\n", "--clip 'hard': wanted one of scale, reject\n--seed 'x': wanted"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        options({"config": written(tmp_path, text)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"none\.yaml: no such file"):
        options({"config": str(tmp_path / "none.yaml")})


def test_the_effective_configuration_is_a_configuration_file(
    tmp_path: Path, listings: dict[str, str]
) -> None:
    words = (
        "--hours 3 --subsets train:0.8 dev:0.2 --speakers 2:0.6 3:0.4 --noise-level normal(-35,2) --seed 9"
    )
    first = options(listings | {name: value for name, value in parsed(words).items() if value})
    (tmp_path / "again.yaml").write_bytes(config_yaml(first))
    again = options({"config": str(tmp_path / "again.yaml")})
    assert again == first
    assert config_yaml(again) == config_yaml(first)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"speech": None}, "--speech is needed: a listing of utterances"),
        ({"noise": None}, r"--noise is needed: a listing of noises; or plan without any \(--noises 0\)"),
        ({"count": None}, "give one of --count and --hours"),
        ({"speakers": "41"}, "subset train: 41 different speakers per mixture are wanted, 40 available"),
        ({"speech": "/nowhere/speech.csv"}, r"/nowhere/speech\.csv: no such file"),
        ({"rirs": "/nowhere/rirs.csv"}, r"/nowhere/rirs\.csv: no such file"),
    ],
)
def test_problems_are_found_before_work(
    listings: dict[str, str], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        raise UsageError(options({**listings, "count": "5", **changes}).check())


def test_a_listing_that_cannot_be_read_is_explained(tmp_path: Path, listings: dict[str, str]) -> None:
    (tmp_path / "noise.csv").write_text("path\n")
    assert "wanted one column each of" in options({**listings, "count": "5"}).check()[0]


def test_shards_hold_something(listings: dict[str, str]) -> None:
    found = PlanMixturesOptions.of({**listings, "count": "5"}, out="out", shard_size=0)
    assert found.check() == ["--shard-size 0: wanted 1 or more"]


def test_good_options_have_no_problems(listings: dict[str, str]) -> None:
    assert options({**listings, "count": "5"}).check() == []
    assert options({"speech": listings["speech"], "count": "5", "noises": "0"}).check() == []


@pytest.mark.parametrize(("size", "wanted"), [({"count": "5000"}, "5,000"), ({"hours": "2"}, "2.0 h of")])
def test_a_dry_run_says_what_there_is(listings: dict[str, str], size: dict[str, str], wanted: str) -> None:
    assert describe(options(listings | size)) == [
        f"train: {wanted} mixtures would be planned of 120 utterances (0.1 h) by 40 speakers, 40 noises and "
        "0 room responses"
    ]


def tree(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def run(out: Path, flags: dict[str, Any]) -> dict[str, bytes]:
    made = options(flags, str(out))
    assert made.check() == []
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        build(pipeline, made)
    OutputTree(str(out)).remove_temporary()
    return tree(out)


def test_a_run_leaves_plans_and_configuration(tmp_path: Path, listings: dict[str, str]) -> None:
    flags = {**listings, "subsets": "train:0.7 dev:0.3", "count": "50", "seed": "4"}
    made = run(tmp_path / "one", flags)
    assert list(made) == [
        "mixtures/config.yaml",
        "mixtures/mixtures_dev.parquet",
        "mixtures/mixtures_train.parquet",
    ]
    assert list(made)[1:] == sorted(options(flags).plan_paths.values())
    plans = [StoredPlan.open(str(tmp_path / "one" / path)) for path in list(made)[1:]]
    assert [plan.mixture_count for plan in plans] == [15, 35]
    spoken = [{source.speaker for mixture in plan.read_all() for source in mixture.speech} for plan in plans]
    assert not spoken[0] & spoken[1]
    assert next(plans[0].read_all()).sources[0].text == "well, yes"
    again = run(tmp_path / "two", {"config": str(tmp_path / "one" / "mixtures" / "config.yaml")})
    assert again == made
