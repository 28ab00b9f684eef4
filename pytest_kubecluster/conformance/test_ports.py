"""Evidence: what the kubelet itself answers on its ports."""

from __future__ import annotations

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import ports


def test_healthz_is_ok(kube_node: Node) -> None:
    judge(kube_node, ports.healthz_is_ok)


def test_anonymous_clients_are_refused(kube_node: Node) -> None:
    judge(kube_node, ports.anonymous_clients_are_refused)


def test_own_certificate_is_answered(kube_node: Node) -> None:
    judge(kube_node, ports.own_certificate_is_answered)


def test_pods_are_listed(kube_node: Node) -> None:
    judge(kube_node, ports.pods_are_listed)


def test_configz_agrees_with_the_spec(kube_node: Node) -> None:
    judge(kube_node, ports.configz_agrees_with_the_spec)


def test_configz_agrees_with_flags_and_files(kube_node: Node) -> None:
    judge(kube_node, ports.configz_agrees_with_flags_and_files)


def test_ports_are_held_by_the_kubelet(kube_node: Node) -> None:
    judge(kube_node, ports.ports_are_held_by_the_kubelet)


def test_serving_certificate_is_valid_now(kube_node: Node) -> None:
    judge(kube_node, ports.serving_certificate_is_valid_now)


def test_serving_certificate_is_signed_by_the_ca(kube_node: Node) -> None:
    judge(kube_node, ports.serving_certificate_is_signed_by_the_ca)
