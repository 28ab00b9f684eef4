"""What a node joins with, and what it has afterwards."""

from __future__ import annotations

import base64
import hashlib
import re
import stat
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from pytest_kubecluster import with_layout
from pytest_kubecluster.artifacts.bootstrap import BootstrapToken, bindings
from pytest_kubecluster.artifacts.control_plane import control_plane_files
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node, write_files
from pytest_kubecluster.kubelet.control_plane import HOLLOW
from pytest_kubecluster.layouts.cluster import cluster_spec, foreign_paths, with_control_plane
from pytest_kubecluster.spec.control_plane import FOLDER, component_flags
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ClusterSpec, ControlPlaneSpec
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.version import NEWEST, KubeVersion
from pytest_kubecluster.util.redact import REDACTED, redact

CERTIFICATE = "/var/lib/kubelet/pki/kubelet-client-current.pem"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


def joining(layout: LayoutName, minor: int = 30, **plane: bool | str) -> ClusterSpec:
    version = KubeVersion(1, minor, 0)
    spec = cluster_spec(2, 1, version=version, layout=layout)
    return with_control_plane(spec, ControlPlaneSpec(version, **plane))  # type: ignore[arg-type]


def test_nodes_join_that_have_a_certificate_of_their_own() -> None:
    def joined(layout: LayoutName) -> list[str]:
        return [node.name for node in joining(layout) if node.kubelet.bootstrap_kubeconfig]

    assert joined("classic") == []
    assert joined("kubeadm") == ["master02", "worker01"], "kubeadm init writes the first one's"
    assert joined("hardened") == ["master01", "master02", "worker01"]


def test_the_oldest_kubelets_do_not_join() -> None:
    spec = joining("hardened", 10)
    assert not any(node.kubelet.bootstrap_kubeconfig for node in spec)
    assert joining("hardened", 11)["worker01"].kubelet.bootstrap_kubeconfig


@pytest.mark.parametrize("layout", ["kubeadm", "hardened"])
def test_nothing_changes_without_a_control_plane(layout: LayoutName) -> None:
    spec = joining(layout, tls_bootstrap=False)
    without = cluster_spec(2, 1, version=spec.version, layout=layout)
    assert replace(spec, control_plane=None) == without == with_control_plane(without, None)


def test_the_reason_of_the_flag_is_given() -> None:
    changes = [str(change) for change in joining("hardened")["worker01"].kubelet.changes]
    assert any("--bootstrap-kubeconfig set" in change for change in changes)
    changes = [str(change) for change in joining("kubeadm")["worker01"].kubelet.changes]
    assert not any("--bootstrap-kubeconfig" in change for change in changes)


def test_a_hook_keeps_what_the_control_plane_says() -> None:
    spec = with_layout(joining("classic"), "hardened")
    assert spec["worker01"].kubelet.flags["bootstrap-kubeconfig"]
    spec = with_layout(joining("classic", tls_bootstrap=False), "hardened")
    assert "bootstrap-kubeconfig" not in spec["worker01"].kubelet.flags


@pytest.mark.parametrize("layout", ["kubeadm", "hardened"])
def test_a_node_gets_a_token_and_no_key(layout: LayoutName, pki: Pki, tmp_path: Path) -> None:
    spec = joining(layout)
    node = spec["worker01"]
    write_files(spec, pki, tmp_path)
    path = tmp_path / "worker01" / "bootstrap-kubeconfig"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = yaml.safe_load(path.read_text())
    assert re.fullmatch(r"[a-z0-9]{6}\.[a-z0-9]{16}", document["users"][0]["user"]["token"])
    server = document["clusters"][0]["cluster"]["server"]
    assert server == spec.api_server_of(node)
    assert not (tmp_path / "worker01" / "kubelet-client.pem").exists()
    joined = yaml.safe_load(render_node(spec, node, pki)["kubeconfig"])
    assert joined["users"][0]["user"] == {
        "client-certificate": CERTIFICATE,
        "client-key": CERTIFICATE,
    }


@pytest.mark.parametrize("layout", ["kubeadm", "hardened"])
def test_what_a_joined_node_has_is_stated(layout: LayoutName, pki: Pki) -> None:
    node = joining(layout)["worker01"]
    rendered = {node.kubelet.kubeconfig: b"written"}
    stated = {one.path: one for one in statements_of(node, rendered).files}
    assert stated[node.kubelet.bootstrap_kubeconfig].absent
    assert stated[node.kubelet.kubeconfig].digest == hashlib.sha256(b"written").hexdigest()
    assert stated[CERTIFICATE].mode == 0o600
    assert stated[CERTIFICATE].digest is None


def test_a_bootstrap_kubeconfig_is_removed_from_nodes_that_do_not_join() -> None:
    without = cluster_spec(version=KubeVersion(1, 30, 0), layout="kubeadm")["worker01"].kubelet
    assert "/etc/kubernetes/bootstrap-kubelet.conf" in foreign_paths(without)
    joins = joining("kubeadm")["worker01"].kubelet
    assert "/etc/kubernetes/bootstrap-kubelet.conf" not in foreign_paths(joins)


def test_the_token_is_kept_and_private(pki: Pki) -> None:
    token = pki.bootstrap_token()
    assert pki.bootstrap_token() == token
    assert {token.text, token.secret} <= set(pki.secrets())
    assert stat.S_IMODE((pki.directory / "bootstrap-token").stat().st_mode) == 0o600
    assert token.secret not in repr(token)


def test_no_part_of_a_token_is_shown(pki: Pki) -> None:
    token = pki.bootstrap_token()
    document = token.document()
    shown = redact(yaml.safe_dump(document), pki.secrets())
    encoded = base64.b64encode(token.secret.encode()).decode()
    assert encoded not in shown
    for text in (f"token {token.text} used", f"it is {token.secret}.", f'"x": "{encoded}"'):
        assert token.secret not in redact(text, pki.secrets())
        assert encoded not in redact(text, pki.secrets())
    assert redact(f"token-secret: {'a' * 15}b") == f"token-secret: {REDACTED}"


def test_the_secret_expires_within_the_hour() -> None:
    token = BootstrapToken("abcdef", "0123456789abcdef")
    document = token.document(datetime(2026, 1, 1, 12, tzinfo=timezone.utc))
    assert document["metadata"]["name"] == "bootstrap-token-abcdef"
    assert document["metadata"]["namespace"] == "kube-system"
    data = {name: base64.b64decode(value).decode() for name, value in document["data"].items()}
    assert data["expiration"] == "2026-01-01T13:00:00Z"
    assert data["usage-bootstrap-authentication"] == "true"
    assert data["auth-extra-groups"] == "system:bootstrappers:kubeadm:default-node-token"


def test_bindings_are_those_of_kubeadm() -> None:
    found = {one["roleRef"]["name"]: one["subjects"][0]["name"] for one in bindings()}
    request = "system:certificates.k8s.io:certificatesigningrequests"
    bootstrappers = "system:bootstrappers:kubeadm:default-node-token"
    assert found == {
        "system:node-bootstrapper": bootstrappers,
        f"{request}:nodeclient": bootstrappers,
        f"{request}:selfnodeclient": "system:nodes",
    }


@pytest.mark.parametrize(("layout", "there"), [("classic", False), ("hardened", True)])
def test_a_hollow_api_server_signs_where_kubelets_ask(
    layout: LayoutName, there: bool, pki: Pki
) -> None:
    spec = joining(layout)
    node = spec.nodes[0]
    flags = component_flags(spec, node, "kube-apiserver")
    assert ("cluster-signing-key-file" in flags) is there
    files = {one.path: one for one in control_plane_files(spec, node, pki, HOLLOW)}
    assert (f"{FOLDER}/ca.key" in files) is there
    if there:
        assert files[f"{FOLDER}/ca.key"].mode == 0o600
        assert files[f"{FOLDER}/ca.key"].owner == "root"


@pytest.mark.parametrize(
    ("layout", "verifies"), [("classic", False), ("kubeadm", False), ("hardened", True)]
)
def test_api_server_verifies_kubelets_whose_certificates_the_ca_signs(
    layout: LayoutName, verifies: bool
) -> None:
    for minor in (11, NEWEST):
        spec = joining(layout, minor)
        flags = component_flags(spec, spec.nodes[0], "kube-apiserver")
        found = flags.get("kubelet-certificate-authority")
        assert found == (f"{FOLDER}/ca.crt" if verifies else None)


@pytest.mark.parametrize(
    ("minor", "hollow", "component", "name"),
    [
        (18, False, "kube-controller-manager", "experimental-cluster-signing-duration"),
        (19, False, "kube-controller-manager", "cluster-signing-duration"),
        (18, True, "kube-apiserver", "cluster-signing-duration"),
    ],
)
def test_how_long_certificates_are_valid(
    minor: int, hollow: bool, component: str, name: str
) -> None:
    spec = joining("hardened", minor, hollow=hollow, signing_duration="48h")
    flags = component_flags(spec, spec.nodes[0], component)  # type: ignore[arg-type]
    assert {key: value for key, value in flags.items() if "duration" in key} == {name: "48h"}
