"""Lists for SpeechBrain: a CSV file as its separation recipes read it, and the same as JSON.

The columns are those of the LibriMix and WSJ0Mix recipes: ``ID``, ``duration``, then path, format
and options of the mixture (``mix_wav``) and of what it sums (``s1_wav``, ..., ``noise_wav``).
"""

import json

from transforms.exports.base import Item, Lists, View
from transforms.rejects import csv_bytes
from transforms.storage import OutputTree


def write_lists(view: View, to: OutputTree) -> list[str]:
    """Writes one list per mixture type of one subset at one rate and mode.

    An item that lacks a talker has an empty path in the CSV file, and no entry in the JSON file.

    Args:
        view: of what.
        to: where to, ``<corpus>/<rate>/<mode>/<type>/<subset>.csv`` and ``.json``.

    Returns:
        What was written.

    Raises:
        StorageError: the output cannot be read, or a list not be written.
    """
    with Lists(to) as lists:
        for item in view.items():
            for mix_type in view.types:
                _add(view, item, lists, mix_type)
    return lists.paths


def _add(view: View, item: Item, lists: Lists, mix_type: str) -> None:
    columns = {"mix_wav": mix_type, **{f"{role}_wav": role for role in view.members(mix_type)}}
    there = (mix_type, *item.record.crc32c)
    paths = {
        column: view.shown(stream, item.id) if stream in there else "" for column, stream in columns.items()
    }
    head = ["ID", "duration"]
    row = [item.id, repr(item.duration_s)]
    for column, path in paths.items():
        head += [column, f"{column}_format", f"{column}_opts"]
        row += [path, "wav", ""]
    stem = f"{view.folder}/{mix_type}/{view.part.subset}"
    lists.add(f"{stem}.csv", csv_bytes([row]).decode(), head=csv_bytes([head]).decode())
    facts = {"duration": item.duration_s, **{column: path for column, path in paths.items() if path}}
    lists.add_json(f"{stem}.json", f"{json.dumps(item.id)}: {json.dumps(facts)}", brackets="{}")
