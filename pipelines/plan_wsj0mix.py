"""The job behind ``mixtape plan wsj0mix``: new lists of the published kind, from names and levels alone."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipelines.checks import Checker
from pipelines.output import check_writable
from pipelines.runner import counted
from transforms import storage
from transforms.corpora.wsj0mix import list_path, list_text, read_levels, resolve_root, usable_level
from transforms.errors import MixtapeError, StorageError, UsageError
from transforms.planning.wsj0mix import (
    PUBLISHED_COUNTS,
    list_corpus,
    option_problems,
    plan_lists,
    split_conditions,
)
from transforms.storage import OutputTree


@dataclass(frozen=True)
class Wsj0MixPlanOptions:
    """What lists to make, of what, and where.

    Attributes:
        wsj0: URL of the folder ``wsj0``, or of the one that it is in.
        activity_levels: URLs of tables of activity levels, or of folders with such tables.
        out: URL of the folder that the lists are written to.
        speakers: utterances per mixture, 2 to 5.
        counts: mixtures by condition (``tr``, ``cv``, ``tt``); of one with none no list is made.
        seed: seed of all draws.
        dry_run: write nothing.
    """

    wsj0: str
    activity_levels: tuple[str, ...]
    out: str
    speakers: int = 2
    counts: Mapping[str, int] = field(default_factory=lambda: dict(PUBLISHED_COUNTS))
    seed: int = 0
    dry_run: bool = False

    def check(self) -> list[str]:
        """Lists every problem that can be found before the corpus is listed; writes nothing."""
        problems = list(option_problems(self.speakers, self.counts))
        looks: tuple[Callable[[], object], ...] = (self._check_root, self.levels)
        for look in looks:
            try:
                look()
            except UsageError as error:
                problems += error.problems
            except MixtapeError as error:
                problems.append(str(error))
        return problems

    def _check_root(self) -> None:
        if not storage.is_folder(self.wsj0):
            raise StorageError(self.wsj0, "no such folder; check the path")

    def levels(self) -> dict[str, float]:
        """Reads the activity levels. Raises UsageError."""
        if not self.activity_levels:
            raise UsageError("no activity levels are given; name a table, or make one (mixtape activity)")
        return read_levels(self.activity_levels)


@dataclass(frozen=True, slots=True)
class WrittenList:
    """A list that was made.

    Attributes:
        url: where it is, or would be.
        mixtures: how many it holds.
        changed: whether it was written; not in a dry run, nor where the same was there already.
    """

    url: str
    mixtures: int
    changed: bool


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a run made.

    Attributes:
        lists: the lists, by condition.
        utterances: how many the corpus has.
        without_level: how many of them were left out, having no activity level above 0.
    """

    lists: Mapping[str, WrittenList]
    utterances: int
    without_level: int


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs ``mixtape plan wsj0mix``. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    running = checker.running(passed_on)
    options = Wsj0MixPlanOptions(
        wsj0=checker.needed("wsj0"),
        activity_levels=tuple(arguments.activity_levels or ()),
        out=checker.needed("out"),
        speakers=checker.whole_number("speakers", at_least=2),
        counts=_read_counts(checker),
        seed=checker.whole_number("seed", at_least=0),
        dry_run=arguments.dry_run,
    )
    checker.raise_problems()
    summary = write_lists(options)
    done = "would be planned" if options.dry_run else "planned"
    for one in summary.lists.values():
        running.say(f"{counted(one.mixtures, 'mixture')} {done} in {one.url}")
    without = (
        f", {summary.without_level:,} of them without an activity level" if summary.without_level else ""
    )
    running.say(f"from {counted(summary.utterances, 'utterance')}{without}")
    return 0


def _read_counts(checker: Checker) -> dict[str, int]:
    """Reads ``--counts COND:N ...``."""
    counts = {}
    for word in checker.arguments.counts:
        condition, _, number = word.partition(":")
        if number.isdigit() and condition not in counts:
            counts[condition] = int(number)
        else:
            checker.problems.append(f"--counts {word}: wanted such as tr:20000, each condition once")
    return counts


def write_lists(options: Wsj0MixPlanOptions) -> PlanSummary:
    """Plans lists and writes them as ``mix_{N}_spk_{tr,cv,tt}.txt``.

    Raises:
        UsageError: everything that is wrong with the options and inputs, or the output cannot be
            written to; nothing was written.
        StorageError: the corpus cannot be listed, or a list cannot be written.
    """
    if problems := options.check():
        raise UsageError(problems)
    levels = options.levels()
    folders = list_corpus(resolve_root(options.wsj0))
    lists = plan_lists(
        split_conditions(folders, seed=options.seed),
        levels,
        speakers=options.speakers,
        counts=options.counts,
        seed=options.seed,
    )
    texts = {list_path(options.speakers, condition): list_text(lists[condition]) for condition in lists}
    changed = frozenset() if options.dry_run else _write(OutputTree(options.out), texts)
    written = {
        condition: WrittenList(storage.join(options.out, path), len(lists[condition]), path in changed)
        for condition, path in zip(lists, texts, strict=True)
    }
    paths = [path for folder in folders.values() for path in folder]
    return PlanSummary(written, len(paths), sum(usable_level(levels, path) is None for path in paths))


def _write(tree: OutputTree, texts: Mapping[str, str]) -> frozenset[str]:
    """Writes texts by path and returns the paths of those that were not there already."""
    check_writable(tree)
    with storage.only_run(tree):
        changed = [path for path, text in texts.items() if tree.write_if_changed(path, text.encode())]
    return frozenset(changed)
