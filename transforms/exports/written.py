"""What exports left in a folder, so that the next one removes what it does not make any more."""

import json
from collections.abc import Sequence

from transforms.errors import StorageError
from transforms.storage import OWN_FOLDER, OutputTree, is_safe_relative


def record_path(target: str) -> str:
    """Returns the place of the record of one tool's lists."""
    return f"{OWN_FOLDER}/exports/{target}.json"


def note_written(to: OutputTree, target: str, out: str, paths: Sequence[str]) -> int:
    """Records the lists that a corpus has now, and removes those it had before.

    Several corpora may have their lists in one folder.

    Args:
        to: the folder.
        target: the tool.
        out: the corpus.
        paths: its lists.

    Returns:
        How many were removed. Raises StorageError.
    """
    before = _read(to, target)
    now = {**before, out: sorted(paths)}
    kept = {path for listed in now.values() for path in listed}
    stale = [path for path in before.get(out, ()) if path not in kept and is_safe_relative(path)]
    for path in stale:
        to.remove(path)
        to.remove_folder_if_empty(path.rpartition("/")[0])
    data = json.dumps(dict(sorted(now.items())), indent=0) + "\n"
    to.write_if_changed(record_path(target), data.encode())
    return len(stale)


def _read(to: OutputTree, target: str) -> dict[str, list[str]]:
    """Reads the lists of each corpus; none where there is no record that can be read."""
    try:
        return {out: list(paths) for out, paths in json.loads(to.read(record_path(target))).items()}
    except (StorageError, ValueError, TypeError, AttributeError):
        return {}
