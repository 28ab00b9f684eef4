"""What TLS bootstrap has made of a node: its token is used up, and its certificate is its own."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from posixpath import join
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from pytest_kubecluster.nodes.api_server import ApiError, ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.parts import Kubeconfig
from pytest_kubecluster.nodes.verdict import Case, Difference, Evidence, NothingToCheck
from pytest_kubecluster.nodes.verdict.kubeconfig import chains
from pytest_kubecluster.spec.statements import NODE_USER

_REQUESTS = "/apis/certificates.k8s.io/{version}/certificatesigningrequests"
_TOKENS = "/api/v1/namespaces/kube-system/secrets"
_TOKEN = "bootstrap.kubernetes.io/token"
_BOOTSTRAPPER = "system:bootstrap:"
_UNAUTHORIZED = 401
_KEPT = timedelta(hours=1, minutes=5)
"""How old the certificate of an approved request is when a real controller manager removes the
request (pkg/controller/certificates/cleaner): one hour, and a certificate is backdated."""
_GROUP = "system:nodes"


def token_is_used_up(node: Node) -> Iterator[Difference]:
    """Expect that a kubelet's bootstrap kubeconfig is gone, or that its token is refused.

    How nodes of a user join is left to the user: some have a token that stays.
    """
    case = node.case()
    used = case.seen.credentials
    if not case.kubelet.bundled:
        raise NothingToCheck("the spec does not say how the node joins")
    first = used.bootstrap if used else None
    if first is None:
        raise NothingToCheck("the kubelet has no --bootstrap-kubeconfig")
    if first.file is None:
        return
    if first.kind != "token":
        raise NothingToCheck(f"{first.path} has no token, but {first.kind or 'nothing'}")
    answer = node.ask("bootstrap", {"kubeconfig": first.path})
    if answer["status"] != _UNAUTHORIZED:
        actual = f"accepted ({answer['status']})" if answer["status"] else answer["message"]
        yield Difference("bootstrap token", "refused (401)", actual, Evidence.API, "", first.path)


def certificate_was_requested(node: Node) -> Iterator[Difference]:
    """Expect a client certificate that is the node's own, and that a signing request led to."""
    case = node.case()
    used = _certified(case)
    certificate = x509.load_pem_x509_certificate(used.certificates[0].encode())
    names = certificate.subject
    user = ",".join(str(one.value) for one in names.get_attributes_for_oid(NameOID.COMMON_NAME))
    groups = [str(one.value) for one in names.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    wanted = NODE_USER + case.seen.registered_name
    if (user, groups) != (wanted, [_GROUP]):
        actual = f"{user} of {', '.join(groups) or 'no group'}"
        yield _differs("client certificate user", f"{wanted} of {_GROUP}", actual, used)
    if not chains(used.certificates, case.seen.client_ca.certificates):
        actual = f"signed by {certificate.issuer.rfc4514_string()}"
        yield _differs("client certificate", f"signed by {case.seen.client_ca.path}", actual, used)
    assert node.api is not None
    found = [one for one in _requests(node.api) if _issued(one) == certificate]
    if not found:
        age = (
            datetime.fromtimestamp(case.seen.time, timezone.utc) - certificate.not_valid_before_utc
        )
        if age > _KEPT:
            raise NothingToCheck("its signing request may be gone: they are kept for an hour")
        yield _differs("client certificate", "issued for a signing request", "for none", used)
    for one in found:
        who = str(one["spec"].get("username"))
        if who != wanted and not who.startswith(_BOOTSTRAPPER):
            expected = f"{wanted}, or with a bootstrap token"
            yield _differs("client certificate requested by", expected, who, used)


def certificate_is_rotated(case: Case) -> Iterator[Difference]:
    """Expect the certificate where the kubelet rotates it, and that it does."""
    used = _certified(case)
    if case.seen.process is None:
        raise NothingToCheck("no kubelet runs")
    if case.seen.setting("rotate-certificates") is not True:
        yield Difference("rotate-certificates", "true", "false", Evidence.PROCESS)
    folder = str(case.seen.setting("cert-dir") or "/var/lib/kubelet/pki")
    wanted = join(folder, "kubelet-client-current.pem")
    if wanted not in used.files:
        actual = ", ".join(sorted(used.files)) or "embedded"
        yield Difference("client certificate", wanted, actual, Evidence.FILES, "", used.path)


def tokens_expire(server: ApiServer) -> Iterator[Difference]:
    """Expect an end of every bootstrap token that an API server knows."""
    for secret in server.get(_TOKENS)["items"]:
        if secret.get("type") != _TOKEN:
            continue
        data = secret.get("data") or {}
        text = base64.b64decode(data.get("expiration", "")).decode(errors="replace")
        if not _is_time(text):
            name = f"Secret kube-system/{secret['metadata']['name']}"
            yield Difference(
                "bootstrap token", "an expiration", text or None, Evidence.API, "", name
            )


def _is_time(text: str) -> bool:
    """Return whether a text is a time in RFC 3339, as API servers read it."""
    try:
        datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _certified(case: Case) -> Kubeconfig:
    """Return the kubeconfig of a node that joined by TLS bootstrap."""
    if not case.kubelet.bootstrap_kubeconfig:
        raise NothingToCheck("the spec does not say that the node joins by TLS bootstrap")
    used = case.seen.credentials
    if used is None or not used.certificates:
        raise NothingToCheck("the kubelet has no certificate")
    return used


def _requests(server: ApiServer) -> list[Mapping[str, Any]]:
    try:
        found: list[Mapping[str, Any]] = server.get(_REQUESTS.format(version="v1"))["items"]
    except ApiError as error:
        if not error.not_found:
            raise
        # Until 1.18.
        found = server.get(_REQUESTS.format(version="v1beta1"))["items"]
    return found


def _issued(request: Mapping[str, Any]) -> x509.Certificate | None:
    encoded = (request.get("status") or {}).get("certificate")
    return x509.load_pem_x509_certificate(base64.b64decode(encoded)) if encoded else None


def _differs(name: str, expected: str, actual: str, used: Kubeconfig) -> Difference:
    return Difference(name, expected, actual, Evidence.API, "", used.path)
