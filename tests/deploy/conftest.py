"""What the pages and files in ``deploy/`` are checked with."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines import cli

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def parsed(words: Sequence[str]) -> tuple[str, list[str]]:
    """Reads a command line as ``mixtape`` would; returns its job and the flags for Beam.

    Raises AssertionError where a flag is none of ours and looks like one, or a word belongs to none.
    """
    command, *rest = words
    assert command == "mixtape", words
    arguments, passed_on = cli.parse(rest)
    assert arguments.problems == [], words
    return arguments.job, passed_on


def commands_in(page: Path) -> list[list[str]]:
    """Returns the ``mixtape`` command lines in the code blocks of a page."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("mixtape ")]


@pytest.fixture
def deploy() -> Path:
    """The folder ``deploy``."""
    return DEPLOY


@pytest.fixture(autouse=True)
def quiet_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps Google's libraries from looking for the machine that they think they run on."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def load_json(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(path.read_text())
    return found
