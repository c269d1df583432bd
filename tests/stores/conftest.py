"""Stores for the tests of this folder, which all carry the mark ``stores``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Store, gs_store, http_store, s3_store, visit
from transforms import storage

__all__ = ["gs_store", "http_store", "s3_store"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stores/" in item.nodeid:
            item.add_marker(pytest.mark.stores)


@pytest.fixture(scope="module", params=["gs", "s3"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store that this process, and those that it starts, can use."""
    with visit(request.getfixturevalue(f"{request.param}_store")) as visited:
        yield visited


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test keep what it keeps of stores where no other test finds it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def upload(folder: Path, url: str) -> None:
    """Copies a local folder into a store."""
    tree = storage.OutputTree(url)
    with tree.many_writes() as writes:
        for entry in storage.find(str(folder)):
            writes.write(entry.path, (folder / entry.path).read_bytes())


def stored(url: str) -> dict[str, bytes]:
    """Reads all files below a folder of a store."""
    paths = [entry.path for entry in storage.find(url)]
    return dict(
        zip(
            paths,
            storage.in_parallel(url, storage.read_bytes, [storage.join(url, p) for p in paths]),
            strict=True,
        )
    )
