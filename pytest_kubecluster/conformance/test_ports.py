"""Evidence: what the kubelet itself answers on its ports."""

from __future__ import annotations

import json

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import Answer
from pytest_kubecluster.spec.flags import same_value


def test_healthz_is_ok(kube_node: Node) -> None:
    assert kube_node.kubelet.healthz == Answer(200, "ok")


def test_anonymous_clients_are_refused(kube_node: Node) -> None:
    assert kube_node.kubelet.anonymous.status == 401, kube_node.kubelet.anonymous.body


def test_own_certificate_is_answered(kube_node: Node) -> None:
    assert kube_node.kubelet.own == Answer(200, "ok")


def test_pods_are_listed(kube_node: Node) -> None:
    answer = kube_node.kubelet.pods
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["kind"] == "PodList"


def test_configz_agrees_with_the_spec(kube_node: Node) -> None:
    kubelet, said = kube_node.spec.kubelet, kube_node.kubelet.configured
    assert said, "/configz says nothing"
    expected = {name: kubelet.settings.get(name) for name in kubelet.shown_by_configz}
    minor = kubelet.version.minor_version
    differ = {
        f"--{name}": (value, said.get(name))
        for name, value in expected.items()
        if not same_value(name, value, said.get(name), minor)
    }
    assert differ == {}, "what the spec wants, and what the kubelet says"
