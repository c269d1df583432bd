"""The virtual corpus: items of a plan that are rendered when training code asks for them.

Nothing is written. The samples come out of the one renderer, so they are those that ``mixtape render``
writes from the same plan, sources and options, bit for bit.
"""

import bisect
import copy
import dataclasses
import functools
import operator
import os
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, SupportsIndex, TypedDict, cast, overload

import numpy as np
from numpy.typing import NDArray

from transforms import storage
from transforms.audio import Pcm, SourceReader
from transforms.demands import PlanDemands
from transforms.errors import UsageError
from transforms.finishing import read_summary, stored_summaries
from transforms.listing import limited
from transforms.plan import (
    MODES,
    WHOLE,
    Mixture,
    Mode,
    RenderOptions,
    Source,
    StoredPlan,
)
from transforms.recipes import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, recipe_named
from transforms.record import part_job, recorded_job
from transforms.rendering import render_item
from transforms.sharding import RenderJob
from transforms.sinks.description import describe

CACHE_BYTES = 256 << 20
_SHARDS_AT_HAND = 64
_NO_ROOTS: Mapping[str, str] = {}


class VirtualItem(TypedDict):
    """One item, as a plain dictionary.

    Attributes:
        facts: what webdataset's JSON says of it: ``id``, ``rate_hz``, ``samples``, ``speakers``, ...
        pcm: every stream by name (``s1``, ..., ``mix_clean``, ...): shape (samples,), int16.
        attachments: the files that go with it, by name, each as the bytes of its pieces.
    """

    facts: dict[str, Any]
    pcm: dict[str, Pcm]
    attachments: dict[str, tuple[bytes, ...]]


class DecodedSources:
    """Keeps decoded sources, those used last, up to a number of bytes; threads may share it.

    Args:
        limit_bytes: samples kept at most; 0 keeps none.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self.kept: OrderedDict[tuple[Any, ...], NDArray[np.float32]] = OrderedDict()
        self.kept_bytes = 0

    def read(self, reader: SourceReader, source: Source, at_most_samples: int = WHOLE) -> NDArray[np.float32]:
        """Returns, read-only, what a reader gives, or gave when it was asked for the same before.

        Raises:
            SourceError: the source cannot serve.
        """
        which = (source.channel, source.offset_samples, source.length_samples, source.speed)
        key = (source.name, *which, at_most_samples)
        with self._lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        samples = reader.read(source, at_most_samples)
        samples.flags.writeable = False
        with self._lock:
            self._keep(key, samples)
        return samples

    def _keep(self, key: tuple[Any, ...], samples: NDArray[np.float32]) -> None:
        if key in self.kept or samples.nbytes > self._limit_bytes:
            return
        self.kept[key] = samples
        self.kept_bytes += samples.nbytes
        while self.kept_bytes > self._limit_bytes:
            self.kept_bytes -= self.kept.popitem(last=False)[1].nbytes


class _CachedReader:
    """A reader whose decoded sources are kept; in all else the reader that it is given."""

    def __init__(self, reader: SourceReader, decoded: DecodedSources) -> None:
        self._reader = reader
        self._decoded = decoded

    def read(self, source: Source, at_most_samples: int = WHOLE) -> NDArray[np.float32]:
        return self._decoded.read(self._reader, source, at_most_samples)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


class _AtHand:
    """What one process keeps of a virtual corpus: decoded sources, and shards of the plan."""

    def __init__(self, job: RenderJob, plan: StoredPlan, cache_bytes: int) -> None:
        self.process = os.getpid()
        self.recipe = job.rules
        self.decoded = DecodedSources(cache_bytes)
        self.shard = functools.lru_cache(maxsize=_SHARDS_AT_HAND)(lambda index: _checked(plan, index, job))


def _demands(job: RenderJob) -> PlanDemands:
    return PlanDemands(job.rules, job.options.types, job.rules.roots, frozenset(job.roots))


def _checked(plan: StoredPlan, index: int, job: RenderJob) -> list[Mixture]:
    """Reads a shard's mixtures. Raises UsageError where they cannot be rendered: a plan may say anything."""
    demands = _demands(job)
    mixtures = plan.read_shard(index)
    problems = [
        f"{plan.url}, {mixture.id}: {problem}"
        for mixture in mixtures
        for problem in demands.problems(mixture)
    ]
    missing = {root for mixture in mixtures for root in demands.missing_roots(mixture)}
    problems += [f"{plan.url}: has sources below {root!r}; say where that is" for root in sorted(missing)]
    if problems:
        raise UsageError(limited(problems))
    return mixtures


class VirtualCorpus:
    """The items of one part at one rate and length mode, by number, in plan order.

    It has what PyTorch wants of a map-style ``Dataset`` (``corpus[5]``, ``len(corpus)``) and is
    iterable, too; a slice is a virtual corpus again, so ``corpus[rank::ranks]`` is the share of one of
    several. It may be pickled, and used by any number of threads and of processes, forked or spawned:
    each process opens what it reads for itself, and keeps up to ``cache_bytes`` of decoded sources.

    An item whose source has become unusable since raises SourceError.

    Args:
        job: recipe, roots, and options with one rate and one mode; nothing is written to its output.
        plan: the part's plan.
        places: numbers of the items in the plan.
        cache_bytes: decoded samples that a process keeps at most.

    Raises:
        UsageError: something of it cannot be rendered.
    """

    def __init__(
        self,
        job: RenderJob,
        plan: StoredPlan,
        *,
        places: Sequence[int] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        _check_options(job)
        self._job = job
        self._plan = plan
        self._places = range(plan.mixture_count) if places is None else places
        self._cache_bytes = cache_bytes
        self._at_hand: _AtHand | None = None
        first = self._own().shard(0) if plan.shard_count else []
        uniform = range(0, plan.mixture_count, len(first) or 1)
        self._starts = plan.shard_starts() if job.rules.together else uniform
        _check_roots(job, first)

    @classmethod
    def of_output(
        cls,
        out: str,
        part: str,
        *,
        rate_hz: int,
        mode: Mode,
        moved_roots: Mapping[str, str] = _NO_ROOTS,
        cache_bytes: int = CACHE_BYTES,
    ) -> "VirtualCorpus":
        """Opens a part of a finished output, with the mixture types that were written.

        Args:
            out: the output.
            part: name of the part, for instance ``Libri2Mix-train-100``.
            rate_hz: rate, which need not be one of those written.
            mode: length mode, which need not either.
            moved_roots: where roots are now that are no longer where they were.
            cache_bytes: decoded samples that a process keeps at most.

        Returns:
            All items that were written; none of those rejected.

        Raises:
            UsageError: there is no such part, or something of it cannot be rendered.
            StorageError: its plan cannot be read.
        """
        last = recorded_job(out, moved_roots)
        summary = read_summary(last.tree, part)
        if summary is None:
            known = ", ".join(one.part.name for one in stored_summaries(last.tree)) or "none"
            raise UsageError(f"{out}: holds no finished part {part!r}; those that are there: {known}")
        plan = last.stored_plan(part)
        job = _narrowed(part_job(last, summary, plan), rate_hz, mode)
        places = _written(plan, {reject.item for reject in summary.rejects})
        return cls(job, plan, places=places, cache_bytes=cache_bytes)

    @classmethod
    def of_plan(
        cls,
        url: str,
        roots: Mapping[str, str],
        *,
        rate_hz: int,
        mode: Mode,
        types: Sequence[str],
        cache_bytes: int = CACHE_BYTES,
    ) -> "VirtualCorpus":
        """Opens a Parquet plan of which nothing was written yet.

        Args:
            url: the plan.
            roots: where the corpora are that it refers to, by name.
            rate_hz: rate.
            mode: length mode.
            types: mixture types, for instance ``mix_clean``.
            cache_bytes: decoded samples that a process keeps at most.

        Raises:
            UsageError: there is no such plan, or something of it cannot be rendered.
            StorageError: it cannot be read.
        """
        plan = StoredPlan.open(url)
        if problem := recipe_named(plan.part.recipe).settings_problem(plan.settings):
            raise UsageError(f"{url}: {problem}; plan again")
        options = RenderOptions(types=tuple(types))
        job = RenderJob("", plan.part.recipe, dict(roots), options, plan.settings)
        return cls(_narrowed(job, rate_hz, mode), plan, cache_bytes=cache_bytes)

    def __repr__(self) -> str:
        options = self._job.options
        what = f"{self._plan.part.name} at {options.rates_hz[0]} Hz, {options.modes[0]}"
        return f"<VirtualCorpus {what}: {len(self)} items>"

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: SupportsIndex) -> VirtualItem: ...

    @overload
    def __getitem__(self, index: slice) -> "VirtualCorpus": ...

    def __getitem__(self, index: SupportsIndex | slice) -> "VirtualItem | VirtualCorpus":
        """Renders an item, or returns the corpus of some items without rendering any.

        Raises:
            IndexError: there is no item of that number.
            SourceError: a source cannot serve.
            UsageError: the plan's row cannot be rendered.
        """
        if isinstance(index, slice):
            share = copy.copy(self)
            share._places = self._places[index]
            share._at_hand = self._at_hand
            return share
        return self._render(self._places[operator.index(index)])

    def __iter__(self) -> Iterator[VirtualItem]:
        return map(self._render, self._places)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_at_hand": None}

    def _render(self, place: int) -> VirtualItem:
        at_hand = self._own()
        shard = bisect.bisect_right(self._starts, place) - 1
        mixture = at_hand.shard(shard)[place - self._starts[shard]]
        reader = cast(SourceReader, _CachedReader(self._job.reader(), at_hand.decoded))
        rendered = render_item(mixture, at_hand.recipe, self._job.options, reader)
        (variant,) = rendered.variants
        return {
            "facts": describe(self._plan.part, mixture, variant),
            "pcm": dict(variant.pcm),
            "attachments": {one.name: one.pieces for one in rendered.attachments},
        }

    def _own(self) -> _AtHand:
        """Returns what this process keeps; a forked one does not go on with its parent's."""
        if self._at_hand is None or self._at_hand.process != os.getpid():
            self._at_hand = _AtHand(self._job, self._plan, self._cache_bytes)
        return self._at_hand


def _narrowed(job: RenderJob, rate_hz: int, mode: Mode) -> RenderJob:
    options = dataclasses.replace(job.options, rates_hz=(rate_hz,), modes=(mode,))
    return dataclasses.replace(job, options=options)


def _written(plan: StoredPlan, rejected: Set[str]) -> Sequence[int] | None:
    """Returns the numbers of a plan's items that were not rejected; None for all."""
    if not rejected:
        return None
    return array("Q", (place for place, item in enumerate(plan.read_ids()) if item not in rejected))


def _check_options(job: RenderJob) -> None:
    """Raises UsageError with everything that is wrong with rates, modes and types."""
    options, known = job.options, tuple(job.rules.types)
    problems = [
        f"rate {rate_hz} Hz: wanted {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ}"
        for rate_hz in options.rates_hz
        if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ
    ]
    problems += [f"mode {mode!r}: wanted {' or '.join(MODES)}" for mode in options.modes if mode not in MODES]
    if not set(options.types) <= set(known) or bool(known) != bool(options.types):
        problems.append(f"types {' '.join(options.types)}: wanted some of {' '.join(known)}")
    if problems:
        raise UsageError(problems)


def _check_roots(job: RenderJob, mixtures: Sequence[Mixture]) -> None:
    """Raises UsageError where a corpus that mixtures need is not where it should be."""
    needed = {root for mixture in mixtures for root in _demands(job).needed_roots(mixture)}
    problems = [
        f"the corpus {name} is not in {job.roots[name]}; say where it is"
        for name in sorted(needed)
        if not storage.is_folder(job.roots[name])
    ]
    if problems:
        raise UsageError(problems)
