"""The servers that other tests rely on: they start, keep what is put, and come back after a stop."""

import pytest

from tests.servers import Store, visit
from transforms import storage


@pytest.mark.parametrize("name", ["gs_store", "s3_store"])
def test_an_object_outlives_its_server(name: str, request: pytest.FixtureRequest) -> None:
    store: Store = request.getfixturevalue(name)
    with visit(store):
        tree = storage.OutputTree(f"{store.url}/outlives")
        tree.write("folder/a b#?.txt", b"kept")
        store.server.stop()
        store.server.start()
        assert tree.read("folder/a b#?.txt") == b"kept"
        assert tree.names("folder") == ["a b#?.txt"]


def test_files_are_served_by_http(http_store: Store) -> None:
    (http_store.folder / "b").mkdir()
    (http_store.folder / "b" / "c.txt").write_bytes(b"served")
    with visit(http_store):
        assert storage.read_bytes(f"{http_store.url}/b/c.txt") == b"served"
