"""Hooks that a conftest.py or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kubecluster.spec.model import ClusterSpec


@pytest.hookspec()
def pytest_kubecluster_spec(config: pytest.Config, spec: ClusterSpec) -> ClusterSpec | None:
    """Change the cluster: return the new spec, or None to leave it as it is.

    Called in each process before tests are collected, since each node is a test item, and again if
    the cluster moves to another network: it must return the same nodes every time. Where several
    plugins implement it, each gets the spec that the one before it returned. The conftest.py of
    the root folder comes before the one of a subfolder.
    """
