"""The pages under docs: their code runs, and what they name is there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import transforms

LIBRARY = "docs/library.md"


def page(repository: Path, name: str) -> str:
    return (repository / name).read_text(encoding="utf-8")


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def wav_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.wav"))}


def the_pipeline(repository: Path) -> str:
    (block,) = re.findall(r"```python\n(.*?)```", page(repository, LIBRARY), re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def folder(tiny_corpora: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpora that the page speaks of."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "LibriSpeech").symlink_to(tiny_corpora.librispeech)
    (folder / "wham_noise").symlink_to(tiny_corpora.wham)
    return folder


def test_the_pipeline_makes_what_the_command_makes(repository: Path, folder: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(repository)!r})\n{the_pipeline(repository)}"
    done = run(folder, "-c", script)
    assert done.returncode == 0, done.stderr
    made = wav_files(folder / "corpus")
    mixtures = [path for path in made if "/mix_clean/" in path]
    assert done.stdout == f"Libri2Mix-train-100 {len(mixtures)} mixtures\n"
    assert len(mixtures) >= 2
    assert len(made) == 3 * len(mixtures)

    roots = ["--librispeech", str(folder / "LibriSpeech"), "--wham", str(folder / "wham_noise")]
    named = " ".join(page(repository, LIBRARY).split())
    choices = re.search(r"`mixtape build librimix (.*?)`", named)
    assert choices is not None
    command = ["-m", "pipelines.cli", "build", "librimix", *roots, *choices[1].split()]
    built = run(repository, *command, "--out", str(folder / "built"), "--workers", "1")
    assert built.returncode == 0, built.stderr
    assert made == wav_files(folder / "built")


def test_the_pipeline_takes_public_names_only(repository: Path) -> None:
    names = re.findall(r"^from transforms import (.*)$", the_pipeline(repository), re.MULTILINE)
    assert names
    assert {name for line in names for name in line.split(", ")} <= set(transforms.__all__)
    assert "from pipelines" not in the_pipeline(repository)


def test_the_page_tells_of_every_public_name(repository: Path) -> None:
    table = page(repository, LIBRARY).partition("## Public names")[2]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = [name for cell in firsts for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(told) == sorted(transforms.__all__)


@pytest.mark.parametrize("name", ["docs/architecture.md", LIBRARY])
def test_modules_that_a_page_names_are_there(repository: Path, name: str) -> None:
    for path in re.findall(
        r"`((?:transforms|pipelines|tests|benchmarks|deploy)/[\w/.]*)`", page(repository, name)
    ):
        assert (repository / path).exists(), path


def test_the_architecture_tells_of_every_module(repository: Path) -> None:
    told = re.findall(r"`([\w/]+\.py|[\w/]+/)`", page(repository, "docs/architecture.md"))
    for path in sorted((repository / "transforms").glob("*.py")):
        if path.name != "__init__.py":
            assert any(path.name == name.rpartition("/")[2] for name in told), path.name


def test_records_of_decisions_are_numbered_in_order(repository: Path) -> None:
    numbers = re.findall(r"^## (\d+)\. \S", page(repository, "docs/decisions.md"), re.MULTILINE)
    assert numbers == [str(number + 1) for number in range(len(numbers))]


def test_pages_link_to_files_that_are_there(repository: Path) -> None:
    for path in sorted((repository / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"
