"""Admission: what a request that is allowed may still not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import quote
from hollow_common.labels import (
    KUBELET_LABELS,
    LABEL_NAMESPACES,
    LABELS_FROM_1_17,
    LABELS_TO_1_16,
    in_domain,
)

from hollow_apiserver.failures import RequestFailure, refused
from hollow_apiserver.kinds import stored

if TYPE_CHECKING:
    from hollow_apiserver.kinds import Kind
    from hollow_apiserver.requests import Request
    from hollow_apiserver.storage import Storage

IMMORTAL = ("default", "kube-system", "kube-public")
RESTRICTED = "node-restriction.kubernetes.io"
MIRROR = "kubernetes.io/config.mirror"


class Admission:
    """The plugins that --enable-admission-plugins names, and those that are always there."""

    def __init__(self, storage: Storage, plugins: list[str]) -> None:
        self.storage = storage
        self.restrict_nodes = "NodeRestriction" in plugins

    def check(
        self,
        kind: Kind,
        request: Request,
        before: dict[str, Any] | None,
        thing: dict[str, Any] | None,
    ) -> None:
        """Refuse a change from ``before`` to ``thing``; None is no object."""
        self.namespace(kind, request, before, thing)
        if self.restrict_nodes and "system:nodes" in request.user.groups:
            self.node(kind, request, before, thing)

    def namespace(
        self,
        kind: Kind,
        request: Request,
        before: dict[str, Any] | None,
        thing: dict[str, Any] | None,
    ) -> None:
        """Refuse objects in a namespace that is not there: NamespaceLifecycle."""
        if kind.plural == "namespaces" and thing is None and request.name in IMMORTAL:
            raise refused(kind, request.name, "this namespace may not be deleted")
        if kind.namespaced and before is None and thing is not None:
            found = self.storage.find(stored("namespaces"), "", request.namespace)
            name = quote(request.namespace)
            if found is None:
                text = f"namespaces {name} not found"
                details = {"name": request.namespace, "kind": "namespaces"}
                raise RequestFailure(404, "NotFound", text, details)
            if found["metadata"].get("deletionTimestamp"):
                problem = f"unable to create new content in namespace {request.namespace} because"
                name = thing["metadata"].get("name", "")
                raise refused(kind, name, f"{problem} it is being terminated")

    def node(
        self,
        kind: Kind,
        request: Request,
        before: dict[str, Any] | None,
        thing: dict[str, Any] | None,
    ) -> None:
        """Restrict a node to its own objects: plugin/pkg/admission/noderestriction."""
        user = request.user
        if not user.node:
            who = quote(user.name) if since(9) else user.name
            raise refused(kind, request.name, f"could not determine node from user {who}")
        if kind.plural == "nodes":
            restrict_node(kind, user.node, before, thing, request)
        elif kind.plural == "pods":
            restrict_pod(kind, user.node, before, thing, request)
        elif kind.plural in ("leases", "csinodes"):
            name = (thing or before or {})["metadata"]["name"]
            if kind.plural == "leases" and request.namespace != "kube-node-lease":
                problem = 'can only access leases in the "kube-node-lease" system namespace'
                raise refused(kind, name, problem)
            if name != user.node:
                what = "node lease" if kind.plural == "leases" else "CSINode"
                problem = f"can only access {what} with the same name as the requesting node"
                raise refused(kind, name, problem)


def shown(node: str) -> str:
    """Return a node's name as messages have it: quoted from 1.9 on."""
    return quote(node) if since(9) else node


def restrict_node(
    kind: Kind,
    node: str,
    before: dict[str, Any] | None,
    thing: dict[str, Any] | None,
    request: Request,
) -> None:
    """Let a node change itself alone, and neither its taints nor restricted labels."""
    name = (thing or before or {})["metadata"]["name"]
    if name != node:
        problem = f"is not allowed to modify node {quote(name)}"
        if not since(17):
            problem = f"cannot modify node {shown(name)}"
        named = name if thing is not None or since(8) else "Unknown"
        raise refused(kind, named, f"node {shown(node)} {problem}")
    if thing is None or (before is not None and not since(11)):
        return
    labels = modified(before, thing)
    if before is None:
        found = forbidden_labels(labels)
        if found and since(17):
            listed = ", ".join(found)
            problem = f"node {quote(node)} is not allowed to set the following labels: {listed}"
            raise refused(kind, name, problem)
        if found and since(13):
            found = [one for one in found if in_domain(prefix(one), (RESTRICTED,))]
        if found and since(13):
            listed = ", ".join(found)
            problem = f"node {quote(node)} cannot set node-restriction labels: {listed}"
            raise refused(kind, name, problem)
        return
    old, new = (one.get("spec", {}).get("taints") or [] for one in (before, thing))
    if old != new:
        verb = "is not allowed to modify" if since(17) else "cannot modify"
        raise refused(kind, name, f"node {shown(node)} {verb} taints")
    found = forbidden_labels(labels) if since(13) else []
    if found:
        verb = "is not allowed to modify labels" if since(17) else "cannot modify labels"
        raise refused(kind, name, f"{verb}: {', '.join(found)}")


def prefix(label: str) -> str:
    """Return what is before a label's slash."""
    return label.rpartition("/")[0]


def modified(before: dict[str, Any] | None, thing: dict[str, Any]) -> list[str]:
    """Return the labels that a change adds, changes or removes."""
    old = ((before or {}).get("metadata") or {}).get("labels") or {}
    new = thing["metadata"].get("labels") or {}
    return sorted(name for name in {**old, **new} if old.get(name) != new.get(name))


def forbidden_labels(labels: list[str]) -> list[str]:
    """Return those of some labels that a node may not set: getForbiddenLabels."""
    allowed = (*KUBELET_LABELS, *(LABELS_FROM_1_17 if since(17) else LABELS_TO_1_16))
    return [
        label
        for label in labels
        if in_domain(prefix(label), (RESTRICTED,))
        or (
            in_domain(prefix(label), ("kubernetes.io", "k8s.io"))
            and label not in allowed
            and not in_domain(prefix(label), LABEL_NAMESPACES)
        )
    ]


def restrict_pod(
    kind: Kind,
    node: str,
    before: dict[str, Any] | None,
    thing: dict[str, Any] | None,
    request: Request,
) -> None:
    """Let a node create mirror pods, and change or delete its own pods."""
    name = (thing or before or {})["metadata"]["name"]
    who = f"node {shown(node)}"
    mine = ((before or thing or {}).get("spec") or {}).get("nodeName") == node
    problem = ""
    if before is None and thing is not None:
        annotations = thing["metadata"].get("annotations") or {}
        if MIRROR not in annotations:
            mark = quote(MIRROR)
            problem = f"pod does not have {mark} annotation, {who} can only create mirror pods"
        elif not mine:
            problem = f"{who} can only create pods with spec.nodeName set to itself"
        elif (thing.get("spec") or {}).get("serviceAccountName"):
            problem = f"{who} can not create pods that reference a service account"
    elif thing is None and not mine:
        problem = f"{who} can only delete pods with spec.nodeName set to itself"
    elif thing is not None and request.subresource == "status" and not mine:
        end = "pods with spec.nodeName set to itself"
        problem = f"{who} can only update pod status for {end}"
    elif thing is not None and request.subresource == "":
        operation = quote("UPDATE") if since(9) else "UPDATE"
        problem = f"unexpected operation {operation}, {who} can only create and delete mirror pods"
    if problem:
        raise refused(kind, name, problem)
