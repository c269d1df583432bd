"""Random choice by name: draws that depend on what they are for, and on no other draw.

A draw is a digest of (seed, subset, item, purpose), never the next number of a shared stream, so any
item can be planned alone. Sources are chosen on a ring: each has a position on a circle of 2^64, a
digest of its name; a draw throws 21 probes at the circle, and takes the source that follows one of
them at the least distance (multi-probe consistent hashing, Appleton and O'Reilly 2015). Taking a
source off the ring lengthens the distances that ended at it and no others, so that only the draws
change that had chosen it. Sources that an item must not have are passed over, as if they were not
on the ring; so that holds for them, too.

With 21 probes a source's chance differs from the mean with a coefficient of variation of 0.15, and
exceeds it by 5 % at most; one number per source is all the memory it takes.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.uint64]

PROBES = 21
_CIRCLE_MASK = 2**64 - 1
_SHARE_BITS = 52
_EIGHT = struct.Struct("<8Q")


def position_of(*names: object) -> int:
    """Returns the place of a name on the circle, 0..2^64 - 1: its 64-bit BLAKE2b digest."""
    text = "/".join(map(str, names))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class ItemDraws:
    """All draws of one item of a plan; those for one purpose tell nothing of those for another.

    Attributes:
        name: seed, subset and number of the item, with ``/`` between.
    """

    name: str

    @classmethod
    def of(cls, seed: int, subset: str, item: int) -> "ItemDraws":
        """Returns the draws of an item."""
        return cls(f"{seed}/{subset}/{item}")

    def shares(self, purpose: str) -> Iterator[float]:
        """Yields uniform numbers without end, in the open interval 0..1, with 52 random bits each."""
        block = 0
        while True:
            text = f"{self.name}/{purpose}/{block}"
            for word in _EIGHT.unpack(hashlib.blake2b(text.encode(), digest_size=64).digest()):
                yield ((word >> (64 - _SHARE_BITS)) + 0.5) / 2.0**_SHARE_BITS
            block += 1

    def share(self, purpose: str) -> float:
        """Returns the first uniform number for a purpose."""
        return next(self.shares(purpose))

    def probes(self, purpose: str) -> Positions:
        """Returns the probes for a choice on a ring: shape (21,), uint64 (one block of SHAKE128)."""
        text = f"{self.name}/{purpose}"
        return np.frombuffer(hashlib.shake_128(text.encode()).digest(8 * PROBES), dtype="<u8")


@dataclass(frozen=True, eq=False)
class Ring:
    """Members on the circle, known by their place in ascending order of position.

    Attributes:
        positions: shape (members,), uint64, ascending.
        groups: shape (members,), int64: number of the group (speaker, room) of each.
        sizes: shape (groups,), int64: members of each group.
    """

    positions: Positions
    groups: NDArray[np.int64]
    sizes: NDArray[np.int64]
    _by_group: NDArray[np.int64]
    _starts: NDArray[np.int64]

    @classmethod
    def of(cls, positions: Sequence[int], group_names: Sequence[str]) -> "Ring":
        """Makes a ring.

        Args:
            positions: ascending.
            group_names: name of the group of each.
        """
        names, groups = np.unique(np.array(group_names, dtype=object), return_inverse=True)
        groups = groups.astype(np.int64)
        sizes = np.bincount(groups, minlength=len(names)).astype(np.int64)
        by_group = np.argsort(groups, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(np.array(positions, dtype=np.uint64), groups, sizes, by_group, starts)

    def __len__(self) -> int:
        return len(self.positions)

    def size_at(self, place: int) -> int:
        """Returns how many members the group of a member has."""
        return int(self.sizes[self.groups[place]])

    def choose(self, probes: Positions, accepts: Callable[[int], bool]) -> int:
        """Returns the place of the member that the probes choose among those accepted.

        Args:
            probes: shape (probes,), uint64.
            accepts: given a place; must hold for one member at least.
        """
        return _nearest(self.positions, probes, accepts)

    def choose_in(self, group: int, probes: Positions, taken: Sequence[int]) -> int:
        """Returns the place of the member that the probes choose in a group, among those not taken."""
        places = self._by_group[self._starts[group] : self._starts[group + 1]]
        found = _nearest(self.positions[places], probes, lambda place: int(places[place]) not in taken)
        return int(places[found])

    def shuffled(self, key: int) -> NDArray[np.int64]:
        """Returns all places in an order that depends on the key and the members' positions only.

        Positions are mixed with the key by the finaliser of SplitMix64 (Steele and others 2014), and sorted.
        """
        mixed = self.positions ^ np.uint64(key)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


def _nearest(positions: Positions, probes: Positions, accepts: Callable[[int], bool]) -> int:
    """Returns the accepted place at the least distance behind any probe.

    The probe that is nearest to its place is looked at first; where that place is not accepted, the
    probe goes on to the next one, and is looked at again in its turn.
    """
    places = np.searchsorted(positions, probes)
    places[places == len(positions)] = 0
    distances = positions[places] - probes
    while True:
        best = int(distances.argmin())
        place = int(places[best])
        if accepts(place):
            return place
        places[best] = place = (place + 1) % len(positions)
        distances[best] = (int(positions[place]) - int(probes[best])) & _CIRCLE_MASK
