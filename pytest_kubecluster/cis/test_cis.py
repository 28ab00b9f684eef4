"""Evidence: the files on the node's disk, and what the running kubelet is configured with."""

from __future__ import annotations

from pytest_kubecluster.cis.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.benchmarks import Waiver


def test_cis(kube_node: Node, cis_number: str, cis_waivers: tuple[Waiver, ...]) -> None:
    """Expect what the check demands; a manual one that does not hold is skipped."""
    judge(kube_node, cis_number, cis_waivers)
