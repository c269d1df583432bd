"""A hundred thousand mixtures: memory while they are made, and the check that they stand."""

import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.comparing import CommandError, Comparison, Cost, Target, UnequalError, run_command
from benchmarks.corpora import Sizes, mixtape
from transforms.corpora import librimix
from transforms.plan import Mixture, Source

UTTERANCES, NOISES = 400, 10
RATE_HZ, SAMPLES = 16000, 480
_NOTHING_TO_DO = "nothing to do"


def speech(number: int) -> str:
    """Returns the place of an utterance."""
    return f"train-clean-100/{1000 + number}/1/{1000 + number}-1-0000.flac"


def make_sources(folder: Path) -> None:
    """Writes utterances and noises of a few hundredths of a second."""
    rng = np.random.default_rng(1)
    places = [f"LibriSpeech/{speech(number)}" for number in range(UTTERANCES)]
    places += [f"wham/tr/{number}.wav" for number in range(NOISES)]
    for place in places:
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = rng.uniform(-0.2, 0.2, SAMPLES + int(rng.integers(100)))
        soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")


def mixtures(count: int) -> Iterator[Mixture]:
    """Yields so many mixtures of different pairs of utterances."""
    for number, pair in enumerate(itertools.islice(itertools.permutations(range(UTTERANCES), 2), count)):
        talkers = (
            Source(f"s{k}", "librispeech", speech(index), level=0.5) for k, index in enumerate(pair, start=1)
        )
        noise = Source("noise", "wham", f"tr/{number % NOISES}.wav", level=0.5, fit="loop", channel=0)
        yield Mixture(f"m{number:06d}", (*talkers, noise))


class Store:
    """Outputs of some sizes over one set of tiny sources, at 8 kHz in min mode.

    Args:
        folder: where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_sources(folder)

    def command(self, count: int, form: str) -> list[str]:
        """Returns the command line that makes so many mixtures, or finds that they stand."""
        plan = self._folder / f"plans-{count}" / "libri2mix_train-clean-100.csv"
        if not plan.exists():
            plan.parent.mkdir()
            plan.write_bytes(librimix.plan_csv(list(mixtures(count)), 2, with_gains=True))
        words = ["render", "librimix", "--plan", plan, "--rates", "8000", "--modes", "min"]
        words += ["--librispeech", self._folder / "LibriSpeech", "--wham", self._folder / "wham"]
        words += ["--types", "mix_clean", "--formats", form, "--out", self.out(count, form)]
        return mixtape(*words, "--direct_running_mode=multi_processing", "--direct_num_workers=1")

    def out(self, count: int, form: str) -> Path:
        """Returns the place of an output."""
        return self._folder / f"out-{count}-{form}"

    def make(self, count: int, form: str) -> Cost:
        """Makes an output anew with one worker process, looking at memory."""
        shutil.rmtree(self.out(count, form), ignore_errors=True)
        return run_command(self.command(count, form), watched=True)

    def check(self, count: int, form: str) -> None:
        """Raises UnequalError unless an output holds all mixtures."""
        text = (self.out(count, form) / "_mixtape/history.jsonl").read_text().splitlines()[-1]
        if f'"written":{count},' not in text.replace(" ", ""):
            raise UnequalError(f"not all of {count:,} mixtures were written: {text}")

    def command_again(self, count: int, form: str) -> list[str]:
        """Returns the command line that finds that an output stands; it starts no pipeline."""
        return [word for word in self.command(count, form) if not word.startswith("--direct")]

    def stat_calls(self, count: int) -> tuple[int, Counter[str]]:
        """Traces the check of WAV files that stand.

        Returns:
            How many WAV files there are, and how often a call of each name was made on one.

        Raises:
            CommandError: strace is not installed, or the run failed.
        """
        command = self.command_again(count, "wav")
        with tempfile.NamedTemporaryFile("r", dir=self._folder) as log:
            traced = ["strace", "-f", "-y", "-e", "trace=file", "-o", log.name, *command]
            try:
                run_command(traced)
            except FileNotFoundError as error:
                raise CommandError("strace is not installed; it counts the calls of the check") from error
            lines = [line for line in log if f"{self.out(count, 'wav')}/Libri2Mix/wav" in line]
        calls = Counter(line.split()[1].partition("(")[0] for line in lines if '.wav"' in line)
        return sum(1 for _ in self.out(count, "wav").rglob("*.wav")), calls


def memory(work: Path, sizes: Sizes) -> Comparison:
    """Returns the comparison of memory at two sizes."""
    store = Store(work)

    def check() -> None:
        for count in (sizes.stored, sizes.stored_few):
            store.check(count, "webdataset")

    return Comparison(
        f"memory while {sizes.stored:,} mixtures are made",
        lambda: store.make(sizes.stored, "webdataset"),
        lambda: store.make(sizes.stored_few, "webdataset"),
        f"{sizes.stored_few:,} mixtures",
        (Target("share", 1.1, "worker_mb"), Target("share", 1.1, "launcher_mb")),
        check=check,
        repeats=1,
    )


def resume(work: Path, sizes: Sizes) -> Comparison:
    """Returns the check that archives stand, held against a limit of time."""
    store = Store(work)

    def again() -> Cost:
        if not store.out(sizes.stored, "webdataset").exists():
            store.make(sizes.stored, "webdataset")
        return run_command(store.command_again(sizes.stored, "webdataset"))

    def check() -> None:
        text = (store.out(sizes.stored, "webdataset") / "_mixtape/history.jsonl").read_text()
        if _NOTHING_TO_DO not in text.splitlines()[-1]:
            raise UnequalError("the second run made something")

    return Comparison(
        f"find that {sizes.stored:,} mixtures in archives stand, the whole command",
        again,
        None,
        "a limit",
        (Target("limit", 5.0),),
        check=check,
        repeats=sizes.repeats,
    )


def stats(work: Path, sizes: Sizes) -> Comparison:
    """Returns the check that WAV files stand, with the calls that it makes per file."""
    store = Store(work)
    count = sizes.stored_few

    def again() -> Cost:
        if not store.out(count, "wav").exists():
            store.make(count, "wav")
        return run_command(store.command_again(count, "wav"))

    def check() -> None:
        files, calls = store.stat_calls(count)
        if sum(calls.values()) != files:
            raise UnequalError(f"{files} WAV files were looked at by {dict(calls)}, wanted one call each")

    return Comparison(
        f"find that {count:,} mixtures in WAV files stand, one call per file",
        again,
        None,
        "a limit",
        (Target("limit", 5.0),),
        check=check,
        repeats=1,
    )
