"""The steps of a metadata pipeline: list a corpus, read its headers, write listings and rejects."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import apache_beam as beam
from apache_beam.metrics import Metrics

from transforms import storage
from transforms.corpora import Layout
from transforms.corpora.audio_folder import read_manifest
from transforms.errors import SourceError
from transforms.listed import entries_below, entry_of, unchanged_rows
from transforms.listing import HEADER_STAGE, Header, read_header
from transforms.rejects import REJECTS_PATH, Reject, rejects_csv

NAMESPACE = "metadata"

_BATCH_FILES = 200


def list_files(root: str, folder: str, suffixes: tuple[str, ...] = ()) -> list[str]:
    """Lists the files of one folder of a corpus, sorted, as paths relative to the corpus root.

    Args:
        root: URL of the corpus.
        folder: folder directly below it; ``""`` is the whole corpus.
        suffixes: endings of names, in lower case; all files if empty.

    Raises:
        StorageError: the folder cannot be listed.
    """
    return [entry.path for entry in entries_below(root, folder, suffixes)]


@dataclasses.dataclass
class ListFiles(beam.PTransform[beam.pvalue.PBegin, beam.PCollection[str]]):
    """Lists a corpus: root of a pipeline → paths relative to the corpus root.

    The listing is made by a worker. So the description of the job holds the names of a few folders
    and not of a million files, which services refuse.

    Attributes:
        root: URL of the corpus.
        suffixes: endings of names, in lower case; all files if empty.
        folders: folders below the root, each listed at any depth; ``""`` is the whole corpus.
    """

    root: str
    suffixes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[str]:
        """Returns the paths of all files."""
        return (
            begin
            | "NameFolders" >> beam.Create(self.folders, reshuffle=len(self.folders) > 1)
            # folder
            | "List"
            >> beam.FlatMap(
                lambda folder, root, suffixes: list_files(root, folder, suffixes),
                root=self.root,
                suffixes=self.suffixes,
            ).with_output_types(str)
            # path
        )


@dataclasses.dataclass
class ReadManifest(beam.PTransform[beam.pvalue.PBegin, beam.PCollection[str]]):
    """Reads a manifest: root of a pipeline → the paths it names, relative to its folder.

    Attributes:
        url: see ``transforms.corpora.audio_folder.read_manifest``.
    """

    url: str

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[str]:
        """Returns the paths that the manifest names."""
        return (
            begin
            | "NameManifest" >> beam.Create([self.url], reshuffle=False)
            # URL of the manifest
            | "Read" >> beam.FlatMap(read_manifest).with_output_types(str)
            # path
        )


class _ListFolder(beam.DoFn):
    """Lists a folder and tells the files whose rows are known from those to be read."""

    def __init__(self, root: str, out: str, layout: Layout[Any], manifest: str | None, force: bool) -> None:
        self._root = root
        self._out = out
        self._layout = layout
        self._manifest = manifest
        self._force = force

    def process(self, folder: str) -> Iterator[Any]:
        if self._manifest is None:
            entries = entries_below(self._root, folder, self._layout.suffixes)
        else:
            entries = [entry_of(self._root, path) for path in read_manifest(self._manifest)]
        name = self._layout.listings[folder]
        tree = storage.OutputTree(self._out)
        rows = {} if self._force else unchanged_rows(tree, name, self._layout, entries)
        for entry in entries:
            if row := rows.get(entry.path):
                yield beam.pvalue.TaggedOutput(ListChanges.ROWS, (name, row))
            else:
                yield entry.path


@dataclasses.dataclass
class ListChanges(beam.PTransform[beam.pvalue.PBegin, Any]):
    """Lists a corpus of which listings may exist: root of a pipeline → outputs ``paths`` and ``rows``.

    A row comes as (file name of its listing, row), of each file that is as it was when that listing was
    made. The paths of all others come out to be read.

    Attributes:
        root: URL of the corpus; of a manifest, its folder.
        out: URL of the folder that the listings are in.
        layout: the corpus, for instance ``Wham()``.
        folders: folders below the root, each listed at any depth; ``""`` is the whole corpus.
        manifest: URL of a manifest that names the files, if there is one.
        force: take no row over.
    """

    PATHS: ClassVar[str] = "paths"
    ROWS: ClassVar[str] = "rows"

    root: str
    out: str
    layout: Layout[Any]
    folders: tuple[str, ...] = ("",)
    manifest: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, begin: beam.pvalue.PBegin) -> Any:
        """Returns ``paths`` and ``rows``."""
        tell = beam.ParDo(_ListFolder(self.root, self.out, self.layout, self.manifest, self.force))
        return (
            begin
            | "NameFolders" >> beam.Create(self.folders, reshuffle=len(self.folders) > 1)
            # folder
            | "List" >> tell.with_outputs(self.ROWS, main=self.PATHS)
            # paths: path, rows: (file name of the listing, row)
        )


class _ReadBatch(beam.DoFn):
    """Reads the headers of a batch of files."""

    def __init__(self, root: str, root_name: str, rate_hz: int | None) -> None:
        self._root = root
        self._root_name = root_name
        self._rate_hz = rate_hz

    def process(self, paths: list[str]) -> Iterator[Any]:
        Metrics.counter(NAMESPACE, "listed").inc(len(paths))
        yield from storage.in_parallel(self._root, self._read, paths)

    def _read(self, path: str) -> Any:
        try:
            header = read_header(self._root, path, root_name=self._root_name)
            self._check_rate(header)
        except SourceError as error:
            return beam.pvalue.TaggedOutput(ReadHeaders.REJECTS, Reject.of(path, error))
        return header

    def _check_rate(self, header: Header) -> None:
        if self._rate_hz not in (None, header.rate_hz):
            source = f"{self._root_name}:{header.path}"
            reason = f"has {header.rate_hz} Hz, wanted {self._rate_hz} Hz"
            raise SourceError(source, HEADER_STAGE, reason, "resample it to the wanted rate first")


@dataclasses.dataclass
class ReadHeaders(beam.PTransform[beam.PCollection[str], Any]):
    """Reads audio headers, in parallel: paths → outputs ``headers`` and ``rejects``.

    Every path comes out once: as a ``Header``, or as a ``Reject`` that says why not.

    Attributes:
        root: URL of the corpus.
        root_name: what rejects call the corpus, for instance ``wham``.
        rate_hz: the only rate accepted, or None for any.
    """

    HEADERS: ClassVar[str] = "headers"
    REJECTS: ClassVar[str] = "rejects"

    root: str
    root_name: str
    rate_hz: int | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, paths: beam.PCollection[str]) -> Any:
        """Returns ``headers`` and ``rejects``."""
        read = beam.ParDo(_ReadBatch(self.root, self.root_name, self.rate_hz))
        return (
            paths
            | "Batch" >> beam.BatchElements(min_batch_size=_BATCH_FILES, max_batch_size=_BATCH_FILES)
            # [path, ...]: a batch costs the runner as much as a single path would
            | "Spread" >> beam.Reshuffle()
            # [path, ...], on whichever worker is free
            | "Read" >> read.with_outputs(self.REJECTS, main=self.HEADERS)
            # headers: Header, rejects: Reject
        )


class _MakeRow(beam.DoFn):
    """Turns a header into the row of its listing."""

    def __init__(self, layout: Layout[Any]) -> None:
        self._layout = layout

    def process(self, header: Header) -> Iterator[Any]:
        if header.frames < self._layout.min_length_samples:
            Metrics.counter(NAMESPACE, "too_short").inc()
            return
        try:
            yield self._layout.listing_of(header.path), self._layout.row(header)
        except SourceError as error:
            yield beam.pvalue.TaggedOutput(MakeRows.REJECTS, Reject.of(header.path, error))


@dataclasses.dataclass
class MakeRows(beam.PTransform[beam.PCollection[Header], Any]):
    """Turns headers into rows of listings: ``Header`` → outputs ``rows`` and ``rejects``.

    A row comes as (file name of its listing, row). Files that are shorter than the layout wants are
    left out and counted.

    Attributes:
        layout: the corpus, for instance ``Wham()``.
    """

    ROWS: ClassVar[str] = "rows"
    REJECTS: ClassVar[str] = "rejects"

    layout: Layout[Any]

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, headers: beam.PCollection[Header]) -> Any:
        """Returns ``rows`` and ``rejects``."""
        make = beam.ParDo(_MakeRow(self.layout))
        return headers | "Make" >> make.with_outputs(self.REJECTS, main=self.ROWS)
        # rows: (file name of the listing, row), rejects: Reject


class _Gather(beam.CombineFn):
    """Gathers rows, on each worker first; plain tuples travel between workers, which is cheap."""

    def __init__(self, row_type: type[Any]) -> None:
        self._fields = tuple(field.name for field in dataclasses.fields(row_type))

    def create_accumulator(self) -> list[tuple[Any, ...]]:
        return []

    def add_input(self, gathered: list[tuple[Any, ...]], row: Any) -> list[tuple[Any, ...]]:
        gathered.append(tuple([getattr(row, name) for name in self._fields]))
        return gathered

    def merge_accumulators(self, pieces: Iterable[list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        return [row for piece in pieces for row in piece]

    def extract_output(self, gathered: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return gathered


def write_listing(out: str, layout: Layout[Any], name: str, rows: Iterable[Any]) -> str:
    """Sorts and writes one listing whole, and returns its file name. Raises StorageError."""
    made = list(rows)
    storage.OutputTree(out).write_if_changed(name, layout.csv(made))
    Metrics.counter(NAMESPACE, "written").inc(len(made))
    return name


class _Write(beam.DoFn):
    """Writes the listings of gathered rows."""

    def __init__(self, out: str, layout: Layout[Any]) -> None:
        self._out = out
        self._layout = layout

    def process(self, named: tuple[str, list[tuple[Any, ...]]]) -> Iterator[str]:
        name, gathered = named
        yield write_listing(self._out, self._layout, name, (self._layout.row_type(*row) for row in gathered))


class _WriteEmpty(beam.DoFn):
    """Writes the listings that no row came for."""

    def __init__(self, out: str, layout: Layout[Any]) -> None:
        self._out = out
        self._layout = layout

    def process(self, name: str, written: list[str]) -> Iterator[str]:
        if name not in written:
            yield write_listing(self._out, self._layout, name, ())


@dataclasses.dataclass
class WriteListings(beam.PTransform[beam.PCollection[tuple[str, Any]], beam.PCollection[str]]):
    """Sorts and writes listings: (file name, row) → file names written.

    The rows of one listing meet on one worker, which needs about 1 kB of memory for each.

    Attributes:
        out: URL of the folder to write to.
        layout: the corpus, for instance ``Wham()``.
        names: listings that are written even if no row comes for them.
    """

    out: str
    layout: Layout[Any]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rows: beam.PCollection[tuple[str, Any]]) -> beam.PCollection[str]:
        """Returns the file names of the listings written."""
        filled = (
            rows
            | "Gather" >> beam.CombinePerKey(_Gather(self.layout.row_type))
            # (file name, [fields of a row, ...])
            | "Write" >> beam.ParDo(_Write(self.out, self.layout)).with_output_types(str)
            # file name
        )
        empty = (
            rows.pipeline
            | "NameListings" >> beam.Create(self.names, reshuffle=False)
            # file name
            | "WriteEmpty"
            >> beam.ParDo(_WriteEmpty(self.out, self.layout), beam.pvalue.AsList(filled)).with_output_types(
                str
            )
            # file name, of those without rows
        )
        return (filled, empty) | "JoinNames" >> beam.Flatten()
        # file name


def merged_rejects(stored: bytes, rejects: Iterable[Reject], replaced: tuple[str, ...]) -> bytes:
    """Returns the rejects of a run together with those of earlier runs that it did not do again.

    Args:
        stored: what ``rejects_csv`` returned for the earlier runs, or nothing.
        rejects: the rejects of this run.
        replaced: beginnings of the names (``root:path``) of the sources that this run looked at.

    Returns:
        CSV sorted by source and item; empty if there are no rejects at all.
    """
    earlier = (Reject(**fields) for fields in csv.DictReader(io.StringIO(stored.decode(), newline="")))
    kept = [reject for reject in earlier if not reject.source.startswith(replaced)]
    merged = sorted({*kept, *rejects}, key=lambda reject: (reject.source, reject.item, reject.reason))
    return rejects_csv(merged) if merged else b""


def finish_run(rejects: Iterable[Reject], *, out: str, replaced: tuple[str, ...], namespace: str) -> None:
    """Stores the rejects of a run whose other files are written, and removes temporary files.

    Args:
        rejects: all of the run.
        out: URL of the folder that the run wrote to.
        replaced: see ``merged_rejects``.
        namespace: namespace of the counter ``rejected``.

    Raises:
        StorageError: the rejects cannot be stored.
    """
    made = list(rejects)
    Metrics.counter(namespace, "rejected").inc(len(made))
    tree = storage.OutputTree(out)
    stored = tree.read(REJECTS_PATH) if tree.exists(REJECTS_PATH) else b""
    if merged := merged_rejects(stored, made, replaced):
        tree.write_if_changed(REJECTS_PATH, merged)
    else:
        tree.remove(REJECTS_PATH)
    tree.remove_temporary()


@dataclasses.dataclass
class FinishRun(beam.PTransform[beam.PCollection[Reject], beam.PCollection[None]]):
    """Writes ``_mixtape/rejects.csv`` when all else is written: rejects → one None.

    Without rejects there is no such file. Rejects of earlier runs stay there if they are about
    files that this run did not look at.

    Attributes:
        out: URL of the folder that the run wrote to.
        replaced: beginnings of the names (``root:path``) of the sources that the run looked at.
        after: whatever must be complete before.
        namespace: namespace of the counter ``rejected``.
    """

    out: str
    replaced: tuple[str, ...]
    after: beam.PCollection[Any]
    namespace: str = NAMESPACE

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, rejects: beam.PCollection[Reject]) -> beam.PCollection[None]:
        """Returns one None, when all is written."""
        finish = beam.Map(
            lambda _, made, _written, **options: finish_run(made, **options),
            beam.pvalue.AsIter(rejects),
            beam.pvalue.AsIter(self.after),
            out=self.out,
            replaced=self.replaced,
            namespace=self.namespace,
        )
        return rejects.pipeline | "Once" >> beam.Create([None], reshuffle=False) | "Finish" >> finish
        # None
