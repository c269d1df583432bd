"""What was found out about the files of a video corpus, and the plan of segments that follows from it."""

import collections
import dataclasses
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from transforms import storage
from transforms.errors import SourceError, StorageError
from transforms.plan import LONGEST_ID, Mixture, Source
from transforms.rejects import Reject
from transforms.storage import OWN_FOLDER, OutputTree
from transforms.video.aligned import ROLE, ROOT, AlignOptions
from transforms.video.clip_record import ClipRecord, probe
from transforms.video.decoding import ClipFile

PROBES_PATH = f"{OWN_FOLDER}/stamps/probes.parquet"
_PROBES_FORMAT = 1
_GROUP_ROWS = 5000
_DIGEST_DIGITS = 8
_STAGE = "plan"
_COLUMNS = ("path", "size_bytes", "version", "found")
_UNSAFE = re.compile(r"[^A-Za-z0-9_+,=@-]+")


@dataclass(frozen=True, slots=True)
class ProbedFile:
    """A file of the corpus and what was found out about it.

    Attributes:
        path: place below the corpus root.
        size_bytes, version: its stamp when it was looked at, see ``storage.FileStamp``.
        found: its ``ClipRecord``, or the ``Reject`` that says why there is none, as JSON; empty
            before it was looked at.
    """

    path: str
    size_bytes: int
    version: str
    found: str = ""

    @property
    def record(self) -> ClipRecord | None:
        """What the file promises; None if it cannot serve."""
        fields = json.loads(self.found).get("record")
        return None if fields is None else _record(fields)

    @property
    def reject(self) -> Reject | None:
        """Why the file cannot serve; None if it can."""
        fields = json.loads(self.found).get("reject")
        return None if fields is None else Reject(**fields)


_TIMES = tuple(field.name for field in dataclasses.fields(ClipRecord) if field.type is Fraction)


def _record(fields: Mapping[str, Any]) -> ClipRecord:
    times = {name: Fraction(fields[name]) for name in _TIMES}
    return ClipRecord(**{**fields, **times, "flags": tuple(fields["flags"])})


def _record_fields(record: ClipRecord) -> dict[str, Any]:
    fields = dataclasses.asdict(record)
    return {**fields, **{name: str(fields[name]) for name in _TIMES}}


def probed(root: str, file: ProbedFile) -> ProbedFile:
    """Looks at a file, unless that was done already.

    Args:
        root: URL of the corpus.
        file: the file.

    Raises:
        UsageError: PyAV is not installed.
    """
    if file.found:
        return file
    name, url = f"{ROOT}:{file.path}", storage.join(root, file.path)
    try:
        place = storage.local_path(url) or storage.read_bytes(url)
        found: dict[str, Any] = {"record": _record_fields(probe(ClipFile(name, place)))}
    except StorageError as error:
        reject = Reject(file.path, name, "read", error.problem, "restore the file or leave it out")
        found = {"reject": dataclasses.asdict(reject)}
    except SourceError as error:
        found = {"reject": dataclasses.asdict(Reject.of(file.path, error))}
    return dataclasses.replace(file, found=json.dumps(found, sort_keys=True))


def listed_files(root: str, suffixes: tuple[str, ...], known: Mapping[str, ProbedFile]) -> list[ProbedFile]:
    """Lists the video files of a corpus, sorted; with what is known of those that are unchanged.

    Args:
        root: URL of the corpus.
        suffixes: endings of names, in lower case.
        known: files looked at earlier, by path.

    Raises:
        StorageError: the corpus cannot be listed.
    """
    files = []
    for entry in storage.find(root, suffixes=suffixes):
        old, stamp = known.get(entry.path), (entry.size_bytes, entry.version)
        unchanged = old is not None and entry.version and stamp == (old.size_bytes, old.version)
        files.append(old if old is not None and unchanged else ProbedFile(entry.path, *stamp))
    return files


def write_probes(tree: OutputTree, root: str, files: Iterable[ProbedFile]) -> int:
    """Stores what was found out about the files of a corpus, sorted by path; returns how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = sorted(files, key=lambda file: file.path)
    facts = {"mixtape.probes": str(_PROBES_FORMAT), "mixtape.root": root}
    kinds = (pa.string(), pa.int64(), pa.string(), pa.string())
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)), metadata=facts)
    with tree.open(PROBES_PATH, keep_equal=True) as target, pq.ParquetWriter(target, schema) as writer:
        for start in range(0, len(rows), _GROUP_ROWS):
            group = [dataclasses.astuple(row) for row in rows[start : start + _GROUP_ROWS]]
            columns = [pa.array(column) for column in zip(*group, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return len(rows)


def read_probes(tree: OutputTree, root: str) -> Iterator[ProbedFile]:
    """Yields what is stored about the files of a corpus, by path; nothing if it is of another corpus."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not tree.exists(PROBES_PATH):
        return
    url = tree.url(PROBES_PATH)
    try:
        file = pq.ParquetFile(storage.open_header(url))
        facts = file.metadata.metadata or {}
        if (facts.get(b"mixtape.probes"), facts.get(b"mixtape.root")) != (
            str(_PROBES_FORMAT).encode(),
            root.encode(),
        ):
            return
        for group in range(file.num_row_groups):
            columns = file.read_row_group(group).to_pydict()
            yield from itertools.starmap(ProbedFile, zip(*(columns[name] for name in _COLUMNS), strict=True))
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise StorageError(url, f"is damaged ({error}); remove it, and run again") from error


def stems_of(paths: Iterable[str]) -> dict[str, str]:
    """Returns what the ids of each file's segments begin with: different ones, safe as file names.

    That is the path with ``_`` for folders, without its ending. Where that is no good name, or two
    files would share it, eight digits of the SHA-256 of the path tell them apart.
    """
    plain = {path: _UNSAFE.sub("_", path.rpartition(".")[0].replace("/", "_")).strip("_-") for path in paths}
    uses = collections.Counter(plain.values())
    return {path: _stem(path, name, shared=uses[name] > 1) for path, name in plain.items()}


def _stem(path: str, name: str, *, shared: bool) -> str:
    whole = path.rpartition(".")[0].replace("/", "_")
    longest = LONGEST_ID - _DIGEST_DIGITS - len("-_000000")
    if name == whole and name[:1].isalnum() and len(name) <= longest and not shared:
        return name
    digest = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()[:_DIGEST_DIGITS]
    beginning = name[:longest] if name[:1].isalnum() else f"clip{name[: longest - 4]}"
    return f"{beginning}-{digest}"


@dataclass(frozen=True)
class AlignPlan:
    """The plan of a corpus: segments of its files, and the files that give none.

    Attributes:
        options: how files are aligned.
        frames_per_segment: length of a segment; 0 makes one of each file.
    """

    options: AlignOptions
    frames_per_segment: int = 0

    def mixtures(self, files: Iterable[ProbedFile], stems: Mapping[str, str]) -> Iterator[Mixture]:
        """Yields the segments of all files, those of a file one after the other."""
        for file in files:
            if (record := file.record) is not None:
                yield from self._of_file(file.path, record, stems[file.path])

    def _of_file(self, path: str, record: ClipRecord, stem: str) -> Iterator[Mixture]:
        options = self.options
        for number, frames in enumerate(options.ranges(record, self.frames_per_segment)):
            first, count = frames.samples(options.fps, options.rate_hz)
            source = Source(ROLE, ROOT, path, offset_samples=first, length_samples=count)
            yield Mixture(self._id(stem, number), (source,))

    def _id(self, stem: str, number: int) -> str:
        return f"{stem}_{number:04d}" if self.frames_per_segment else stem

    def rejects(self, files: Iterable[ProbedFile], stems: Mapping[str, str]) -> Iterator[Reject]:
        """Yields why files give no segment, the item being the first that each would have given."""
        for file in files:
            item, record, reject = self._id(stems[file.path], 0), file.record, file.reject
            if reject is not None:
                yield dataclasses.replace(reject, item=item)
            elif record is not None and next(self.options.ranges(record, 0), None) is None:
                samples = self.options.promised_samples(record)
                reason = (
                    f"gives no whole frame: its pictures end at {float(record.pictures_end):.3f} s, and "
                    f"there are {samples} samples of sound"
                )
                remedy = "leave it out, or fill up its sound with --tail pad"
                yield Reject(item, f"{ROOT}:{file.path}", _STAGE, reason, remedy)
