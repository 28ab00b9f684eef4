"""The labels and taints that only the API can set: a patch of the Node object as it is."""

from __future__ import annotations

from typing import Any

from pytest_kubecluster.cluster.control_plane import marks
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.version import KubeVersion

MASTER = "node-role.kubernetes.io/master"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
NOT_READY = {
    "key": "node.kubernetes.io/not-ready",
    "effect": "NoExecute",
    "timeAdded": "2026-01-01T12:00:00Z",
}


def made(
    version: str,
    layout: LayoutName = "kubeadm",
    name: str = "master01",
    labels: dict[str, str] | None = None,
    taints: tuple[dict[str, str], ...] = (),
) -> dict[str, Any]:
    spec = cluster_spec(version=KubeVersion.parse(version), layout=layout)
    metadata = {"name": name, "resourceVersion": "7", "labels": labels or {}}
    document = {"metadata": metadata, "spec": {"taints": list(taints)}}
    return marks(spec[name], NodeObject.parse(document))


def taint(key: str) -> dict[str, str]:
    return {"key": key, "value": "", "effect": "NoSchedule"}


def test_master_of_kubeadm() -> None:
    change = made("1.30.0", taints=(NOT_READY,))
    assert change["metadata"]["labels"] == {CONTROL_PLANE: "", EXCLUDED: ""}
    assert change["spec"]["taints"] == [NOT_READY, taint(CONTROL_PLANE)]
    # Another writer in between is not overwritten.
    assert change["metadata"]["resourceVersion"] == "7"


def test_worker_is_left_alone() -> None:
    assert made("1.30.0", name="worker01", taints=(NOT_READY,)) == {}


def test_nothing_is_written_where_the_kubelet_sets_all() -> None:
    there = {MASTER: ""}
    assert made("1.10.5", "classic", labels=there, taints=(taint(MASTER),)) == {}


def test_role_labels_that_a_kubelet_may_not_set() -> None:
    change = made("1.16.0", "classic", taints=(taint(MASTER),))
    assert change == {"metadata": {"labels": {MASTER: ""}}}


def test_marks_of_another_version_are_taken_away() -> None:
    labels = {MASTER: "", CONTROL_PLANE: "", EXCLUDED: "", "zone": "a"}
    change = made("1.25.0", labels=labels, taints=(taint(MASTER), taint(CONTROL_PLANE)))
    assert change["metadata"]["labels"] == {MASTER: None, CONTROL_PLANE: "", EXCLUDED: ""}
    assert change["spec"]["taints"] == [taint(CONTROL_PLANE)]
