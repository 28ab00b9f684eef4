"""Evidence: the Node object in the API server, the strongest there is."""

from __future__ import annotations

import pytest

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes import joining
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import registration
from pytest_kubecluster.nodes.writer import writes_itself_alone


def test_node_is_registered(kube_node: Node) -> None:
    judge(kube_node, registration.node_is_registered)


def test_node_has_the_labels(kube_node: Node) -> None:
    judge(kube_node, registration.node_has_the_labels)


def test_node_has_the_taints(kube_node: Node) -> None:
    judge(kube_node, registration.node_has_the_taints)


def test_node_has_its_internal_ip(kube_node: Node) -> None:
    judge(kube_node, registration.node_has_its_internal_ip)


def test_node_has_its_hostname(kube_node: Node) -> None:
    judge(kube_node, registration.node_has_its_hostname)


def test_node_reports_the_version(kube_node: Node) -> None:
    judge(kube_node, registration.node_reports_the_version)


def test_node_is_ready(kube_node: Node) -> None:
    judge(kube_node, registration.node_is_ready)


def test_node_is_heard_from(kube_node: Node) -> None:
    judge(kube_node, registration.node_is_heard_from)


def test_configz_through_the_api_server_agrees(kube_node: Node) -> None:
    judge(kube_node, registration.configz_through_the_api_server_agrees)


def test_bootstrap_token_is_used_up(kube_node: Node) -> None:
    judge(kube_node, lambda case: joining.token_is_used_up(kube_node))


def test_client_certificate_was_requested(kube_node: Node) -> None:
    judge(kube_node, lambda case: joining.certificate_was_requested(kube_node))


def test_client_certificate_is_rotated(kube_node: Node) -> None:
    judge(kube_node, joining.certificate_is_rotated)


def test_node_cannot_change_another_node(kube_node: Node, kube_nodes: tuple[Node, ...]) -> None:
    others = [node for node in kube_nodes if node is not kube_node]
    if not others:
        pytest.skip(f"{kube_node.name}: there is no other node")
    judge(kube_node, lambda case: writes_itself_alone(kube_node, others[0]))
