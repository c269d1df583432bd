"""Croissant 1.0: a data set described in JSON-LD, with the records of its archives.

Vocabulary: http://mlcommons.org/croissant/1.0. It holds no date of publication: what is made has none
until somebody publishes it, who then adds ``datePublished``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transforms.card import DescribedPart, Description, variant_name
from transforms.plan import Shard, Variant
from transforms.sinks.webdataset import archive_path

CREATOR = "Mixtape"
_CONFORMS_TO = "http://mlcommons.org/croissant/1.0"
_VERSION = "1.0.0"
_KEY_IN_NAME = r"^([^.]+)\."
_TERMS = (
    "citeAs", "column", "conformsTo", "equivalentProperty", "extract", "field", "fileProperty", "fileObject",
    "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
    "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
    "subField", "transform",
)  # fmt: skip

Node = dict[str, Any]


def croissant_json(description: Description, checksums: Mapping[str, str]) -> bytes:
    """Returns the description of an output that holds at least one part.

    Every stream of the archives of a part, at one rate and mode, is a set of records with ``id`` and
    ``audio``, the bytes of a WAV file; equal ids belong together. Files of WAV trees are described
    as sets of files.

    Args:
        description: what is described.
        checksums: SHA-256 of every archive and record file, by path.
    """
    streams = [
        _Stream(part, variant, stream, checksums)
        for part in description.parts
        for variant in part.summary.options.variants
        for stream in part.streams
    ]
    terms = description.terms
    reasons = " ".join(f"{reason}." for reason in terms.reasons)
    document: Node = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": _CONFORMS_TO,
        "name": description.title,
        "description": f"{description.sentence} {reasons}".strip(),
        "license": terms.url or terms.name,
        "version": _VERSION,
        "creator": {"@type": "sc:Organization", "name": CREATOR},
        "keywords": ["speech separation", "speech enhancement", "audio"],
        "citeAs": "; ".join(corpus.citation or corpus.title for corpus in description.corpora),
        "distribution": [
            *(_file_object(path, checksums[path]) for path in checksums if not path.endswith(".idx")),
            *(node for stream in streams for node in stream.file_sets()),
        ],
        "recordSet": [stream.record_set() for stream in streams if stream.archives],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _context() -> Node:
    """Returns the context that the format's document gives, for the terms that it knows."""
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "dct": "http://purl.org/dc/terms/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "sc": "https://schema.org/",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        **{term: f"cr:{term}" for term in _TERMS},
        "conformsTo": "dct:conformsTo",
    }


def _file_object(path: str, sha256: str) -> Node:
    is_archive = path.endswith(".tar")
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": path,
        "contentUrl": path,
        "encodingFormat": "application/x-tar" if is_archive else "application/octet-stream",
        "sha256": sha256,
    }


class _Stream:
    """One stream of a part at one rate and mode, in whatever formats hold it."""

    def __init__(
        self, part: DescribedPart, variant: Variant, stream: str, checksums: Mapping[str, str]
    ) -> None:
        summary = part.summary
        self._part = part
        self._variant = variant
        self._stream = stream
        self._id = f"{summary.part.name}/{variant_name(variant)}/{stream}"
        places = (
            archive_path(Shard(summary.part, index, summary.shards), variant)
            for index in range(summary.shards)
        )
        self.archives: Sequence[str] = [place for place in places if place in checksums]

    def file_sets(self) -> Iterator[Node]:
        """Yields the sets of its WAV files, in archives and in the published tree."""
        fields = {"@type": "cr:FileSet", "name": self._id, "encodingFormat": "audio/wav"}
        if self.archives:
            holders = [{"@id": archive} for archive in self.archives]
            includes = f"*.{self._stream}.wav"
            yield fields | {"@id": f"{self._id}/members", "containedIn": holders, "includes": includes}
        summary = self._part.summary
        if "wav" in summary.options.formats and summary.written:
            includes = self._part.recipe.wav_path(summary.part, self._variant, self._stream, "*")
            yield fields | {"@id": f"{self._id}/files", "includes": includes}

    def record_set(self) -> Node:
        """Returns the records of its members in archives."""
        return {
            "@type": "cr:RecordSet",
            "@id": self._id,
            "name": self._id,
            "description": f"{self._stream} of {self._part.summary.part.name} at {self._variant.rate_hz} Hz, "
            f"{self._variant.mode}",
            "key": {"@id": f"{self._id}/id"},
            "field": [
                self._field("id", "sc:Text", "filename", transform={"regex": _KEY_IN_NAME}),
                self._field("audio", "sc:AudioObject", "content"),
            ],
        }

    def _field(self, name: str, data_type: str, extracted: str, **more: Node) -> Node:
        source = {"fileSet": {"@id": f"{self._id}/members"}, "extract": {"fileProperty": extracted}}
        return {
            "@type": "cr:Field",
            "@id": f"{self._id}/{name}",
            "name": name,
            "dataType": data_type,
            "source": {**source, **more},
        }
