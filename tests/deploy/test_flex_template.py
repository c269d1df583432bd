"""Flex Templates: every parameter is a flag of ours, and gives it what was meant."""

import argparse
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli, flex_template
from pipelines.flex_template import command_line, job_parser, jobs, metadata, parameters, regex
from tests import trees
from tests.deploy.conftest import DEPLOY, load_json

STORED = "render librimix"
EXAMPLES = {
    "--rates": ["8000", "8k 16k"],
    "--modes": ["min", "min max"],
    "--formats": ["wav", "wav webdataset tfrecord"],
    "--max-rejects": ["0", "20", "1%", "0.5%"],
    "--shard-size": ["500"],
    "--seed": ["72"],
    "--force": ["true", "false"],
    "--plan": ["gs://b/plans", "gs://b/a.csv gs://b/b.csv"],
    "--root": ["speech=gs://b/s", "speech=gs://b/s noise=gs://b/n"],
    "--count": ["20000"],
    "--subsets": ["train-clean-100 dev-clean", "train:0.9 dev:0.1"],
    "--overlap": ["uniform(0, 1)"],
}
WRONG = {
    "--rates": ["", "fast", "8000,16000"],
    "--modes": ["mean"],
    "--formats": ["zip", "wav,tfrecord"],
    "--max-rejects": ["-1", "few"],
    "--shard-size": ["-5", "1.5"],
    "--force": ["yes", "1"],
    "--root": ["gs://b/s"],
    "--out": ["", " "],
}


def flag_actions(job: str) -> dict[str, argparse.Action]:
    return {action.option_strings[0]: action for action in parameters(job)}


def test_the_stored_description_is_the_one_that_the_parser_gives() -> None:
    again = f"python -m pipelines.flex_template {STORED} > deploy/dataflow/metadata.json"
    assert load_json(DEPLOY / "dataflow" / "metadata.json") == metadata(STORED), f"run: {again}"


def test_commands_that_have_templates() -> None:
    assert {"metadata audio", "plan mixtures", "render librimix", "render mixtures"} <= set(jobs())
    assert not {"demo", "build librimix", "verify"} & set(jobs())


@pytest.mark.parametrize("job", jobs())
def test_every_parameter_agrees_with_the_parser(job: str) -> None:
    described = {one["name"]: one for one in metadata(job)["parameters"]}
    fixed = described.pop("job")
    assert re.fullmatch(fixed["regexes"][0], job)
    assert not fixed["isOptional"]
    actions = {action.dest: action for action in job_parser(job)._actions}
    for name, one in described.items():
        action = actions[name]
        assert one["label"] in action.option_strings
        assert one["isOptional"] == ("(needed)" not in (action.help or ""))
        (expression,) = one["regexes"]
        re.compile(expression)
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert one["helpText"][0].isupper() or not one["helpText"][0].isalpha()
        assert "%(" not in one["helpText"]
    assert actions.keys() - described.keys() <= {"help", "workers", "dry_run", "resume", "quiet"}


@pytest.mark.parametrize("job", jobs())
def test_defaults_are_accepted_as_parameters(job: str) -> None:
    for action in parameters(job):
        if action.default not in (None, False, "", [], argparse.SUPPRESS):
            text = " ".join(action.default) if isinstance(action.default, list) else str(action.default)
            assert re.fullmatch(regex(action), text), action.option_strings


@pytest.mark.parametrize("job", jobs())
@pytest.mark.parametrize(("values", "fit"), [(EXAMPLES, True), (WRONG, False)])
def test_what_parameters_accept(job: str, values: dict[str, list[str]], fit: bool) -> None:
    actions = flag_actions(job)
    for flag, texts in values.items():
        for text in texts if flag in actions and not (flag == "--count" and job != "plan mixtures") else ():
            assert bool(re.fullmatch(regex(actions[flag]), text)) == fit, (flag, text)


@pytest.mark.parametrize("job", jobs())
def test_a_launch_with_all_parameters_parses(job: str) -> None:
    words = [f"--job={job}", "--runner=DataflowRunner", "--region=europe-west4", "--temp_location=gs://b/t"]
    expected = {}
    for action in parameters(job):
        texts = EXAMPLES.get(action.option_strings[0], [])
        fitting = [text for text in texts if re.fullmatch(regex(action), text)]
        text = fitting[-1] if fitting else next(iter(map(str, action.choices or ())), "7")
        if action.nargs != 0:
            words.append(f"--{action.dest}={text}")
            expected[action.dest] = text.split() if action.nargs == "+" else text
    exclusive = {"sample", "all", "items"}
    arguments, passed_on = cli.parse(command_line(words))
    assert arguments.problems == []
    found = {name: getattr(arguments, name) for name in expected.keys() - exclusive}
    assert found == {name: value for name, value in expected.items() if name not in exclusive}
    assert passed_on == ["--runner=DataflowRunner", "--region=europe-west4", "--temp_location=gs://b/t"]


def test_flags_without_value() -> None:
    base = ["--job=render librimix", "--out=o"]
    assert command_line([*base, "--force=true"])[-1] == "--force"
    assert "--force" not in command_line([*base, "--force=false"])


def test_texts_with_blanks_stay_whole_where_the_flag_takes_one() -> None:
    line = command_line(["--job=plan mixtures", "--overlap=uniform(0, 1)", "--subsets=train:0.9 dev:0.1"])
    assert line[2:] == ["--overlap", "uniform(0, 1)", "--subsets", "train:0.9", "dev:0.1"]


@pytest.mark.parametrize("words", [[], ["--job="], ["--job=verify"], ["--out=x"]])
def test_a_launch_without_a_known_command_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit, match=r"wanted one of .*render librimix"):
        command_line(words)


def test_the_specification(capsys: pytest.CaptureFixture[str]) -> None:
    assert flex_template.main(["render", "mixtures", "--image", "eu.pkg.dev/p/mixtape:0.1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "image": "eu.pkg.dev/p/mixtape:0.1",
        "sdkInfo": {"language": "PYTHON"},
        "metadata": metadata("render mixtures"),
    }


def test_the_description_of_an_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flex_template.main(["render", "nothing"])
    assert "wanted one of " in capsys.readouterr().err


def test_the_launcher_runs_the_command(tmp_path: Path) -> None:
    """As the image starts it: by the path of the file, with one word per parameter."""
    corpus = trees.make_corpus(tmp_path / "corpus")
    parameter_words = [
        "--job=render librimix",
        f"--plan={corpus.plan}",
        *(f"--{name}={url}" for name, url in corpus.roots.items()),
        f"--out={tmp_path / 'out'}",
        *("--rates=8000", "--modes=min max", "--types=mix_clean", "--shard_size=2"),
        *("--runner=FnApiRunner", "--job_name=mixtape-nightly"),
    ]
    command = [sys.executable, str(DEPLOY / "dataflow" / "launch.py"), *parameter_words]
    environment = {"PYTHONPATH": str(trees.REPOSITORY), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "planned 5 = written 5 + rejected 0" in done.stdout
    assert shlex.split(done.stderr.splitlines()[0])[:3] == ["mixtape", "render", "librimix"]
