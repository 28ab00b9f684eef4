"""Which items need a cluster, and which nodes they use."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kubecluster.plugin.session import NEED_CLUSTER, NEED_NODE


def parameters(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters of an item by name."""
    return item.callspec.params if hasattr(item, "callspec") else {}


def needs_cluster(item: pytest.Item) -> bool:
    """Return whether a fixture of the item needs a cluster that is up."""
    return not NEED_CLUSTER.isdisjoint(getattr(item, "fixturenames", ()))


def node_names(item: pytest.Item) -> set[str]:
    """Return the nodes that the item is parametrised with; none if it may use all."""
    given = parameters(item)
    return {given[name] for name in NEED_NODE & given.keys()}
