"""Evidence: the running process's argv, parsed as the kubelet parses it, and its executable."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.flags import same_value
from pytest_kubecluster.spec.translate import ROLE


def flags_that_differ(node: Node) -> dict[str, tuple[str | None, str | None]]:
    """Return expected and actual values of the flags that are not as in the spec."""
    expected, actual = node.spec.kubelet.flags, node.kubelet.flags
    minor = node.spec.kubelet.version.minor_version
    return {
        f"--{name}": (expected.get(name), actual.get(name))
        for name in {**expected, **actual}
        if not same_value(name, expected.get(name), actual.get(name), minor)
    }


def test_kubelet_runs(kube_node: Node) -> None:
    view = kube_node.kubelet
    assert view.running, "\n".join(view.journal[-20:])
    assert view.command_line.extra == (), "words that belong to no flag"


def test_version_is_that_of_the_spec(kube_node: Node) -> None:
    version = kube_node.kubelet.version
    assert version, "no kubelet runs, or it does not say its version"
    assert version.number == kube_node.spec.kubelet.version.number


def test_no_flag_is_missing(kube_node: Node) -> None:
    missing = [name for name, (_, actual) in flags_that_differ(kube_node).items() if actual is None]
    assert missing == []


def test_no_flag_is_extra(kube_node: Node) -> None:
    differ = flags_that_differ(kube_node)
    assert [name for name, (expected, _) in differ.items() if expected is None] == []


def test_every_flag_has_its_value(kube_node: Node) -> None:
    differ = flags_that_differ(kube_node)
    assert {name: pair for name, pair in differ.items() if None not in pair} == {}


def test_taints_are_those_of_the_role(kube_node: Node) -> None:
    taints = list(kube_node.kubelet.taints)
    assert taints == list(kube_node.spec.kubelet.node_taints)
    if kube_node.role == "worker":
        assert not any(taint.startswith(ROLE) for taint in taints)


def test_labels_are_those_of_the_spec(kube_node: Node) -> None:
    kubelet = kube_node.spec.kubelet
    if not kubelet.node_labels and kubelet.labels:
        pytest.skip("from 1.16 on a kubelet may not set its role label: only the API can")
    assert kube_node.kubelet.labels == kubelet.node_labels


def test_node_ip_is_on_an_interface(kube_node: Node) -> None:
    assert kube_node.kubelet.node_ip == kube_node.spec.kubelet.node_ip
    assert kube_node.kubelet.node_ip in kube_node.kubelet.addresses
