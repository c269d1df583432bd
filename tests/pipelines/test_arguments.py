"""Every command, flag and default that the command line promises."""

import argparse
import importlib
import os
import re
from collections.abc import Iterator

import pytest

from pipelines.arguments import LIBRIMIX_SUBSETS, build_parser, default_workers

PROMISED = {
    "demo": "pipelines.demo",
    "metadata librispeech": "pipelines.corpora",
    "metadata wham": "pipelines.corpora",
    "metadata audio": "pipelines.corpora",
    "augment wham": "pipelines.corpora",
    "plan librimix": "pipelines.plan",
    "render librimix": "pipelines.render",
    "build librimix": "pipelines.build",
    "verify": "pipelines.verify",
}
COMMON = {"--workers", "--dry-run", "--resume", "--force", "--quiet", "--verbose", "--help"}
RENDERING = {
    "--rates",
    "--modes",
    "--types",
    "--formats",
    "--shard-size",
    "--table-paths",
    "--prune",
    "--licence",
}
PLANNING = {"--speakers", "--subsets", "--round-to", "--dev-test-size", "--seed"}
LISTINGS = {"--librispeech-metadata", "--wham-metadata"}
OWN_FLAGS = {
    "demo": {"--out"},
    "metadata librispeech": {"--corpus", "--out", "--subsets", "--max-rejects"},
    "metadata wham": {"--corpus", "--out", "--max-rejects"},
    "metadata audio": {
        *("--corpus", "--out", "--speaker-pattern", "--transcripts", "--licence", "--max-rejects"),
    },
    "augment wham": {"--corpus", "--speeds", "--engine", "--max-rejects"},
    "plan librimix": {"--librispeech", "--wham", "--out", "--shard-size", "--max-rejects"}
    | PLANNING
    | LISTINGS,
    "render librimix": {"--plan", "--librispeech", "--wham", "--out", "--max-rejects"} | RENDERING,
    "build librimix": {"--librispeech", "--wham", "--out", "--max-rejects"} | RENDERING | PLANNING | LISTINGS,
    "verify": {"--sample", "--all", "--items", "--root"},
}


def leaves(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yields every command that does something, by its words."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield name.strip(), parser
    for word, one in inner[0].choices.items() if inner else ():
        yield from leaves(one, f"{name} {word}")


def command(name: str) -> argparse.ArgumentParser:
    return dict(leaves(build_parser("1")))[name]


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_command_names_what_runs_it(name: str) -> None:
    job = command(name).get_default("job")
    assert job == PROMISED[name]
    assert callable(importlib.import_module(job).run)


@pytest.mark.parametrize("name", PROMISED)
def test_flags_of_every_command(name: str) -> None:
    flags = {flag for flag in command(name)._option_string_actions if flag.startswith("--")}
    common = COMMON - {"--resume", "--force"} if name == "verify" else COMMON
    assert flags == common | OWN_FLAGS[name]


@pytest.mark.parametrize(
    ("name", "parser"), [pytest.param(*one, id=one[0]) for one in leaves(build_parser("1"))]
)
def test_help_states_every_flag_and_every_default(name: str, parser: argparse.ArgumentParser) -> None:
    text = re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(parser.format_help().split()))
    for action in parser._actions:
        assert action.help, action
        for flag in action.option_strings:
            assert flag in text
        if action.default not in (None, False, "", [], argparse.SUPPRESS):
            given = action.default if isinstance(action.default, list) else [action.default]
            assert f"(default: {' '.join(map(str, given))})" in text, action.dest


def defaults(name: str) -> dict[str, object]:
    words = [*name.split(), *(["somewhere"] if name == "verify" else [])]
    return vars(build_parser("1").parse_args(words))


@pytest.mark.parametrize("name", ["render librimix", "build librimix"])
def test_defaults_of_rendering_are_the_published_ones(name: str) -> None:
    found = defaults(name)
    assert found["rates"] == ["8000", "16000"]
    assert found["modes"] == ["min", "max"]
    assert found["types"] == ["mix_clean", "mix_both", "mix_single"]
    assert found["formats"] == ["wav"]
    assert found["table_paths"] is None  # absolute, or what rebase chose
    assert found["max_rejects"] == "0"
    assert not found["prune"]


@pytest.mark.parametrize("name", ["plan librimix", "build librimix"])
def test_defaults_of_planning_are_the_published_ones(name: str) -> None:
    found = defaults(name)
    assert [found[key] for key in ("speakers", "seed", "round_to", "dev_test_size")] == [
        "2",
        "72",
        "100",
        "3000",
    ]
    assert found["subsets"] is None
    assert LIBRIMIX_SUBSETS == ("test-clean", "dev-clean", "train-clean-360", "train-clean-100")


def test_defaults_of_the_other_commands() -> None:
    assert defaults("augment wham")["speeds"] == ["0.8", "1.2"]
    assert defaults("augment wham")["engine"] == "sox"
    assert defaults("verify")["sample"] == "20"
    assert defaults("demo")["out"] == "demo-corpus"


def test_all_processors_that_this_process_may_use_work_unless_told_otherwise() -> None:
    assert default_workers() == len(os.sched_getaffinity(0))
    assert defaults("demo")["workers"] == str(default_workers())


def test_flags_cannot_be_shortened() -> None:
    _, rest = build_parser("1").parse_known_args(["demo", "--work", "3"])
    assert rest == ["--work", "3"]


@pytest.mark.parametrize("pair", [("--resume", "--force"), ("--quiet", "--verbose")], ids=str)
def test_opposite_flags_exclude_each_other(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for flag in pair:
        assert vars(build_parser("1").parse_args(["demo", flag]))[flag.removeprefix("--")]
    with pytest.raises(SystemExit):
        build_parser("1").parse_args(["demo", *pair])
    assert "not allowed with argument" in capsys.readouterr().err
