"""TLS bootstrap: how a node without a certificate comes by one.

It joins with a token, asks for a certificate of its own, and writes a kubeconfig that names it.
Sources: cmd/kubeadm/app/phases/bootstraptoken, pkg/kubelet/certificate/bootstrap,
and the documentation on bootstrap tokens.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.encoding import base64_text

SECRETS = "/api/v1/namespaces/kube-system/secrets"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"

_LIFETIME = timedelta(hours=1)
"""Long enough for emulated machines to boot."""
_GROUP = "system:bootstrappers:kubeadm:default-node-token"
_CERTIFICATES = "system:certificates.k8s.io:certificatesigningrequests"
_BINDINGS = (
    ("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", _GROUP),
    ("kubeadm:node-autoapprove-bootstrap", f"{_CERTIFICATES}:nodeclient", _GROUP),
    (
        "kubeadm:node-autoapprove-certificate-rotation",
        f"{_CERTIFICATES}:selfnodeclient",
        "system:nodes",
    ),
)
"""Names, roles and groups of the bindings that kubeadm makes."""
_ALPHABET = string.ascii_lowercase + string.digits
_WITHOUT_PREFERENCES_SINCE = 34


@dataclass(frozen=True)
class BootstrapToken:
    """A bootstrap token: ``ID.SECRET``."""

    identity: str
    secret: str = field(repr=False)

    @classmethod
    def create(cls) -> BootstrapToken:
        """Return a new token."""
        return cls(*("".join(secrets.choice(_ALPHABET) for _ in range(n)) for n in (6, 16)))

    @property
    def text(self) -> str:
        """The token as a kubeconfig has it."""
        return f"{self.identity}.{self.secret}"

    @property
    def path(self) -> str:
        """The path of its Secret in the API."""
        return f"{SECRETS}/bootstrap-token-{self.identity}"

    def document(self, now: datetime | None = None) -> dict[str, Any]:
        """Return its Secret, with which an API server knows it for an hour."""
        end = (now or datetime.now(timezone.utc)) + _LIFETIME
        values = {
            "token-id": self.identity,
            "token-secret": self.secret,
            "expiration": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            "usage-bootstrap-authentication": "true",
            "auth-extra-groups": _GROUP,
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"bootstrap-token-{self.identity}", "namespace": "kube-system"},
            "type": "bootstrap.kubernetes.io/token",
            "data": {name: base64_text(value.encode()) for name, value in values.items()},
        }


def bindings() -> Iterator[dict[str, Any]]:
    """Yield who may ask for a node's certificate, and whose requests are approved by themselves."""
    group = "rbac.authorization.k8s.io"
    for name, role, subject in _BINDINGS:
        yield {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": subject}],
        }


def bootstrap_kubeconfig(
    cluster: ClusterSpec, node: NodeSpec, ca: bytes, token: BootstrapToken
) -> dict[str, Any]:
    """Return the kubeconfig that ``kubeadm join`` gives the kubelet to begin with."""
    at, user = "kubernetes", "tls-bootstrap-token-user"
    context = {"cluster": at, "user": user}
    return kubeconfig_of(cluster, node, ca, context, f"{user}@{at}", {"token": token.text})


def joined_kubeconfig(cluster: ClusterSpec, node: NodeSpec, ca: bytes) -> dict[str, Any]:
    """Return the kubeconfig that the kubelet writes: writeKubeconfigFromBootstrapping."""
    context = {"cluster": "default-cluster", "namespace": "default", "user": "default-auth"}
    credentials = {"client-certificate": CERTIFICATE, "client-key": CERTIFICATE}
    return kubeconfig_of(cluster, node, ca, context, "default-context", credentials)


def kubeconfig_of(
    cluster: ClusterSpec,
    node: NodeSpec,
    ca: bytes,
    context: Mapping[str, str],
    context_name: str,
    credentials: Mapping[str, str],
) -> dict[str, Any]:
    """Return a kubeconfig with one context, in the form of Kubernetes' own programs."""
    server = {"certificate-authority-data": base64_text(ca), "server": cluster.api_server_of(node)}
    old = node.kubelet.version.minor < _WITHOUT_PREFERENCES_SINCE
    return {
        "apiVersion": "v1",
        "clusters": [{"cluster": server, "name": context["cluster"]}],
        "contexts": [{"context": dict(context), "name": context_name}],
        "current-context": context_name,
        "kind": "Config",
        **({"preferences": {}} if old else {}),
        "users": [{"name": context["user"], "user": dict(credentials)}],
    }
