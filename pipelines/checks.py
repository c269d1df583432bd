"""Reading of command-line values, with all problems gathered before any work begins."""

import argparse
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from pipelines.runner import Running, check_flags
from transforms import storage
from transforms.archives import corpus_root
from transforms.errors import StorageError, StoreUnavailableError, UsageError
from transforms.rejects import RejectLimit

T = TypeVar("T")

# Arguments that name corpora, and the folder that archives of them are published with.
_ARCHIVED = {"librispeech": "LibriSpeech", "wham": "wham_noise", "wsj0": "", "corpus": ""}


class Checker:
    """Collects the problems of a command line, so that a person can mend them all at once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.problems: list[str] = list(arguments.problems)
        self._find_corpora()

    def raise_problems(self) -> None:
        """Raises UsageError if anything was found wrong, naming each problem once."""
        if self.problems:
            raise UsageError(tuple(dict.fromkeys(self.problems)))

    def _find_corpora(self) -> None:
        """Puts in place of each corpus that is an archive the URL below which its files are found."""
        for name, inner in _ARCHIVED.items():
            url = getattr(self.arguments, name, None)
            if url:
                folder = inner or _ARCHIVED.get(getattr(self.arguments, "kind", None) or "", "")
                setattr(self.arguments, name, self.attempt(partial(corpus_root, url, inner=folder), url))

    def attempt(self, read: Callable[[], T], fallback: T) -> T:
        """Returns what ``read`` gives; notes its problems and returns the fallback instead."""
        try:
            return read()
        except UsageError as error:
            self.problems += error.problems
        except (StorageError, StoreUnavailableError) as error:
            self.problems.append(str(error))
        return fallback

    def needed(self, name: str) -> str:
        """Returns a text argument that must be given."""
        value: str | None = getattr(self.arguments, name)
        if not value:
            self.problems.append(f"{_flag(name)} is needed; see {self.arguments.parser.prog} --help")
        return value or ""

    def folder(self, name: str) -> str:
        """Returns a needed argument that must be an existing folder."""
        url = self.needed(name)
        if url:
            found = self.attempt(lambda: storage.is_folder(url), fallback=True)
            if not found:
                self.problems.append(f"{_flag(name)} {url}: no such folder; check the path")
        return url

    def whole_number(self, name: str, *, at_least: int = 1) -> int:
        """Returns an argument that must be a whole number."""
        text = str(getattr(self.arguments, name))
        return self._number(_flag(name), text, text, at_least=at_least)

    def _number(self, flag: str, text: str, digits: str, *, at_least: int) -> int:
        """Returns the number of some digits, which stand for the text that was given."""
        try:
            value = int(digits)
        except ValueError:
            value = at_least - 1
        if value < at_least:
            self.problems.append(f"{flag} {text}: wanted a whole number of {at_least} or more")
        return max(value, at_least)

    def choices(self, name: str, known: Sequence[str]) -> tuple[str, ...]:
        """Returns a list argument whose words must be known ones, each at most once."""
        words: list[str] = getattr(self.arguments, name)
        unknown = [word for word in words if word not in known]
        if unknown or len(set(words)) < len(words):
            self.problems.append(
                f"{_flag(name)} {' '.join(words)}: wanted some of {' '.join(known)}, each once"
            )
        return tuple(words)

    def rates_hz(self) -> tuple[int, ...]:
        """Returns ``--rates``: ``8000`` and ``8k`` mean the same."""
        words: list[str] = self.arguments.rates
        rates = [self._number("--rates", word, re.sub("[kK]$", "000", word), at_least=1000) for word in words]
        folders = [rate // 1000 for rate in rates]
        if len(set(folders)) < len(folders):
            self.problems.append(f"--rates {' '.join(words)}: two of them would share a folder (whole kHz)")
        return tuple(rates)

    def roots(self, words: Sequence[str]) -> dict[str, str]:
        """Returns ``--root NAME=URL ...``."""
        pairs = [word.partition("=") for word in words]
        if bad := [word for word, (name, _, url) in zip(words, pairs, strict=True) if not (name and url)]:
            self.problems.append(
                f"--root {' '.join(bad)}: wanted NAME=URL, for instance librispeech=/data/LibriSpeech"
            )
        names = [name for name, _, _ in pairs]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.problems.append(f"--root {name}: is given twice; give one URL")
        given = {name: url for name, _, url in pairs if name and url}
        return {
            name: storage.absolute(self.attempt(partial(corpus_root, url), url))
            for name, url in given.items()
        }

    def licences(self, known: Sequence[str]) -> dict[str, str]:
        """Returns ``--licence ROOT=TEXT ...`` of a command that has it, given the roots there are."""
        words: list[str] = getattr(self.arguments, "licence", None) or []
        pairs = [word.partition("=") for word in words]
        for word, (root, _, text) in zip(words, pairs, strict=True):
            if root not in known or not text.strip():
                example = "for instance librispeech='CC BY 4.0'"
                roots = ", ".join(known)
                self.problems.append(f"--licence {word}: wanted ROOT=TEXT, {example}; the roots are {roots}")
        return {root: text.strip() for root, _, text in pairs}

    def prefix(self, name: str) -> str:
        """Returns what paths in tables begin with, or empty: readers cut rows at commas, quoted or not."""
        text: str = getattr(self.arguments, name) or ""
        if not text.isprintable() or {",", '"'} & set(text):
            self.problems.append(
                f"{_flag(name)} {text!r}: a path in a table holds no comma, quote or line break"
            )
        return text

    def running(self, passed_on: Sequence[str]) -> Running:
        """Returns how the job runs. Flags for Beam are tried unless some of them look misspelt."""
        arguments = self.arguments
        workers = self.whole_number("workers")
        running = Running(workers, tuple(passed_on), arguments.quiet, arguments.verbose)
        if not arguments.problems:
            self.attempt(lambda: check_flags(running), None)
        return running

    def reject_limit(self) -> RejectLimit:
        """Returns ``--max-rejects``."""
        return self.attempt(lambda: RejectLimit.parse(self.arguments.max_rejects), RejectLimit())


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
