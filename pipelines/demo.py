"""``mixtape demo``: generated corpora, and everything that is made from corpora, in about a minute."""

import argparse
import shlex
import time

from pipelines import augment, build, corpora
from pipelines.checks import Checker
from pipelines.cli import parse
from pipelines.output import check_writable
from pipelines.runner import duration
from transforms.corpora import synthetic
from transforms.rejects import RejectLimit
from transforms.storage import OutputTree

SUBSETS = ("train-clean-100", "dev-clean", "test-clean")
READERS, UTTERANCES, NOISES = 5, 3, 10
MIXTURES = 8
SEED = 1


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    started = time.monotonic()
    checker = Checker(arguments)
    running = checker.running(passed_on)
    checker.raise_problems()
    tree = OutputTree(arguments.out)
    if arguments.dry_run:
        print(
            f"would generate small corpora and build LibriMix from them in {tree.root}; nothing was written"
        )
        return 0
    check_writable(tree)
    librispeech, wham = tree.url("corpora/LibriSpeech"), tree.url("corpora/wham_noise")
    running.say(f"generating speech and noise in {tree.url('corpora')}")
    make_corpora(librispeech, wham)
    running.say("speed-changed copies of the training noises")
    options = augment.AugmentOptions(wham, engine="soxr")
    corpora.go_through(options, corpora.AUGMENT, limit=RejectLimit(), running=running)
    words = build_command(arguments, librispeech, wham)
    running.say(shlex.join(["mixtape", *words]))
    status = build.run(parse(words)[0], passed_on)
    running.say(f"demo done in {duration(time.monotonic() - started)}")
    return status


def make_corpora(librispeech: str, wham: str) -> None:
    """Generates the demo's corpora. Raises StorageError."""
    synthetic.make_librispeech(
        OutputTree(librispeech),
        subsets=SUBSETS,
        readers_per_subset=READERS,
        utterances_per_reader=UTTERANCES,
        seed=SEED,
    )
    synthetic.make_wham(OutputTree(wham), noises_per_subset=NOISES, seed=SEED)
    for root in (librispeech, wham):
        OutputTree(root).remove_temporary()


def build_command(arguments: argparse.Namespace, librispeech: str, wham: str) -> list[str]:
    """Returns the command line that builds the demo's corpus, as a person would type it."""
    return [
        *("build", "librimix", "--librispeech", librispeech, "--wham", wham, "--out", arguments.out),
        *("--round-to", "1", "--dev-test-size", str(MIXTURES), "--shard-size", "4"),
        *("--formats", "wav", "webdataset", "tfrecord", "--workers", str(arguments.workers)),
        *(["--quiet"] if arguments.quiet else []),
        *(["--verbose"] if arguments.verbose else []),
        *(["--force"] if arguments.force else []),
    ]
