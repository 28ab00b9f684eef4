"""The facts of a node, shown under the failure of a test that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.plugin.session import NEED_NODE

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.node import Node


class NodeFacts:
    """The facts that were shown, so that the same are not shown twice."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._shown: dict[str, tuple[str, str]] = {}

    def expect(self, item: pytest.Item) -> None:
        """Mark the nodes of a test that begins as not looked at by it."""
        for node in _nodes(item):
            node.used = False

    def sections(self, item: pytest.Item) -> list[tuple[str, str]]:
        """Return the facts of each node that a failed test is about, as title and text."""
        nodes = _nodes(item)
        if not nodes:
            return []
        from pytest_kubecluster.nodes.diagnostics import node_facts

        sections = []
        for node in nodes:
            facts = node_facts(node)
            # The journal grows while everything else stays as it is.
            state = facts.partition("journal:")[0]
            shown, by = self._shown.setdefault(node.name, (state, item.nodeid))
            if shown == state and by != item.nodeid:
                facts = f"as shown for {by}"
            self._shown[node.name] = state, by if shown == state else item.nodeid
            sections.append((f"kubecluster: {node.name}", facts))
        return sections


def _nodes(item: pytest.Item) -> list[Node]:
    """Return the nodes that a test uses one by one."""
    if not NEED_NODE.intersection(getattr(item, "fixturenames", ())):
        return []
    from pytest_kubecluster.nodes.node import Node

    return [one for one in getattr(item, "funcargs", {}).values() if isinstance(one, Node)]
