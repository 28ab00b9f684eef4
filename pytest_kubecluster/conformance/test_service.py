"""Evidence: systemd's own account of the kubelet's unit, and of the node."""

from __future__ import annotations

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import service


def test_unit_is_loaded_from_its_file(kube_node: Node) -> None:
    judge(kube_node, service.unit_is_loaded_from_its_file)


def test_unit_is_the_stated_one(kube_node: Node) -> None:
    judge(kube_node, service.unit_is_the_stated_one)


def test_unit_is_valid(kube_node: Node) -> None:
    judge(kube_node, service.unit_is_valid)


def test_service_is_enabled(kube_node: Node) -> None:
    judge(kube_node, service.service_is_enabled)


def test_service_is_active(kube_node: Node) -> None:
    judge(kube_node, service.service_is_active)


def test_service_does_not_restart(kube_node: Node) -> None:
    judge(kube_node, service.service_does_not_restart)


def test_no_unit_failed(kube_node: Node) -> None:
    judge(kube_node, service.no_unit_failed)


def test_resolver_ran_before_the_kubelet(kube_node: Node) -> None:
    judge(kube_node, service.resolver_ran_before_the_kubelet)


def test_resolv_conf_names_a_server(kube_node: Node) -> None:
    judge(kube_node, service.resolv_conf_names_a_server)
