"""What the workers of a planning job need to know, stored beside the plans while it runs.

The job itself carries names of files: a listing may have fifty thousand mixtures, and services limit the
size of a job. What is stored is removed when the plans are written.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transforms.errors import StorageError
from transforms.listing import NoiseClip, Utterance
from transforms.planning.librimix import PlannedMixture
from transforms.planning.plan_files import PlanFiles
from transforms.storage import OWN_FOLDER, OutputTree

ROWS_PER_FILE = 500
_FOLDER = f"{OWN_FOLDER}/planning"
_WAY_OUT = (
    "it is stored for one job, until the next plan run into this output; "
    "give the same command again, or make the template again that the job came from"
)


@dataclass(frozen=True)
class PlanRow:
    """A planned mixture on its way to its place in a plan.

    Attributes:
        listing: name of the speech listing that it is made from.
        number: its place in that listing's plan, from 0.
        planned: utterances, noise and wanted levels.
    """

    listing: str
    number: int
    planned: PlannedMixture


def store_rows(tree: OutputTree, rows: Iterable[PlanRow]) -> list[str]:
    """Stores mixtures to be measured; returns the names of the files. Raises StorageError."""
    rest = iter(rows)
    names: list[str] = []
    while group := list(itertools.islice(rest, ROWS_PER_FILE)):
        names.append(f"{_FOLDER}/rows-{len(names):06d}.json")
        tree.write(names[-1], json.dumps([dataclasses.asdict(row) for row in group]).encode())
    return names


def read_rows(name: str, tree: OutputTree) -> list[PlanRow]:
    """Reads the mixtures in a file of ``store_rows``. Raises StorageError."""
    return [
        PlanRow(fields["listing"], fields["number"], _planned(fields["planned"]))
        for fields in _read(tree, name)
    ]


def _planned(fields: Mapping[str, Any]) -> PlannedMixture:
    utterances = tuple(Utterance(**utterance) for utterance in fields["utterances"])
    return PlannedMixture(utterances, NoiseClip(**fields["noise"]), tuple(fields["targets_lufs"]))


def store_facts(files: PlanFiles, listings: Sequence[str]) -> PlanFiles:
    """Stores what plans are made from, by listing, and returns the same files without it.

    Raises:
        StorageError: it cannot be written.
    """
    for listing in listings:
        facts = {"digest": files.digests[listing], "rows": files.rows[listing]}
        files.tree.write(_facts_path(listing), json.dumps(facts).encode())
    return dataclasses.replace(files, digests={}, rows={})


def with_facts(files: PlanFiles, listing: str) -> PlanFiles:
    """Returns plan files that know one listing: these, or with what ``store_facts`` stored of it.

    Raises:
        StorageError: nothing is stored of it.
    """
    if listing in files.rows:
        return files
    facts = _read(files.tree, _facts_path(listing))
    rows = tuple((item, digest) for item, digest in facts["rows"])
    return dataclasses.replace(files, digests={listing: facts["digest"]}, rows={listing: rows})


def _facts_path(listing: str) -> str:
    return f"{_FOLDER}/facts-{listing}.json"


def _read(tree: OutputTree, name: str) -> Any:
    """Reads a file in JSON. Raises StorageError, which tells how such a file comes back."""
    try:
        return json.loads(tree.read(name))
    except StorageError as error:
        raise StorageError(tree.url(name), f"{error.problem}; {_WAY_OUT}") from error
    except ValueError as error:
        raise StorageError(tree.url(name), f"holds no JSON ({error}); {_WAY_OUT}") from error


def clear(tree: OutputTree) -> None:
    """Removes all that is stored for workers. Raises StorageError."""
    for name in tree.names(_FOLDER):
        tree.remove(f"{_FOLDER}/{name}")
