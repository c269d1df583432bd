"""Every file access of the project: local paths and all URLs that fsspec knows, through one package.

Inputs are read with plain functions that take a URL. Outputs go through an ``OutputTree``, which
makes each file appear whole or not at all: on a local disk by a temporary file below
``_mixtape/tmp`` and a rename, on an object store by a single put of a file that is complete.
"""

from transforms.storage.locks import only_run
from transforms.storage.members import PACK_ADVICE, PACK_COLUMNS, PACK_TABLE
from transforms.storage.output_tree import Buffer, ManyWrites, OutputTree
from transforms.storage.parallel import in_parallel
from transforms.storage.plain import RangeFile, open_ranges
from transforms.storage.reading import (
    Listings,
    exists,
    find,
    forget_file_systems,
    is_folder,
    list_folder,
    open_header,
    open_ranged,
    read_beginning,
    read_bytes,
    read_text,
    read_with_stamp,
    stamp,
)
from transforms.storage.urls import (
    MISSING,
    OWN_FOLDER,
    FileEntry,
    FileStamp,
    absolute,
    is_safe_relative,
    join,
    local_path,
)

__all__ = [
    "MISSING",
    "OWN_FOLDER",
    "PACK_ADVICE",
    "PACK_COLUMNS",
    "PACK_TABLE",
    "Buffer",
    "FileEntry",
    "FileStamp",
    "Listings",
    "ManyWrites",
    "OutputTree",
    "RangeFile",
    "absolute",
    "exists",
    "find",
    "forget_file_systems",
    "in_parallel",
    "is_folder",
    "is_safe_relative",
    "join",
    "list_folder",
    "local_path",
    "only_run",
    "open_header",
    "open_ranged",
    "open_ranges",
    "read_beginning",
    "read_bytes",
    "read_text",
    "read_with_stamp",
    "stamp",
]
