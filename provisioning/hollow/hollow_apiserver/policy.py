"""The access rules that a cluster begins with.

plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go, and the bindings for nodes that join
with a token, which kubeadm makes: cmd/kubeadm/app/phases/bootstraptoken/node.
"""

from __future__ import annotations

from typing import Any

from hollow_common.facts import since

from hollow_apiserver.kinds import RBAC

READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
CERTIFICATES = "certificates.k8s.io"
DEFAULTS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
UPDATED = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


def rule(verbs: list[str], group: str, *resources: str) -> dict[str, Any]:
    """Return a rule about resources."""
    return {"apiGroups": [group], "resources": list(resources), "verbs": verbs}


def paths(*urls: str) -> dict[str, Any]:
    """Return a rule about paths."""
    return {"nonResourceURLs": list(urls), "verbs": ["get"]}


def node_rules() -> list[dict[str, Any]]:
    """Return what a node may do: NodeRules in policy.go."""
    deleting = [] if since(11) else ["delete"]
    rules = [
        rule(["create"], "authentication.k8s.io", "tokenreviews"),
        rule(
            ["create"], "authorization.k8s.io", "subjectaccessreviews",
            "localsubjectaccessreviews",
        ),
        rule(READ, "", "services"),
        rule(["create", "get", "list", "watch"], "", "nodes"),
        rule(["update", "patch"], "", "nodes/status"),
        rule(["update", "patch", *deleting], "", "nodes"),
        rule(["create", "update", "patch"], "", "events"),
        rule(READ, "", "pods"),
        rule(["create", "delete"], "", "pods"),
        rule(["update", "patch"], "", "pods/status"),
        rule(["create"], "", "pods/eviction"),
        rule(["get", "list", "watch"], "", "secrets", "configmaps"),
        rule(["get"], "", "persistentvolumeclaims", "persistentvolumes", "endpoints"),
        rule(["create", "get", "list", "watch"], CERTIFICATES, "certificatesigningrequests"),
    ]  # fmt: skip
    if since(13):
        verbs = ["create", "delete", "get", "patch", "update"]
        rules.append(rule(verbs, "coordination.k8s.io", "leases"))
        rules.append(rule(verbs, "storage.k8s.io", "csinodes"))
        rules.append(rule(READ, "storage.k8s.io", "csidrivers"))
        rules.append(rule(READ, "node.k8s.io", "runtimeclasses"))
    return rules


def cluster_roles() -> dict[str, list[dict[str, Any]]]:
    """Return the rules of each cluster role."""
    signing = "certificatesigningrequests"
    health = ["/healthz", "/version", "/version/"]
    health += ["/livez", "/readyz"] if since(16) else []
    discovery = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
    resources = ["bindings", "configmaps", "endpoints", "events", "pods", "pods/log"]
    resources += ["serviceaccounts", "services"]
    return {
        "cluster-admin": [
            rule(["*"], "*", "*"),
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
        "admin": [
            rule([*READ, *WRITE], "", *resources, "secrets"),
            rule([*READ, *WRITE], RBAC, "roles", "rolebindings"),
            rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
            rule(READ, "", "namespaces"),
        ],
        "edit": [rule([*READ, *WRITE], "", *resources, "secrets"), rule(READ, "", "namespaces")],
        "view": [rule(READ, "", *resources, "namespaces")],
        "system:basic-user": [
            rule(
                ["create"], "authorization.k8s.io", "selfsubjectaccessreviews",
                "selfsubjectrulesreviews",
            ),
            rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
        ],
        "system:discovery": [paths(*discovery, *health)],
        "system:public-info-viewer": [paths(*health)],
        "system:monitoring": [paths("/healthz", "/healthz/*", "/livez", "/livez/*", "/metrics",
                                    "/readyz", "/readyz/*")],
        "system:auth-delegator": [
            rule(["create"], "authentication.k8s.io", "tokenreviews"),
            rule(["create"], "authorization.k8s.io", "subjectaccessreviews"),
        ],
        "system:kubelet-api-admin": [
            rule(READ, "", "nodes"),
            rule(["*"], "", "nodes/proxy", "nodes/log", "nodes/metrics", "nodes/spec",
                 "nodes/stats"),
        ],
        "system:node": node_rules(),
        "system:node-bootstrapper": [
            rule(["create", "get", "list", "watch"], CERTIFICATES, signing)
        ],
        f"system:certificates.k8s.io:{signing}:nodeclient": [
            rule(["create"], CERTIFICATES, f"{signing}/nodeclient")
        ],
        f"system:certificates.k8s.io:{signing}:selfnodeclient": [
            rule(["create"], CERTIFICATES, f"{signing}/selfnodeclient")
        ],
    }  # fmt: skip


def cluster_role_bindings() -> dict[str, tuple[str, list[str]]]:
    """Return the role and the groups of each cluster role binding."""
    signing = "system:certificates.k8s.io:certificatesigningrequests"
    known, unknown = "system:authenticated", "system:unauthenticated"
    everyone = [known] if since(14) else [known, unknown]
    found = {
        "cluster-admin": ("cluster-admin", ["system:masters"]),
        "system:basic-user": ("system:basic-user", everyone),
        "system:discovery": ("system:discovery", everyone),
        "kubeadm:kubelet-bootstrap": ("system:node-bootstrapper", ["system:bootstrappers"]),
        "kubeadm:node-autoapprove-bootstrap": (f"{signing}:nodeclient", ["system:bootstrappers"]),
        "kubeadm:node-autoapprove-certificate-rotation": (
            f"{signing}:selfnodeclient", ["system:nodes"],
        ),
    }  # fmt: skip
    if since(14):
        found["system:public-info-viewer"] = ("system:public-info-viewer", [known, unknown])
    if since(18):
        found["system:monitoring"] = ("system:monitoring", ["system:monitoring"])
    return found


def role_object(name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a ClusterRole."""
    return {
        "kind": "ClusterRole",
        "apiVersion": f"{RBAC}/v1",
        "metadata": {"name": name, "labels": dict(DEFAULTS), "annotations": dict(UPDATED)},
        "rules": rules,
    }


def binding_object(name: str, role: str, groups: list[str]) -> dict[str, Any]:
    """Return a ClusterRoleBinding."""
    return {
        "kind": "ClusterRoleBinding",
        "apiVersion": f"{RBAC}/v1",
        "metadata": {"name": name, "labels": dict(DEFAULTS), "annotations": dict(UPDATED)},
        "subjects": [{"kind": "Group", "apiGroup": RBAC, "name": group} for group in groups],
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
    }
