"""The exceptions of this package: what was found, what was wanted, and the way out."""

from collections.abc import Sequence


class MixtapeError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(MixtapeError):
    """Options or inputs that were found wrong before any work began.

    Attributes:
        problems: every problem found, one sentence each, so that a person can mend them all at once.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type["UsageError"], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class StorageError(MixtapeError):
    """A file or folder could not be read or written.

    Attributes:
        url: the file or folder concerned.
    """

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        super().__init__(f"{url}: {problem}")

    def __reduce__(self) -> tuple[type["StorageError"], tuple[str, str]]:
        return type(self), (self.url, self.problem)


class StoreUnavailableError(MixtapeError):
    """A store denies access, or does not answer for longer than is worth waiting.

    This says nothing of the file that was asked for, so nothing may be concluded from it: the run breaks
    off, and the same command goes on when the store is back.

    Attributes:
        url: what was asked for.
        problem: what happened and what to do about it.
    """

    def __init__(self, url: str, problem: str) -> None:
        self.url = url
        self.problem = problem
        super().__init__(f"{url}: {problem}")

    def __reduce__(self) -> tuple[type["StoreUnavailableError"], tuple[str, str]]:
        return type(self), (self.url, self.problem)


class SourceError(MixtapeError):
    """One source cannot serve; the items that need it are rejected and the run goes on.

    Attributes:
        source: the source's path as the plan or listing names it.
        stage: the step that failed, for instance ``read`` or ``loudness``.
        reason: what was found and what was wanted.
        remedy: what a person can do about it.
    """

    def __init__(self, source: str, stage: str, reason: str, remedy: str) -> None:
        self.source = source
        self.stage = stage
        self.reason = reason
        self.remedy = remedy
        super().__init__(f"{source}: {reason} (while: {stage}); {remedy}")

    def __reduce__(self) -> tuple[type["SourceError"], tuple[str, str, str, str]]:
        return type(self), (self.source, self.stage, self.reason, self.remedy)
