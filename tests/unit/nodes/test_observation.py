from __future__ import annotations

import base64
from collections.abc import Callable
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.nodes.conftest import FakeNode

Classic = Callable[..., FakeNode]


def test_public_attributes_of_a_healthy_node(classic: Classic) -> None:
    seen = classic().look()
    assert seen.running
    assert seen.version == KubeVersion.parse("1.30.4")
    assert seen.taints == ("node-role.kubernetes.io/control-plane=:NoSchedule",)
    assert seen.settings["register-with-taints"] == seen.taints[0]
    assert seen.config["cluster-domain"] == "cluster.local"
    assert seen.flags["kubeconfig"] == "/etc/kubernetes/kubeconfig"
    assert seen.labels == {}
    assert seen.own_key == "matches"
    assert seen.healthz.body == "ok"
    assert seen.configz["clusterDomain"] == "cluster.local"
    assert seen.lock_path == "/var/run/lock/kubelet.lock"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("v1.7.5+coreos.1", "1.7.5"),
        ("v1.30.1", "1.30.1"),
        ("v1.24.17+hollow", "1.24.17"),
        ("v1.29.3-eks-ae9a62a", "1.29.3"),
        ("", None),
    ],
)
def test_version_is_reported_by_the_running_kubelet(
    classic: Classic, said: str, version: str | None
) -> None:
    node = classic()
    node.more["version"] = {"text": said, "source": "somewhere"}
    assert node.look().version == (version and KubeVersion.parse(version))


@pytest.mark.parametrize(
    ("flag", "address", "all_of_them"),
    [
        ("--node-ip=10.0.0.1", IPv4Address("10.0.0.1"), ["10.0.0.1"]),
        ("--node-ip=fd00::1", None, ["fd00::1"]),
        ("--node-ip=10.0.0.1,fd00::1", None, ["10.0.0.1", "fd00::1"]),
        ("--v=2", None, []),
    ],
)
def test_node_ip(classic: Classic, flag: str, address: Any, all_of_them: list[str]) -> None:
    node = classic()
    node.argv = [node.argv[0], flag]
    assert node.look().node_ip == address
    assert node.look().node_ips == tuple(map(ip_address, all_of_them))


def test_settings_of_drop_in_files_count(classic: Classic) -> None:
    node = classic()
    node.argv.append("--config-dir=/etc/kubernetes/conf.d")
    node.write("/etc/kubernetes/conf.d/20-site.conf", "clusterDomain: k8s.example.org\n")
    node.write("/etc/kubernetes/conf.d/10-first.conf", '{"clusterDomain": "first", "maxPods": 7}\n')
    node.write("/etc/kubernetes/conf.d/30-ignored.yaml", "clusterDomain: ignored\n")
    seen = node.look()
    assert seen.config["cluster-domain"] == "k8s.example.org"
    assert seen.effective["clusterDomain"].said_in == "/etc/kubernetes/conf.d/20-site.conf"
    assert seen.config["max-pods"] == "7"


@pytest.mark.parametrize(
    ("argv", "flags", "launcher"),
    [
        (["/usr/bin/kubelet", "--v", "2"], {"v": "2"}, ("/usr/bin/kubelet",)),
        (
            ["python3", "-u", "/opt/bin/kubelet", "--v=2"],
            {"v": "2"},
            ("python3", "-u", "/opt/bin/kubelet"),
        ),
        (["/hyperkube", "kubelet", "--v=2"], {"v": "2"}, ("/hyperkube", "kubelet")),
    ],
)
def test_flags_begin_behind_the_program(
    classic: Classic, argv: list[str], flags: dict[str, str], launcher: tuple[str, ...]
) -> None:
    node = classic()
    node.argv = argv
    seen = node.look()
    assert dict(seen.flags) == flags
    assert seen.command_line.launcher == launcher


def test_kubeconfig_that_names_files_has_their_certificates_in_it(classic: Classic) -> None:
    node = classic()
    document = yaml.safe_load(node.read("/etc/kubernetes/kubeconfig"))
    user = document["users"][0]["user"]
    pem = base64.b64decode(user["client-certificate-data"]).decode()
    key = base64.b64decode(user["client-key-data"]).decode()
    node.write("/var/lib/kubelet/pki/current.pem", pem + key)
    path = "/var/lib/kubelet/pki/current.pem"
    document["users"][0]["user"] = {"client-certificate": path, "client-key": path}
    node.write("/etc/kubernetes/kubeconfig", yaml.safe_dump(document))
    seen = node.look()
    assert seen.own_key == "matches"
    shown = seen.kubeconfig["users"][0]["user"]
    assert base64.b64decode(shown["client-certificate-data"]).decode() == pem
    assert seen.credentials is not None
    file, secret = seen.credentials.files[path]
    assert file is not None
    assert secret
    assert "PRIVATE KEY" not in repr(node.seen())


@pytest.mark.parametrize(
    ("name", "registered"),
    [("--hostname-override=Node-1.example.org", "node-1.example.org"), ("--v=2", "master01")],
)
def test_registered_name(classic: Classic, name: str, registered: str) -> None:
    node = classic()
    node.argv.append(name)
    assert node.look().registered_name == registered


def test_unreadable_kubeconfig_is_an_error_with_its_path(classic: Classic, tmp_path: Path) -> None:
    node = classic()
    node.write("/etc/kubernetes/kubeconfig", "a: [")
    assert node.look().kubeconfig["error"].startswith("/etc/kubernetes/kubeconfig: it cannot be")
