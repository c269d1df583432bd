"""Reading of plans, in whatever form a recipe publishes them, for ``mixtape render``."""

import argparse
import functools
import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipelines.checks import Checker
from transforms import storage
from transforms.corpora import avse, librimix, wsj0mix
from transforms.demands import PlanDemands
from transforms.errors import UsageError
from transforms.licences import Licences
from transforms.listing import limited
from transforms.plan import Mixture, Part, Settings, StoredPlan
from transforms.recipes import Recipe, recipe_named
from transforms.rejects import Reject

_PARQUET = ".parquet"


@dataclass(frozen=True)
class PlanInput:
    """One part to render, as its plan describes it.

    Attributes:
        part: what the mixtures make up.
        count: how many mixtures can be rendered.
        read: yields them in plan order, each time anew.
        rejects: planned items that cannot be rendered, known from the plan alone.
        settings: what the plan decides about rendering.
        licences: those that listings state for its sources.
    """

    part: Part
    count: int
    read: Callable[[], Iterable[Mixture]]
    rejects: tuple[Reject, ...] = ()
    settings: Settings = field(default_factory=dict)
    licences: Licences = field(default_factory=dict)


def demands_of(arguments: argparse.Namespace, recipe: Recipe, roots: Sequence[str]) -> PlanDemands:
    """Reads a command line; recipes without ``--root`` have flags of their own for their roots."""
    words = getattr(arguments, "root", None)
    given = roots if words is None else [word.partition("=")[0] for word in words]
    types = tuple(name for name in arguments.types if name in recipe.types)
    return PlanDemands(recipe, types, tuple(roots), frozenset(given))


def given_plan(part: Part, mixtures: Sequence[Mixture], rejects: tuple[Reject, ...] = ()) -> PlanInput:
    """Returns a plan whose mixtures are at hand already."""
    return PlanInput(part, len(mixtures), lambda: mixtures, rejects)


def read_plans(checker: Checker, recipe_name: str, roots: Sequence[str]) -> list[PlanInput]:
    """Reads the plans that ``--plan`` names, noting the problems of every one of them.

    Args:
        checker: holds the command line and gathers problems.
        recipe_name: the recipe that the plans must be of.
        roots: names of the roots that they may refer to.
    """
    urls: list[str] = checker.arguments.plan or []
    if not urls:
        checker.needed("plan")
        return []
    stored = [url for url in urls if url.endswith(_PARQUET)]
    rest = [url for url in urls if not url.endswith(_PARQUET)]
    demands = demands_of(checker.arguments, recipe_named(recipe_name), roots)
    inputs = [
        one
        for url in stored
        if (one := checker.attempt(functools.partial(_stored_input, url, demands), None))
    ]
    if rest:
        inputs += _READERS[recipe_name](checker, rest, demands)
    names = [one.part.name for one in inputs]
    for name in sorted({name for name in names if names.count(name) > 1}):
        checker.problems.append(f"--plan: two of the plans are of {name}; name one of them")
    return inputs


def _librimix_inputs(checker: Checker, urls: Sequence[str], demands: PlanDemands) -> list[PlanInput]:
    del demands
    found: list[str] = checker.attempt(lambda: librimix.find_plans(urls), [])
    none: tuple[Part, list[Mixture]] | None = None
    read = [checker.attempt(functools.partial(librimix.read_plan, url), none) for url in found]
    return [given_plan(*plan) for plan in read if plan is not None]


def _wsj0mix_inputs(checker: Checker, urls: Sequence[str], demands: PlanDemands) -> list[PlanInput]:
    del demands
    tables = checker.arguments.activity_levels or []
    if not tables:
        checker.needed("activity_levels")
        return []
    levels: dict[str, float] = checker.attempt(lambda: wsj0mix.read_levels(tables), {})
    found: list[str] = checker.attempt(lambda: wsj0mix.find_plans(urls), []) if levels else []
    none: wsj0mix.PlanFile | None = None
    read = [checker.attempt(functools.partial(wsj0mix.read_plan, url, levels), none) for url in found]
    return [given_plan(plan.part, plan.mixtures, plan.rejects) for plan in read if plan is not None]


def _avse_inputs(checker: Checker, urls: Sequence[str], demands: PlanDemands) -> list[PlanInput]:
    del demands
    wavs = bool(checker.arguments.target_wavs)
    found: list[str] = checker.attempt(lambda: avse.find_plans(urls), [])
    none: tuple[Part, list[Mixture]] | None = None
    read = [checker.attempt(functools.partial(avse.read_plan, url, wavs=wavs), none) for url in found]
    return [given_plan(*plan) for plan in read if plan is not None]


def _mixtures_inputs(checker: Checker, urls: Sequence[str], demands: PlanDemands) -> list[PlanInput]:
    inputs = []
    for url in urls:
        find = functools.partial(storage.find, url, suffixes=(_PARQUET,))
        files: list[storage.FileEntry] = checker.attempt(find, [])
        plans = [file.path for file in files if storage.OWN_FOLDER not in file.path.split("/")]
        if not plans:
            checker.problems.append(f"--plan {url}: holds no plan (looked for *{_PARQUET} at any depth)")
        for path in plans:
            read = functools.partial(_stored_input, storage.join(url, path), demands)
            if one := checker.attempt(read, None):
                inputs.append(one)
    return inputs


def _stored_input(url: str, demands: PlanDemands) -> PlanInput | None:
    """Reads what a Parquet plan says of itself. Raises UsageError."""
    try:
        plan = StoredPlan.open(url)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{url}: does not say what it is a plan of ({error}); plan again") from error
    if plan.part.recipe != demands.recipe.name:
        raise UsageError(f"{url}: is a plan of recipe {plan.part.recipe}; render it by that recipe")
    if problem := demands.recipe.settings_problem(plan.settings):
        raise UsageError(f"{url}: {problem}; plan again")
    read = functools.partial(checked, plan, demands)
    return PlanInput(plan.part, plan.mixture_count, read, settings=plan.settings, licences=plan.licences)


def checked(plan: StoredPlan, demands: PlanDemands) -> Iterator[Mixture]:
    """Yields the mixtures of a stored plan, each looked at before it is used.

    Raises:
        UsageError: a mixture cannot be rendered as it stands, or an id stands twice.
    """
    seen = array("Q")
    for index in range(plan.shard_count):
        mixtures = plan.read_shard(index)
        try:
            problems = [
                f"{plan.url}, {mixture.id}: {problem}"
                for mixture in mixtures
                for problem in demands.problems(mixture)
            ]
        except TypeError as error:
            raise UsageError(
                f"{plan.url}: cells are empty or of another type ({error}); plan again"
            ) from error
        if problems:
            raise UsageError(limited(problems))
        for root in sorted({root for mixture in mixtures for root in demands.missing_roots(mixture)}):
            raise UsageError(f"--root {root}=URL is needed: {plan.url} has sources there")
        seen.extend(_digest(mixture.id) for mixture in mixtures)
        yield from mixtures
    if repeats := len(seen) - len(np.unique(np.frombuffer(seen, dtype=np.uint64))):
        raise UsageError(f"{plan.url}: {repeats} ids stand in it twice; every id must be unique")


def _digest(mixture_id: str) -> int:
    """Returns 64 bits that stand for an id: ten million of them need 80 MB, the ids a gigabyte."""
    return int.from_bytes(hashlib.blake2b(mixture_id.encode(), digest_size=8).digest(), "little")


_READERS = {
    "librimix": _librimix_inputs,
    "wsj0mix": _wsj0mix_inputs,
    "mixtures": _mixtures_inputs,
    "avse": _avse_inputs,
}
