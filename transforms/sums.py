"""Sums of sources: mixtures, the energies in them, and the check that what is written adds up."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transforms.audio import Pcm
from transforms.recipes import Quantiser

Samples = NDArray[Any]

SNR_EPSILON = 1e-10
_SNR_DECIMALS = 6
_LOWEST, _HIGHEST = -32768, 32767


def padded(samples: Samples, length: int) -> Samples:
    """Returns the samples with zeros appended up to a length."""
    if len(samples) == length:
        return samples
    longer = np.zeros(length, dtype=samples.dtype)
    longer[: len(samples)] = samples
    return longer


def mix_down(
    signals: Mapping[str, Samples], members: Mapping[str, Sequence[str]], length: int
) -> dict[str, Samples]:
    """Sums signals into mixtures, in order, in the type of the first; common beginnings once.

    Args:
        signals: by role, shape (n,) with n up to ``length``.
        members: the roles of each mixture.
        length: samples of every mixture.

    Returns:
        By mixture, shape (length,).
    """
    sums: dict[tuple[str, ...], Samples] = {}

    def total(roles: tuple[str, ...]) -> Samples:
        if roles not in sums:
            if len(roles) == 1:
                sums[roles] = padded(signals[roles[0]], length)
            else:
                before, last = total(roles[:-1]), signals[roles[-1]]
                mixed = np.empty_like(before)
                np.add(before[: len(last)], last, out=mixed[: len(last)], casting="same_kind")
                mixed[len(last) :] = before[len(last) :]
                sums[roles] = mixed
        return sums[roles]

    return {name: total(tuple(roles)) for name, roles in members.items()}


def cross_energies(signals: Mapping[str, Samples], lengths: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """Returns the inner products of all pairs of signals over their first samples.

    One pass serves every length: the products of the pieces between lengths are accumulated.

    Args:
        signals: shape (n,) each, taken as zero beyond their end.
        lengths: ascending.

    Returns:
        By length, shape (signals, signals), float64.
    """
    from transforms.kernels import inner_product

    parts = list(signals.values())
    energies: dict[int, NDArray[np.float64]] = {}
    running = np.zeros((len(parts), len(parts)))
    start = 0
    for stop in lengths:
        for i, first in enumerate(parts):
            for j, second in enumerate(parts[i:], start=i):
                end = min(stop, len(first), len(second))
                if end > start:
                    running[i, j] += inner_product(first[start:end], second[start:end])
        energies[stop] = running + np.triu(running, 1).T
        start = stop
    return energies


def component_snrs_db(
    energies: NDArray[np.float64], roles: Sequence[str], members: Sequence[str], length: int
) -> tuple[float, ...]:
    """Returns the SNR of each member of a mixture against the sum of the others.

    SNR = 10 log10(mean(x^2) / (mean(r^2) + 1e-10) + 1e-10), r the rest (LibriMix's measure).

    Args:
        energies: inner products of all signals over ``length`` samples, shape (roles, roles).
        roles: what the rows and columns stand for.
        members: roles of the mixture.
        length: samples.
    """
    products = energies.tolist()
    snrs = []
    for member in members:
        own = roles.index(member)
        rest = [roles.index(other) for other in members if other != member]
        signal = products[own][own] / length
        others = max(0.0, sum(products[i][j] for i in rest for j in rest)) / length
        snr = 10.0 * math.log10(signal / (others + SNR_EPSILON) + SNR_EPSILON)
        snrs.append(round(snr, _SNR_DECIMALS))
    return tuple(snrs)


def allowed_difference(quantiser: Quantiser, references: int) -> int:
    """Returns by how much a 16-bit mixture may differ from the sum of its 16-bit references.

    Each of these streams is quantised by itself, and so wrong by half a step at most where it is
    rounded, and by less than a step where it is cut off.

    >>> allowed_difference("round", 3), allowed_difference("floor", 3)
    (2, 3)
    """
    return (references + 1) // 2 if quantiser == "round" else references


def difference_from_sum(mixture: Pcm, references: Sequence[Pcm], *, clips: bool, within: int) -> int:
    """Returns the largest difference between a mixture and the sum of its references, in steps.

    It is found in 16-bit arithmetic, which wraps: a difference of just 65536 steps would stay unseen.

    Args:
        mixture: shape (n,).
        references: shape (n,) each, one at least.
        clips: whether streams may have been clipped; samples where one is at a limit do not count
            then, unless no sample differs by more than ``within``.
        within: a difference that is none to look closer at.
    """
    rest = np.subtract(mixture, references[0])
    for reference in references[1:]:
        np.subtract(rest, reference, out=rest)
    worst = _magnitude(rest)
    if worst <= within or not clips:
        return worst
    clipped = np.zeros(len(mixture), dtype=bool)
    for stream in (mixture, *references):
        clipped |= (stream == _LOWEST) | (stream == _HIGHEST)
    return _magnitude(rest[~clipped])


def _magnitude(steps: Pcm) -> int:
    return max(int(steps.max(initial=0)), -int(steps.min(initial=0)))


def sums_problem(
    pcm: Mapping[str, Pcm], members: Mapping[str, Iterable[str]], quantiser: Quantiser, *, clips: bool
) -> str | None:
    """Says which mixture is not the sum of its references, or returns None where all are.

    Args:
        pcm: every stream by name, shape (n,).
        members: of each mixture, the streams that it sums.
        quantiser: how all of them were made 16-bit.
        clips: whether they may have been clipped.
    """
    for name, roles in members.items():
        references = [pcm[role] for role in roles]
        allowed = allowed_difference(quantiser, len(references))
        found = difference_from_sum(pcm[name], references, clips=clips, within=allowed)
        if found > allowed:
            return (
                f"{name} differs from the sum of its {len(references)} references by {found} steps of "
                f"16 bit, wanted {allowed} at most"
            )
    return None
