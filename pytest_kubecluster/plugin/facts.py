"""The facts of a node, shown under the failure of a test where they bear on it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pytest_kubecluster
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.plugin.session import NEED_NODE

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.diagnostics import NodeFacts
    from pytest_kubecluster.nodes.node import Node

_ABOUT_NODES = (AssertionError, KubeClusterError, pytest.fail.Exception)
_PACKAGE = Path(pytest_kubecluster.__file__).parent


class FactsOfFailures:
    """Finds the facts that bear on failures, and shows the same ones once."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._shown: dict[str, tuple[str, str]] = {}

    def expect(self, item: pytest.Item) -> None:
        """Mark the nodes of a test that begins as not looked at by it."""
        for node in nodes_of(item):
            node.used = False

    def of(self, item: pytest.Item, call: pytest.CallInfo[None]) -> dict[str, NodeFacts]:
        """Return the facts of the nodes that a failed test is about, by a name of each.

        An error in the test's own code is about no node.
        """
        nodes = nodes_of(item)
        if not nodes or not _about_nodes(call):
            return {}
        from pytest_kubecluster.nodes.diagnostics import node_facts

        return {_name(facts): facts for facts in map(node_facts, nodes)}

    def sections(
        self, item: pytest.Item, found: dict[str, NodeFacts], shown: str
    ) -> list[tuple[str, str]]:
        """Return what to show of facts, as title and text; ``shown`` is what the failure says."""
        from pytest_kubecluster.nodes.diagnostics import facts_text

        sections = []
        for name, facts in found.items():
            text = facts_text(facts, shown)
            before, by = self._shown.setdefault(facts.node, (name, item.nodeid))
            if before == name and by != item.nodeid:
                text = text and f"as shown for {by}"
            self._shown[facts.node] = name, by if before == name else item.nodeid
            if text:
                sections.append((f"kubecluster: {facts.node}", text))
        return sections


def nodes_of(item: pytest.Item) -> list[Node]:
    """Return the nodes that a test uses one by one."""
    if not NEED_NODE.intersection(getattr(item, "fixturenames", ())):
        return []
    from pytest_kubecluster.nodes.node import Node

    return [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Node)]


def _about_nodes(call: pytest.CallInfo[None]) -> bool:
    if call.excinfo is None or isinstance(call.excinfo.value, _ABOUT_NODES):
        return True
    places = [Path(entry.path) for entry in call.excinfo.traceback[-1:]]
    return any(_PACKAGE in place.parents or "testinfra" in place.parts for place in places)


def _name(facts: NodeFacts) -> str:
    """Return a name that is the same for the same facts; the journal grows meanwhile."""
    state = (facts.problem, facts.unit, facts.argv, facts.differences, facts.diffs)
    return f"{facts.node}-{hashlib.sha256(repr(state).encode()).hexdigest()[:8]}"
