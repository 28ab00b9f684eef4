"""The command lines of a control plane's programs, version by version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.control_plane import (
    COMPONENTS,
    Component,
    api_server_flags,
    component_flags,
    etcd_flags,
    pod_network,
)
from pytest_kubecluster.spec.model import ClusterSpec, ControlPlaneSpec
from pytest_kubecluster.spec.programs import program_flags
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion


def cluster(version: str, masters: int = 3) -> ClusterSpec:
    number = KubeVersion.parse(version)
    return replace(cluster_spec(masters, version=number), control_plane=ControlPlaneSpec(number))


def flags(version: str, masters: int = 3) -> dict[str, str]:
    spec = cluster(version, masters)
    return api_server_flags(spec, spec.nodes[0])


@pytest.mark.parametrize(
    ("flag", "first", "last"),
    [
        ("admission-control", OLDEST, 9),
        ("enable-admission-plugins", 10, NEWEST),
        ("experimental-bootstrap-token-auth", OLDEST, 7),
        ("enable-bootstrap-token-auth", 8, NEWEST),
        ("apiserver-count", OLDEST, 10),
        ("insecure-port", OLDEST, 19),
        ("service-account-issuer", 20, NEWEST),
        ("service-account-signing-key-file", 20, NEWEST),
    ],
)
def test_api_server_has_a_flag_in_the_versions_that_know_it(
    flag: str, first: int, last: int
) -> None:
    having = [minor for minor in range(OLDEST, NEWEST + 1) if flag in flags(f"1.{minor}.0")]
    assert having == list(range(first, last + 1))


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
def test_every_flag_is_one_of_the_version(component: Component, minor: int) -> None:
    known = program_flags(component, minor)
    for masters in (1, 3):
        spec = cluster(f"1.{minor}.0", masters)
        given = component_flags(spec, spec.nodes[0], component)
        assert given.keys() - known.keys() == set()
        # Ports that only these flags close, and a key that 1.11 alone says to do without.
        deprecated = {name for name in given if known[name].deprecated}
        assert deprecated <= {"address", "insecure-port", "service-account-private-key-file"}


def test_node_restriction_is_on_in_every_version() -> None:
    for minor in range(OLDEST, NEWEST + 1):
        values = flags(f"1.{minor}.0")
        assert "NodeRestriction" in values.get("admission-control", "") + values.get(
            "enable-admission-plugins", ""
        )
        assert values["authorization-mode"] == "Node,RBAC"


def test_api_server_knows_all_etcd_members() -> None:
    assert flags("1.30.0")["etcd-servers"] == (
        "https://10.17.5.101:2379,https://10.17.5.102:2379,https://10.17.5.103:2379"
    )
    assert flags("1.30.0", 1)["etcd-servers"] == "https://10.17.5.101:2379"


def test_etcd_talks_tls_alone() -> None:
    spec = cluster("1.7.5")
    values = etcd_flags(spec, spec.nodes[1])
    assert not [text for text in values.values() if "http://" in text]
    assert values["client-cert-auth"] == values["peer-client-cert-auth"] == "true"
    assert values["initial-cluster"].count("https://") == 3


def test_ports_without_tls_are_on_loopback_or_gone() -> None:
    for component in COMPONENTS[1:]:
        old, new = cluster("1.16.4"), cluster("1.36.0")
        assert component_flags(old, old.nodes[0], component)["address"] == "127.0.0.1"
        assert "address" not in component_flags(new, new.nodes[0], component)


def test_each_node_has_a_pod_network_of_its_own() -> None:
    spec = cluster("1.30.0")
    networks = [pod_network(spec, node) for node in spec]
    assert len(set(networks)) == len(networks)
    assert str(networks[0]) == "10.2.0.0/24"
