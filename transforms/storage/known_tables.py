"""Tables of tar archives in stores, kept on this machine for its other processes and for later runs.

A tar archive has no table of its own: one is made by a walk over all heads in it, which are as many as its
members. A kept table is used only for the very archive that it was made of, by size and version. Keeping is
a help and no more: where a table cannot be kept or read, the archive is walked again.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from transforms.storage.members import Member, Table
from transforms.storage.urls import FileStamp


def folder() -> Path | None:
    """Returns where tables are kept: ``$XDG_CACHE_HOME/mixtape/tables``, else below ``~/.cache``.

    None for a user who has no home.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return cache / "mixtape" / "tables" if cache.is_absolute() else None


def _place(url: str) -> Path | None:
    above = folder()
    return above and above / f"{hashlib.sha256(url.encode(errors='surrogateescape')).hexdigest()}.json"


def read_table(url: str, stamp: FileStamp) -> Table | None:
    """Returns the table that was kept of an archive; None where there is none, or of another state of it."""
    place = _place(url)
    if place is None or not stamp.version:
        return None
    try:
        kept = json.loads(place.read_bytes())
        if kept["archive"] != [url, stamp.size_bytes, stamp.version]:
            return None
        return {path: Member(start, end, end - start) for path, (start, end) in kept["members"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep_table(url: str, stamp: FileStamp, table: Table) -> None:
    """Keeps the table of an archive, in place of that of an earlier state, if this machine lets us.

    An archive whose store cannot tell its states apart is walked each time.
    """
    place = _place(url)
    if place is None or not stamp.version:
        return
    members = {path: (member.start, member.end) for path, member in table.items()}
    text = json.dumps({"archive": [url, stamp.size_bytes, stamp.version], "members": members})
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".keeping-") as beside:
            made = Path(beside) / place.name
            made.write_text(text)
            made.replace(place)
