"""The plan: what every mixture is made of, complete before anything is rendered.

A ``Mixture`` names its sources with level, place and length; ``Part`` is one subset of one corpus;
``RenderOptions`` says what a run makes of them. A stored plan is a Parquet file with one row per
source, the rows of a mixture together, and shard after shard, so that a worker reads its own
shard's rows and nothing else.
"""

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from transforms import storage
from transforms.errors import UsageError
from transforms.licences import NO_LICENCES, Licences
from transforms.plan_reading import ShardTables, open_plan, readable_plan

PLAN_FORMAT = 1
SHARED_GROUPS_FORMAT = 2
NOISE = "noise"
DRY_SUFFIX = "_dry"
SPEED_DECIMALS = 2
MONO = -1
WHOLE = -1

Settings = Mapping[str, str | int | float]
NO_SETTINGS: Settings = {}

LevelKind = Literal["gain", "active_level", "target", "snr"]
Measure = Literal["", "rms", "lufs", "active", "weighted"]
Fit = Literal["pad", "loop", "cut"]
Mode = Literal["min", "max"]
Format = Literal["wav", "webdataset", "tfrecord"]
MODES: tuple[Mode, ...] = get_args(Mode)
FORMATS: tuple[Format, ...] = get_args(Format)
_LEVEL_KINDS, _FITS = frozenset(get_args(LevelKind)), frozenset(get_args(Fit))

_SAFE_ROLE = re.compile(r"[a-z][a-z0-9_]*")
_SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+,=@-]*")
LONGEST_ID = 200
MOST_DB = 1000.0


def is_noise(role: str) -> bool:
    """Tells whether a role is noise: ``noise``, or ``noise_2`` and so on where there are several."""
    return role == NOISE or role.startswith(f"{NOISE}_")


@dataclass(frozen=True, slots=True)
class Source:
    """One signal of a mixture.

    Attributes:
        role: its name in the mixture: ``s1``, ``s2``, ..., ``noise``.
        root: name of the corpus root its path belongs to, for instance ``librispeech``.
        path: file below that root.
        level_kind: how ``level`` is meant: ``gain`` is a linear factor; ``active_level`` is the wanted
            active speech level in dB relative to 1, reached from ``active_power``; ``target`` is the
            level in dB (or LUFS) that ``measure`` shall show; ``snr`` is by how many dB the measure
            of ``against`` shall exceed that of this source.
        level: the level.
        measure: for ``target`` and ``snr``: ``rms``, ``lufs``, ``active`` (ITU-T P.56), or ``weighted``
            (``rms`` after a speech-weighting filter).
        against: for ``snr``: a role, or ``speech`` for the sum of all speech.
        fit: ``pad`` decides the mixture's length and is padded with zeros at its end; ``loop``
            follows that length: cut, or repeated with cross-fades; ``cut`` follows it too, and must
            be long enough.
        channel: channel to take, from 0; ``MONO`` demands a single-channel file.
        offset_samples: first sample to read, at the source's rate.
        length_samples: samples to read; ``WHOLE`` reads to the end (of a ``loop`` or ``cut``
            source: as many as the mixture has).
        start_samples: place of its first sample in the mixture, at the recipe's source rate.
        speed: factor by which it is played faster (pitch and tempo), in whole hundredths: the filter
            that resamples grows with the numbers of the exact ratio.
        rir: room impulse response below the root ``rir``, or empty.
        active_power: mean square of the recording's active speech (full scale 1), where the level
            needs it.
        speaker: the talker's id in its corpus, or empty.
        sex: ``F``, ``M`` or empty.
        text: transcript, or empty.
    """

    role: str
    root: str
    path: str
    level_kind: LevelKind = "gain"
    level: float = 1.0
    measure: Measure = ""
    against: str = ""
    fit: Fit = "pad"
    channel: int = MONO
    offset_samples: int = 0
    length_samples: int = WHOLE
    start_samples: int = 0
    speed: float = 1.0
    rir: str = ""
    active_power: float = 1.0
    speaker: str = ""
    sex: str = ""
    text: str = ""

    @property
    def name(self) -> str:
        """The source as messages and ledgers name it: ``root:path``."""
        return f"{self.root}:{self.path}"


@dataclass(frozen=True, slots=True)
class Mixture:
    """One item of a corpus: an id that is unique in its part, and the sources, noise last."""

    id: str
    sources: tuple[Source, ...]

    @property
    def speech(self) -> tuple[Source, ...]:
        """The sources that are not noise, in order."""
        return tuple(source for source in self.sources if not is_noise(source.role))


@dataclass(frozen=True, slots=True)
class Part:
    """One subset of one corpus, planned, rendered and accounted for together.

    Attributes:
        recipe: name of the recipe, for instance ``librimix``.
        corpus: the corpus, for instance ``Libri2Mix``.
        subset: the subset, for instance ``train-100``.
    """

    recipe: str
    corpus: str
    subset: str

    @property
    def name(self) -> str:
        """File-name safe name, unique in an output."""
        return f"{self.corpus}-{self.subset}"


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One rate and length mode that a mixture is rendered at."""

    rate_hz: int
    mode: Mode

    @property
    def folder(self) -> str:
        """The published folder name of the rate: ``wav8k`` for 8000 Hz (whole kHz)."""
        return f"wav{self.rate_hz // 1000}k"


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What one run makes of a plan; everything here changes the bytes or the set of files.

    Attributes:
        rates_hz: output rates.
        modes: length modes; ``min`` cuts to the shortest source, ``max`` pads to the longest.
        types: the mixtures to write, by the recipe's names (``mix_clean``, ``mix_both``, ...).
        formats: containers to write.
        shard_size: mixtures per shard.
        table_paths: how tables name files: ``absolute``, ``relative`` to the table, or a prefix.
    """

    rates_hz: tuple[int, ...] = (8000, 16000)
    modes: tuple[Mode, ...] = MODES
    types: tuple[str, ...] = ()
    formats: tuple[Format, ...] = ("wav",)
    shard_size: int = 100
    table_paths: str = "absolute"

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "RenderOptions":
        """Reads the fields of ``dataclasses.asdict`` after a way through JSON."""
        own: dict[str, Any] = {
            name: tuple(one) if isinstance(one, list) else one for name, one in fields.items()
        }
        return cls(**own)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All combinations of rate and mode, rates first, in the order given."""
        return tuple(Variant(*pair) for pair in itertools.product(self.rates_hz, self.modes))


@dataclass(frozen=True, slots=True)
class Shard:
    """A unit of work: its part, its number in the part from 0, and how many the part has."""

    part: Part
    index: int
    count: int

    @property
    def name(self) -> str:
        """File-name safe name, unique in an output."""
        return f"{self.part.name}-{self.index:06d}"


@dataclass(frozen=True, slots=True)
class ShardRun:
    """Shards of one part that follow one another: what a job is told of a hundred thousand shards.

    Attributes:
        part: their part.
        start: number of the first.
        stop: number after that of the last.
        count: how many the part has.
    """

    part: Part
    start: int
    stop: int
    count: int

    @property
    def shards(self) -> list[Shard]:
        """The shards, in order."""
        return [Shard(self.part, index, self.count) for index in range(self.start, self.stop)]


def shard_runs(shards: Iterable[Shard]) -> list[ShardRun]:
    """Returns the same shards in the same order, as few runs."""
    grouped = itertools.groupby(
        enumerate(shards), key=lambda pair: (pair[1].part, pair[1].count, pair[1].index - pair[0])
    )
    runs = []
    for (part, count, _), pairs in grouped:
        indices = [shard.index for _, shard in pairs]
        runs.append(ShardRun(part, indices[0], indices[-1] + 1, count))
    return runs


def id_problem(mixture_id: str) -> str | None:
    """Says why an id cannot name files, or returns None for a good one."""
    if not _SAFE_ID.fullmatch(mixture_id) or ".." in mixture_id:
        return "may hold letters, digits and . _ + , = @ - only, no '..', and begins with a letter or digit"
    return f"is longer than {LONGEST_ID} characters" if len(mixture_id) > LONGEST_ID else None


def mixture_problems(mixture: Mixture, roots: Iterable[str]) -> list[str]:
    """Lists everything that forbids rendering a mixture: its id, paths, roots, roles, levels."""
    problems = []
    if problem := id_problem(mixture.id):
        problems.append(f"id {mixture.id!r} {problem}")
    known = set(roots)
    for source in mixture.sources:
        problems += _source_problems(source, known)
    if not any(source.fit == "pad" for source in mixture.sources):
        problems.append("no source decides the length (fit 'pad')")
    roles = [source.role for source in mixture.sources]
    if len(set(roles)) < len(roles):
        problems.append(f"roles {roles} are not all different")
    return problems


def _source_problems(source: Source, known_roots: Set[str]) -> Iterator[str]:
    role = source.role
    if not _SAFE_ROLE.fullmatch(role):
        yield f"role {role!r} may hold small letters, digits and _ only, and begins with a letter"
    if source.root not in known_roots:
        yield f"root {source.root!r} of {role} is not given (known: {sorted(known_roots)})"
    if not storage.is_safe_relative(source.path):
        yield f"path {source.path!r} of {role} must be relative and stay below its root"
    if not abs(source.level) < math.inf:
        yield f"level {source.level} of {role} is not a finite number"
    if source.level_kind not in _LEVEL_KINDS or source.fit not in _FITS:
        yield f"level kind {source.level_kind!r} or fit {source.fit!r} of {role} is not known"
    if source.level_kind == "active_level" and not 0 < source.active_power < math.inf:
        yield f"active power {source.active_power} of {role} is not above 0"
    if source.level_kind != "gain" and abs(source.level) > MOST_DB:
        yield f"level {source.level} dB of {role} is beyond {MOST_DB} dB"
    if source.channel < MONO or source.offset_samples < 0 or source.length_samples < WHOLE:
        yield f"channel, offset or length of {role} is negative"
    if source.length_samples == 0:
        yield f"length of {role} is 0 samples"
    if source.start_samples < 0 or not 0 < source.speed < math.inf:
        yield f"start {source.start_samples} or speed {source.speed} of {role} is not possible"
    elif source.speed != round(source.speed, SPEED_DECIMALS):
        yield f"speed {source.speed} of {role} has more than {SPEED_DECIMALS} decimals"
    if source.rir and not storage.is_safe_relative(source.rir):
        yield f"room response {source.rir!r} of {role} must be relative and stay below its root"
    if source.level_kind in ("target", "snr") and not source.measure:
        yield f"level of {role} names no measure"


_FORMAT = "mixtape.format"
_MIXTURE_COUNT = "mixtape.mixtures"
_ROLES = "mixtape.roles"
_SOURCE_FIELDS = tuple(field.name for field in dataclasses.fields(Source))


def _schema(part: Part, settings: Settings, licences: Licences) -> Any:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns = [pa.field("mixture_id", pa.string())]
    columns += [
        pa.field(field.name, kinds.get(cast(type, field.type), pa.string()))
        for field in dataclasses.fields(Source)
    ]
    facts = dataclasses.asdict(part) | {
        "format": PLAN_FORMAT,
        "settings": json.dumps(dict(settings), sort_keys=True),
    }
    if licences:
        facts["licences"] = json.dumps(dict(licences), sort_keys=True)
    return pa.schema(columns, metadata={f"mixtape.{key}": str(value) for key, value in facts.items()})


def _shard_table(schema: Any, mixtures: Sequence[Mixture]) -> Any:
    import pyarrow as pa

    rows = [(mixture.id, source) for mixture in mixtures for source in mixture.sources]
    columns = [[mixture_id for mixture_id, _ in rows]]
    columns += [[getattr(source, name) for _, source in rows] for name in _SOURCE_FIELDS]
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def shard_groups(
    mixtures: Iterable[Mixture], shard_size: int, *, together: bool = False
) -> Iterator[list[Mixture]]:
    """Yields the mixtures of each shard, see ``write_plan``."""
    rest = iter(mixtures)
    if not together:
        while group := list(itertools.islice(rest, shard_size)):
            yield group
        return
    group = []
    for _, sharing in itertools.groupby(rest, key=lambda mixture: mixture.sources[0].name):
        of_one_file = list(sharing)
        if group and len(group) + len(of_one_file) > shard_size:
            yield group
            group = []
        group += of_one_file
    if group:
        yield group


def write_plan(
    tree: storage.OutputTree,
    path: str,
    part: Part,
    mixtures: Iterable[Mixture],
    *,
    shard_size: int,
    settings: Settings = NO_SETTINGS,
    licences: Licences = NO_LICENCES,
    together: bool = False,
) -> int:
    """Stores a part's plan, its shards one after the other, unless the same is there already.

    Holds one shard's mixtures at a time, of a large plan those of some shards: see ``ShardTables``.

    Args:
        tree: where to.
        path: place in the tree, ending in ``.parquet``.
        part: what the mixtures make up.
        mixtures: in plan order.
        shard_size: mixtures per shard.
        settings: what the plan decides about rendering, see ``Recipe.with_settings``.
        licences: those that listings state for the sources; of no root, the plan says nothing of them.
        together: keep mixtures in one shard that follow one another and share their first source's
            file; then shards may be shorter, or longer where one file has more.

    Returns:
        The number of shards.

    Raises:
        StorageError: it cannot be written.
    """
    import pyarrow.parquet as pq

    mixture_count = 0
    roles: set[str] = set()
    schema = _schema(part, settings, licences)
    with (
        tree.open(path, keep_equal=True) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        tables = ShardTables(writer)
        for group in shard_groups(mixtures, shard_size, together=together):
            tables.add(_shard_table(schema, group))
            mixture_count += len(group)
            roles.update(source.role for mixture in group for source in mixture.sources)
        ordered = sorted(roles, key=lambda role: (is_noise(role), len(role), role))
        facts = {_MIXTURE_COUNT: str(mixture_count), _ROLES: ",".join(ordered)}
        if further := tables.finish():
            facts |= further | {_FORMAT: str(SHARED_GROUPS_FORMAT)}
        writer.add_key_value_metadata(facts)
    return tables.count


@dataclass(frozen=True)
class StoredPlan:
    """A plan on disk: what it is of, and how many shards and mixtures it has.

    Attributes:
        url: the Parquet file.
        part: what the mixtures make up.
        shard_count: how many shards.
        mixture_count: mixtures in all shards.
        roles: all roles of its sources, noise last.
        settings: what the plan decides about rendering.
        licences: those that listings state for its sources.
    """

    url: str
    part: Part
    shard_count: int
    mixture_count: int
    roles: tuple[str, ...]
    settings: Settings
    licences: Licences = field(default_factory=dict)

    @classmethod
    def open(cls, url: str) -> "StoredPlan":
        """Reads a plan's footer. Raises StorageError, or UsageError when it is no plan of ours."""
        file = open_plan(url)
        facts = file.facts
        if facts.get(_FORMAT) not in (str(PLAN_FORMAT), str(SHARED_GROUPS_FORMAT)):
            wanted = f"{PLAN_FORMAT} or {SHARED_GROUPS_FORMAT}"
            raise UsageError(
                f"{url}: is not a plan of format {wanted} (found {facts.get(_FORMAT)}); "
                "plan again with this version"
            )
        part = Part(*(facts[f"mixtape.{field.name}"] for field in dataclasses.fields(Part)))
        if problem := id_problem(part.corpus) or id_problem(part.subset):
            raise UsageError(f"{url}: corpus {part.corpus!r} or subset {part.subset!r} {problem}")
        settings = json.loads(facts["mixtape.settings"])
        roles = tuple(filter(None, facts[_ROLES].split(",")))
        licences = {
            root: tuple(texts) for root, texts in json.loads(facts.get("mixtape.licences", "{}")).items()
        }
        return cls(url, part, file.shard_count, int(facts[_MIXTURE_COUNT]), roles, settings, licences)

    @property
    def shards(self) -> list[Shard]:
        """All shards, in order."""
        return [Shard(self.part, index, self.shard_count) for index in range(self.shard_count)]

    def read_shard(self, index: int) -> list[Mixture]:
        """Reads the mixtures of one shard, in plan order. Raises StorageError."""
        with readable_plan(self.url) as file:
            return _mixtures(file.read_shard(index))

    def sources_in(self, index: int) -> int:
        """Tells how many sources the mixtures of one shard have. Raises StorageError."""
        with readable_plan(self.url) as file:
            return file.rows_in(index)

    def read_all(self) -> Iterator[Mixture]:
        """Reads all mixtures, a shard at a time. Raises StorageError."""
        for index in range(self.shard_count):
            yield from self.read_shard(index)

    def read_ids(self) -> list[str]:
        """Reads the ids of all mixtures, in plan order. Raises StorageError."""
        return [mixture_id for ids in self._ids_by_shard() for mixture_id in ids]

    def shard_starts(self) -> list[int]:
        """Reads the number of the first mixture of each shard; lengths may differ. Raises StorageError."""
        return [0, *itertools.accumulate(map(len, self._ids_by_shard()))][: self.shard_count]

    def _ids_by_shard(self) -> Iterator[list[str]]:
        with readable_plan(self.url) as file:
            for index in range(self.shard_count):
                rows = file.read_shard(index, ["mixture_id"])["mixture_id"].to_pylist()
                yield [mixture_id for mixture_id, _ in itertools.groupby(rows)]


def _mixtures(table: Any) -> list[Mixture]:
    columns = table.to_pydict()
    sources = map(Source, *(columns[name] for name in _SOURCE_FIELDS))
    grouped = itertools.groupby(zip(columns["mixture_id"], sources, strict=True), key=lambda pair: pair[0])
    return [Mixture(key, tuple(source for _, source in rows)) for key, rows in grouped]
