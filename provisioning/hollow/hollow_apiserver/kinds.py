"""The kinds of objects that the server has, and in which minors it has which of their versions."""

from __future__ import annotations

from typing import NamedTuple

from hollow_common.facts import FACTS, since

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
NEVER = 999


class Kind(NamedTuple):
    """A kind of objects; ``key`` is where etcd has them, as the real API server's.

    ``spans`` are its versions, each with the first minor that serves it and the first that no
    longer does.
    """

    group: str
    plural: str
    kind: str
    key: str
    spans: tuple[tuple[str, int, int], ...]
    namespaced: bool = False
    short: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """The plural with its group, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def versions(self) -> list[str]:
        """The versions that this minor serves, the preferred one first."""
        return [name for name, first, end in self.spans if first <= FACTS["minor"] < end]

    def storage_key(self, namespace: str, name: str) -> str:
        """Return the key of an object."""
        return f"{self.prefix(namespace)}{name}"

    def prefix(self, namespace: str = "") -> str:
        """Return the beginning of the keys of all objects, or of those of a namespace."""
        inner = f"{namespace}/" if namespace and self.namespaced else ""
        return f"/registry/{self.key}/{inner}"


V1 = (("v1", 0, NEVER),)
RBAC = "rbac.authorization.k8s.io"
RBAC_SPANS = (("v1", 8, NEVER), ("v1beta1", 6, 22))

KINDS = (
    Kind("", "configmaps", "ConfigMap", "configmaps", V1, True, ("cm",)),
    Kind("", "endpoints", "Endpoints", "services/endpoints", V1, True, ("ep",)),
    Kind("", "events", "Event", "events", V1, True, ("ev",)),
    Kind("", "namespaces", "Namespace", "namespaces", V1, False, ("ns",), ("status", "finalize")),
    Kind("", "nodes", "Node", "minions", V1, False, ("no",), ("proxy", "status")),
    Kind(
        "", "pods", "Pod", "pods", V1, True, ("po",),
        ("binding", "eviction", "log", "status"), ("all",),
    ),
    Kind("", "secrets", "Secret", "secrets", V1, True),
    Kind("", "serviceaccounts", "ServiceAccount", "serviceaccounts", V1, True, ("sa",)),
    Kind(
        "", "services", "Service", "services/specs", V1, True, ("svc",), ("status",), ("all",)
    ),
    Kind(
        "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest",
        "certificatesigningrequests", (("v1", 19, NEVER), ("v1beta1", 6, 22)), False, ("csr",),
        ("approval", "status"),
    ),
    Kind(
        "coordination.k8s.io", "leases", "Lease", "leases",
        (("v1", 14, NEVER), ("v1beta1", 12, 22)), True,
    ),
    Kind(
        "events.k8s.io", "events", "Event", "events",
        (("v1", 19, NEVER), ("v1beta1", 8, 25)), True, ("ev",),
    ),
    Kind("node.k8s.io", "runtimeclasses", "RuntimeClass", "runtimeclasses",
         (("v1", 20, NEVER), ("v1beta1", 14, 25))),
    Kind(RBAC, "clusterrolebindings", "ClusterRoleBinding", "clusterrolebindings", RBAC_SPANS),
    Kind(RBAC, "clusterroles", "ClusterRole", "clusterroles", RBAC_SPANS),
    Kind(RBAC, "rolebindings", "RoleBinding", "rolebindings", RBAC_SPANS, True),
    Kind(RBAC, "roles", "Role", "roles", RBAC_SPANS, True),
    Kind("storage.k8s.io", "csidrivers", "CSIDriver", "csidrivers",
         (("v1", 18, NEVER), ("v1beta1", 14, 22))),
    Kind("storage.k8s.io", "csinodes", "CSINode", "csinodes",
         (("v1", 17, NEVER), ("v1beta1", 14, 22))),
)  # fmt: skip
"""Every kind that is stored."""


class Review(NamedTuple):
    """A kind that is only created, and whose answer is not stored."""

    group: str
    plural: str
    kind: str
    spans: tuple[tuple[str, int, int], ...]
    namespaced: bool = False

    @property
    def versions(self) -> list[str]:
        """The versions that this minor serves, the preferred one first."""
        return [name for name, first, end in self.spans if first <= FACTS["minor"] < end]


AUTHORIZATION = (("v1", 6, NEVER), ("v1beta1", 5, 22))
REVIEWS = (
    Review("authentication.k8s.io", "tokenreviews", "TokenReview", AUTHORIZATION),
    Review(
        "authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview",
        (("v1", 28, NEVER), ("v1beta1", 27, 34)),
    ),
    Review(
        "authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview",
        AUTHORIZATION, True,
    ),
    Review(
        "authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview",
        AUTHORIZATION,
    ),
    Review(
        "authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview",
        (("v1", 8, NEVER), ("v1beta1", 8, 22)),
    ),
    Review(
        "authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", AUTHORIZATION
    ),
)  # fmt: skip


def find(group: str, version: str, plural: str) -> Kind | Review | None:
    """Return the kind or review that a path names, if this minor serves it."""
    for one in (*KINDS, *REVIEWS):
        if (one.group, one.plural) == (group, plural) and version in one.versions:
            return one
    return None


def stored(plural: str, group: str = "") -> Kind:
    """Return a kind by its plural."""
    return next(one for one in KINDS if (one.group, one.plural) == (group, plural))


def group_version(group: str, version: str) -> str:
    """Return a group and a version as apiVersion has them."""
    return f"{group}/{version}" if group else version


def groups() -> dict[str, list[str]]:
    """Return the groups that this minor serves, each with its versions, preferred ones first."""
    found: dict[str, list[str]] = {}
    for one in (*KINDS, *REVIEWS):
        if not one.group or not one.versions:
            continue
        versions = found.setdefault(one.group, [])
        versions += [version for version in one.versions if version not in versions]
    return {name: sorted(versions, key=precedence) for name, versions in found.items()}


def precedence(version: str) -> tuple[bool, bool, str]:
    """Return a key that sorts stable versions before beta and alpha ones."""
    return "alpha" in version, "beta" in version, version


def leases_of_nodes() -> bool:
    """Whether kubelets of this minor keep a lease."""
    return since(14)
