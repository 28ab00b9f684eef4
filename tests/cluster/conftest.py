from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What breaks nodes comes before what reboots them, and after what only looks."""
    items.sort(key=lambda item: "test_breakage" in item.nodeid)
