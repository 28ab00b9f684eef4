"""Evidence: the kubeconfig and the CA on the node's disk, and what they are to each other."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.model import ClusterSpec


def ca_on_disk(node: Node) -> x509.Certificate:
    """Return the client CA as it is on the node."""
    file = node.kubelet.files[node.spec.kubelet.client_ca_file]
    assert file is not None, f"{node.name} has no client CA"
    assert file.content is not None
    return x509.load_pem_x509_certificate(file.content)


def the_only(node: Node, kind: str) -> Any:
    """Return the one ``cluster`` or ``user`` of the node's kubeconfig, which must be there."""
    entries = node.kubelet.kubeconfig.get(f"{kind}s") or []
    assert len(entries) == 1, f"{node.name} has a kubeconfig with {len(entries)} {kind}s, not one"
    return entries[0][kind]


def certificate_in(node: Node, kind: str, key: str) -> x509.Certificate:
    """Return a certificate of the node's kubeconfig, which must have it in itself."""
    entry = the_only(node, kind)
    assert key in entry, f"{node.name} has a kubeconfig whose {kind} has no {key}"
    return x509.load_pem_x509_certificate(base64.b64decode(entry[key]))


def client_certificate(node: Node) -> x509.Certificate:
    """Return the certificate in the node's kubeconfig."""
    return certificate_in(node, "user", "client-certificate-data")


def test_kubeconfig_is_a_config(kube_node: Node) -> None:
    config = kube_node.kubelet.kubeconfig
    assert (config.get("apiVersion"), config.get("kind")) == ("v1", "Config"), config.get("error")


def test_kubeconfig_names_the_api_server(kube_node: Node, kube_spec: ClusterSpec) -> None:
    assert the_only(kube_node, "cluster").get("server") == kube_spec.api_server


def test_kubeconfig_trusts_the_ca_on_disk(kube_node: Node) -> None:
    trusted = certificate_in(kube_node, "cluster", "certificate-authority-data")
    assert trusted == ca_on_disk(kube_node)


def test_client_certificate_chains_to_the_ca_on_disk(kube_node: Node) -> None:
    certificate, ca = client_certificate(kube_node), ca_on_disk(kube_node)
    assert certificate.issuer == ca.subject
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError) as error:
        raise AssertionError(
            f"{kube_node.name}: the kubeconfig's certificate is not signed by "
            f"{kube_node.spec.kubelet.client_ca_file}"
        ) from error


def test_client_key_matches_its_certificate(kube_node: Node) -> None:
    assert kube_node.kubelet.own_key == "matches"


def test_client_certificate_is_valid_now(kube_node: Node) -> None:
    certificate, now = client_certificate(kube_node), datetime.now(timezone.utc)
    assert certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
