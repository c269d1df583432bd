"""Equal inputs and options make equal trees: whatever runs them, in whatever order, wherever."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trees import ALL_FORMATS, FIXED_KINDS, KINDS, UNEQUAL, Corpus, contents, files, make_corpus, run
from transforms import report

WITH_TABLES = ("librimix", "mixtures")


@pytest.fixture(autouse=True, scope="module")
def short_report() -> Iterator[None]:
    """Puts a line in place of the report, which no test here reads and which takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "make_report", lambda job, summaries: f"{len(summaries)} parts")
        yield


@pytest.fixture(scope="module", params=[*KINDS, *FIXED_KINDS])
def corpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Nine mixtures in five shards of two; a missing source rejects all items of the third."""
    made = make_corpus(tmp_path_factory.mktemp("corpora"), mixtures=9, recipe=request.param)
    made.utterance(5).unlink()
    return made


@pytest.fixture(scope="module")
def expected(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tree that one worker makes in memory."""
    folder = tmp_path_factory.mktemp("expected") / "out"
    assert run(corpus, folder, "--shard-size", "2", "--max-rejects", "2") == 0
    return contents(folder)


def test_the_tree_holds_all_that_it_should(corpus: Corpus, expected: dict[str, bytes]) -> None:
    variants, packed, written = corpus.kind.variants, 4, 7
    tables = 2 * 3 * variants if corpus.recipe in WITH_TABLES else 0
    ends = {"wav": 0, "tar": 0, "idx": 0, "csv": 0, "json": 0, "parquet": 0}
    for name in expected:
        end = name.rpartition(".")[2]
        if end in ends:
            ends[end] += 1
    assert ends["wav"] == written * variants * len(corpus.kind.streams)
    assert (ends["tar"], ends["idx"]) == (packed * variants,) * 2
    assert ends["csv"] == tables + len(("rejects.csv",))
    assert ends["parquet"] == 1
    assert sum(".tfrecord-" in name for name in expected) == packed * variants
    assert sum(name.startswith("_mixtape/ledger/") for name in expected) == packed + 1
    assert not any(name.startswith(UNEQUAL) for name in expected)


def test_running_modes(
    beam_mode: list[str], corpus: Corpus, expected: dict[str, bytes], tmp_path: Path
) -> None:
    flags = [flag for flag in beam_mode if not flag.startswith("--runner")]
    assert run(corpus, tmp_path / "out", "--shard-size", "2", "--max-rejects", "2", *flags) == 0
    assert contents(tmp_path / "out") == expected


def test_two_workers(corpus: Corpus, expected: dict[str, bytes], tmp_path: Path) -> None:
    two = ("--workers", "2", "--shard-size", "2", "--max-rejects", "2")
    assert run(corpus, tmp_path / "out", *two) == 0
    assert contents(tmp_path / "out") == expected


def test_corpora_elsewhere_with_other_times(
    corpus: Corpus, expected: dict[str, bytes], tmp_path: Path
) -> None:
    moved = Corpus(tmp_path / "a" / "very" / "long" / "path", corpus.mixtures, corpus.recipe)
    shutil.copytree(corpus.folder, moved.folder)
    for number, name in enumerate(files(moved.folder)):
        os.utime(moved.folder / name, ns=(number, number))
    assert run(moved, tmp_path / "other" / "out", "--shard-size", "2", "--max-rejects", "2") == 0
    assert contents(tmp_path / "other" / "out") == expected


def is_of_the_tree(name: str) -> bool:
    """Tells whether a file is one of the published tree's, and not of an archive's."""
    folder = name.split("/")[1]
    return folder.startswith("wav") or folder == "scenes"


def test_formats_do_not_touch_each_other(corpus: Corpus, expected: dict[str, bytes], tmp_path: Path) -> None:
    alike = ("_mixtape/plan", "_mixtape/rejects.csv")
    descriptions = ("README.md", "croissant.json", "checksums.sha256", "_mixtape/checksums/")
    of_the_whole = ("_mixtape/ledger/", "_mixtape/parts/", *descriptions)
    for form, marks in {
        "wav": ("/wav8k/", "/wav16k/", "/scenes/"),
        "webdataset": ("/webdataset/",),
        "tfrecord": ("/tfrecord/",),
    }.items():
        own = {
            name: data
            for name, data in expected.items()
            if name.startswith(alike)
            or (any(mark in name for mark in marks) and (form != "wav" or is_of_the_tree(name)))
        }
        flags = ("--formats", form, "--shard-size", "2", "--max-rejects", "2")
        assert run(corpus, tmp_path / form, *flags) == 0
        found = contents(tmp_path / form)
        made = {name: data for name, data in found.items() if not name.startswith(of_the_whole)}
        assert made == own


def test_rendering_in_two_goes(corpus: Corpus, tmp_path: Path) -> None:
    whole = Corpus(tmp_path / "corpora", (), corpus.recipe)
    shutil.copytree(corpus.folder, whole.folder)
    rest = [corpus.mixture(index) for index in (0, 1, 2, 6, 7, 8)]
    half = whole.with_mixtures(rest[:3])
    assert run(half, tmp_path / "out", "--shard-size", "2") == 0
    whole = whole.with_mixtures(rest)
    assert run(whole, tmp_path / "out", "--shard-size", "2") == 0
    assert run(whole, tmp_path / "fresh", "--shard-size", "2") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_absolute_paths_in_tables_are_the_only_trace_of_the_place(corpus: Corpus, tmp_path: Path) -> None:
    absolute = ("--table-paths", "absolute") if corpus.kind.varied else ()
    flags = (*absolute, "--max-rejects", "2")
    for place in ("here", "there"):
        assert run(corpus, tmp_path / place, *flags) == 0
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    different = {name for name in here | there if here.get(name) != there.get(name)}
    tables = {name for name in here if "/metadata/mixture_" in name}
    assert bool(tables) == (corpus.recipe in WITH_TABLES)
    assert different - {f"_mixtape/parts/{corpus.part.name}.json"} == tables
    assert all(
        there[name] == here[name].replace(bytes(tmp_path / "here"), bytes(tmp_path / "there"))
        for name in tables
    )


def test_all_formats_are_compared(corpus: Corpus) -> None:
    command = corpus.flags(Path("out"))
    assert tuple(command[command.index("--formats") + 1 :]) == ALL_FORMATS
