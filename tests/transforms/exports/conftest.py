"""A finished corpus of each recipe, and what its lists are made from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import trees
from transforms.exports.base import View, views_of
from transforms.plan import Mixture, RenderOptions
from transforms.sharding import RenderJob
from transforms.storage import OutputTree

OPTIONS = RenderOptions(
    rates_hz=(8000,), modes=("min", "max"), types=("mix_clean", "mix_both", "mix_single"), shard_size=2
)
ViewsOf = Callable[..., list[View]]


@pytest.fixture
def views(tmp_path: Path) -> ViewsOf:
    """Returns ``views(recipe="librimix", change=None)``: the views, ``min`` then ``max``, of a corpus.

    It has 5 mixtures in 3 shards; ``change`` takes the planned ones and returns others.
    """

    def make(
        recipe: str = "librimix",
        change: Callable[[tuple[Mixture, ...]], list[Mixture]] | None = None,
        *,
        options: RenderOptions = OPTIONS,
    ) -> list[View]:
        corpus = trees.make_corpus(tmp_path / "in", recipe=recipe)
        if recipe == "wsj0mix":
            options = RenderOptions(rates_hz=(8000,), modes=("min", "max"), types=("mix",), shard_size=2)
        settings = {"rate_hz": 16000, "clip": "scale"} if recipe == "mixtures" else {}
        job = RenderJob(str(tmp_path / "out"), recipe, corpus.roots, options, settings=settings)
        trees.render(job, change(corpus.mixtures) if change else corpus.mixtures)
        return views_of(job, corpus.part)

    return make


@pytest.fixture
def to(tmp_path: Path) -> OutputTree:
    """Where lists go."""
    return OutputTree(str(tmp_path / "lists"))
