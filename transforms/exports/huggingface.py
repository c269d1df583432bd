"""Metadata for the folder loader of the ``datasets`` library: a Parquet file within the published tree.

``datasets.load_dataset("audiofolder", data_dir=...)`` reads ``metadata.parquet`` in the folder of each
split. A column ``<stream>_file_name`` gives the audio column ``<stream>``; paths must be relative to the
file's own folder and stay below it, so the files stand beside the audio and nowhere else.
"""

import itertools
import posixpath
from typing import Any

from transforms.exports.base import Item, View
from transforms.storage import OutputTree

METADATA = "metadata.parquet"
_ROWS = 1000


def metadata_path(view: View) -> str:
    """Returns the place of a view's metadata: the folder that holds all its streams."""
    streams = [*view.streams, *view.types]
    folders = {posixpath.dirname(view.path(stream, "id")) for stream in streams}
    return posixpath.join(posixpath.commonpath(folders), METADATA)


def write_metadata(view: View, to: OutputTree) -> list[str]:
    """Writes the metadata of one subset at one rate and mode.

    Holds a thousand rows at a time. The columns are the streams' files, then ``id``, ``samples``,
    ``rate_hz``, ``duration_s``, and as lists, one entry per talker, ``speakers``, ``sexes`` and ``texts``.
    Where an item lacks a stream, the file name is null.

    Args:
        view: of what.
        to: the output itself.

    Returns:
        What was written.

    Raises:
        StorageError: the output cannot be read, or the file not be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = metadata_path(view)
    schema = _schema(view)
    items = view.items()
    with to.open(path, keep_equal=True) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while rows := [_row(view, item, posixpath.dirname(path)) for item in itertools.islice(items, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return [path]


def _schema(view: View) -> Any:
    import pyarrow as pa

    words = pa.list_(pa.string())
    return pa.schema(
        [
            *((f"{stream}_file_name", pa.string()) for stream in view.streams),
            ("id", pa.string()),
            ("samples", pa.int64()),
            ("rate_hz", pa.int64()),
            ("duration_s", pa.float64()),
            ("speakers", words),
            ("sexes", words),
            ("texts", words),
        ]
    )


def _row(view: View, item: Item, folder: str) -> dict[str, Any]:
    speech = [source for source in item.mixture.speech if source.role in item.record.crc32c]
    files = {
        f"{stream}_file_name": posixpath.relpath(view.path(stream, item.id), folder)
        for stream in item.record.crc32c
    }
    return {
        **files,
        "id": item.id,
        "samples": item.record.samples,
        "rate_hz": view.variant.rate_hz,
        "duration_s": item.duration_s,
        "speakers": [source.speaker for source in speech],
        "sexes": [source.sex for source in speech],
        "texts": [source.text for source in speech],
    }
