"""What an output says of itself to people and tools: its card, its Croissant description, its checksums."""

import json
from collections.abc import Callable, Mapping, Sequence

from transforms.card import MARK, DescribedPart, Description, card
from transforms.checksums import checksum_lines, read_checksums
from transforms.croissant import CREATOR, croissant_json
from transforms.errors import StorageError, UsageError
from transforms.finishing import PartSummary
from transforms.inventory import NotedTree
from transforms.licences import NO_LICENCES, UNKNOWN, Licences, source_corpora
from transforms.plan import Part, StoredPlan
from transforms.recipes import recipe_named
from transforms.sharding import plan_path
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


def listed_licences(tree: OutputTree, part: Part) -> Licences:
    """Reads the licences that listings state for the sources of a part, by root."""
    try:
        return StoredPlan.open(tree.url(plan_path(part.name))).licences
    except (StorageError, UsageError, ValueError, KeyError):
        return NO_LICENCES


def known_licences(tree: OutputTree, summaries: Sequence[PartSummary]) -> dict[str, str | list[str]]:
    """Gathers the licences that people and listings state for an output's sources, by root.

    Where a person states one for a root, what listings state for it does not count.
    """
    listed: dict[str, set[str]] = {}
    for summary in summaries:
        for root, texts in listed_licences(tree, summary.part).items():
            listed.setdefault(root, set()).update(texts)
    return {**{root: sorted(texts) for root, texts in listed.items()}, **stated_licences(tree)}


def source_licences(tree: OutputTree, summaries: Sequence[PartSummary]) -> Licences:
    """Gathers the licences of all sources of an output, by root.

    That which a person states for a root counts alone; else, for each part, those of its listings, or
    that which the recipe knows. A part that knows none makes the root unknown beside what others know.
    """
    found: dict[str, set[str]] = {}
    for summary in summaries:
        listed = listed_licences(tree, summary.part)
        published = recipe_named(summary.part.recipe).licences
        for root in summary.statistics.roots:
            found.setdefault(root, set()).update(listed.get(root, [published.get(root, UNKNOWN)]))
    stated = {root: [text] for root, text in stated_licences(tree).items() if root in found}
    return {root: sorted(texts) for root, texts in found.items()} | stated


def unknown_licences(described: Description) -> str:
    """Says loudly of which corpora the licence is not known, and what to do; empty where there are none."""
    unknown = [corpus.root for corpus in described.corpora if not corpus.terms.is_known]
    if not unknown:
        return ""
    words = " ".join(f"{root}=TEXT" for root in unknown)
    return f"LICENCE UNKNOWN of {', '.join(unknown)}, and so of what was made: say it with --licence {words}"


def publish(tree: NotedTree, summaries: Sequence[PartSummary]) -> list[str]:
    """Writes card, description and checksums of an output, where their bytes changed.

    A file of these names that is not ours is left alone and not known any more; ours then goes into
    ``_mixtape``. An output without items has no such files.

    Args:
        tree: the output; notes the files.
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
        CHECKSUMS_PATH: (_are_our_checksums, _checksum_file(sums)),
    }
    places = [_put(tree, path, is_ours=is_ours, data=data) for path, (is_ours, data) in contents.items()]
    aside = [place for place in places if place.startswith(OWN_FOLDER)]
    notes = [f"{place}: written there, since the file of that name at the top is not ours" for place in aside]
    return [*notes, *filter(None, [unknown_licences(described)])]


def _checksum_file(sums: Mapping[str, str]) -> bytes:
    """Returns the checksums to publish; nothing where no file holds a whole shard."""
    return _CHECKSUMS_MARK + checksum_lines(sums.items()) if sums else b""


def _sums(tree: OutputTree, summaries: Sequence[PartSummary]) -> dict[str, str]:
    """Returns the SHA-256 of every archive and record of an output, by path."""
    parts = (read_checksums(tree, summary.part.name) for summary in summaries)
    return {path: digest for part in parts for path, digest in part.items()}


def describe(tree: OutputTree, summaries: Sequence[PartSummary]) -> Description:
    """Gathers what descriptions are made of."""
    parts = tuple(
        DescribedPart(one, recipe_named(one.part.recipe), tuple(one.statistics.streams)) for one in summaries
    )
    licences = source_licences(tree, summaries)
    return Description(parts, tuple(source_corpora(sorted(licences), licences)))


def _put(tree: NotedTree, path: str, *, is_ours: Callable[[bytes], bool], data: bytes) -> str:
    """Writes a file, or removes it where there is nothing to say; returns its place, empty for none."""
    place, own_place = path, f"{OWN_FOLDER}/{path}"
    if not tree.exists(path) or is_ours(tree.read(path)):
        tree.remove(own_place)
    else:
        tree.forget(path)
        place = own_place
    if data:
        tree.write_if_changed(place, data)
    else:
        tree.remove(place)
    return place if data else ""


def _is_our_card(data: bytes) -> bool:
    return MARK.encode() in data


def _is_our_croissant(data: bytes) -> bool:
    try:
        return bool(json.loads(data)["creator"]["name"] == CREATOR)
    except (ValueError, KeyError, TypeError):
        return False


def _are_our_checksums(data: bytes) -> bool:
    return data.startswith(_CHECKSUMS_MARK)
