"""An unchanged corpus built again, against the full build."""

import dataclasses
import shutil
from pathlib import Path

from benchmarks.comparing import Comparison, Cost, Target, UnequalError, run_command
from benchmarks.corpora import SUBSET, Corpora, Sizes, mixtape


class _Builds:
    """``mixtape build librimix`` on one corpus, from nothing and once more."""

    def __init__(self, corpora: Corpora, count: int, workers: int) -> None:
        self.out = corpora.folder / "out"
        words = ["build", "librimix", *corpora.flags, "--speakers", "2", "--subsets", SUBSET]
        words += ["--dev-test-size", str(count), "--round-to", "1", "--workers", str(workers)]
        self._command = mixtape(*words, "--rates", "8000", "--modes", "min", "--out", self.out)
        self._stamps: dict[str, tuple[int, int]] = {}

    def full(self) -> Cost:
        """Builds into an empty folder."""
        cost = run_command(self._command)
        self._stamps = stamps(self.out)
        return cost

    def again(self) -> Cost:
        """Builds once more; the full build must stand."""
        if not self._stamps:
            self.full()
        return run_command(self._command)

    def check(self) -> None:
        """Raises UnequalError if anything but the history was written again, or nothing was made."""
        check_unchanged(self._stamps, stamps(self.out))

    def clean(self) -> None:
        """Removes the output."""
        shutil.rmtree(self.out)
        self._stamps = {}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Returns size and time of change of every file below a folder but the history, by path."""
    files = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {
        path.relative_to(folder).as_posix(): (status.st_size, status.st_mtime_ns)
        for path, status in files.items()
        if path.name != "history.jsonl"
    }


def check_unchanged(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> None:
    """Raises UnequalError if a file was written, came or went; and if there is no WAV file at all."""
    touched = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    if touched or not any(path.endswith(".wav") for path in after):
        raise UnequalError(f"an unchanged corpus was changed: {', '.join(touched[:3]) or 'it is empty'}")


def _comparison(builds: _Builds, name: str, sizes: Sizes) -> Comparison:
    return Comparison(
        name,
        builds.again,
        builds.full,
        "the full build",
        (Target("share", 0.03),),
        check=builds.check,
        clean=builds.clean,
        repeats=sizes.repeats,
    )


def short(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison over many mixtures of short sources."""
    wide = dataclasses.replace(sizes, readers=2 * sizes.readers)
    corpora = Corpora(work, wide, sizes.short_seconds, noise_links=sizes.rebuilt)
    name = f"build {sizes.rebuilt:,} unchanged mixtures of {sizes.short_seconds[0]:g} s again"
    return _comparison(_Builds(corpora, sizes.rebuilt, sizes.workers), name, sizes)


def realistic(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison over fewer mixtures of sources of the usual length."""
    count = 2 * sizes.rendered
    corpora = Corpora(work, sizes, sizes.seconds, noise_links=count)
    name = f"build {count:,} unchanged mixtures of {sum(sizes.seconds) / 2:g} s again"
    return _comparison(_Builds(corpora, count, sizes.workers), name, sizes)
