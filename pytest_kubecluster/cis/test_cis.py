"""Evidence: the files on the node's disk, and what the running kubelet is configured with."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.cis import benchmark_of, finding
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import difference_table
from pytest_kubecluster.spec.benchmarks import Waiver, benchmark_for


def test_cis(kube_node: Node, cis_number: str, cis_waivers: tuple[Waiver, ...]) -> None:
    """Expect what the check demands; a manual one that does not hold is skipped."""
    __tracebackhide__ = True
    seen = kube_node.kubelet
    benchmark = benchmark_of(seen)
    stated = benchmark_for(kube_node.spec.kubelet.version)
    if benchmark != stated:
        raise AssertionError(
            f"{kube_node.name} runs kubelet {seen.said_version}, which is judged by "
            f"{benchmark.name}, but its spec states {kube_node.spec.kubelet.version.number} "
            f"({stated.name})"
        )
    if cis_number not in benchmark.checks:
        pytest.skip(f"{kube_node.name}: {benchmark.name} has no check {cis_number}")
    found = finding(benchmark.checks[cis_number], seen, cis_waivers)
    check = found.check
    if found.not_applicable:
        pytest.skip(f"{kube_node.name}: {found.not_applicable}")
    if not found.differences:
        return
    title = f"{check.benchmark} {check.id}: {check.title}"
    if check.manual and not found.waiver:
        what = "; ".join(f"{one.name} is {one.actual or 'absent'}" for one in found.differences)
        pytest.skip(f"{kube_node.name}: manual check, {title}: {what}")
    table = difference_table(found.differences)
    raise AssertionError("\n".join([f"{kube_node.name}: {title}", *table, found.remedy]))
