"""Certificates, kubeconfigs and units of a control plane."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pytest_kubecluster.artifacts.control_plane import (
    PlacedFile,
    admin_kubeconfig,
    control_plane_files,
    pod_network_file,
)
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.kubelet.control_plane import HOLLOW
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.control_plane import COMPONENTS, FOLDER
from pytest_kubecluster.spec.model import ClusterSpec, ControlPlaneSpec

REAL = dict.fromkeys(COMPONENTS, "/opt/kube-control-plane/program")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def cluster() -> ClusterSpec:
    spec = cluster_spec()
    return replace(spec, control_plane=ControlPlaneSpec(spec.version))


@pytest.fixture(scope="module")
def files(cluster: ClusterSpec, pki: Pki) -> dict[str, PlacedFile]:
    return {one.path: one for one in control_plane_files(cluster, cluster.nodes[0], pki, REAL)}


def verify(ca: bytes, certificate: bytes, purpose: str, folder: Path) -> str:
    for name, content in (("ca", ca), ("crt", certificate)):
        (folder / name).write_bytes(content)
    argv = ["openssl", "verify", "-purpose", purpose, "-CAfile", "ca", "crt"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("authority", "certificate", "purpose"),
    [
        ("ca.crt", "apiserver.crt", "sslserver"),
        ("ca.crt", "apiserver-kubelet-client.crt", "sslclient"),
        ("etcd/ca.crt", "apiserver-etcd-client.crt", "sslclient"),
        ("etcd/ca.crt", "etcd/server.crt", "sslserver"),
        ("etcd/ca.crt", "etcd/server.crt", "sslclient"),
    ],
)
def test_openssl_verifies(
    files: dict[str, PlacedFile], authority: str, certificate: str, purpose: str, tmp_path: Path
) -> None:
    ca, own = (files[f"{FOLDER}/{name}"].content for name in (authority, certificate))
    assert verify(ca, own, purpose, tmp_path).strip() == "crt: OK"


@pytest.mark.parametrize(
    "name", ["10.17.5.101", "10.17.5.103", "127.0.0.1", "10.3.0.1", "kubernetes.default.svc"]
)
def test_api_server_is_known_by_all_its_names(
    files: dict[str, PlacedFile], name: str, tmp_path: Path
) -> None:
    (tmp_path / "crt").write_bytes(files[f"{FOLDER}/apiserver.crt"].content)
    kind = "-checkip" if name[0].isdigit() else "-checkhost"
    argv = ["openssl", "x509", "-in", "crt", "-noout", kind, name]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    assert "does match" in done.stdout


def test_keys_are_readable_by_their_owner_alone(files: dict[str, PlacedFile]) -> None:
    secret = [one for one in files.values() if b"PRIVATE KEY" in one.content]
    assert len(secret) == 6
    assert {one.mode for one in secret} == {0o600}
    configs = [one for path, one in files.items() if path.endswith(".kubeconfig")]
    assert {one.mode for one in configs} == {0o600}


def test_hollow_control_plane_has_no_key_of_the_ca(cluster: ClusterSpec, pki: Pki) -> None:
    paths = {one.path for one in control_plane_files(cluster, cluster.nodes[0], pki, HOLLOW)}
    assert f"{FOLDER}/ca.key" not in paths
    assert not [path for path in paths if "scheduler" in path]


def test_components_are_who_the_bootstrap_policy_knows(
    files: dict[str, PlacedFile], tmp_path: Path
) -> None:
    for component in COMPONENTS[1:]:
        document = yaml.safe_load(files[f"{FOLDER}/{component}.kubeconfig"].content)
        user = document["users"][0]["user"]
        pem = base64.b64decode(user["client-certificate-data"])
        argv = ["openssl", "x509", "-noout", "-subject"]
        subject = subprocess.run(argv, input=pem, capture_output=True).stdout.decode()
        assert f"CN = system:{component}" in subject


def test_units_wait_for_nothing(files: dict[str, PlacedFile]) -> None:
    units = {path: one.content.decode() for path, one in files.items() if path.endswith(".service")}
    assert len(units) == 4
    for text in units.values():
        assert "After=" not in text
        assert "Restart=always" in text
        assert "PRIVATE" not in text


def test_admin_is_asked_for_at_each_master(cluster: ClusterSpec, pki: Pki, tmp_path: Path) -> None:
    path = admin_kubeconfig(cluster, pki, tmp_path / "kubeconfig")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = yaml.safe_load(path.read_text())
    servers = {one["name"]: one["cluster"]["server"] for one in document["clusters"]}
    assert servers["cluster"] == servers["master03"] == "https://10.17.5.103:443"
    assert len(servers) == 4
    user = document["users"][0]["user"]
    context = ssl.create_default_context(cafile=str(pki.ca_cert_path))
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    assert "PRIVATE" not in path.read_text()


def test_pod_network_is_where_the_kubelet_looks(cluster: ClusterSpec) -> None:
    file = pod_network_file(cluster, cluster.nodes[1])
    assert file.path == "/etc/kubernetes/cni/net.d/99-bridge.conf"
    assert json.loads(file.content)["ipam"]["subnet"] == "10.2.1.0/24"
