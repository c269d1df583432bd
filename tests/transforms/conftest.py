"""Fixtures about files and who may touch them, and published corpora to compare with."""

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from transforms.audio import SourceReader
from transforms.plan import Mixture, Part, Source

_NOBODY = 65534

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@contextlib.contextmanager
def _as_nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def without_privileges() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Returns a context in which file modes count for root, too: it acts as nobody."""
    return _as_nobody


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every user may enter and read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@dataclass(frozen=True)
class PublishedRender:
    """A plan in LibriMix's own form, its sources, and what the published scripts made of them.

    Attributes:
        part: what the plan is of.
        mixtures: the plan's rows, in order.
        roots: folders of the sources.
        hashes: SHA-256 of the 16-bit samples of every WAV file, by path.
        tables: folder with the published tree's tables.
    """

    part: Part
    mixtures: tuple[Mixture, ...]
    roots: dict[str, str]
    hashes: dict[str, str]
    tables: Path

    def reader(self) -> SourceReader:
        return SourceReader(self.roots, 16000)

    def table(self, path: str) -> list[dict[str, str]]:
        """Rows of one of the published tables, given its place in the tree."""
        return _rows(self.tables / path)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _mixture(row: dict[str, str]) -> Mixture:
    numbers = range(1, 1 + sum(name.startswith("source_") for name in row) // 2)
    speech = [
        Source(
            f"s{number}",
            "librispeech",
            row[f"source_{number}_path"],
            level=float(row[f"source_{number}_gain"]),
        )
        for number in numbers
    ]
    noise = Source("noise", "wham", row["noise_path"], level=float(row["noise_gain"]), fit="loop", channel=0)
    return Mixture(row["mixture_ID"], (*speech, noise))


@pytest.fixture
def published_render() -> Callable[..., PublishedRender]:
    """Returns ``published_render(plan, corpus=, manifest=, tables=)``, given these paths."""

    def read(plan: Path, *, corpus: Path, manifest: Path, tables: Path) -> PublishedRender:
        name, _, listing = plan.stem.partition("_")
        part = Part("librimix", f"L{name[1:-3]}Mix", listing.replace("-clean", ""))
        return PublishedRender(
            part,
            tuple(map(_mixture, _rows(plan))),
            {"librispeech": str(corpus / "LibriSpeech"), "wham": str(corpus / "wham_noise")},
            {row["path"]: row["sha256_pcm"] for row in _rows(manifest)},
            tables,
        )

    return read


@pytest.fixture
def small_render(repository: Path, published_render: Callable[..., PublishedRender]) -> PublishedRender:
    """Two mixtures: one far beyond full scale, one with a tiny gain and a noise often repeated."""
    folder = repository / "tests/golden/render"
    return published_render(
        folder / "libri2mix_test-clean.csv",
        corpus=folder,
        manifest=folder / "expected_render.csv",
        tables=folder / "expected_csv",
    )


_FULL_PLANS = [
    "plan/Libri2Mix/libri2mix_train-clean-100",
    "plan/Libri2Mix/libri2mix_train-clean-360",
    "plan/Libri3Mix/libri3mix_train-clean-100",
    "plan/Libri3Mix/libri3mix_train-clean-360",
    "plan_extra/Libri2Mix/libri2mix_test-clean",
]


@pytest.fixture(params=_FULL_PLANS)
def full_render(
    request: pytest.FixtureRequest, shared_golden: Path, published_render: Callable[..., PublishedRender]
) -> PublishedRender:
    """One plan of the full golden data; for tests marked ``golden``."""
    folder = shared_golden / "librimix"
    suffix = "_extra" if request.param.startswith("plan_extra") else ""
    return published_render(
        folder / f"{request.param}.csv",
        corpus=folder / "corpus",
        manifest=folder / f"expected_render{suffix}.csv",
        tables=folder / f"expected_csv/render{suffix}",
    )
