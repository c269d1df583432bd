"""Published plan files of any recipe: finding them by their names, and reading their numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.listing import limited
from transforms.plan import Part


def decimal(text: str) -> float | None:
    """Reads a decimal exactly; None where it is none. Python's ``1_000`` is none either."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def file_name(url: str) -> str:
    """Returns the name of a file without its folder; in a chained URL, that of the first link.

    >>> file_name("zip://metadata/libri2mix_dev-clean.csv::gs://bucket/plans.zip")
    'libri2mix_dev-clean.csv'
    """
    return url.partition("::")[0].rsplit("/", 1)[-1]


@dataclass(frozen=True)
class PlanNames:
    """How the plan files of a recipe are named.

    Attributes:
        thing: what people call such a file: ``plan`` or ``list``.
        form: how its name is formed, for messages.
        suffix: ending of its name.
        part_of_name: tells by a file's name what its mixtures make up; None for any other file.
    """

    thing: str
    form: str
    suffix: str
    part_of_name: Callable[[str], Part | None]

    def part_at(self, url: str) -> Part:
        """Returns what a plan is of. Raises UsageError where it is not named like one."""
        part = self.part_of_name(file_name(url))
        if part is None:
            raise UsageError(f"{url}: is not named like a {self.thing}; wanted {self.form}")
        return part

    def find(self, urls: Sequence[str]) -> list[str]:
        """Finds plans: files as they are named, and in folders (any depth) all that are named so.

        Args:
            urls: files and folders.

        Returns:
            The plans, in the order of ``urls`` and, within a folder, sorted; none twice.

        Raises:
            UsageError: something is not there or cannot be listed, a folder holds no plan, a file is
                not named like one, or two plans are of the same part.
        """
        problems: list[str] = []
        found: dict[Part, str] = {}
        for url in urls:
            try:
                plans = {plan: self.part_at(plan) for plan in self._at(url)}
            except (UsageError, StorageError) as error:
                problems += str(error).split("\n")
                continue
            for plan, part in plans.items():
                first = found.setdefault(part, plan)
                if storage.absolute(first) != storage.absolute(plan):
                    both = f"{first} and {plan} are both {self.thing}s of {part.corpus} {part.subset}"
                    problems.append(f"{both}; name one of them only")
        if problems:
            raise UsageError(limited(problems))
        return list(found.values())

    def _at(self, url: str) -> list[str]:
        """Returns the plans that a path or URL stands for. Raises UsageError or StorageError."""
        if not storage.is_folder(url):
            if not storage.exists(url):
                raise UsageError(f"{url}: no such {self.thing} or folder; check the path")
            return [url]
        paths = [entry.path for entry in storage.find(url, suffixes=(self.suffix,))]
        plans = [storage.join(url, path) for path in paths if self.part_of_name(file_name(path))]
        if not plans:
            raise UsageError(
                f"{url}: holds no {self.thing}; looked for {self.form} at any depth among {len(paths)} "
                f"{self.suffix[1:].upper()} files"
            )
        return plans
