"""The facts of a node, shown under the failure of a test that uses it."""

from __future__ import annotations

import pytest

from pytest_kubecluster.plugin.session import NEED_NODE


class NodeFacts:
    """The facts that were shown, so that the same are not shown twice."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._shown: dict[str, tuple[str, str]] = {}

    def sections(self, item: pytest.Item) -> list[tuple[str, str]]:
        """Return the facts of each node that a failed test is about, as title and text."""
        if not NEED_NODE.intersection(getattr(item, "fixturenames", ())):
            return []
        from pytest_kubecluster.nodes.diagnostics import node_facts
        from pytest_kubecluster.nodes.node import Node

        sections = []
        for node in getattr(item, "funcargs", {}).values():
            if isinstance(node, Node):
                facts = node_facts(node)
                # The journal grows while everything else stays as it is.
                state = facts.partition("journal:")[0]
                shown, by = self._shown.setdefault(node.name, (state, item.nodeid))
                if shown == state and by != item.nodeid:
                    facts = f"as shown for {by}"
                self._shown[node.name] = state, by if shown == state else item.nodeid
                sections.append((f"kubecluster: {node.name}", facts))
        return sections
