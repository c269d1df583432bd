"""Every job that runs on Beam, on a runner other than the local one: the same files."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import TinyCorpora
from tests.runners.conftest import Bench, Runner
from tests.runners.test_runners import content
from tests.trees import UNEQUAL, Corpus, files, make_corpus

# Plans tell where their listings are, and runs how they went.
PLACES = ("planned/", "config.yaml", *UNEQUAL)


def job_words(root: Path, mixtures: Corpus, wsj0: str) -> dict[str, list[str]]:
    """Command lines by the name of the job, in an order in which each finds what it needs below a folder."""
    roots = mixtures.roots
    lists = root / "lists"
    return {
        "augment": ["augment", "wham", "--corpus", str(root / "wham"), "--engine", "soxr"],
        "metadata, speech": [
            *("metadata", "audio", "--corpus", roots["speech"], "--out", str(lists / "speech")),
            *("--speaker-pattern", "(?P<speaker>[0-9]+)"),
        ],
        "metadata, noise": [
            "metadata", "audio", "--corpus", roots["noise"], "--out", str(lists / "noise"),
        ],
        "plan": [
            *("plan", "mixtures", "--speech", str(lists / "speech/audio.csv")),
            *("--noise", str(lists / "noise/audio.csv"), "--count", "6", "--out", str(root / "plans")),
        ],
        "render": [
            *("render", "mixtures", "--plan", str(root / "plans"), "--out", str(root / "out")),
            *("--root", f"speech={roots['speech']}", f"noise={roots['noise']}", "--shard-size", "2"),
            *("--table-paths", "relative"),
        ],
        "verify": ["verify", str(root / "out"), "--all"],
        "activity": ["activity", "--corpus", wsj0, "--out", str(root / "activity/levels.txt")],
    }  # fmt: skip


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Speech, noises and rooms."""
    return make_corpus(tmp_path_factory.mktemp("mixtures"), mixtures=5, samples=40000, recipe="mixtures")


@pytest.mark.parametrize("runner", ["prism"], indirect=True)
def test_every_job(
    runner: Runner,
    bench: Bench,
    tiny_corpora: TinyCorpora,
    mixtures: Corpus,
    wsj0mix: Corpus,
    tmp_path: Path,
) -> None:
    for place, flags in (("local", ("--workers", "2")), ("there", runner.flags)):
        shutil.copytree(tiny_corpora.wham, tmp_path / place / "wham")
        for job, words in job_words(tmp_path / place, mixtures, wsj0mix.roots["wsj0"]).items():
            ended = bench.run(*words, *flags)
            assert ended.status == 0, f"{job}: {ended.err}"
    local, there = content(tmp_path / "local"), content(tmp_path / "there")
    assert files(tmp_path / "local") == files(tmp_path / "there")
    different = {name for name in local if local[name] != there[name]}
    assert not {name for name in different if not any(place in name for place in PLACES)}
