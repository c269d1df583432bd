"""What every export is made from: the items of one part at one rate and mode, and who talks when."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

from transforms import ledger as ledgers
from transforms.ledger import ShardLedger, VariantRecord
from transforms.plan import NOISE, Mixture, Part, Source, Variant, is_noise
from transforms.sharding import RenderJob
from transforms.storage import OutputTree


@dataclass(frozen=True, slots=True)
class Talk:
    """One talker's time in a mixture.

    Attributes:
        source: the source as planned.
        start_s: time of its first sample.
        end_s: time after its last sample in the mixture; None where neither plan nor ledger tells.
    """

    source: Source
    start_s: float
    end_s: float | None


@dataclass(frozen=True, slots=True)
class Item:
    """One mixture that was written, at one rate and mode.

    Attributes:
        mixture: as planned.
        record: what the ledger says of it.
    """

    mixture: Mixture
    record: VariantRecord

    @property
    def id(self) -> str:
        """The mixture's id."""
        return self.mixture.id

    @property
    def duration_s(self) -> float:
        """Length of every stream."""
        return self.record.samples / self.record.variant.rate_hz


@dataclass(frozen=True)
class View:
    """One part at one rate and mode: what each export makes one set of lists of.

    Attributes:
        job: how the part was made.
        part: which part.
        variant: rate and mode.
        streams: all streams that any of its items has, in the recipe's order.
        counts: items written of each shard.
        texts: whether the transcript of every talker is known.
    """

    job: RenderJob
    part: Part
    variant: Variant
    streams: tuple[str, ...]
    counts: tuple[int, ...]
    texts: bool

    @property
    def folder(self) -> str:
        """Where lists of this view go: corpus, rate and mode, as in the published tree."""
        return f"{self.part.corpus}/{self.variant.folder}/{self.variant.mode}"

    @property
    def types(self) -> tuple[str, ...]:
        """The mixture types that were written."""
        return self.job.options.types

    @property
    def roles(self) -> list[str]:
        """The roles among the streams, noise last."""
        return sorted(self.job.rules.roles_of(self.streams), key=is_noise)

    def members(self, mix_type: str) -> tuple[str, ...]:
        """Returns the roles that a mixture type sums."""
        return self.job.rules.types[mix_type](self.roles)

    def path(self, stream: str, item_id: str) -> str:
        """Returns the place of a WAV file in the output."""
        return self.job.rules.wav_path(self.part, self.variant, stream, item_id)

    def shown(self, stream: str, item_id: str) -> str:
        """Returns a WAV file as lists name it: with the prefix that the tables have, else its full URL.

        Readers resolve relative paths against the folder that they run in, so none is given.
        """
        path = self.path(stream, item_id)
        prefix = self.job.options.table_paths
        if prefix in ("absolute", "relative"):
            return self.job.tree.url(path)
        return f"{prefix.rstrip('/')}/{path}"

    def speech(self, item: Item, mix_type: str) -> list[Source]:
        """Returns the speech that one of the mixtures of an item sums, in order."""
        summed = self.members(mix_type)
        return [
            source
            for source in item.mixture.speech
            if source.role in summed and source.role in item.record.crc32c
        ]

    def talks(self, item: Item, mix_type: str) -> list[Talk]:
        """Returns who is heard when in one of the mixtures of an item.

        In the length mode ``min`` a talker may begin after the last sample, and is not heard. An
        interferer that comes from a corpus of noises talks to nobody.
        """
        speech = (one for one in self.speech(item, mix_type) if not one.root.startswith(NOISE))
        talks = [self._talk(item, source) for source in speech]
        return [
            talk for talk in talks if talk.start_s < (item.duration_s if talk.end_s is None else talk.end_s)
        ]

    def _talk(self, item: Item, source: Source) -> Talk:
        """Returns a talker's time: from the ledger, if the recipe has it there, else from the plan."""
        record = item.record
        planned_s = source.start_samples / self.job.rules.rules.source_rate_hz
        cut_s = item.duration_s if record.variant.mode == "min" else None
        start_s = record.starts_s.get(source.role, planned_s)
        return Talk(source, start_s, record.ends_s.get(source.role, cut_s))

    def shard_items(self, index: int) -> list[Item]:
        """Reads the items of one shard. Raises StorageError."""
        plan = self.job.stored_plan(self.part.name)
        shard = plan.shards[index]
        ledger = ledgers.read_ledger(self.job.tree, shard.name)
        return self._items(plan.read_shard(index), ledger) if ledger else []

    def items(self) -> Iterator[Item]:
        """Reads all items in plan order, a shard at a time. Raises StorageError."""
        plan = self.job.stored_plan(self.part.name)
        for index, ledger in enumerate(ledgers.read_part(self.job.tree, self.part, plan.shard_count)):
            yield from self._items(plan.read_shard(index), ledger)

    def _items(self, mixtures: Sequence[Mixture], ledger: ShardLedger) -> list[Item]:
        planned = {mixture.id: mixture for mixture in mixtures}
        return [
            Item(planned[item.id], record)
            for item in ledger.items
            for record in item.variants
            if record.variant == self.variant
        ]


def views_of(job: RenderJob, part: Part) -> list[View]:
    """Returns the views of a part, having read its ledgers once.

    Args:
        job: how the part was made.
        part: which part.

    Raises:
        StorageError: a ledger is missing, or the plan is damaged.
    """
    plan = job.stored_plan(part.name)
    found: set[str] = set()
    counts, texts = [], True
    for index, ledger in enumerate(ledgers.read_part(job.tree, part, plan.shard_count)):
        counts.append(len(ledger.items))
        written = {item.id for item in ledger.items}
        found.update(stream for item in ledger.items for record in item.variants for stream in record.crc32c)
        texts = texts and all(
            source.text
            for mixture in plan.read_shard(index)
            if mixture.id in written
            for source in mixture.speech
        )
    known = job.rules.streams(plan.roles, job.options.types)
    streams = tuple(stream for stream in known if stream in found)
    return [
        View(job, part, variant, streams, tuple(counts), texts and any(counts))
        for variant in job.options.variants
    ]


def mixtures_problem(view: View) -> str | None:
    """Says that a view holds no mixtures, where lists are of these; else returns None."""
    if view.types:
        return None
    return f"{view.part.name}: holds no mixtures, which these lists are of; read it as it is, or export hf"


@dataclass
class Lists(contextlib.AbstractContextManager["Lists"]):
    """Text files that grow side by side and appear whole when the block ends well, and else never.

    Attributes:
        tree: where to.
    """

    tree: OutputTree
    _open: contextlib.ExitStack = dataclasses.field(default_factory=contextlib.ExitStack)
    _files: dict[str, BinaryIO] = dataclasses.field(default_factory=dict)
    _ends: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, path: str, text: str, *, head: str = "", tail: str = "") -> None:
        """Adds text to a file.

        Args:
            path: place in the tree.
            text: what is added.
            head: what a file begins with.
            tail: what it ends with.
        """
        if path not in self._files:
            self._files[path] = self._open.enter_context(self.tree.open(path, keep_equal=True))
            self._ends[path] = tail
            self._files[path].write(head.encode())
        self._files[path].write(text.encode())

    def add_json(self, path: str, entry: str, *, brackets: str = "[]") -> None:
        """Adds an entry to a file that holds one JSON list, or with ``brackets="{}"`` one object."""
        mark = ",\n" if path in self._files else "\n"
        self.add(path, mark + entry, head=brackets[0], tail=f"\n{brackets[1]}\n")

    @property
    def paths(self) -> list[str]:
        """The files so far."""
        return list(self._files)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for path, end in self._ends.items():
                self._files[path].write(end.encode())
        self._open.__exit__(kind, error, trace)
