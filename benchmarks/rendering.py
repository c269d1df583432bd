"""Rendering against itself: three formats against one, and two workers against one."""

import functools
import json
import shutil
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import google_crc32c

from benchmarks.comparing import Comparison, Cost, Target, UnequalError, run_command
from benchmarks.corpora import Corpora, Sizes, checksums, mixtape

LEDGERS = "_mixtape/ledger"
PER_SHARD = 25


def render_command(corpora: Corpora, plan: Path, out: Path, *more: str, workers: int) -> list[str]:
    """Returns the command line that renders a plan over generated corpora."""
    words = ["render", "librimix", "--plan", plan, *corpora.flags, "--out", out]
    return mixtape(*words, "--workers", str(workers), "--shard-size", str(PER_SHARD), *more)


def loop_command(loop: str, corpora: Corpora, plan: Path, out: Path, *, workers: int) -> list[str]:
    """Returns the command line by which a program of ``benchmarks.loops`` renders the same."""
    words = [sys.executable, "-m", "benchmarks.loops", loop, "--plan", plan, *corpora.flags, "--out", out]
    return [*map(str, words), "--workers", str(workers)]


class Renders:
    """Runs of one plan and of its beginning, so that start-up and cost per mixture come apart.

    Args:
        corpora: what is mixed.
        sizes: how many mixtures.
    """

    def __init__(self, corpora: Corpora, sizes: Sizes) -> None:
        self._corpora = corpora
        self._many = sizes.rendered - sizes.few
        self._plans = {"few": corpora.plan(sizes.few), "many": corpora.plan(sizes.rendered)}
        self.starts_s: dict[str, list[float]] = {}

    def out(self, name: str) -> Path:
        """Returns where a run of all mixtures is."""
        return self._corpora.folder / f"out-{name}"

    def cost(self, name: str, *more: str, workers: int, loop: str = "") -> Cost:
        """Renders few and all mixtures, and returns the cost of one more.

        Args:
            name: names the output, which is left, and the start-up in ``starts_s``.
            more: further flags.
            workers: processes.
            loop: a program of ``benchmarks.loops`` to do it instead.
        """
        costs = {}
        for size, plan in self._plans.items():
            shutil.rmtree(self.out(name), ignore_errors=True)
            make = functools.partial(loop_command, loop) if loop else render_command
            costs[size] = run_command(make(self._corpora, plan, self.out(name), *more, workers=workers))
        each = costs["many"].per_item(costs["few"], self._many)
        few = len(self._plans["few"].read_text().splitlines()) - 1
        self.starts_s.setdefault(name, []).append(costs["few"].wall_s - few * each.wall_s)
        return each

    def clean(self) -> None:
        """Removes the outputs."""
        for name in self.starts_s:
            shutil.rmtree(self.out(name), ignore_errors=True)

    def notes(self) -> Mapping[str, str]:
        """Tells what start-up took, by run."""
        return {f"start-up, {name}": f"{min(found):.2f} s" for name, found in self.starts_s.items()}


def check_equal(one: Path, other: Path) -> None:
    """Raises UnequalError unless two outputs hold the same WAV files; some there must be."""
    found = checksums(one)
    if not found or found != checksums(other):
        raise UnequalError(f"the WAV files of {one.name} and {other.name} differ")


def check_members(out: Path) -> None:
    """Raises UnequalError unless archives hold the WAV files beside them, and records are as ledgers say."""
    wavs = {tuple(path.split("/")[1:]): crc for path, crc in checksums(out).items()}
    members = {}
    for path in sorted(out.rglob("*.tar")):
        rate, mode = path.parts[-3:-1]
        subset = path.name.rpartition("-")[0]
        with tarfile.open(path) as archive:
            for member in archive:
                key, stream, ending = member.name.rsplit(".", 2) if ".wav" in member.name else ("", "", "")
                file = archive.extractfile(member) if ending else None
                if file is not None:
                    place = (rate, mode, subset, stream, f"{key}.wav")
                    members[place] = google_crc32c.value(file.read())
    if not members or members != wavs:
        raise UnequalError("the archives hold other samples than the WAV files")
    check_records(out, sorted((out / LEDGERS).iterdir()))


def check_records(out: Path, ledgers: Sequence[Path]) -> None:
    """Raises UnequalError unless the files of records are those that the ledgers name."""
    files = [file for one in ledgers for file in json.loads(one.read_bytes())["files"]]
    known = {file["path"]: file["crc32c"] for file in files if ".tfrecord-" in file["path"]}
    if not known or known != checksums(out, "*.tfrecord-*"):
        raise UnequalError("the records are others than the ledgers name")


def bare(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison with a loop that only does the arithmetic and writes the files."""
    return _against_loop(
        work, sizes, "bare", "a bare loop: decode once, no pipeline, one writev per file", 1.0
    )


def plain(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison with the pattern of the field's scripts."""
    return _against_loop(work, sizes, "plain", "the plain script pattern: all anew per rate and mode", 6.0)


def _against_loop(work: Path, sizes: Sizes, loop: str, against: str, bound: float) -> Comparison:
    renders = Renders(Corpora(work, sizes, sizes.seconds), sizes)
    return Comparison(
        f"render LibriMix, each of {sizes.rendered:,} mixtures (24 WAVs), {sizes.workers} workers, "
        "start-up apart",
        lambda: renders.cost("mixtape", workers=sizes.workers),
        lambda: renders.cost(loop, workers=sizes.workers, loop=loop),
        against,
        (Target("speed-up", bound), Target("speed-up", bound, "cpu_s")),
        check=lambda: check_equal(renders.out("mixtape"), renders.out(loop)),
        clean=renders.clean,
        repeats=sizes.repeats,
        notes=renders.notes,
    )


def formats(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of three formats with WAV alone."""
    renders = Renders(Corpora(work, sizes, sizes.seconds), sizes)
    three = ("--formats", "wav", "webdataset", "tfrecord")

    def check() -> None:
        check_equal(renders.out("three formats"), renders.out("WAV"))
        check_members(renders.out("three formats"))

    return Comparison(
        f"WAV + WebDataset + TFRecord, each of {sizes.rendered:,} mixtures, {sizes.workers} workers, "
        "start-up apart",
        lambda: renders.cost("three formats", *three, workers=sizes.workers),
        lambda: renders.cost("WAV", "--formats", "wav", workers=sizes.workers),
        "WAV alone",
        (Target("share", 1.6), Target("share", 1.6, "cpu_s")),
        check=check,
        clean=renders.clean,
        repeats=sizes.repeats,
        notes=renders.notes,
    )


def workers(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of two workers with one."""
    renders = Renders(Corpora(work, sizes, sizes.seconds), sizes)
    return Comparison(
        f"render with 2 workers, each of {sizes.rendered:,} mixtures, start-up apart",
        lambda: renders.cost("2 workers", workers=2),
        lambda: renders.cost("1 worker", workers=1),
        "1 worker",
        (Target("speed-up", 1.9),),
        check=lambda: check_equal(renders.out("2 workers"), renders.out("1 worker")),
        clean=renders.clean,
        repeats=sizes.repeats,
        notes=renders.notes,
    )
