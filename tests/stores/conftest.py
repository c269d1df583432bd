"""Stores for the tests of this folder, which all carry the mark ``stores``."""

import pytest

from tests.servers import gs_store, http_store, s3_store

__all__ = ["gs_store", "http_store", "s3_store"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stores/" in item.nodeid:
            item.add_marker(pytest.mark.stores)
