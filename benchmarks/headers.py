"""Metadata of many FLAC files against ``soundfile.info`` in a loop."""

import csv
import itertools
import os
import shutil
from pathlib import Path

import soundfile

from benchmarks.comparing import Comparison, Cost, Target, UnequalError, run_command, run_here
from benchmarks.corpora import SUBSET, Corpora, Sizes, mixtape


class _Headers:
    """The two ways to learn the lengths of all files of a corpus."""

    def __init__(self, work: Path, sizes: Sizes) -> None:
        made = Corpora(work / "made", sizes, sizes.short_seconds).roots["librispeech"]
        self._work = work
        self._sizes = sizes
        self._corpora = {count: work / f"corpus-{count}" for count in (sizes.few, sizes.headers)}
        for count, folder in self._corpora.items():
            link_files(made, folder, count)
        self._theirs: dict[str, int] = {}

    def _out(self, count: int) -> Path:
        return self._work / f"metadata-{count}"

    def ours(self) -> Cost:
        """Lists many files and few, and returns the cost of one more."""
        costs = []
        for count, folder in self._corpora.items():
            words = ["metadata", "librispeech", "--corpus", folder, "--out", self._out(count), "--force"]
            costs.append(run_command(mixtape(*words, "--workers", "1")))
        few, many = costs
        return many.per_item(few, self._sizes.headers - self._sizes.few)

    def theirs(self) -> Cost:
        """Reads all headers in a loop, and returns the cost of one."""
        corpus = self._corpora[self._sizes.headers]
        paths = sorted((corpus / SUBSET).rglob("*.flac"))

        def read() -> None:
            self._theirs = {
                path.relative_to(corpus).as_posix(): soundfile.info(path).frames for path in paths
            }

        return run_here(read).per_item(Cost(0.0, 0.0), len(paths))

    def check(self) -> None:
        """Compares the lengths of all files."""
        with (self._out(self._sizes.headers) / f"{SUBSET}.csv").open(newline="") as file:
            ours = {row["origin_path"]: int(row["length"]) for row in csv.DictReader(file)}
        check_lengths(ours, self._theirs)

    def clean(self) -> None:
        """Removes the listings."""
        for count in self._corpora:
            shutil.rmtree(self._out(count))


def check_lengths(ours: dict[str, int], theirs: dict[str, int]) -> None:
    """Raises UnequalError unless both know the same files with the same lengths."""
    if not ours or ours != theirs:
        raise UnequalError("the lengths of the files differ")


def link_files(made: Path, folder: Path, count: int) -> None:
    """Makes a corpus of so many names of the files of a small one."""
    folder.mkdir()
    os.link(made / "SPEAKERS.TXT", folder / "SPEAKERS.TXT")
    sources = itertools.cycle(sorted(made.rglob("*.flac")))
    for number, source in zip(range(count), sources, strict=False):
        reader = source.name.partition("-")[0]
        path = folder / SUBSET / reader / str(number // 1000) / f"{reader}-1-{number:06d}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, path)


def headers(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of reading headers."""
    both = _Headers(work, sizes)
    return Comparison(
        f"metadata, each of {sizes.headers:,} FLAC files, 1 worker, start-up apart",
        both.ours,
        both.theirs,
        "soundfile.info in a loop",
        (Target("share", 1.0, "cpu_s"),),
        check=both.check,
        clean=both.clean,
        repeats=sizes.repeats,
    )
