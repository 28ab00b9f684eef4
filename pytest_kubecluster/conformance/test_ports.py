"""Evidence: what the kubelet itself answers on its ports."""

from __future__ import annotations

import json
from typing import Any

from pytest_kubecluster.node import Node
from pytest_kubecluster.view import Answer


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


def configured(node: Node) -> dict[str, Any]:
    """Return what /configz says of the flags it knows, as far as the spec sets them."""
    configz = node.kubelet.configz
    authentication = configz.get("authentication", {})
    said = {
        "allow-privileged": configz.get("allowPrivileged"),
        "anonymous-auth": authentication.get("anonymous", {}).get("enabled"),
        "client-ca-file": authentication.get("x509", {}).get("clientCAFile"),
        "cluster-dns": configz.get("clusterDNS"),
        "cluster-domain": configz.get("clusterDomain"),
        "exit-on-lock-contention": configz.get("exitOnLockContention"),
        "lock-file": configz.get("lockFilePath"),
        "node-labels": configz.get("nodeLabels") or {},
        "pod-manifest-path": configz.get("podManifestPath"),
        "register-with-taints": [
            f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            for taint in configz.get("registerWithTaints") or ()
        ],
    }
    return {name: value for name, value in said.items() if name in node.spec.kubelet.flags}


def test_configz_agrees_with_the_spec(kube_node: Node) -> None:
    kubelet = kube_node.spec.kubelet
    flags = kubelet.flags
    assert kube_node.kubelet.configz, "/configz says nothing"
    expected: dict[str, Any] = {
        "allow-privileged": flags.get("allow-privileged") == "true",
        "anonymous-auth": flags.get("anonymous-auth", "true") == "true",
        "client-ca-file": flags.get("client-ca-file"),
        "cluster-dns": flags.get("cluster-dns", "").split(","),
        "cluster-domain": flags.get("cluster-domain"),
        "exit-on-lock-contention": flags.get("exit-on-lock-contention") == "true",
        "lock-file": flags.get("lock-file"),
        "node-labels": {label.key: label.value for label in kubelet.labels},
        "pod-manifest-path": flags.get("pod-manifest-path"),
        "register-with-taints": [str(taint) for taint in kubelet.taints],
    }
    said = configured(kube_node)
    assert said == {name: value for name, value in expected.items() if name in flags}
