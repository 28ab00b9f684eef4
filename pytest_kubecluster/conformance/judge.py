"""Turn the verdict of one check into the outcome of a test."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import Check, NothingToCheck, difference_table


def judge(node: Node, check: Check) -> None:
    """Fail with a table of what the check finds on a node; skip where it has nothing to check."""
    __tracebackhide__ = True
    case = node.case()
    try:
        differences = list(check(case))
    except NothingToCheck as reason:
        pytest.skip(f"{node.name}: {reason}")
    if differences:
        raise AssertionError("\n".join([node.name, *difference_table(differences)]))
