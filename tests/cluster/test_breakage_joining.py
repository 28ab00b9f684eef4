"""Breaks what TLS bootstrap has made of a node, and sees exactly the right checks fail.

It needs a control plane and a layout whose nodes join: ``kubeadm`` or ``hardened``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509

from pytest_kubecluster.artifacts.bootstrap import (
    SECRETS,
    BootstrapToken,
    bootstrap_kubeconfig,
)
from pytest_kubecluster.artifacts.certificates import Authority, node_client, node_serving, subject
from pytest_kubecluster.artifacts.go_yaml import go_yaml
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.control_plane import masters_of
from pytest_kubecluster.nodes.joining import tokens_expire
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.control_plane import signing_flags
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.poll import poll
from tests.cluster.support import HEALTHY_SECONDS, failing_in_the_api, ready, shell

pytestmark = pytest.mark.kube_disruptive

KEPT = "/root/joined.tar"
"""What the node has of joining, until it gets that back."""
SECONDS, QUIET_SECONDS = 60.0, 3.0
BACKDATED = timedelta(minutes=5)


@dataclass
class Joined:
    """A node that joined, with the API server that it joined at."""

    node: Node
    nodes: tuple[Node, ...]
    spec: ClusterSpec

    @property
    def api(self) -> ApiServer:
        assert self.node.api is not None
        return self.node.api

    def failing(self) -> set[str]:
        self.node.forget()
        return failing_in_the_api(self.node, self.nodes)

    def restart(self) -> None:
        shell(self.node, "systemctl reset-failed kubelet; systemctl restart kubelet")
        self.node.wait_until_healthy(HEALTHY_SECONDS)
        assert poll(lambda: ready(self.node), SECONDS, every=0.3)

    def put(self, path: str, content: bytes) -> None:
        script = 'umask 077; cat > "$1"'
        assert self.node.run("sh", "-c", script, "put", path, stdin=content).rc == 0

    def certificate(self) -> x509.Certificate:
        pem = self.node.run("openssl", "x509", "-in", CERTIFICATE).stdout
        return x509.load_pem_x509_certificate(pem.encode())

    def certificates(self) -> int:
        """How many certificates the kubelet has kept."""
        return int(self.node.run("sh", "-c", "ls /var/lib/kubelet/pki/*-20*.pem | wc -l").stdout)


@pytest.fixture
def joined(kube_spec: ClusterSpec, kube_nodes: tuple[Node, ...]) -> Iterator[Joined]:
    """A node that joined, and is afterwards as it was."""
    node = kube_nodes[-1]
    if not node.spec.kubelet.bootstrap_kubeconfig:
        pytest.skip("needs --kube-control-plane and a layout whose nodes join")
    config = node.spec.kubelet.config_path
    folders = f"/etc/kubernetes /var/lib/kubelet/pki {config} $UNIT"
    shell(node, f"tar -cPf {KEPT} {folders}")
    one = Joined(node, kube_nodes, kube_spec)
    assert one.failing() == set()
    yield one
    shell(
        node,
        f"rm -rf /var/lib/kubelet/pki {node.spec.kubelet.bootstrap_kubeconfig}\n"
        f"tar -xPf {KEPT}; rm {KEPT}; systemctl daemon-reload",
    )
    one.restart()


@contextmanager
def secret(api: ApiServer, document: dict[str, Any]) -> Iterator[None]:
    api.create(SECRETS, document)
    try:
        yield
    finally:
        api.delete(f"{SECRETS}/{document['metadata']['name']}")


def test_token_that_still_works(joined: Joined, kube_pki: Pki) -> None:
    node, token = joined.node, BootstrapToken.create()
    document = bootstrap_kubeconfig(joined.spec, node.spec, kube_pki.ca_cert, token)
    with secret(joined.api, token.document()):
        joined.put(node.spec.kubelet.bootstrap_kubeconfig, go_yaml(document))
        assert joined.failing() == {"bootstrap_token_is_used_up"}
    # An API server refuses what it does not know. A real one remembers a token for ten seconds.
    assert poll(lambda: joined.failing() == set(), SECONDS, every=1)


def test_token_that_has_expired(joined: Joined, kube_pki: Pki) -> None:
    node, token = joined.node, BootstrapToken.create()
    document = bootstrap_kubeconfig(joined.spec, node.spec, kube_pki.ca_cert, token)
    then = datetime.now(timezone.utc) - timedelta(days=1)
    joined.put(node.spec.kubelet.bootstrap_kubeconfig, go_yaml(document))
    joined.api.create(SECRETS, token.document(then))
    assert joined.failing() == set()
    shell(node, f"rm {node.spec.kubelet.bootstrap_kubeconfig}")


def test_token_that_never_expires(joined: Joined, kube_masters: tuple[Node, ...]) -> None:
    (*_, master) = masters_of(kube_masters)
    assert not list(tokens_expire(master.server))
    document = BootstrapToken.create().document()
    del document["data"]["expiration"]
    with secret(joined.api, document):
        (difference,) = tokens_expire(master.server)
        assert difference.expected == "an expiration"


def test_certificate_that_nobody_requested(joined: Joined, kube_pki: Pki) -> None:
    pair = kube_pki.authority.issue(node_client(joined.node.registered_name))
    joined.put(CERTIFICATE, pair.combined)
    joined.restart()
    assert joined.failing() == {"client_certificate_was_requested"}


def test_certificate_in_another_place(joined: Joined) -> None:
    shell(
        joined.node,
        f"cp -L {CERTIFICATE} /etc/kubernetes/own.pem; "
        f"sed -i s#{CERTIFICATE}#/etc/kubernetes/own.pem# $CONFIG",
    )
    assert joined.failing() == {"client_certificate_is_rotated"}


def test_certificate_that_is_not_rotated(joined: Joined) -> None:
    shell(
        joined.node,
        "sed -i 's/^rotateCertificates: true/rotateCertificates: false/' $FILE\n"
        "sed -i 's/--rotate-certificates=true/--rotate-certificates=false/' $UNIT\n"
        "systemctl daemon-reload",
    )
    joined.restart()
    found = joined.failing()
    assert found - {"configz_through_the_api_server_agrees"} == {"client_certificate_is_rotated"}


def test_serving_certificate_that_the_api_server_does_not_trust(joined: Joined) -> None:
    kubelet = joined.node.spec.kubelet
    if not kubelet.signed_serving:
        pytest.skip(f"the layout {kubelet.layout} does not say who signs it")
    other = Authority.create(subject("other"))
    pair = other.issue(node_serving(joined.node.name, (joined.node.address,)))
    joined.put(kubelet.settings["tls-cert-file"], pair.cert)
    joined.put(kubelet.settings["tls-private-key-file"], pair.key)
    joined.restart()
    assert joined.failing() == {"configz_through_the_api_server_agrees"}


def test_certificate_is_renewed_once(
    joined: Joined, kube_pki: Pki, kube_masters: tuple[Node, ...]
) -> None:
    """A certificate that is about to end is replaced by one that is valid for ten minutes."""
    before = joined.certificates()
    ends = kube_pki.authority.issue(
        node_client(joined.node.registered_name, lifetime=timedelta(minutes=1))
    )
    with signing_for(kube_masters, joined.spec, "10m"):
        joined.put(CERTIFICATE, ends.combined)
        joined.restart()
        assert poll(lambda: joined.certificate() != ends.certificate, SECONDS, every=0.5)
        renewed = joined.certificate()
        renewed.verify_directly_issued_by(x509.load_pem_x509_certificate(kube_pki.ca_cert))
        assert timedelta(minutes=10) <= valid(renewed) <= timedelta(minutes=10) + BACKDATED
        assert joined.failing() == set()
    assert not poll(lambda: joined.certificate() != renewed, QUIET_SECONDS, every=0.5)
    assert joined.certificates() == before + 1


def valid(certificate: x509.Certificate) -> timedelta:
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc


@contextmanager
def signing_for(masters: tuple[Node, ...], spec: ClusterSpec, duration: str) -> Iterator[None]:
    """Let the control plane sign certificates that are valid for a while, instead of a year."""
    plane = spec.control_plane
    assert plane is not None
    unit = "kube-apiserver" if plane.hollow else "kube-controller-manager"
    named = signing_flags(replace(plane, signing_duration=duration))
    (name,) = named.keys() - signing_flags(plane).keys()
    path = f"/etc/systemd/system/{unit}.service"
    flag = rf"s#^(ExecStart=[^\]+)\\$#\1--{name}={duration} \\#"
    for master in masters:
        shell(master, f"cp {path} /root/{unit}.kept; sed -i -E '{flag}' {path}; {restarted(unit)}")
    wait_for(masters)
    try:
        yield
    finally:
        for master in masters:
            shell(master, f"mv /root/{unit}.kept {path}; {restarted(unit)}")
        wait_for(masters)


def restarted(unit: str) -> str:
    return f"systemctl daemon-reload && systemctl restart {unit}"


def wait_for(masters: tuple[Node, ...]) -> None:
    for master in masters_of(masters):
        assert poll(lambda master=master: healthy(master.server), SECONDS, every=0.3)  # type: ignore[misc]


def healthy(server: ApiServer) -> bool:
    try:
        return server.text("/healthz") == "ok"
    except KubeClusterError:
        return False
