"""What an output says of itself to people and tools: its card, its Croissant description, its checksums."""

import json
from collections.abc import Callable, Mapping, Sequence

from transforms.card import MARK, DescribedPart, Description, card
from transforms.checksums import checksum_lines, read_checksums
from transforms.croissant import CREATOR, croissant_json
from transforms.errors import StorageError
from transforms.finishing import PartSummary
from transforms.licences import source_corpora
from transforms.recipes import recipe_named
from transforms.storage import OWN_FOLDER, OutputTree

CARD_PATH = "README.md"
CROISSANT_PATH = "croissant.json"
CHECKSUMS_PATH = "checksums.sha256"
LICENCES_PATH = f"{OWN_FOLDER}/licences.json"
_CHECKSUMS_MARK = b"# Written by Mixtape; to check: sha256sum --check --quiet checksums.sha256\n"


def stated_licences(tree: OutputTree) -> dict[str, str]:
    """Reads the licences that a person has stated for corpora of an output, by root."""
    try:
        return {str(root): str(text) for root, text in json.loads(tree.read(LICENCES_PATH)).items()}
    except (StorageError, ValueError, AttributeError):
        return {}


def state_licences(tree: OutputTree, licences: Mapping[str, str]) -> None:
    """Records licences beside those stated before. Raises StorageError."""
    if licences:
        known = {**stated_licences(tree), **licences}
        data = json.dumps(known, sort_keys=True, ensure_ascii=False) + "\n"
        tree.write_if_changed(LICENCES_PATH, data.encode())


def unknown_licences(described: Description) -> str:
    """Says loudly of which corpora the licence is not known, and what to do; empty where there are none."""
    unknown = [corpus.root for corpus in described.corpora if not corpus.terms.is_known]
    if not unknown:
        return ""
    words = " ".join(f"{root}=TEXT" for root in unknown)
    return f"LICENCE UNKNOWN of {', '.join(unknown)}, and so of what was made: say it with --licence {words}"


def publish(tree: OutputTree, summaries: Sequence[PartSummary]) -> list[str]:
    """Writes card, description and checksums of an output, where their bytes changed.

    A file of these names that is not ours is left alone; ours then goes into ``_mixtape``. An output
    without items has no such files.

    Args:
        tree: the output.
        summaries: all parts that it holds.

    Returns:
        What a person must be told: what was put into ``_mixtape``, and unknown licences.

    Raises:
        StorageError: a file cannot be read or written.
    """
    described = describe(tree, summaries)
    sums = _sums(tree, summaries)
    holds_any = described.items > 0
    contents: dict[str, tuple[Callable[[bytes], bool], bytes]] = {
        CARD_PATH: (_is_our_card, card(described).encode() if holds_any else b""),
        CROISSANT_PATH: (_is_our_croissant, croissant_json(described, sums) if holds_any else b""),
        CHECKSUMS_PATH: (_are_our_checksums, checksums(tree, summaries)),
    }
    places = [_put(tree, path, is_ours, data) for path, (is_ours, data) in contents.items()]
    aside = [place for place in places if place.startswith(OWN_FOLDER)]
    notes = [f"{place}: written there, since the file of that name at the top is not ours" for place in aside]
    return [*notes, *filter(None, [unknown_licences(described)])]


def describe(tree: OutputTree, summaries: Sequence[PartSummary]) -> Description:
    """Gathers what descriptions are made of."""
    parts = tuple(
        DescribedPart(one, recipe_named(one.part.recipe), tuple(one.statistics.streams)) for one in summaries
    )
    stated: dict[str, str] = {}
    for part in parts:
        stated |= part.recipe.licences
    roots = sorted({root for summary in summaries for root in summary.statistics.roots})
    return Description(parts, tuple(source_corpora(roots, {**stated, **stated_licences(tree)})))


def _put(tree: OutputTree, path: str, is_ours: Callable[[bytes], bool], data: bytes) -> str:
    """Writes a file, or removes it where there is nothing to say; returns its place, empty for none."""
    own_place = f"{OWN_FOLDER}/{path}"
    is_free = not tree.exists(path) or is_ours(tree.read(path))
    place, other = (path, own_place) if is_free else (own_place, "")
    if not data:
        tree.remove(place)
    else:
        tree.write_if_changed(place, data)
    if other:
        tree.remove(other)
    return place if data else ""


def _is_our_card(data: bytes) -> bool:
    return MARK.encode() in data


def _is_our_croissant(data: bytes) -> bool:
    try:
        return bool(json.loads(data)["creator"]["name"] == CREATOR)
    except (ValueError, KeyError, TypeError):
        return False


def _are_our_checksums(data: bytes) -> bool:
def checksums(tree: OutputTree, summaries: Sequence[PartSummary]) -> bytes:
    """Returns the checksums to publish of an output; nothing where no file holds a whole shard.

    Raises:
        StorageError: those of a part cannot be read.
    """
    sums = _sums(tree, summaries)
    return _CHECKSUMS_MARK + checksum_lines(sums.items()) if sums else b""


def _sums(tree: OutputTree, summaries: Sequence[PartSummary]) -> dict[str, str]:
    """Returns the SHA-256 of every archive and record of an output, by path."""
    parts = (read_checksums(tree, summary.part.name) for summary in summaries)
    return {path: digest for part in parts for path, digest in part.items()}


    return data.startswith(_CHECKSUMS_MARK)
