"""What a node may write: its own Node object, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from pytest_kubecluster.nodes.api_view import NODES, find_object
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import Case, Difference, Evidence, NothingToCheck

_NODE_USER = "system:node:"
_OK, _FORBIDDEN = 200, 403


def writes_itself_alone(node: Node, other: Node) -> Iterator[Difference]:
    """Expect that a node may change its own Node object, and is forbidden to change another's.

    The requests change nothing: what is merged is empty. Raises NothingToCheck where the kubelet's
    identity is not one node's.
    """
    case = node.case()
    path = _identity(case)
    own, others = (_object_name(one) for one in (node, other))
    nothing: dict[str, Any] = {"metadata": {"labels": {}}}
    requests = [
        {"method": "PATCH", "path": f"{NODES}/{name}", "document": nothing}
        for name in (own, others)
    ]
    answers = node.ask("as-node", {"kubeconfig": path, "requests": requests})
    expected = {own: _OK, others: _FORBIDDEN}
    for (name, status), answer in zip(expected.items(), answers, strict=True):
        if answer["status"] != status:
            actual = f"{answer['status']} {answer['message']}".strip()
            what = f"change of Node {name} by {own}"
            yield Difference(what, str(status), actual, Evidence.API, "", path)


def _object_name(node: Node) -> str:
    """Return the name of a node's object, which an inventory may not know."""
    found = find_object(node.api, node.registered_name, node.address) if node.api else None
    return found.name if found else node.registered_name


def _identity(case: Case) -> str:
    """Return the kubeconfig of a kubelet that is known as one node."""
    used = case.seen.credentials
    if used is None or used.kind != "certificate" or not used.certificates:
        raise NothingToCheck("the kubelet has no certificate of its own")
    certificate = x509.load_pem_x509_certificate(used.certificates[0].encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    user = str(names[0].value) if names else ""
    if not user.startswith(_NODE_USER):
        raise NothingToCheck(f"the kubelet is {user!r} to the API server, and not one node")
    return used.path
