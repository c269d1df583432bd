"""New lists of the kind that wsj0-mix publishes: which utterances at which SNRs make up every mixture.

The conditions are those of the published lists. ``tr`` and ``cv`` come from the folder ``si_tr_s``:
they share its speakers and no utterance. ``tt`` comes from ``si_dt_05`` and ``si_et_05``, whose
speakers are others.

Every draw is a digest of (seed, condition, speakers, number of the mixture, purpose), so a mixture
does not depend on how many follow: a short list is the beginning of a longer one. It depends on which
utterances there are.
"""

import hashlib
import itertools
import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from transforms import storage
from transforms.corpora import abridged, audio_folder
from transforms.corpora.wsj0mix import (
    CONDITIONS,
    speaker_of,
    to_mixture,
    usable_level,
    utterance_id,
)
from transforms.errors import UsageError
from transforms.listing import limited
from transforms.plan import Mixture, id_problem

FOLDERS: Mapping[str, tuple[str, ...]] = {
    "tr": ("si_tr_s",),
    "cv": ("si_tr_s",),
    "tt": ("si_dt_05", "si_et_05"),
}
PUBLISHED_COUNTS: Mapping[str, int] = {"tr": 20000, "cv": 5000, "tt": 3000}
SUFFIXES = (*audio_folder.SUFFIXES, ".wv1")
SPEAKERS = (2, 3, 4, 5)
MOST_SNR_DB = 2.5

_UTTERANCES_PER_CV_UTTERANCE = 5
_ROUNDED_SPEAKERS = (2, 3)
_STEPS = 2**53


def list_corpus(root: str) -> dict[str, list[str]]:
    """Lists the utterances of a corpus that is laid out like WSJ0.

    A recording that is there in several formats is listed once, in the one that comes first in
    ``SUFFIXES``. WV2 files are left out: they are a second microphone's recordings of the same
    utterances.

    Args:
        root: URL of the folder ``wsj0``.

    Returns:
        Paths relative to the root, sorted, by folder: ``si_tr_s``, ``si_dt_05`` and ``si_et_05``, as
        far as they are there.

    Raises:
        UsageError: none of the folders is there.
        StorageError: the corpus cannot be listed.
    """
    names = storage.list_folder(root)
    wanted = sorted({folder for folders in FOLDERS.values() for folder in folders}, reverse=True)
    found = [folder for folder in wanted if folder in names]
    if not found:
        raise UsageError(
            f"{root}: is not laid out like WSJ0: looked for a folder {' or '.join(wanted)}, found "
            f"{abridged(names)}; give the folder wsj0, or the one that it is in"
        )
    return {folder: _recordings(root, folder) for folder in found}


def _recordings(root: str, folder: str) -> list[str]:
    entries = storage.find(storage.join(root, folder), suffixes=SUFFIXES)
    best: dict[str, tuple[int, str]] = {}
    for path in (entry.path for entry in entries):
        stem, dot, suffix = path.rpartition(".")
        ranked = (SUFFIXES.index((dot + suffix).lower()), f"{folder}/{path}")
        best[stem] = min(ranked, best.get(stem, ranked))
    return sorted(path for _, path in best.values())


def split_conditions(folders: Mapping[str, Sequence[str]], *, seed: int) -> dict[str, list[str]]:
    """Assigns the utterances of a corpus to the conditions.

    Of the utterances of every speaker in ``si_tr_s``, a fifth and at least one, chosen by digest,
    are for ``cv`` and the others for ``tr``; of a single one ``tr`` has it.

    Args:
        folders: paths by folder, as ``list_corpus`` returns them.
        seed: seed of the choice.

    Returns:
        Paths by condition, sorted.
    """
    paths = {
        condition: [path for folder in names for path in folders.get(folder, ())]
        for condition, names in FOLDERS.items()
    }
    held_out: set[str] = set()
    for own in _by_speaker(paths["cv"]).values():
        ordered = sorted(own, key=lambda path: _drawn(_STEPS, seed, "split", utterance_id(path)))
        count = max(1, len(own) // _UTTERANCES_PER_CV_UTTERANCE) if len(own) > 1 else 0
        held_out.update(ordered[:count])
    return {
        "tr": sorted(path for path in paths["tr"] if path not in held_out),
        "cv": sorted(held_out),
        "tt": sorted(paths["tt"]),
    }


def plan_lists(
    utterances: Mapping[str, Sequence[str]],
    levels: Mapping[str, float],
    *,
    speakers: int,
    counts: Mapping[str, int],
    seed: int,
) -> dict[str, list[Mixture]]:
    """Plans one list per condition.

    The utterances of a mixture are by different speakers; all sets of such utterances are equally
    probable, and none occurs twice in a list. Their order is random. The SNRs are, in dB and with a
    and b uniform in 0..2.5: a -a; a -a 0; a b -b -a; a b -b -a 0. As published, they have 5 significant
    digits with 2 and 3 speakers.

    Args:
        utterances: paths relative to the folder ``wsj0``, by condition; the order is of no account.
        levels: mean square of the active speech by utterance id; an utterance without a level above
            0 is not used.
        speakers: utterances per mixture, 2 to 5.
        counts: mixtures by condition; a condition with none is left out.
        seed: seed of all draws.

    Returns:
        The mixtures by condition, those of ``counts`` in the order of ``CONDITIONS``.

    Raises:
        UsageError: more is wanted than is possible, names cannot stand in a list, or two utterances
            have the same name.
    """
    if problems := list(option_problems(speakers, counts)):
        raise UsageError(problems)
    wanted = [condition for condition in CONDITIONS if counts.get(condition)]
    pools = {condition: _Pool(utterances.get(condition, ()), levels, speakers) for condition in wanted}
    problems = limited(list(_name_problems(path for pool in pools.values() for path in pool.paths)))
    for condition, pool in pools.items():
        problems += pool.shortage(condition, counts[condition])
    if problems:
        raise UsageError(problems)
    lists: dict[str, list[Mixture]] = {}
    for condition, pool in pools.items():
        endless = _mixtures(pool, levels, (seed, condition, speakers))
        lists[condition] = list(itertools.islice(endless, counts[condition]))
    if problems := list(_id_problems(lists)):
        raise UsageError(limited(problems))
    return lists


def option_problems(speakers: int, counts: Mapping[str, int]) -> Iterator[str]:
    """Says which numbers ``plan_lists`` would refuse, whatever the utterances."""
    if speakers not in SPEAKERS:
        yield f"--speakers {speakers}: wanted {SPEAKERS[0]} to {SPEAKERS[-1]}"
    for condition, count in counts.items():
        if condition not in CONDITIONS:
            yield f"condition {condition!r} is not known; known: {' '.join(CONDITIONS)}"
        if count < 0:
            yield f"condition {condition}: {count} mixtures; wanted 0 or more"
    if not any(counts.values()):
        yield "no mixtures are wanted of any condition; ask for some"


class _Pool:
    """The usable utterances of a condition, and all sets of so many by different speakers, by number.

    ``_counts[k][s]`` is the number of sets of k utterances by the first s speakers: the elementary
    symmetric polynomial of degree k in their numbers of utterances. The sets of k in which speaker s
    is the last have the numbers from ``_counts[k][s]`` to below ``_counts[k][s + 1]``.

    Args:
        given: paths of all utterances of the condition.
        levels: mean square of the active speech by utterance id.
        size: utterances per set.
    """

    def __init__(self, given: Sequence[str], levels: Mapping[str, float], size: int) -> None:
        self.size = size
        self.paths = sorted(path for path in given if usable_level(levels, path) is not None)
        self._given = len(given)
        self._speakers = [own for _, own in sorted(_by_speaker(self.paths).items())]
        self._counts = [[1] * (len(self._speakers) + 1)]
        for _ in range(size):
            new = (len(own) * fewer for own, fewer in zip(self._speakers, self._counts[-1], strict=False))
            self._counts.append(list(itertools.accumulate(new, initial=0)))

    @property
    def set_count(self) -> int:
        """How many sets there are."""
        return self._counts[self.size][-1]

    def set_at(self, number: int) -> list[str]:
        """Returns the paths of the set of a number from 0 to below ``set_count``."""
        chosen = []
        for size in range(self.size, 0, -1):
            speaker = bisect_right(self._counts[size], number) - 1
            place, number = divmod(number - self._counts[size][speaker], self._counts[size - 1][speaker])
            chosen.append(self._speakers[speaker][place])
        return chosen

    def shortage(self, condition: str, wanted: int) -> list[str]:
        """Says what is missing for so many mixtures, if anything."""
        there = (
            f"{len(self._speakers)} speakers with {len(self.paths)} utterances that have an activity level "
            f"(of {self._given} below {' and '.join(FOLDERS[condition])} that are for {condition})"
        )
        if len(self._speakers) < self.size:
            return [
                f"condition {condition}: {self.size} different speakers are wanted per mixture, and there "
                f"are {there}; ask for fewer speakers, or for no mixtures of {condition}"
            ]
        if self.set_count < wanted:
            return [
                f"condition {condition}: {wanted} mixtures are wanted, at most {self.set_count} different "
                f"ones are possible with {there}; ask for fewer"
            ]
        return []


def _mixtures(pool: _Pool, levels: Mapping[str, float], key: tuple[int | str, ...]) -> Iterator[Mixture]:
    """Yields mixtures without end; a set that was drawn before is drawn again."""
    seen: set[int] = set()
    for item in itertools.count():
        draws = (_drawn(pool.set_count, *key, item, "utterances", attempt) for attempt in itertools.count())
        number = next(number for number in draws if number not in seen)
        seen.add(number)
        order = {path: _drawn(_STEPS, *key, item, "order", path) for path in pool.set_at(number)}
        paths = sorted(order, key=order.__getitem__)
        yield to_mixture(
            paths, _snrs_db(pool.size, (*key, item)), [levels[utterance_id(path)] for path in paths]
        )


def _snrs_db(speakers: int, key: tuple[int | str, ...]) -> list[float]:
    """Draws the SNRs of a mixture: first and last add up to 0, so do the next, a middle one is last."""
    drawn = [_drawn(_STEPS, *key, "snr", pair) / _STEPS * MOST_SNR_DB for pair in range(speakers // 2)]
    if speakers in _ROUNDED_SPEAKERS:
        drawn = [float(f"{snr_db:.5g}") for snr_db in drawn]
    return [*drawn, *(0.0 - snr_db for snr_db in reversed(drawn)), *([0.0] * (speakers % 2))]


def _drawn(limit: int, *key: int | str) -> int:
    """Draws a whole number from 0 to below a limit, from the SHA-512 of a key.

    The limit is far below 2**512, so all numbers are equally probable for all that can be told.
    """
    digest = hashlib.sha512(json.dumps(key).encode()).digest()
    return int.from_bytes(digest, "big") % limit


def _by_speaker(paths: Iterable[str]) -> dict[str, list[str]]:
    by_speaker: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_speaker[speaker_of(path)].append(path)
    return by_speaker


def _name_problems(paths: Iterable[str]) -> Iterator[str]:
    """Says which utterances cannot stand in a list, or share a name and so a level."""
    first_paths: dict[str, str] = {}
    for path in paths:
        name = utterance_id(path)
        if re.search(r"\s", path):
            yield f"{path!r}: a path with blanks cannot stand in a list; rename it"
        elif problem := id_problem(name):
            yield f"{path!r}: the name {name!r} {problem}; rename it"
        first = first_paths.setdefault(name, path)
        if first != path:
            yield f"{path!r} and {first!r} have one name, so their levels cannot be told apart; rename one"


def _id_problems(lists: Mapping[str, Sequence[Mixture]]) -> Iterator[str]:
    for condition, mixtures in lists.items():
        for mixture in mixtures:
            if problem := id_problem(mixture.id):
                yield f"condition {condition}: id {mixture.id!r} {problem}; rename the utterances"
