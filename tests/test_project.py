"""The project as a whole: one version, extras, light imports, one direction of imports, make targets."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest

from transforms.version import VERSION

HEAVY = ("apache_beam", "numpy", "scipy", "soundfile", "pyarrow", "librosa", "fsspec")


@dataclass(frozen=True)
class Built:
    """What packaging makes of the checkout: metadata, and the files that would be installed."""

    metadata: Distribution
    files: frozenset[Path]

    def needs(self, extra: str = "") -> set[str]:
        """Requirements of the package itself, or of one extra, as they are written."""
        found = [need.partition(";") for need in self.metadata.requires or []]
        return {
            need.strip() for need, _, marker in found if marker.strip() == (extra and f'extra == "{extra}"')
        }


def run(repository: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=repository, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def built(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    library = folder / "lib"
    command = ["egg_info", f"--egg-base={folder}", "build_py", f"--build-lib={library}"]
    done = run(repository, sys.executable, "setup.py", *command)
    assert done.returncode == 0, done.stderr
    files = frozenset(path.relative_to(library) for path in library.rglob("*") if path.is_file())
    return Built(Distribution.at(folder / "mixtape.egg-info"), files)


def loaded_by(repository: Path, module: str) -> set[str]:
    """Top-level names of everything that importing a module loads, in a fresh interpreter."""
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = run(repository, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def sources(repository: Path, package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((repository / package).rglob("*.py")):
        yield path.relative_to(repository), ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_version_has_three_numbers() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_version_is_written_down_once(repository: Path, built: Built) -> None:
    assert built.metadata.version == VERSION
    assert "project" not in tomllib.loads((repository / "pyproject.toml").read_text())
    holders = [
        path
        for package in ("pipelines", "transforms")
        for path, tree in sources(repository, package)
        if any(isinstance(node, ast.Constant) and node.value == VERSION for node in ast.walk(tree))
    ]
    assert holders == [Path("transforms/version.py")]


def test_changelog_knows_the_version(repository: Path) -> None:
    headings = re.findall(r"^## \[(.+?)\]", (repository / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert VERSION in headings


def test_extras(built: Built) -> None:
    names = set(built.metadata.metadata.get_all("Provides-Extra") or [])
    assert names == {"gcp", "s3", "video", "test", "all"}
    assert built.needs("all") == set().union(*(built.needs(name) for name in names - {"all"}))


def test_every_need_has_a_lower_and_an_upper_bound(built: Built) -> None:
    needs = built.needs() | built.needs("all")
    assert len(needs) > 20
    for need in needs:
        assert re.fullmatch(r"[a-z0-9-]+(\[gcp\])?<[0-9.]+,>=[0-9.]+", need), need


@pytest.mark.parametrize(
    "name", ["apache-beam", "numpy", "soundfile", "pyloudnorm", "librosa", "fsspec", "gcsfs"]
)
def test_what_the_owner_named_is_needed(built: Built, name: str) -> None:
    assert [need for need in built.needs() if need.startswith(f"{name}<")]


def undeclared(repository: Path, package: str, needs: set[str]) -> set[str]:
    """Imports of a package's modules that no requirement brings along."""
    declared = {re.split(r"[\[<]", need)[0] for need in needs}
    own = {"transforms", "pipelines", "tests", "benchmarks", "deploy", "setuptools"} | sys.stdlib_module_names
    found = set().union(*(imported(ast.walk(tree)) for _, tree in sources(repository, package)))
    tops = {name.split(".")[0] for name in found} - own
    brought = {
        top: {name.lower().replace("_", "-") for name in packages_distributions().get(top, ())}
        for top in tops
    }
    return {top for top, names in brought.items() if not names & declared}


@pytest.mark.parametrize("package", ["transforms", "pipelines"])
def test_everything_that_the_code_imports_is_declared(repository: Path, built: Built, package: str) -> None:
    assert undeclared(repository, package, built.needs() | built.needs("video")) == set()
    assert "numpy" in undeclared(repository, "transforms", built.needs() - {"numpy<2.5,>=2.4"})


@pytest.mark.parametrize("package", ["tests", "benchmarks"])
def test_everything_that_tests_import_is_declared(repository: Path, built: Built, package: str) -> None:
    assert undeclared(repository, package, built.needs() | built.needs("test")) == set()


def test_the_command_is_installed(built: Built) -> None:
    scripts = {(entry.group, entry.name, entry.value) for entry in built.metadata.entry_points}
    commands = {"mixtape": "pipelines.cli:main", "mixtape-worker": "pipelines.worker:main"}
    assert scripts == {("console_scripts", *command) for command in commands.items()}


def test_all_modules_and_templates_are_shipped_and_nothing_else(repository: Path, built: Built) -> None:
    there = {
        path.relative_to(repository)
        for package in ("pipelines", "transforms")
        for path in (repository / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert built.files == there


def test_modules_that_do_not_name_beam_do_not_load_it(repository: Path) -> None:
    pure = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path, tree in sources(repository, "transforms")
        if not any(name.split(".")[0] == "apache_beam" for name in imported(tree.body))
    ]
    assert {"transforms.rendering", "transforms.plan", "transforms.storage"} <= set(pure)
    checks = [f"import {module}; assert 'apache_beam' not in sys.modules, {module!r}" for module in pure]
    done = run(repository, sys.executable, "-c", "; ".join(["import sys", *checks]))
    assert done.returncode == 0, done.stderr


def test_the_command_line_loads_nothing_heavy(repository: Path) -> None:
    assert not loaded_by(repository, "pipelines.cli").intersection(HEAVY)


def test_imports_point_one_way(repository: Path) -> None:
    for path, tree in sources(repository, "transforms"):
        assert not any(name.split(".")[0] == "pipelines" for name in imported(ast.walk(tree))), path


def test_only_storage_and_its_tests_know_fsspec(repository: Path) -> None:
    users = [path for path, tree in sources(repository, "transforms") if "fsspec" in imported(ast.walk(tree))]
    assert users == [Path("transforms/storage/clients.py")]


def test_only_storage_opens_files_by_path(repository: Path) -> None:
    calls = [
        (path, node.func)
        for path, tree in sources(repository, "transforms")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    users = {path for path, called in calls if isinstance(called, ast.Name) and called.id == "open"}
    assert users
    assert {path.parent for path in users} == {Path("transforms/storage")}


def test_the_command_tells_its_version(repository: Path) -> None:
    done = run(repository, sys.executable, "-m", "pipelines.cli", "--version")
    assert (done.returncode, done.stdout) == (0, f"mixtape {VERSION}\n")


TARGETS = [
    "demo",
    "test",
    "test-stores",
    "test-runners",
    "test-consumers",
    "lint",
    "format",
    "format-check",
    "types",
    "ci",
    "clean",
]


@pytest.mark.parametrize("target", TARGETS)
def test_make_help_names_every_target(repository: Path, target: str) -> None:
    done = run(repository, "make", "help")
    assert re.search(rf"^{target}  +\w", done.stdout, re.MULTILINE), done.stdout


def test_make_help_tells_which_tests_are_run_by_hand_only(repository: Path) -> None:
    automatic = set(re.findall(r"^make (\S+)$", (repository / ".ci" / "run").read_text(), re.MULTILINE))
    told = re.findall(r"^(test\S*) +(.*)", run(repository, "make", "help").stdout, re.MULTILINE)
    by_hand = {target for target, text in told if "by hand" in text}
    assert by_hand == {target for target, _ in told} - automatic
    assert "test-benchmarks" in by_hand


def test_make_says_when_no_python_fits(repository: Path, tmp_path: Path) -> None:
    shutil.copy(repository / "Makefile", tmp_path)
    done = run(tmp_path, "make", ".venv/bin/python", "PYTHON=/nowhere/python3")
    assert done.returncode != 0
    assert "No Python 3.11 or newer found (tried: /nowhere/python3)" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_ci_runs_the_checks_and_the_tests(repository: Path) -> None:
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    targets = re.findall(r"^make (\S+)$", script.read_text(), re.MULTILINE)
    tests = ["test", "test-stores", "test-consumers", "test-runners"]
    assert targets == ["lint", "format-check", "types", *tests]


def commands_in(text: str) -> list[list[str]]:
    """Shell commands of a page's ``sh`` blocks that begin with ``mixtape``, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].split()[1:] for line in lines if line.startswith("mixtape ")]


def test_commands_of_the_readme_are_understood(repository: Path) -> None:
    from pipelines.cli import parse

    commands = commands_in((repository / "README.md").read_text())
    assert len(commands) >= 4
    for command in commands:
        arguments, passed_on = parse(command)
        assert arguments.job.startswith("pipelines."), command
        assert not passed_on or passed_on[0] == "--runner", command


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md", "docs/decisions.md", "CHANGELOG.md"])
def test_links_between_pages_lead_somewhere(repository: Path, page: str) -> None:
    text = (repository / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert ((repository / page).parent / target).exists(), f"{page}: {target}"


@pytest.fixture(scope="module")
def small_corpus(repository: Path, tiny_corpora: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus as the README's snippets find it, made with its ``build`` command."""
    out = tmp_path_factory.mktemp("corpus")
    roots = ["--librispeech", str(tiny_corpora.librispeech), "--wham", str(tiny_corpora.wham)]
    choices = "--subsets train-clean-100 --round-to 1 --rates 8000 --modes min --formats webdataset tfrecord"
    command = ["build", "librimix", *roots, "--out", str(out), *choices.split(), "--workers", "1"]
    done = run(repository, sys.executable, "-m", "pipelines.cli", *command)
    assert done.returncode == 0, done.stderr
    return out


def test_snippets_of_the_readme_read_a_corpus(repository: Path, small_corpus: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (repository / "README.md").read_text(), re.DOTALL)
    assert len(snippets) == 2
    outputs = [run(small_corpus, sys.executable, "-c", snippet) for snippet in snippets]
    assert [done.returncode for done in outputs] == [0, 0], [done.stderr for done in outputs]
    found = [[line.split()[0] for line in done.stdout.splitlines()] for done in outputs]
    assert len(found[0]) >= 2
    assert sorted(found[1]) == sorted(found[0])
