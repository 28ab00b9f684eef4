"""Access by roles and bindings: plugin/pkg/auth/authorizer/rbac."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hollow_common.go import quote

from hollow_apiserver.kinds import RBAC, stored

if TYPE_CHECKING:
    from hollow_apiserver.requests import User
    from hollow_apiserver.storage import Storage

SECONDS = 1.0
"""How long rules are remembered; the real server learns of a change as late."""


class Attributes(NamedTuple):
    """What a user wants to do: with a resource, or else with a path."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""

    @property
    def full(self) -> str:
        """The resource with its subresource."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Rbac:
    """The roles and bindings of a cluster."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.known: dict[str, list[dict[str, Any]]] = {}
        self.until = 0.0

    def reason(self, asked: Attributes) -> str:
        """Return which binding allows the user what it wants to do, or an empty text."""
        self.refresh()
        for binding in self.known["clusterrolebindings"]:
            subject = bound(binding, asked.user)
            if subject and allow(self.rules(binding, ""), asked):
                return allowed_by("ClusterRoleBinding", binding, subject)
        if not asked.namespace:
            return ""
        for binding in self.known["rolebindings"]:
            namespace = binding["metadata"]["namespace"]
            subject = bound(binding, asked.user) if namespace == asked.namespace else ""
            if subject and allow(self.rules(binding, namespace), asked):
                return allowed_by("RoleBinding", binding, subject)
        return ""

    def rules_of(self, user: User, namespace: str) -> dict[str, Any]:
        """Return all rules that are bound to a user, as a SelfSubjectRulesReview has them."""
        self.refresh()
        bindings = [(one, "") for one in self.known["clusterrolebindings"]]
        bindings += [
            (one, namespace)
            for one in self.known["rolebindings"]
            if one["metadata"]["namespace"] == namespace
        ]
        rules = [
            rule for one, where in bindings if bound(one, user) for rule in self.rules(one, where)
        ]
        found = {
            "resourceRules": [one for one in rules if one.get("resources")],
            "nonResourceRules": [one for one in rules if one.get("nonResourceURLs")],
        }
        return {**found, "incomplete": bool(user.node)}

    def refresh(self) -> None:
        """Read roles and bindings, unless that was just done."""
        if time.monotonic() < self.until:
            return
        names = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
        self.known = {name: self.storage.list(stored(name, RBAC)) for name in names}
        self.until = time.monotonic() + SECONDS

    def rules(self, binding: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
        """Return the rules of a binding's role."""
        wanted = binding.get("roleRef") or {}
        of_cluster = wanted.get("kind") == "ClusterRole"
        for role in self.known["clusterroles" if of_cluster else "roles"]:
            here = of_cluster or role["metadata"].get("namespace") == namespace
            if here and role["metadata"]["name"] == wanted.get("name"):
                return role.get("rules") or []
        return []


def allowed_by(kind: str, binding: dict[str, Any], subject: str) -> str:
    """Return which binding of which role allows something to whom."""
    name, role = binding["metadata"]["name"], binding.get("roleRef") or {}
    if kind == "RoleBinding":
        name = f"{name}/{binding['metadata']['namespace']}"
    of = f"{role.get('kind')} {quote(str(role.get('name')))}"
    return f"RBAC: allowed by {kind} {quote(name)} of {of} to {subject}"


def bound(binding: dict[str, Any], user: User) -> str:
    """Return the subject of a binding that is the user, one of its groups or service accounts."""
    for subject in binding.get("subjects") or ():
        kind, name = subject.get("kind"), subject.get("name")
        if kind == "User" and name == user.name:
            return f"User {quote(user.name)}"
        if kind == "Group" and name in user.groups:
            return f"Group {quote(str(name))}"
        if kind == "ServiceAccount":
            namespace = subject.get("namespace") or binding["metadata"].get("namespace")
            if user.name == f"system:serviceaccount:{namespace}:{name}":
                return f"ServiceAccount {quote(f'{name}/{namespace}')}"
    return ""


def allow(rules: list[dict[str, Any]], asked: Attributes) -> bool:
    """Whether one of the rules allows something: RuleAllows in rbac.go."""
    return any(rule_allows(rule, asked) for rule in rules)


def rule_allows(rule: dict[str, Any], asked: Attributes) -> bool:
    """Whether a rule allows something."""
    verbs = rule.get("verbs") or ()
    if asked.verb not in verbs and "*" not in verbs:
        return False
    if not asked.resource:
        return any(covers(url, asked.path) for url in rule.get("nonResourceURLs") or ())
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    names = rule.get("resourceNames") or ()
    return (
        (asked.group in groups or "*" in groups)
        and ("*" in resources or asked.full in resources or any_of(asked, resources))
        and (not names or asked.name in names)
    )


def any_of(asked: Attributes, resources: Any) -> bool:
    """Whether resources have the subresource of all resources."""
    return bool(asked.subresource) and f"*/{asked.subresource}" in resources


def covers(url: str, path: str) -> bool:
    """Whether a rule's URL is a path or ends in a star that covers it."""
    return url in ("*", path) or (url.endswith("*") and path.startswith(url[:-1]))
