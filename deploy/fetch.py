"""Fetches or builds, once, what is needed to try Beam's runners on this machine; prints where it is.

    python deploy/fetch.py prism     the Prism runner                       (needs Go)
    python deploy/fetch.py boot      Beam's own start program of workers    (needs Go)
    python deploy/fetch.py flink     Flink 1.19.0                           (needs pip)
    python deploy/fetch.py spark     Spark 3.5.0                            (needs pip)
    python deploy/fetch.py flink-job-server             (needs Maven and Java)
    python deploy/fetch.py spark-job-server             (needs Maven and Java)
    python deploy/fetch.py spark-job-server-embedded    (needs Maven and Java)

Everything goes to ~/.cache/mixtape/runners (or $XDG_CACHE_HOME/mixtape/runners), outside of any checkout.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BEAM = "v2.77.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixtape" / "runners"
_HERE = Path(__file__).resolve().parent
_SAID_LINES = 15


class CannotFetchError(Exception):
    """Something could not be fetched or built; the message says what and why."""


@dataclass(frozen=True)
class Thing:
    """Something that can be fetched.

    Attributes:
        make: puts it into a folder.
        program: what that needs on this machine.
        path: what is used of it, inside that folder.
        version: changes whenever it has to be fetched again.
    """

    make: Callable[[Path], None]
    program: str
    path: str
    version: str


def _go(package: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _run("go", "install", f"{package}@{BEAM}", variables={"GOBIN": str(folder)})

    return make


def _pip(requirement: str) -> Callable[[Path], None]:
    """Takes the source archive of a Python package for what it carries, and does not install it."""

    def make(folder: Path) -> None:
        # The archive has to be asked for its name, which takes setuptools; what else it would be built
        # with is large, and not needed.
        with tempfile.TemporaryDirectory() as environment:
            _run(sys.executable, "-m", "venv", environment)
            pip = (f"{environment}/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check")
            _run(*pip, "install", "setuptools<81", "wheel")
            flags = ("--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", str(folder))
            _run(*pip, "download", *flags, requirement)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        archive.unlink()

    return make


def _maven(name: str, *flags: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        shutil.copy(_HERE / name / "pom.xml", folder)
        _run("mvn", "--quiet", "--batch-mode", *flags, "package", folder=folder)

    return make


def _pom(name: str) -> str:
    return hashlib.sha256((_HERE / name / "pom.xml").read_bytes()).hexdigest()[:12]


def things() -> Mapping[str, Thing]:
    """Returns everything that can be fetched, by name."""
    beam = "github.com/apache/beam/sdks/v2"
    flink, spark = "apache-flink-libraries==1.19.0", "pyspark==3.5.0"
    jar = "target/{}.jar".format
    embedded = _maven("spark", "--activate-profiles", "embedded")
    return {
        "prism": Thing(_go(f"{beam}/go/cmd/prism"), "go", "prism", BEAM),
        "boot": Thing(_go(f"{beam}/python/container"), "go", "container", BEAM),
        "flink": Thing(_pip(flink), "pip", f"{flink.replace('==', '-')}/deps", "1.19.0"),
        "spark": Thing(_pip(spark), "pip", f"{spark.replace('==', '-')}/deps", "3.5.0"),
        "flink-job-server": Thing(_maven("flink"), "mvn", jar("flink-job-server"), _pom("flink")),
        "spark-job-server": Thing(_maven("spark"), "mvn", jar("spark-job-server"), _pom("spark")),
        "spark-job-server-embedded": Thing(embedded, "mvn", jar("spark-job-server-embedded"), _pom("spark")),
    }


def fetch(name: str) -> Path:
    """Returns where a thing is, after fetching it if it is not there.

    Raises:
        CannotFetchError: it is not there, and what it is fetched or built with is missing or fails.
    """
    thing = things()[name]
    place = CACHE / f"{name}-{thing.version}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.exists():
                _make(name, thing, place)
    return place / thing.path


def _make(name: str, thing: Thing, place: Path) -> None:
    """Makes a thing beside its place and moves it there, so that a broken attempt leaves nothing."""
    if thing.program != "pip" and shutil.which(thing.program) is None:
        raise CannotFetchError(f"{name} is not in {CACHE}, and there is no {thing.program} to make it with")
    print(f"fetching {name} into {CACHE}", file=sys.stderr)
    folder = Path(tempfile.mkdtemp(dir=CACHE, prefix=f".making-{name}-"))
    try:
        thing.make(folder)
        if not (folder / thing.path).exists():
            raise CannotFetchError(f"{name}: {thing.path} was not made")
        os.rename(folder, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str, variables: Mapping[str, str] | None = None, folder: Path | None = None) -> None:
    """Runs a command. Raises CannotFetchError with the end of what it said."""
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_SAID_LINES:])
        raise CannotFetchError(f"{' '.join(command)} failed:\n{said}")


def main(argv: Sequence[str]) -> int:
    """Fetches what is named, and prints where each is; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=sorted(things()), metavar="NAME")
    try:
        for name in parser.parse_args(argv).names:
            print(fetch(name), flush=True)
    except CannotFetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
