"""Evidence: the files on the node's disk."""

from __future__ import annotations

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import files


def test_unit_has_the_rendered_bytes(kube_node: Node) -> None:
    judge(kube_node, files.unit_has_the_rendered_bytes)


def test_client_ca_has_the_rendered_bytes(kube_node: Node) -> None:
    judge(kube_node, files.client_ca_has_the_rendered_bytes)


def test_kubeconfig_has_the_rendered_bytes(kube_node: Node) -> None:
    judge(kube_node, files.kubeconfig_has_the_rendered_bytes)


def test_ca_key_has_the_rendered_bytes(kube_node: Node) -> None:
    judge(kube_node, files.ca_key_has_the_rendered_bytes)


def test_configuration_has_the_rendered_bytes(kube_node: Node) -> None:
    judge(kube_node, files.configuration_has_the_rendered_bytes)


def test_unit_is_owned_by_root(kube_node: Node) -> None:
    judge(kube_node, files.unit_is_owned_by_root)


def test_client_ca_is_owned_by_root(kube_node: Node) -> None:
    judge(kube_node, files.client_ca_is_owned_by_root)


def test_kubeconfig_is_readable_by_root_only(kube_node: Node) -> None:
    judge(kube_node, files.kubeconfig_is_readable_by_root_only)


def test_ca_key_is_readable_by_root_only(kube_node: Node) -> None:
    judge(kube_node, files.ca_key_is_readable_by_root_only)


def test_configuration_is_readable_by_root_only(kube_node: Node) -> None:
    judge(kube_node, files.configuration_is_readable_by_root_only)


def test_stated_files_are_as_stated(kube_node: Node) -> None:
    judge(kube_node, files.stated_files_are_as_stated)


def test_folders_are_owned_by_root(kube_node: Node) -> None:
    judge(kube_node, files.folders_are_owned_by_root)


def test_lock_file_is_owned_by_root(kube_node: Node) -> None:
    judge(kube_node, files.lock_file_is_owned_by_root)


def test_program_is_owned_by_root(kube_node: Node) -> None:
    judge(kube_node, files.program_is_owned_by_root)


def test_no_static_pod_is_unstated(kube_node: Node) -> None:
    judge(kube_node, files.no_static_pod_is_unstated)
