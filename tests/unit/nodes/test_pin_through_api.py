"""A node written down by its API server alone: it satisfies that, and any change of it does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.pin import spec_from
from pytest_kubecluster.nodes.pin_through_api import pin_of
from pytest_kubecluster.nodes.verdict import Case, Difference, differences_of
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "ip-10-0-0-7.example.org"
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=timezone.utc)
DOCUMENT: Mapping[str, Any] = {
    "metadata": {
        "name": NAME,
        "labels": {
            "node-role.kubernetes.io/control-plane": "",
            "topology.kubernetes.io/zone": "a",
            "kubernetes.io/hostname": "ip-10-0-0-7",
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        },
    },
    "spec": {
        "taints": [
            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
            {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"},
        ]
    },
    "status": {
        "addresses": [
            {"type": "InternalIP", "address": "10.0.0.7"},
            {"type": "Hostname", "address": "ip-10-0-0-7"},
        ],
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {
            "kubeletVersion": "v1.30.4-eks-ae9a62a",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    },
}


def shown(minor: str) -> dict[str, Any]:
    """Return what /configz shows of a kubelet that nobody configured."""
    document: dict[str, Any] = {}
    for path, field in catalog.fields(minor).items():
        if field.default is not None:
            *folders, last = path.split(".")
            target = document
            for name in folders:
                target = target.setdefault(name, {})
            target[last] = field.default
    return document


def view(document: Mapping[str, Any] = DOCUMENT, **changes: Any) -> ApiView:
    configz = {**shown("1.30"), "maxPods": 50, "kubeReserved": {"cpu": "100m"}}
    seen = NodeObject.parse(document)
    made = ApiView(NAME, "https://server", seen, NOW, "a lease", NOW, configz)
    return replace(made, **changes)


def of_version(version: str) -> dict[str, Any]:
    document = deepcopy(dict(DOCUMENT))
    document["status"]["nodeInfo"]["kubeletVersion"] = version
    return document


def differences(text: str, seen: ApiView) -> list[Difference]:
    """Return how a node differs from a spec file."""
    document = tomllib.loads(text)
    version = KubeVersion.parse(document["version"])
    spec = spec_from(document, Machine(NAME, "master", NO_ADDRESS), version, "found")
    spec.check()
    one = spec[NAME]
    return differences_of(Case(None, statements_of(one), one.kubelet, lambda: seen))


def table(seen: ApiView, *, minimal: bool = False) -> dict[str, Any]:
    found = tomllib.loads(pin_of(seen, NAME, "master", minimal=minimal).text)
    result: dict[str, Any] = found["node"][NAME]
    return result


@pytest.mark.parametrize("minimal", [False, True])
def test_a_node_satisfies_its_pin(minimal: bool) -> None:
    seen = view()
    pin = pin_of(seen, NAME, "master", minimal=minimal)
    assert pin.differences == ()
    assert differences(pin.text, seen) == []


@pytest.mark.parametrize("minor", catalog.MINORS)
def test_nodes_of_every_version(minor: str) -> None:
    seen = view(of_version(f"v{minor}.0"), configz=shown(minor))
    pin = pin_of(seen, NAME, "master")
    assert pin.differences == ()
    assert differences(pin.text, seen) == []


def test_what_is_written_down() -> None:
    written = table(view(), minimal=True)
    assert written["settings"] == {"maxPods": 50, "kubeReserved": {"cpu": "100m"}}
    assert written["node_ip"] == ["10.0.0.7"]
    assert written["labels"] == {
        "node-role.kubernetes.io/control-plane": "",
        "topology.kubernetes.io/zone": "a",
    }
    assert written["taints"] == ["node-role.kubernetes.io/control-plane=:NoSchedule"]
    assert tomllib.loads(pin_of(view(), NAME, "master").text)["version"] == "1.30.4"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda d: d["metadata"]["labels"].pop("topology.kubernetes.io/zone"), "label topology"),
        (lambda d: d["metadata"]["labels"].update({"topology.kubernetes.io/zone": "b"}), "label"),
        (lambda d: d["spec"].pop("taints"), "taints"),
        (lambda d: d["spec"]["taints"].append({"key": "a", "effect": "NoSchedule"}), "taints"),
        (lambda d: d["status"]["addresses"][0].update({"address": "10.0.0.8"}), "InternalIP"),
        (lambda d: d["status"]["nodeInfo"].update({"kubeletVersion": "v1.30.5"}), "kubeletVersion"),
    ],
)
def test_a_change_of_the_object_is_one_difference(change: Change, name: str) -> None:
    text = pin_of(view(), NAME, "master").text
    document = deepcopy(dict(DOCUMENT))
    change(document)
    (one,) = differences(text, view(document))
    assert one.name.startswith(name)


@pytest.mark.parametrize("minimal", [False, True])
@pytest.mark.parametrize("value", [51, None])
def test_a_change_of_configz_is_one_difference(value: int | None, minimal: bool) -> None:
    text = pin_of(view(), NAME, "master", minimal=minimal).text
    configz = {**view().configz, "maxPods": value}
    if value is None:
        del configz["maxPods"]
    (one,) = differences(text, view(configz=configz))
    assert (one.name, one.expected) == ("--max-pods", "50")


def test_header_with_a_token_is_not_written_down() -> None:
    configz = {
        **view().configz,
        "staticPodURL": "https://user:abcdef@example.org/",
        "staticPodURLHeader": {"Authorization": ["Bearer abcdef"]},
    }
    assert "abcdef" not in pin_of(view(configz=configz), NAME, "master").text


def test_certificate_that_the_kubelet_made_is_not_a_setting() -> None:
    pki = "/var/lib/kubelet/pki"
    made = {"tlsCertFile": f"{pki}/kubelet.crt", "tlsPrivateKeyFile": f"{pki}/kubelet.key"}
    assert made.keys().isdisjoint(table(view(configz={**view().configz, **made}))["settings"])
    given = {"tlsCertFile": "/etc/kubernetes/serving.crt"}
    assert given.items() <= table(view(configz=given))["settings"].items()


def test_addresses_that_a_cloud_gave_are_not_node_ips() -> None:
    document = deepcopy(dict(DOCUMENT))
    document["status"]["addresses"].append({"type": "InternalIP", "address": "10.0.1.7"})
    assert "node_ip" not in table(view(document))
    document["status"]["addresses"][-1]["address"] = "fd00::7"
    assert table(view(document))["node_ip"] == ["10.0.0.7", "fd00::7"]


def test_node_that_is_gone_or_of_an_unknown_version() -> None:
    with pytest.raises(KubeClusterError, match=f"https://server has no Node object {NAME}"):
        pin_of(view(object=None), NAME, "master")
    with pytest.raises(KubeClusterError, match=rf"{NAME}: .*devel"):
        pin_of(view(of_version("devel")), NAME, "master")


def test_configz_that_may_not_be_read_is_a_difference() -> None:
    pin = pin_of(view(configz={}, configz_problem="403 Forbidden"), NAME, "master")
    assert [one.actual for one in pin.differences] == ["403 Forbidden"]
    assert "settings" not in pin.text
