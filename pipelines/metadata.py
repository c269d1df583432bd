"""The metadata job: from a corpus on disk to its listings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import apache_beam as beam

from pipelines.runner import counted
from transforms import storage
from transforms.corpora import Layout, audio_folder
from transforms.corpora.librispeech import LibriSpeech
from transforms.corpora.wham import Wham
from transforms.errors import MixtapeError, UsageError
from transforms.listing import limited
from transforms.metadata import (
    FinishRun,
    ListFiles,
    MakeRows,
    ReadHeaders,
    ReadManifest,
    WriteListings,
    list_files,
)

CorpusKind = Literal["librispeech", "wham", "audio"]


@dataclass(frozen=True)
class MetadataWork:
    """What a run has to do.

    Attributes:
        layout: the corpus's layout.
        root: URL of the corpus; of a manifest, its folder.
        folders: the folders whose listings are to be made.
        manifest: URL of the manifest, if there is one.
    """

    layout: Layout[Any]
    root: str
    folders: tuple[str, ...]
    manifest: str | None = None

    @property
    def listings(self) -> tuple[str, ...]:
        """File names of the listings to be made."""
        return tuple(self.layout.listings[folder] for folder in self.folders)

    @property
    def source_starts(self) -> tuple[str, ...]:
        """Beginnings of the names (``root:path``) of the sources that the run looks at."""
        return tuple(f"{self.layout.name}:{folder and folder + '/'}" for folder in self.folders)

    def paths(self) -> list[str]:
        """Lists the files, relative to the root. Raises StorageError or UsageError."""
        if self.manifest is not None:
            return audio_folder.read_manifest(self.manifest)
        found = (list_files(self.root, folder, self.layout.suffixes) for folder in self.folders)
        return [path for paths in found for path in paths]


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
        force: make listings again that are there already.
    """

    kind: CorpusKind
    corpus: str
    out: str
    subsets: tuple[str, ...] = ()
    speaker_pattern: str = ""
    force: bool = False

    @property
    def folder(self) -> str:
        """URL of the folder that is written to."""
        return self.out

    def check(self) -> list[str]:
        """Lists every problem that can be found before any header is read; writes nothing.

        The corpus is listed once for that, by the machine that this is called on.
        """
        problems = self._misfits()
        if problems:
            return problems
        try:
            work = self.resolve()
            paths = work.paths() if work.folders else []
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
        work = self.resolve()
        files = Counter(map(work.layout.listing_of, work.paths() if work.folders else ()))
        out = storage.OutputTree(self.out)
        lines = [f"{out.url(name)}: from {counted(files[name], 'file')}" for name in work.listings]
        return lines or [
            f"nothing to do: all listings are in {out.root} already, and are left as they are "
            "(--force makes them anew, from the files that are there now)"
        ]

    def resolve(self) -> MetadataWork:
        """Returns what there is to do: listings that are there already are kept, unless forced.

        Raises:
            StorageError: the corpus or the output cannot be looked at.
            UsageError: the corpus is not there, or is not what it should be.
        """
        manifest = self._manifest()
        root = self.corpus if manifest is None else audio_folder.manifest_root(manifest)
        layout = self._layout()
        out = storage.OutputTree(self.out)
        wanted = (
            folder
            for folder in self._folders(layout)
            if self.force or not out.exists(layout.listings[folder])
        )
        return MetadataWork(layout, root, tuple(wanted), manifest)

    def _misfits(self) -> list[str]:
        """Lists options that are malformed or mean nothing for this kind of corpus."""
        problems = []
        if self.subsets and self.kind != "librispeech":
            problems.append(f"--subsets {' '.join(self.subsets)}: only LibriSpeech has subsets; leave it out")
        elif unknown := [subset for subset in self.subsets if subset not in LibriSpeech.listings]:
            known = " ".join(LibriSpeech.listings)
            problems.append(f"--subsets: {' '.join(unknown)} not known; known: {known}")
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

    def _layout(self) -> Layout[Any]:
        match self.kind:
            case "librispeech":
                return LibriSpeech.open(self.corpus)
            case "wham":
                return Wham()
            case "audio":
                return audio_folder.AudioFolder(self.speaker_pattern)

    def _folders(self, layout: Layout[Any]) -> tuple[str, ...]:
        found = layout.folders(self.corpus)
        if missing := [subset for subset in self.subsets if subset not in found]:
            raise UsageError(f"{self.corpus}: has no {' '.join(missing)}; its subsets are {' '.join(found)}")
        return tuple(folder for folder in found if not self.subsets or folder in self.subsets)


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
    work = options.resolve()
    if not work.folders:
        return
    if work.manifest is None:
        listing = ListFiles(work.root, work.layout.suffixes, work.folders)
        paths = pipeline | "ListFiles" >> listing
    else:
        paths = pipeline | "ListFiles" >> ReadManifest(work.manifest)
    # path
    read = paths | "ReadHeaders" >> ReadHeaders(work.root, work.layout.name, work.layout.rate_hz)
    # headers: Header, rejects: Reject
    made = read.headers | "MakeRows" >> MakeRows(work.layout)
    # rows: (file name, row), rejects: Reject
    written = made.rows | "WriteListings" >> WriteListings(options.out, work.layout, work.listings)
    # file name
    rejects = (read.rejects, made.rejects) | "JoinRejects" >> beam.Flatten()
    # Reject
    _ = rejects | "FinishRun" >> FinishRun(options.out, work.source_starts, written)
    # None
