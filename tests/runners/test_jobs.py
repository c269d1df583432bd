"""Every job that runs on Beam, on a runner other than the local one: the same files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.clips import write_clip
from tests.conftest import TinyCorpora
from tests.flashes import GOLDEN
from tests.runners.conftest import Bench, Runner
from tests.runners.test_runners import content
from tests.trees import ALL_FORMATS, UNEQUAL, Corpus, files, make_corpus

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
        # Its lists tell where the corpus is: one and the same for all.
        "export": [
            *("export", "lhotse", str(root.with_name("local") / "out"), "--shar"),
            *("--to", str(root / "exports")),
        ],
        "activity": ["activity", "--corpus", wsj0, "--out", str(root / "activity/levels.txt")],
    }  # fmt: skip


def video_job_words(root: Path, videos: Path, scenes: Corpus) -> dict[str, list[str]]:
    """The same of the jobs whose input is videos."""
    talk = ("--segment", "1", "--shard-size", "2", "--formats", *ALL_FORMATS, "--table-paths", "relative")
    return {
        "metadata, LRS3": [
            *("metadata", "lrs3", "--corpus", str(videos / "LRS3"), "--out", str(root / "lists")),
            *("--speaker-durations", str(videos / "durations.txt")),
        ],
        "maskers": [
            *("maskers", "avse", "--lrs3", str(videos / "LRS3"), "--metadata", str(root / "lists")),
            *("--out", str(root / "maskers")),
        ],
        "scenes": [*scenes.flags(root / "scenes"), "--shard-size", "2"],
        "align": ["align", "--corpus", str(videos / "talk"), "--out", str(root / "out"), *talk],
    }


@pytest.fixture(scope="module")
def mixtures(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Speech, noises and rooms."""
    return make_corpus(tmp_path_factory.mktemp("mixtures"), mixtures=5, samples=40000, recipe="mixtures")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Scenes of AVSE."""
    return make_corpus(tmp_path_factory.mktemp("scenes"), mixtures=4, recipe="avse")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos as LRS3 has them, with a table of how long its speakers talk, and videos of any kind."""
    folder = tmp_path_factory.mktemp("videos")
    for index, name in enumerate(("pretrain/ann/00001", "trainval/ann/50002", "pretrain/bob/00001")):
        sound = np.random.default_rng(index).integers(-3000, 3000, 9000 + 100 * index, dtype=np.int16)
        write_clip(folder / "LRS3" / f"{name}.mp4", sound, pictures=2, seed=index)
    (folder / "LRS3/test").mkdir()
    (folder / "durations.txt").write_text("ann 600\nbob 400\nc 401\nd 402\ne 403\n")
    (folder / "talk").mkdir()
    for name in ("cfr25_pcm16k.mov", "vfr_aac16k.mp4", "audio_delayed_500ms.mp4"):
        shutil.copy(GOLDEN / name, folder / "talk")
    return folder


def assert_equal_everywhere(
    bench: Bench, runner: Runner, folder: Path, words: Callable[[Path], dict[str, list[str]]]
) -> None:
    """Runs jobs with the local runner and with another, and compares all that they made."""
    for place, flags in (("local", ("--workers", "2")), ("there", runner.flags)):
        for job, line in words(folder / place).items():
            ended = bench.run(*line, *flags)
            assert ended.status == 0, f"{job}: {ended.err}"
    local, there = content(folder / "local"), content(folder / "there")
    assert files(folder / "local") == files(folder / "there")
    different = {name for name in local if local[name] != there[name]}
    assert not {name for name in different if not any(place in name for place in PLACES)}


@pytest.mark.parametrize("runner", ["prism"], indirect=True)
def test_every_job(
    runner: Runner,
    bench: Bench,
    tiny_corpora: TinyCorpora,
    mixtures: Corpus,
    wsj0mix: Corpus,
    tmp_path: Path,
) -> None:
    for place in ("local", "there"):
        shutil.copytree(tiny_corpora.wham, tmp_path / place / "wham")
    wsj0 = wsj0mix.roots["wsj0"]
    assert_equal_everywhere(bench, runner, tmp_path, lambda root: job_words(root, mixtures, wsj0))


@pytest.mark.parametrize("runner", ["prism"], indirect=True)
def test_every_job_on_videos(
    runner: Runner, bench: Bench, videos: Path, scenes: Corpus, tmp_path: Path
) -> None:
    assert_equal_everywhere(bench, runner, tmp_path, lambda root: video_job_words(root, videos, scenes))
    made = {path.name for path in (tmp_path / "there").iterdir()}
    assert made == {"lists", "maskers", "scenes", "out"}
