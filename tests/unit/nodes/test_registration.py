"""The verdict on Node objects: pure functions of an object and a spec."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node_object import NodeObject, api_time
from pytest_kubecluster.nodes.verdict import registration
from pytest_kubecluster.nodes.verdict.difference import (
    Case,
    Check,
    Difference,
    Evidence,
    NothingToCheck,
)
from pytest_kubecluster.spec.parts import Label
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.version import KubeVersion

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=timezone.utc)
MASTER = "node-role.kubernetes.io/master"


def node(**changes: Any) -> dict[str, Any]:
    document = {
        "metadata": {
            "name": "master01",
            "labels": {
                MASTER: "",
                "kubernetes.io/hostname": "master01",
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": "amd64",
            },
        },
        "spec": {"taints": [{"key": MASTER, "effect": "NoSchedule"}]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": "10.17.5.101"},
                {"type": "Hostname", "address": "master01"},
            ],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {
                "kubeletVersion": "v1.7.5+coreos.1+hollow",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }
    for path, value in changes.items():
        target: Any = document
        *folders, last = path.split("__")
        for name in folders:
            target = target[name]
        target[last] = value
    return document


def view(document: dict[str, Any] | None, **changes: Any) -> ApiView:
    seen = NodeObject.parse(document) if document else None
    made = ApiView("master01", "https://server", seen, NOW, "a lease", NOW)
    return replace(made, **changes)


def case(api: ApiView, version: str = "1.7.5") -> Case:
    spec = cluster_spec(version=KubeVersion.parse(version))["master01"]
    return Case(None, statements_of(spec), spec.kubelet, lambda: api)


CHECKS: dict[str, Check] = {
    name: check
    for name, check in vars(registration).items()
    if name.startswith(("node_", "configz_through"))
}


def found(api: ApiView, version: str = "1.7.5") -> dict[str, Difference]:
    """Return the differences of all checks but /configz, by name."""
    differences = {}
    for name, check in CHECKS.items():
        if name.startswith("configz"):
            continue
        try:
            differences.update({one.name: one for one in check(case(api, version))})
        except NothingToCheck:
            continue
    return differences


def test_node_as_it_must_be_has_no_difference() -> None:
    assert found(view(node())) == {}


def test_node_that_is_not_registered() -> None:
    differences = found(view(None))
    assert list(differences) == ["Node object master01"]
    assert differences["Node object master01"].actual is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"metadata__labels": {"kubernetes.io/hostname": "master01"}}, f"label {MASTER}"),
        ({"spec__taints": []}, "taints"),
        ({"spec__taints": [{"key": MASTER, "effect": "NoExecute"}]}, "taints"),
        ({"status__nodeInfo__kubeletVersion": "v1.7.6"}, "kubeletVersion"),
        ({"status__conditions": [{"type": "Ready", "status": "Unknown"}]}, "Ready"),
        ({"status__conditions": []}, "Ready"),
    ],
)
def test_each_deviation_is_one_difference(changes: dict[str, Any], name: str) -> None:
    differences = found(view(node(**changes)))
    assert list(differences) == [name]
    assert differences[name].evidence is Evidence.API


def test_addresses_are_compared_by_type() -> None:
    swapped = [
        {"type": "InternalIP", "address": "172.18.0.2"},
        {"type": "Hostname", "address": "other"},
    ]
    document = node(status__addresses=swapped)
    differences = found(view(document))
    assert differences["InternalIP"].expected == "10.17.5.101"
    assert differences["InternalIP"].actual == "172.18.0.2"
    assert list(differences) == ["InternalIP", "Hostname"]


def test_label_that_nobody_stated() -> None:
    document = node()
    document["metadata"]["labels"]["rack"] = "3"
    difference = found(view(document))["label rack"]
    assert (difference.expected, difference.actual) == (None, "3")
    assert difference.actual_in == "Node object master01"


def test_own_labels_have_the_values_of_the_node() -> None:
    document = node()
    document["metadata"]["labels"]["beta.kubernetes.io/arch"] = "s390x"
    assert found(view(document))["label beta.kubernetes.io/arch"].expected == "amd64"


def test_own_label_that_is_missing() -> None:
    document = node()
    del document["metadata"]["labels"]["kubernetes.io/hostname"]
    assert found(view(document))["label kubernetes.io/hostname"].actual is None


def test_role_label_is_there_although_the_kubelet_may_not_set_it() -> None:
    document = node(status__nodeInfo__kubeletVersion="v1.16.4")
    labels = document["metadata"]["labels"]
    labels |= {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    assert found(view(document), "1.16.4") == {}
    del labels[MASTER]
    assert list(found(view(document), "1.16.4")) == [f"label {MASTER}"]


def test_taints_of_controllers_are_not_the_specs() -> None:
    document = node()
    document["spec"]["taints"].append(
        {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}
    )
    assert found(view(document)) == {}


@pytest.mark.parametrize("age", [timedelta(seconds=41), timedelta(seconds=-41)])
def test_heartbeat_that_is_old_or_ahead(age: timedelta) -> None:
    difference = found(view(node(), heartbeat=NOW - age))["heartbeat"]
    assert difference.actual_in == "a lease"
    assert difference.actual == ("41 s old" if age > timedelta() else "41 s ahead")


def test_grace_is_longer_from_1_32_on() -> None:
    assert registration.monitor_grace(KubeVersion.parse("1.31.0")) == timedelta(seconds=40)
    assert registration.monitor_grace(KubeVersion.parse("1.32.0")) == timedelta(seconds=50)


def test_configz_through_the_api_server() -> None:
    good = cluster_spec(version=KubeVersion.parse("1.30.0"))["master01"].kubelet.configuration
    assert good
    check = registration.configz_through_the_api_server_agrees
    assert list(check(case(view(node(), configz=good), "1.30.0"))) == []
    other = {**good, "clusterDomain": "example.com"}
    (difference,) = check(case(view(node(), configz=other), "1.30.0"))
    assert (difference.expected, difference.actual) == ("cluster.local", "example.com")
    del other["clusterDomain"]
    (difference,) = check(case(view(node(), configz=other), "1.30.0"))
    assert (difference.expected, difference.actual) == ("cluster.local", None)
    (difference,) = check(case(view(node(), configz_problem="403 Forbidden")))
    assert difference.actual == "403 Forbidden"


def test_configz_of_a_version_without_files() -> None:
    shown = {
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
        },
        "allowPrivileged": True,
        "clusterDNS": ["10.3.0.10"],
        "clusterDomain": "cluster.local",
        "exitOnLockContention": True,
        "lockFilePath": "/var/run/lock/kubelet.lock",
        "podManifestPath": "/etc/kubernetes/manifests",
        "nodeLabels": {MASTER: ""},
        "registerWithTaints": [{"key": MASTER, "effect": "NoSchedule"}],
    }
    check = registration.configz_through_the_api_server_agrees
    assert list(check(case(view(node(), configz=shown)))) == []
    (difference,) = check(case(view(node(), configz={**shown, "nodeLabels": {}})))
    assert difference.name == "--node-labels"


def test_without_an_api_server_there_is_nothing_to_check() -> None:
    spec = cluster_spec()["master01"]
    alone = Case(None, statements_of(spec), spec.kubelet)
    for check in CHECKS.values():
        with pytest.raises(NothingToCheck, match="control plane"):
            list(check(alone))


def test_labels_that_only_the_api_can_set() -> None:
    kubelet = cluster_spec(version=KubeVersion.parse("1.16.4"))["master01"].kubelet
    assert kubelet.labels_for_the_api == {MASTER: ""}
    older = replace(kubelet, version=KubeVersion.parse("1.15.0"), labels=(Label(MASTER),))
    assert older.labels_for_the_api == {}


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [("2026-01-01T12:00:00Z", 0), ("2026-01-01T12:00:00.123456Z", 123456)],
)
def test_times_of_the_api(text: str, microsecond: int) -> None:
    assert api_time(text) == NOW.replace(microsecond=microsecond)


def test_object_is_read_once_and_does_not_change() -> None:
    document = node()
    seen = NodeObject.parse(deepcopy(document))
    assert seen.ready
    assert seen.addresses_of("InternalIP") == ("10.17.5.101",)
    assert NodeObject.parse({}).labels == {}
