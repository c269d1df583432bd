"""Views for Asteroid's readers: a folder per subset that holds nothing but what the reader looks for.

``asteroid.data.LibriMix`` takes the first file of a folder whose name holds ``clean``, ``both`` or
``single``, so the mixture tables of a subset stand in a folder of their own, without metrics.
``Wsj0mixDataset`` and ``WhamDataset`` take one JSON list of ``[path, samples]`` per stream, which
recipes get that publish no tables.
"""

import json

from transforms.exports.base import Item, Lists, View
from transforms.rejects import csv_bytes
from transforms.sinks.tables import table_columns
from transforms.storage import OutputTree


def write_views(view: View, to: OutputTree) -> list[str]:
    """Writes the tables, or the lists, of one subset at one rate and mode.

    Args:
        view: of what.
        to: where to, ``<corpus>/<rate>/<mode>/<subset>/``.

    Returns:
        What was written.

    Raises:
        StorageError: the output cannot be read, or a list not be written.
    """
    add = _add_lists if view.job.rules.table_path is None else _add_rows
    with Lists(to) as lists:
        for item in view.items():
            add(view, item, lists)
    return lists.paths


def _add_rows(view: View, item: Item, lists: Lists) -> None:
    for mix_type in view.types:
        members = view.members(mix_type)
        row = [
            item.id,
            view.shown(mix_type, item.id),
            *(view.shown(role, item.id) if role in item.record.crc32c else "" for role in members),
            str(item.record.samples),
        ]
        path = f"{view.folder}/{view.part.subset}/mixture_{view.part.subset}_{mix_type}.csv"
        head = csv_bytes([table_columns("mixture", members)]).decode()
        lists.add(path, csv_bytes([row]).decode(), head=head)


def _add_lists(view: View, item: Item, lists: Lists) -> None:
    for stream in item.record.crc32c:
        entry = json.dumps([view.shown(stream, item.id), item.record.samples])
        lists.add_json(f"{view.folder}/{view.part.subset}/{stream}.json", entry)
