"""URLs: local paths, stores and chained URLs, and what may be joined to them."""

import os
from dataclasses import dataclass, field

OWN_FOLDER = "_mixtape"
MISSING = "missing"
_UNSAFE_PARTS = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What a store tells about a file without reading it; equal stamps mean an unchanged file.

    Attributes:
        size_bytes: length of the file.
        version: modification time in ns on a local disk, else generation, ETag or checksum.
    """

    size_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file below a folder, as a listing of that folder tells of it.

    Attributes:
        path: relative to that folder, ``/`` between parts.
        size_bytes: length of the file.
        version: as in ``FileStamp``; empty where the listing does not say.
    """

    path: str
    size_bytes: int
    version: str = field(default="", compare=False)

    @property
    def stamp(self) -> FileStamp:
        """What ``stamp`` says of the file."""
        return FileStamp(self.size_bytes, self.version)


def local_path(url: str) -> str | None:
    """Returns the path of a file on a local disk, or None for every other store."""
    if url.startswith("file://"):
        return url.removeprefix("file://")
    return None if "://" in url or "::" in url else url


def join(root: str, *parts: str) -> str:
    """Appends relative parts to a URL; of a chained URL, to the first link that has a path.

    >>> join("zip://::gs://bucket/wham.zip", "tr/a.wav")
    'zip://tr/a.wav::gs://bucket/wham.zip'
    >>> join("simplecache::gs://bucket/wham", "tr/a.wav")
    'simplecache::gs://bucket/wham/tr/a.wav'
    """
    first, chain, rest = root.partition("::")
    if chain and "://" not in first:
        return first + chain + join(rest, *parts)
    base = first if first.endswith("://") else first.rstrip("/") + "/"
    return base + "/".join(parts) + chain + rest


def parent(url: str) -> tuple[str, str]:
    """Splits a URL into its folder and the last part of its path.

    >>> parent("zip://tr/a.wav::gs://bucket/wham.zip")
    ('zip://tr::gs://bucket/wham.zip', 'a.wav')
    """
    first, chain, rest = url.partition("::")
    if chain and "://" not in first:
        folder, name = parent(rest)
        return first + chain + folder, name
    start = first.find("://") + 3 if "://" in first else 0
    above, _, name = first[start:].rpartition("/")
    return first[:start] + above + chain + rest, name


def is_safe_relative(path: str) -> bool:
    """Tells whether a path from a plan or listing stays below the root it is joined to."""
    if not path or any(mark in path for mark in ("\\", "\0", "\n", "\r", "::", "://")):
        return False
    return not any(part in _UNSAFE_PARTS for part in path.split("/"))


def absolute(url: str) -> str:
    """Returns a URL with its local path, if it has one, made absolute; any other unchanged."""
    path = local_path(url)
    if path is not None:
        return os.path.abspath(path)
    first, chain, rest = url.partition("::")
    return first + chain + absolute(rest) if chain else url
