"""Evidence: the running process's argv, parsed as the kubelet parses it, and its settings."""

from __future__ import annotations

from pytest_kubecluster.conformance.judge import judge
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import process


def test_kubelet_runs(kube_node: Node) -> None:
    judge(kube_node, process.kubelet_runs)


def test_only_one_kubelet_runs(kube_node: Node) -> None:
    judge(kube_node, process.only_one_kubelet_runs)


def test_version_is_that_of_the_spec(kube_node: Node) -> None:
    judge(kube_node, process.version_is_that_of_the_spec)


def test_command_line_is_that_of_the_unit(kube_node: Node) -> None:
    judge(kube_node, process.command_line_is_that_of_the_unit)


def test_no_flag_is_missing(kube_node: Node) -> None:
    judge(kube_node, process.no_flag_is_missing)


def test_no_flag_is_extra(kube_node: Node) -> None:
    judge(kube_node, process.no_flag_is_extra)


def test_every_flag_has_its_value(kube_node: Node) -> None:
    judge(kube_node, process.every_flag_has_its_value)


def test_every_setting_has_its_value(kube_node: Node) -> None:
    judge(kube_node, process.every_setting_has_its_value)


def test_configuration_can_be_read(kube_node: Node) -> None:
    judge(kube_node, process.configuration_can_be_read)


def test_taints_are_those_of_the_role(kube_node: Node) -> None:
    judge(kube_node, process.taints_are_those_of_the_role)


def test_labels_are_those_of_the_spec(kube_node: Node) -> None:
    judge(kube_node, process.labels_are_those_of_the_spec)


def test_node_ip_is_on_an_interface(kube_node: Node) -> None:
    judge(kube_node, process.node_ip_is_on_an_interface)


def test_hostname_is_that_of_the_node(kube_node: Node) -> None:
    judge(kube_node, process.hostname_is_that_of_the_node)
