"""Turn what comes of one check into the outcome of a test."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.cis import benchmark_of, finding
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import difference_table
from pytest_kubecluster.spec.benchmarks import Waiver, benchmark_for


def judge(node: Node, number: str, waivers: tuple[Waiver, ...]) -> None:
    """Fail with what is not as it must be, and the remedy; skip a manual check with what was found.

    A check that does not apply to the node is skipped with the reason.
    """
    __tracebackhide__ = True
    seen = node.kubelet
    benchmark, stated = benchmark_of(seen), benchmark_for(node.spec.kubelet.version)
    if benchmark != stated:
        raise AssertionError(
            f"{node.name} runs kubelet {seen.said_version}, which is judged by {benchmark.name}, "
            f"but its spec states {node.spec.kubelet.version.number} ({stated.name})"
        )
    if number not in benchmark.checks:
        pytest.skip(f"{node.name}: {benchmark.name} has no check {number}")
    found = finding(benchmark.checks[number], seen, waivers)
    check = found.check
    if found.not_applicable:
        pytest.skip(f"{node.name}: {found.not_applicable}")
    if not found.differences:
        return
    title = f"{check.benchmark} {check.id}: {check.title}"
    if check.manual and not found.waiver:
        what = "; ".join(f"{one.name} is {one.actual or 'absent'}" for one in found.differences)
        pytest.skip(f"{node.name}: manual check, {title}: {what}")
    table = difference_table(found.differences)
    raise AssertionError("\n".join([f"{node.name}: {title}", *table, found.remedy]))
