"""Evidence: the kubeconfig and the CA on the node's disk, and how they fit together."""

from __future__ import annotations

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import kubeconfig


def test_kubeconfig_is_a_config(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.kubeconfig_is_a_config)


def test_kubeconfig_names_a_cluster_and_a_user(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.kubeconfig_names_a_cluster_and_a_user)


def test_kubeconfig_names_the_api_server(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.kubeconfig_names_the_api_server)


def test_kubeconfig_trusts_the_ca_on_disk(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.kubeconfig_trusts_the_ca_on_disk)


def test_client_certificate_chains_to_the_ca_on_disk(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.client_certificate_chains_to_the_ca_on_disk)


def test_client_key_matches_its_certificate(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.client_key_matches_its_certificate)


def test_client_certificate_is_valid_now(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.client_certificate_is_valid_now)


def test_client_certificate_names_its_user(kube_node: Node) -> None:
    judge(kube_node, kubeconfig.client_certificate_names_its_user)
