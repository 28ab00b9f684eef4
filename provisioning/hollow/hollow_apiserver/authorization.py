"""Authorization: the groups that may do all, the Node authorizer, then roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import quote

from hollow_apiserver.failures import RequestFailure, forbidden
from hollow_apiserver.kinds import stored
from hollow_apiserver.policy import node_rules
from hollow_apiserver.rbac import Attributes, Rbac, allow

if TYPE_CHECKING:
    from hollow_apiserver.storage import Storage

MODES = ("AlwaysAllow", "AlwaysDeny", "Node", "RBAC")


class Authorization:
    """Decides what a user may do, by the modes of --authorization-mode."""

    def __init__(self, storage: Storage, modes: list[str]) -> None:
        self.storage = storage
        self.modes = modes
        self.rbac = Rbac(storage)

    def decide(self, asked: Attributes) -> tuple[bool, str]:
        """Return whether something is allowed, and what is said of it if not."""
        if "system:masters" in asked.user.groups:
            return True, ""
        reasons = []
        for mode in self.modes:
            if mode == "AlwaysAllow":
                return True, ""
            if mode == "AlwaysDeny":
                return False, "Everything is forbidden."
            if mode == "Node":
                allowed, reason = self.node(asked)
            else:
                reason = self.rbac.reason(asked)
                if reason:
                    return True, reason if since(10) else ""
                allowed = False
            if allowed:
                return True, ""
            reasons += [reason] if reason else []
        return False, "\n".join(reasons)

    def check(self, asked: Attributes) -> None:
        """Raise the failure of what is not allowed."""
        allowed, reason = self.decide(asked)
        if not allowed:
            raise self.refusal(asked, reason)

    @staticmethod
    def refusal(asked: Attributes, reason: str) -> RequestFailure:
        """Return the failure in the words of responsewriters/errors.go."""
        text = forbidden_message(asked)
        if not since(8):
            shown = f": {quote(reason)}" if reason else ""
            refusal = RequestFailure(403, "Forbidden", text + shown)
            refusal.plain = True
            return refusal
        if reason:
            text = f"{text}: {reason}"
        qualified = asked.resource
        if asked.group and asked.resource:
            qualified = f"{asked.resource}.{asked.group}"
        return forbidden(qualified, asked.name, text, asked.group)

    def node(self, asked: Attributes) -> tuple[bool, str]:
        """Decide as plugin/pkg/auth/authorizer/node/node_authorizer.go."""
        user = asked.user
        if "system:nodes" not in user.groups:
            return False, ""
        node = user.node
        if not node:
            return False, f"unknown node for user {quote(user.name)}" if since(12) else ""
        if (asked.group, asked.resource) in (("", "secrets"), ("", "configmaps")):
            return self.referenced(asked, node)
        if since(13) and (asked.group, asked.resource) == ("coordination.k8s.io", "leases"):
            return lease_of(asked, node)
        if since(13) and (asked.group, asked.resource) == ("storage.k8s.io", "csinodes"):
            return csinode_of(asked, node)
        if since(32) and (asked.group, asked.resource) == ("", "nodes"):
            return own_node(asked, node)
        if since(32) and (asked.group, asked.resource) == ("", "pods"):
            return self.own_pods(asked, node)
        return allow(node_rules(), asked), ""

    def referenced(self, asked: Attributes, node: str) -> tuple[bool, str]:
        """Allow to read what a pod of the node refers to."""
        if asked.verb != "get" and not since(12):
            return False, "can only get individual resources of this type"
        if asked.verb not in ("get", "list", "watch"):
            return False, "can only read resources of this type"
        if asked.subresource:
            return False, "cannot read subresource"
        if not asked.namespace:
            return False, "can only read namespaced object of this type"
        if not asked.name:
            return False, "No Object name found"
        for pod in self.storage.list(stored("pods"), asked.namespace):
            spec = pod.get("spec", {})
            if spec.get("nodeName") == node and refers(spec, asked.resource, asked.name):
                return True, ""
        if since(19):
            return False, f"no relationship found between node '{node}' and this object"
        return False, "no path found to object"

    def own_pods(self, asked: Attributes, node: str) -> tuple[bool, str]:
        """Allow a node what it has to do with its pods, from 1.32 on."""
        if asked.subresource == "status":
            return asked.verb in ("update", "patch"), ""
        if asked.subresource == "eviction":
            return asked.verb == "create", ""
        if asked.subresource:
            return False, ""
        if asked.verb in ("create", "delete"):
            return True, ""
        if asked.verb not in ("get", "list", "watch"):
            return False, ""
        terms = asked.field_selector.replace("==", "=").split(",")
        if asked.verb != "get" and f"spec.nodeName={node}" in terms:
            return True, ""
        if not asked.name:
            return False, "can only list/watch pods with spec.nodeName field selector"
        pod = self.storage.find(stored("pods"), asked.namespace, asked.name)
        if pod and pod.get("spec", {}).get("nodeName") == node:
            return True, ""
        return False, f"no relationship found between node '{node}' and this object"


def forbidden_message(asked: Attributes) -> str:
    """Return who cannot do what."""
    who = f"User {quote(asked.user.name)} cannot {asked.verb}"
    end = "" if since(9) else "."
    if not asked.resource:
        return f"{who} path {quote(asked.path)}" + end
    if since(12):
        text = f"{who} resource {quote(asked.full)} in API group {quote(asked.group)}"
        where = f"in the namespace {quote(asked.namespace)}" if asked.namespace else ""
        return f"{text} {where or 'at the cluster scope'}"
    resource = asked.resource + (f".{asked.group}" if asked.group else "")
    resource += f"/{asked.subresource}" if asked.subresource else ""
    if asked.namespace:
        return f"{who} {resource} in the namespace {quote(asked.namespace)}{end}"
    return f"{who} {resource} at the cluster scope{end}"


def refers(spec: dict[str, Any], resource: str, name: str) -> bool:
    """Whether a pod refers to a secret or config map."""
    field, key = ("secretKeyRef", "secretName") if resource == "secrets" else (
        "configMapKeyRef", "name"
    )  # fmt: skip
    source = "secret" if resource == "secrets" else "configMap"
    for volume in spec.get("volumes") or ():
        if (volume.get(source) or {}).get(key) == name:
            return True
        for projected in (volume.get("projected") or {}).get("sources") or ():
            if (projected.get(source) or {}).get("name") == name:
                return True
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        for variable in container.get("env") or ():
            if ((variable.get("valueFrom") or {}).get(field) or {}).get("name") == name:
                return True
        for variables in container.get("envFrom") or ():
            if (variables.get(f"{source}Ref") or {}).get("name") == name:
                return True
    secrets = spec.get("imagePullSecrets") or () if resource == "secrets" else ()
    return any(one.get("name") == name for one in secrets)


def lease_of(asked: Attributes, node: str) -> tuple[bool, str]:
    """Allow a node its lease: authorizeLease."""
    if asked.verb not in ("get", "create", "update", "patch", "delete"):
        return False, "can only get, create, update, patch, or delete a node lease"
    if asked.namespace != "kube-node-lease":
        return False, 'can only access leases in the "kube-node-lease" system namespace'
    if asked.verb != "create" and asked.name != node:
        return False, "can only access node lease with the same name as the requesting node"
    return True, ""


def csinode_of(asked: Attributes, node: str) -> tuple[bool, str]:
    """Allow a node its CSINode: authorizeCSINode."""
    if asked.verb not in ("get", "create", "update", "patch", "delete"):
        return False, "can only get, create, update, patch, or delete a CSINode"
    if asked.subresource:
        return False, "cannot authorize CSINode subresources"
    if asked.verb != "create" and asked.name != node:
        return False, "can only access CSINode with the same name as the requesting node"
    return True, ""


def own_node(asked: Attributes, node: str) -> tuple[bool, str]:
    """Allow a node to read its Node object alone, from 1.32 on: authorizeNode.

    That it changes no other one is NodeRestriction's part.
    """
    if asked.subresource == "status":
        return asked.verb in ("update", "patch"), ""
    if asked.subresource:
        return False, ""
    if asked.verb in ("create", "update", "patch"):
        return True, ""
    if asked.verb not in ("get", "list", "watch"):
        return False, ""
    if asked.name == node:
        return True, ""
    if not asked.name:
        return False, f"node '{node}' cannot read all nodes, only its own Node object"
    return False, f"node '{node}' cannot read '{asked.name}', only its own Node object"
