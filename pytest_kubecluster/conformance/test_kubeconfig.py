"""Evidence: the kubeconfig and the CA on the node's disk, and what they are to each other."""

from __future__ import annotations

import base64
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pytest_kubecluster.node import Node
from pytest_kubecluster.spec import ClusterSpec


def ca_on_disk(node: Node) -> x509.Certificate:
    """Return the client CA as it is on the node."""
    file = node.kubelet.files[node.spec.kubelet.client_ca_file]
    assert file is not None, f"{node.name} has no client CA"
    assert file.content is not None
    return x509.load_pem_x509_certificate(file.content)


def client_certificate(node: Node) -> x509.Certificate:
    """Return the certificate in the node's kubeconfig."""
    user = node.kubelet.kubeconfig["users"][0]["user"]
    return x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))


def test_kubeconfig_is_a_config(kube_node: Node) -> None:
    config = kube_node.kubelet.kubeconfig
    assert (config.get("apiVersion"), config.get("kind")) == ("v1", "Config"), config.get("error")


def test_kubeconfig_names_the_api_server(kube_node: Node, kube_spec: ClusterSpec) -> None:
    (cluster,) = kube_node.kubelet.kubeconfig["clusters"]
    assert cluster["cluster"]["server"] == kube_spec.api_server


def test_kubeconfig_trusts_the_ca_on_disk(kube_node: Node) -> None:
    (cluster,) = kube_node.kubelet.kubeconfig["clusters"]
    trusted = base64.b64decode(cluster["cluster"]["certificate-authority-data"])
    assert x509.load_pem_x509_certificate(trusted) == ca_on_disk(kube_node)


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
