"""The metadata job: from a corpus on disk to its listings."""

import csv
import dataclasses
import functools
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import apache_beam as beam

from pipelines.runner import counted
from transforms import storage
from transforms.corpora import Layout, audio_folder
from transforms.corpora.librispeech import LibriSpeech
from transforms.corpora.told import ManifestColumns, StatedLicence, Teller, Transcripts
from transforms.corpora.wham import Wham
from transforms.errors import MixtapeError, UsageError
from transforms.listed import (
    ListedFolder,
    entries_below,
    entry_of,
    layout_digest,
    listing_content,
    read_record,
    record_path,
    write_record,
)
from transforms.listing import limited, read_table
from transforms.metadata import FinishRun, ListChanges, MakeRows, ReadHeaders, WriteListings
from transforms.rejects import REJECTS_PATH
from transforms.storage import FileEntry

CorpusKind = Literal["librispeech", "wham", "audio"]

_FLAGS_OF_COLUMNS = {"speaker": "--speaker-pattern", "text": "--transcripts", "licence": "--licence"}

KEPT = "listings of ours, of folders that are unchanged, and listings of others; --force makes all anew"


@dataclass(frozen=True)
class MetadataWork:
    """What a run has to do.

    Attributes:
        layout: the corpus's layout.
        root: URL of the corpus; of a manifest, its folder.
        folders: the folders whose listings are to be made.
        standing: the folders whose listings stand.
        gone: file names of listings of ours whose folders are there no more.
        entries: the files of each folder that was looked at.
        manifest: URL of the manifest, if there is one.
    """

    layout: Layout[Any]
    root: str
    folders: tuple[str, ...]
    standing: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    entries: Mapping[str, tuple[FileEntry, ...]] = field(default_factory=dict)
    manifest: str | None = None

    @property
    def listings(self) -> tuple[str, ...]:
        """File names of the listings to be made."""
        return tuple(self.layout.listings[folder] for folder in self.folders)

    @property
    def source_starts(self) -> tuple[str, ...]:
        """Beginnings of the names (``root:path``) of the sources that the run looks at."""
        return self._starts(self.folders)

    def _starts(self, folders: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{self.layout.name}:{folder and folder + '/'}" for folder in folders)

    def paths(self) -> list[str]:
        """Names the files of the folders whose listings are to be made, relative to the root."""
        return [entry.path for folder in self.folders for entry in self.entries[folder]]

    def counts(self, tree: storage.OutputTree) -> tuple[int, int]:
        """Counts the rows and the rejects of all listings asked for, made now or before."""
        folders = [*self.folders, *self.standing]
        names = (self.layout.listings[folder] for folder in folders)
        rows = sum(len(read_table(tree.url(name))[1]) for name in names if tree.exists(name))
        stored = tree.read(REJECTS_PATH).decode() if tree.exists(REJECTS_PATH) else ""
        sources = (fields["source"] for fields in csv.DictReader(io.StringIO(stored, newline="")))
        return rows, sum(source.startswith(self._starts(folders)) for source in sources)


@dataclass(frozen=True)
class MetadataOptions:
    """What to list and where to write it.

    Attributes:
        kind: the corpus's layout.
        corpus: URL of the corpus; for ``audio`` also of a manifest.
        out: URL of the folder that the listings are written to.
        subsets: of LibriSpeech, the subsets to list; all that are there if empty.
        speaker_pattern: of ``audio``, a regular expression with a group ``speaker``, searched in
            each path; empty: no speakers.
        transcripts: of ``audio``, take texts from the files ``*.trans.txt`` beside the audio.
        licence: of ``audio``, the licence of all files; empty: nobody states it.
        force: make all listings anew, and read all headers for it.
        adopt: keep listings that are there and of which nobody knows what they were made from.
    """

    kind: CorpusKind
    corpus: str
    out: str
    subsets: tuple[str, ...] = ()
    speaker_pattern: str = ""
    transcripts: bool = False
    licence: str = ""
    force: bool = False
    adopt: bool = True

    @property
    def folder(self) -> str:
        """URL of the folder that is written to."""
        return self.out

    def check(self) -> list[str]:
        """Lists every problem that can be found before any header is read; writes nothing.

        The corpus is listed for that, by the machine that this is called on.
        """
        problems = self._misfits()
        if problems:
            return problems
        try:
            work = self.work
            paths = work.paths()
        except UsageError as error:
            return list(error.problems)
        except MixtapeError as error:
            return [str(error)]
        return limited([*_missing_files(work, paths), *unreadable_names(paths), *work.layout.problems(paths)])

    def outlook(self) -> list[str]:
        """Says of checked options which listings are to be made, from how many files.

        Raises:
            StorageError: the corpus cannot be listed any more.
        """
        files = Counter(map(self.work.layout.listing_of, self.work.paths()))
        out = storage.OutputTree(self.out)
        lines = [f"{out.url(name)}: from {counted(files[name], 'file')}" for name in self.work.listings]
        return lines or [f"nothing to do: all listings are in {out.root} already ({KEPT})"]

    @functools.cached_property
    def work(self) -> MetadataWork:
        """What there is to do, found by listing the corpus once: listings that stand are kept.

        Raises:
            StorageError: the corpus or the output cannot be looked at.
            UsageError: the corpus is not there, or is not what it should be.
        """
        manifest = self._manifest()
        root = self.corpus if manifest is None else audio_folder.manifest_root(manifest)
        layout = self._layout(manifest)
        present = layout.folders(self.corpus)
        folders = self._folders(present)
        given = None if manifest is None else audio_folder.read_manifest(manifest)
        work = MetadataWork(layout, root, folders, gone=self._gone(layout, present), manifest=manifest)
        entries = {
            folder: _entries(work, folder, given) for folder in folders if self._looks_at(layout, folder)
        }
        standing = tuple(folder for folder in folders if self._stands(layout, folder, entries))
        wanted = tuple(folder for folder in folders if folder not in standing)
        return dataclasses.replace(work, folders=wanted, standing=standing, entries=entries)

    def _looks_at(self, layout: Layout[Any], folder: str) -> bool:
        """Tells whether a folder must be listed to know if its listing stands."""
        tree, name = storage.OutputTree(self.out), layout.listings[folder]
        ours = read_record(tree, name) is not None
        return self.force or ours or not (self.adopt and tree.exists(name))

    def _stands(self, layout: Layout[Any], folder: str, entries: Mapping[str, tuple[FileEntry, ...]]) -> bool:
        """Tells whether a listing is kept: somebody else's, or ours and the folder is unchanged."""
        if folder not in entries:
            return True
        record = None if self.force else read_record(storage.OutputTree(self.out), layout.listings[folder])
        return record is not None and record.holds(layout_digest(layout), entries[folder])

    def _gone(self, layout: Layout[Any], present: Sequence[str]) -> tuple[str, ...]:
        """Names the listings that we made of folders that the corpus has no more."""
        tree = storage.OutputTree(self.out)
        absent = (name for folder, name in layout.listings.items() if folder not in present)
        return () if self.subsets else tuple(name for name in absent if read_record(tree, name))

    def settle(self) -> None:
        """Records what the listings of a finished run were made from. Raises StorageError."""
        tree = storage.OutputTree(self.out)
        for folder, name in zip(self.work.folders, self.work.listings, strict=True):
            stamps = {entry.path: entry.stamp for entry in self.work.entries[folder]}
            content = listing_content(tree, name)
            write_record(tree, name, ListedFolder(layout_digest(self.work.layout), content, stamps))
        for name in self.work.gone:
            tree.remove(name)
            tree.remove(record_path(name))

    def _misfits(self) -> list[str]:
        """Lists options that are malformed or mean nothing for this kind of corpus."""
        problems = []
        if self.subsets and self.kind != "librispeech":
            problems.append(f"--subsets {' '.join(self.subsets)}: only LibriSpeech has subsets; leave it out")
        elif unknown := [subset for subset in self.subsets if subset not in LibriSpeech.listings]:
            known = " ".join(LibriSpeech.listings)
            problems.append(f"--subsets: {' '.join(unknown)} not known; known: {known}")
        if self.transcripts and self.kind != "audio":
            problems.append(f"--transcripts: listings of {self.kind} hold no texts; leave it out")
        if self.licence and self.kind != "audio":
            problems.append(f"--licence: the licence of {self.kind} is known; leave it out")
        if not self.speaker_pattern:
            return problems
        if self.kind != "audio":
            problems.append(f"--speaker-pattern: the paths of {self.kind} tell their speakers; leave it out")
        elif problem := audio_folder.pattern_problem(self.speaker_pattern):
            problems.append(f"--speaker-pattern {self.speaker_pattern!r} {problem}")
        return problems

    def _manifest(self) -> str | None:
        if storage.is_folder(self.corpus):
            return None
        if not storage.exists(self.corpus):
            raise UsageError(f"{self.corpus}: no such corpus; check the path")
        if self.kind != "audio":
            raise UsageError(f"{self.corpus}: is a file; give the folder of the corpus")
        return self.corpus

    def _layout(self, manifest: str | None) -> Layout[Any]:
        match self.kind:
            case "librispeech":
                return LibriSpeech.open(self.corpus)
            case "wham":
                return Wham()
            case "audio":
                return audio_folder.AudioFolder(self.speaker_pattern, tuple(self._tellers(manifest)))

    def _tellers(self, manifest: str | None) -> Iterator[Teller]:
        """Yields who knows more of the files of a folder of audio than their headers."""
        if manifest is not None and audio_folder.is_table(manifest):
            columns = ManifestColumns.of(manifest)
            told = columns.columns()
            given = {"speaker": self.speaker_pattern, "text": self.transcripts, "licence": self.licence}
            for column, flag in _FLAGS_OF_COLUMNS.items():
                if given[column] and column in told:
                    raise UsageError(f"{flag}: {manifest} has a column {column}; leave one of them out")
            if told:
                yield columns
        if self.transcripts:
            yield Transcripts.of(self.corpus if manifest is None else audio_folder.manifest_root(manifest))
        if self.licence:
            yield StatedLicence(self.licence)

    def _folders(self, found: Sequence[str]) -> tuple[str, ...]:
        if missing := [subset for subset in self.subsets if subset not in found]:
            raise UsageError(f"{self.corpus}: has no {' '.join(missing)}; its subsets are {' '.join(found)}")
        return tuple(folder for folder in found if not self.subsets or folder in self.subsets)


def _entries(work: MetadataWork, folder: str, given: Sequence[str] | None) -> tuple[FileEntry, ...]:
    """Lists the files of a folder, or asks for those that a manifest names."""
    if given is None:
        return tuple(entries_below(work.root, folder, work.layout.suffixes))
    return tuple(entry_of(work.root, path) for path in given)


def _missing_files(work: MetadataWork, paths: Sequence[str]) -> list[str]:
    """Names the folders without any audio."""
    seen = {work.layout.listing_of(path) for path in paths}
    return [
        f"{storage.join(work.root, folder) if folder else work.root}: holds no audio; "
        f"looked for {', '.join(work.layout.suffixes)} at any depth"
        for folder in work.folders
        if work.layout.listings[folder] not in seen
    ]


def unreadable_names(paths: Sequence[str]) -> list[str]:
    """Names the files whose names are not text, which neither listings nor workers can hold."""
    names = [path for path in paths if any("\ud800" <= character <= "\udfff" for character in path)]
    return [f"{name!r}: its name is not UTF-8; rename it" for name in names]


def build(pipeline: beam.Pipeline, options: MetadataOptions) -> None:
    """Adds the steps that list a corpus and write its listings, if any are to be made.

    Counters, in the namespace ``metadata``: listed = written + too_short + rejected.

    Args:
        pipeline: gets the steps.
        options: already checked.
    """
    work = options.work
    if not work.folders:
        return
    listed = pipeline | "ListChanges" >> ListChanges(
        work.root, options.out, work.layout, work.folders, work.manifest, options.force
    )
    # paths: path, rows: (file name, row)
    read = listed.paths | "ReadHeaders" >> ReadHeaders(work.root, work.layout.name, work.layout.rate_hz)
    # headers: Header, rejects: Reject
    made = read.headers | "MakeRows" >> MakeRows(work.layout)
    # rows: (file name, row), rejects: Reject
    rows = (made.rows, listed.rows) | "JoinRows" >> beam.Flatten()
    # (file name, row)
    written = rows | "WriteListings" >> WriteListings(options.out, work.layout, work.listings)
    # file name
    rejects = (read.rejects, made.rejects) | "JoinRejects" >> beam.Flatten()
    # Reject
    _ = rejects | "FinishRun" >> FinishRun(options.out, work.source_starts, written)
    # None
