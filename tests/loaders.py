"""A program that reads a virtual corpus from several processes at once, as the loaders of training code do.

    python -m tests.loaders OUT PART fork|spawn|inherited

It is a program of its own because only a process without other threads may fork. It ends with
status 1 where a child gets other samples than the parent.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

from transforms.virtual import VirtualCorpus

_inherited: list[VirtualCorpus] = []


def samples_of(corpus: VirtualCorpus | None, place: int) -> tuple[str, dict[str, Any]]:
    """Renders an item of a corpus; of None, of the one that was there before the fork."""
    item = (corpus or _inherited[0])[place]
    return item["facts"]["id"], item["pcm"]


def main(out: str, part: str, method: str) -> int:
    """Returns how many of three renderings of every item differ from the parent's."""
    corpus = VirtualCorpus.of_output(out, part, rate_hz=8000, mode="min")
    wanted = {item["facts"]["id"]: item["pcm"] for item in corpus}
    given = None if method == "inherited" else corpus
    if given is None:
        _inherited.append(corpus)
    context = multiprocessing.get_context("fork" if given is None else method)
    places = [place % len(corpus) for place in range(3 * len(corpus))]
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        made = list(pool.map(samples_of, [given] * len(places), places))
    assert {name for name, _ in made} == wanted.keys()
    return sum(
        pcm.keys() != wanted[name].keys()
        or not all(np.array_equal(pcm[stream], wanted[name][stream]) for stream in pcm)
        for name, pcm in made
    )


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:])))
