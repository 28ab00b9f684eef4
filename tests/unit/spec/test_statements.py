from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from ipaddress import IPv4Address

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.parts import (
    FileStatement,
    HostStatement,
    IdentityStatement,
    Label,
    Taint,
    UnitStatement,
)
from pytest_kubecluster.spec.statements import Statements, statements_of
from pytest_kubecluster.spec.version import KubeVersion

V30 = KubeVersion.parse("1.30.0")


@pytest.fixture
def unstated() -> KubeletSpec:
    return found_kubelet(V30)


def test_classic_states_all_that_is_rendered() -> None:
    node = cluster_spec(1, 0, version=V30)["master01"]
    path = node.kubelet.unit_path
    stated = statements_of(node, {path: b"[Unit]\n"})
    assert stated.version == V30
    assert stated.complete
    assert stated.settings["clusterDomain"].value == "cluster.local"
    assert stated.settings["clusterDomain"].said_in == "/etc/kubernetes/kubelet.yaml"
    assert stated.settings["config"].said_in == path
    assert stated.taints == (Taint("node-role.kubernetes.io/control-plane"),)
    assert stated.addresses == (node.address,)
    assert stated.unit == UnitStatement("kubelet.service", path, (), enabled=True)
    assert stated.host == HostStatement(True, True)
    files = {file.path: file for file in stated.files}
    assert files[path].digest == sha256(b"[Unit]\n").hexdigest()
    assert files[path].content == b"[Unit]\n"
    assert files["/etc/kubernetes/ca.key"].mode == 0o600
    assert files["/etc/kubernetes/ca.key"].digest is None


def test_secret_content_is_stated_by_its_digest_alone() -> None:
    node = cluster_spec(1, 0)["master01"]
    stated = statements_of(node, {"/etc/kubernetes/ca.key": b"secret"})
    (key,) = (file for file in stated.files if file.path == "/etc/kubernetes/ca.key")
    assert key.content is None
    assert key.digest == sha256(b"secret").hexdigest()


@pytest.mark.parametrize("role", ["master", "worker"])
@pytest.mark.parametrize("version", ["1.7.5", "1.16.0", "1.36.0"])
def test_classic_states_labels_and_taints_apart_from_settings(role: str, version: str) -> None:
    node = cluster_spec(version=KubeVersion.parse(version))[f"{role}01"]
    stated = statements_of(node)
    assert stated.labels == node.kubelet.node_labels
    assert not {"node-labels", "node-ip", "registerWithTaints"} & set(stated.settings)


def test_found_states_the_version_and_nothing_else(unstated: KubeletSpec) -> None:
    assert statements_of(unstated) == Statements(version=V30, labels={})


def test_found_states_that_there_are_no_dns_servers(unstated: KubeletSpec) -> None:
    kubelet = replace(unstated, cluster_dns=())
    assert statements_of(kubelet).absent_settings == {"clusterDNS": "the spec"}
    stated = statements_of(kubelet.with_settings({"cluster-dns": "10.0.0.10"}))
    assert stated.absent_settings == {}
    assert set(stated.settings) == {"clusterDNS"}


def test_found_states_what_is_set(unstated: KubeletSpec) -> None:
    kubelet = replace(
        unstated,
        node_ips=(),
        labels=(Label("zone", "a"),),
        taints=(Taint("a", "b"),),
        cluster_domain="example.org",
        anonymous_auth=False,
        cluster_dns=(IPv4Address("10.0.0.10"),),
        kubeconfig="/var/lib/kubelet/kubeconfig",
        identity=IdentityStatement("system:node:w1", ("system:nodes",)),
        own_files=(FileStatement("/etc/kubernetes/ca.key", absent=True),),
        unit_path="/usr/lib/systemd/system/kubelet.service",
        unit_drop_ins=("/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",),
        hostname="w1",
        api_server="https://api.example.org:6443",
        host=HostStatement(resolver=False),
        restart_seconds=5,
        extra_flags=(("max-pods", "50"), ("lock-file", None)),
    ).with_settings({"authorization.mode": "Webhook", "rotate-certificates": None})
    stated = statements_of(kubelet)
    assert {name: one.value for name, one in stated.settings.items()} == {
        "clusterDomain": "example.org",
        "authentication.anonymous.enabled": False,
        "clusterDNS": ("10.0.0.10",),
        "maxPods": 50,
        "authorization.mode": "Webhook",
    }
    assert set(stated.absent_settings) == {"lock-file", "rotateCertificates"}
    assert stated.addresses == ()
    assert stated.labels == {"zone": "a"}
    assert stated.taints == (Taint("a", "b"),)
    assert stated.identity.kubeconfig == "/var/lib/kubelet/kubeconfig"
    assert stated.identity.user == "system:node:w1"
    assert stated.files == (FileStatement("/etc/kubernetes/ca.key", absent=True),)
    assert stated.unit.drop_ins == kubelet.unit_drop_ins
    assert stated.unit.restart_seconds == 5
    assert stated.server == "https://api.example.org:6443"
    assert stated.hostname == "w1"
    assert stated.host == HostStatement(resolver=False)
    assert not stated.complete


def test_settings_of_a_users_own_go_into_the_file_where_the_version_has_one() -> None:
    settings = {
        "authorization.mode": "Webhook",
        "max-pods": 50,
        "tracing": {"endpoint": "h"},
        "node-status-update-frequency": "5s",
        "v": 3,
        "cluster-domain": None,
    }
    kubelet = cluster_spec(version=V30)["master01"].kubelet.with_settings(settings)
    document = kubelet.configuration
    assert document["authorization"] == {"mode": "Webhook"}
    assert document["maxPods"] == 50
    assert document["tracing"] == {"endpoint": "h"}
    assert "clusterDomain" not in document
    assert not {"max-pods", "authorization-mode", "cluster-domain"} & set(kubelet.flags)
    old = cluster_spec()["master01"].kubelet.with_settings({"max-pods": 50, "v": 3})
    assert old.flags["max-pods"] == "50"
    assert old.flags["v"] == "3"
    assert hash(kubelet) == hash(replace(kubelet))
