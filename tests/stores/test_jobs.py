"""Every job from a store to a store: the same bytes as from disk to disk, ledgers included."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipelines import cli
from tests import trees
from tests.conftest import REPOSITORY, TinyCorpora
from tests.servers import Store
from tests.stores.conftest import stored, upload
from tests.trees import UNEQUAL
from transforms import report

SHARDS = ("--shard-size", "2", "--table-paths", "relative")
ALL = ("--formats", *trees.ALL_FORMATS)
SPEAKER = ("--speaker-pattern", r"/(?P<speaker>\d+)-\d+-\d+\.flac$")
LISTINGS = ("--librispeech-metadata", "{w}/listings", "--wham-metadata", "{w}/noises")
LIBRIMIX = ("--librispeech", "{c}/LibriSpeech", "--wham", "{c}/wham")
FEW = ("--round-to", "1", "--dev-test-size", "4")
WSJ0 = ("--wsj0", "{c}/wsj0mix/csr/wsj0", "--activity-levels", "{c}/wsj0mix/plan/levels.txt")
ROOTS = ("--root", *(f"{name}={{c}}/mixtures/{folder}" for name, folder in trees.MIXTURES.roots.items()))

# Every job, in an order in which each finds what it needs; {c} holds corpora, {w} what was made of them.
JOBS: dict[str, Sequence[str]] = {
    "listings": ("metadata", "librispeech", "--corpus", "{c}/LibriSpeech", "--out", "{w}/listings"),
    "noises": ("metadata", "wham", "--corpus", "{c}/wham", "--out", "{w}/noises"),
    "speech": ("metadata", "audio", "--corpus", "{c}/LibriSpeech", *SPEAKER, "--out", "{w}/speech"),
    "sounds": ("metadata", "audio", "--corpus", "{c}/wham/tr", "--out", "{w}/sounds"),
    "augmented": ("augment", "wham", "--corpus", "{w}/augmented", "--engine", "soxr"),
    "activity": ("activity", "--corpus", "{c}/LibriSpeech/dev-clean", "--out", "{w}/activity/levels.txt"),
    "plan": ("plan", "librimix", *LISTINGS, *LIBRIMIX, *FEW, "--out", "{w}/plan"),
    "lists": ("plan", "wsj0mix", *WSJ0, "--counts", "tr:5", "--out", "{w}/lists"),
    "planned": (
        *("plan", "mixtures", "--speech", "{w}/speech/audio.csv", "--noise", "{w}/sounds/audio.csv"),
        *("--count", "5", "--out", "{w}/planned"),
    ),
    "librimix": (
        "render",
        "librimix",
        "--plan",
        "{w}/plan",
        *LIBRIMIX,
        *ALL,
        *SHARDS,
        "--out",
        "{w}/librimix",
    ),
    "wsj0mix": (
        *("render", "wsj0mix", "--plan", "{c}/wsj0mix/plan", *WSJ0, *ALL, *SHARDS, "--out", "{w}/wsj0mix"),
    ),
    "mixtures": (
        *(
            "render",
            "mixtures",
            "--plan",
            "{c}/mixtures/plan",
            *ROOTS,
            *ALL,
            *SHARDS,
            "--out",
            "{w}/mixtures",
        ),
    ),
    "built": ("build", "librimix", *LIBRIMIX, *FEW, *ALL, *SHARDS, "--rates", "8000", "--out", "{w}/built"),
    "verify": ("verify", "{w}/built", "--all"),
    "prune": (
        *("render", "wsj0mix", "--plan", "{c}/wsj0mix/plan", *WSJ0, *SHARDS, "--out", "{w}/wsj0mix"),
        *("--formats", "webdataset", "--prune"),
    ),
}
OUTPUTS = [name for name in JOBS if name not in ("verify", "prune")]


def run_jobs(fill: Callable[[str], str], store: Store | None) -> None:
    """Runs all jobs; one of them as a program of its own, with two workers."""
    for name, words in JOBS.items():
        command = [fill(word) for word in words]
        if name == "built":
            program = [sys.executable, "-m", "pipelines.cli", *command, "--workers", "2"]
            environment = store.environment if store else None
            status = subprocess.run(program, cwd=REPOSITORY, env=environment, check=False).returncode
        else:
            status = cli.main([*command, "--workers", "1", "--quiet"])
        assert status == 0, name


@pytest.fixture(autouse=True, scope="module")
def short_report() -> Iterator[None]:
    """Puts a line in place of the report, which no test here reads and which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


@pytest.fixture(scope="module")
def corpora(tiny_corpora: TinyCorpora, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpora of all recipes, and the plans of two."""
    folder = tmp_path_factory.mktemp("corpora")
    shutil.copytree(tiny_corpora.librispeech, folder / "LibriSpeech")
    shutil.copytree(tiny_corpora.wham, folder / "wham")
    for recipe in ("wsj0mix", "mixtures"):
        trees.make_corpus(folder / recipe, recipe=recipe)
    return folder


def made(files: dict[str, bytes], work: str) -> dict[str, bytes]:
    """Leaves out what tells of one run or one copy of the sources, and where listings were."""
    unequal = (*UNEQUAL, "_mixtape/listed/", "_mixtape/planned/")
    kept = {name: data for name, data in files.items() if not any(f"/{part}" in name for part in unequal)}
    asked = "planned/mixtures/config.yaml"
    return kept | {asked: kept[asked].replace(work.encode(), b"{w}")}


@pytest.fixture(scope="module")
def on_disk(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(corpora / "wham", work / "augmented")
    run_jobs(lambda word: word.format(c=corpora, w=work), None)
    return made({name: (work / name).read_bytes() for name in trees.files(work)}, str(work))


@pytest.fixture(scope="module")
def in_store(corpora: Path, store: Store) -> dict[str, bytes]:
    upload(corpora, f"{store.url}/corpora")
    upload(corpora / "wham", f"{store.url}/work/augmented")
    run_jobs(lambda word: word.format(c=f"{store.url}/corpora", w=f"{store.url}/work"), store)
    return made(stored(f"{store.url}/work"), f"{store.url}/work")


@pytest.mark.parametrize("output", OUTPUTS)
def test_a_store_gets_the_bytes_that_a_disk_gets(
    output: str, on_disk: dict[str, bytes], in_store: dict[str, bytes]
) -> None:
    expected = {name: data for name, data in on_disk.items() if name.startswith(f"{output}/")}
    found = {name: data for name, data in in_store.items() if name.startswith(f"{output}/")}
    assert expected
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
