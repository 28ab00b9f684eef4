"""Turn the verdict of one check into the outcome of a test."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import Check, NothingToCheck, difference_table


def judge(node: Node, check: Check, *, server: str = "") -> None:
    """Fail with a table of what the check finds on a node; skip where it has nothing to check.

    ``server`` is the cluster's API server, for a node whose spec states none of its own.
    """
    __tracebackhide__ = True
    case = node.case()
    if server and case.stated.complete and case.stated.server is None:
        case = replace(case, stated=replace(case.stated, server=server))
    try:
        differences = list(check(case))
    except NothingToCheck as reason:
        pytest.skip(f"{node.name}: {reason}")
    if differences:
        raise AssertionError("\n".join([node.name, *difference_table(differences)]))
