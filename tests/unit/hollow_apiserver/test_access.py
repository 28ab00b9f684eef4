"""Who may do what: authentication, authorization, admission."""

from __future__ import annotations

import pytest
from hollow_common.tls import Client

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import (
    JANE,
    LEASES,
    MERGE,
    NOBODY,
    NODE1,
    NODE2,
    SECRETS,
    SIGNING,
    TOKEN,
    Cluster,
    config_map,
    node,
    soon,
    token_secret,
)

NODES = "/api/v1/nodes"


def test_a_stranger_is_told_what_it_cannot_do(boot: Boot) -> None:
    cluster = boot(20)
    status, body = cluster.get(NODES, JANE)
    assert (status, body["reason"], body["details"]) == (403, "Forbidden", {"kind": "nodes"})
    assert body["message"] == (
        'nodes is forbidden: User "jane" cannot list resource "nodes" in API group "" at the '
        "cluster scope"
    )
    body = cluster.get("/api/v1/namespaces/a/secrets/b", JANE).body
    assert body["message"] == (
        'secrets "b" is forbidden: User "jane" cannot get resource "secrets" in API group "" in '
        'the namespace "a"'
    )
    body = cluster.get("/metrics", JANE).body
    assert body["message"] == 'forbidden: User "jane" cannot get path "/metrics"'
    old = boot(9).get(NODES, JANE).body["message"]
    assert old == 'nodes is forbidden: User "jane" cannot list nodes at the cluster scope'


def test_what_everyone_may_see(boot: Boot) -> None:
    new = boot(20)
    assert new.get("/version", NOBODY).body["gitVersion"] == "v1.20.2+hollow"
    assert new.get("/api", NOBODY).status == 403
    assert new.get("/api", JANE).status == 200
    assert boot(20, "--anonymous-auth=false").get("/version", NOBODY).status == 401


def test_what_a_stranger_may_see_of_an_old_server(boot: Boot) -> None:
    assert boot(9).get("/api", NOBODY).status == 200


def test_roles_allow(cluster: Cluster) -> None:
    assert cluster.get(NODES, JANE).status == 403
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role = {"metadata": {"name": "reader"}, "rules": [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}]}  # fmt: skip
    binding = {"metadata": {"name": "jane"},
               "subjects": [{"kind": "User", "name": "jane"}],
               "roleRef": {"kind": "ClusterRole", "name": "reader"}}  # fmt: skip
    assert cluster.post(f"{rbac}/clusterroles", role).status == 201
    assert cluster.post(f"{rbac}/clusterrolebindings", binding).status == 201
    cluster.server.authorization.rbac.until = 0.0
    assert cluster.get(NODES, JANE).status == 200
    assert cluster.ask("DELETE", f"{NODES}/a", who=JANE).status == 403
    space = f"{rbac}/namespaces/default/rolebindings"
    viewing = {**binding, "roleRef": {"kind": "ClusterRole", "name": "view"}}
    assert cluster.post(space, viewing).status == 201
    cluster.server.authorization.rbac.until = 0.0
    assert cluster.get("/api/v1/namespaces/default/configmaps", JANE).status == 200
    assert cluster.get("/api/v1/namespaces/default/secrets", JANE).status == 403
    assert cluster.get("/api/v1/namespaces/kube-system/configmaps", JANE).status == 403


def test_a_node_registers_itself_alone(cluster: Cluster) -> None:
    assert cluster.post(NODES, node("node1"), NODE1).status == 201
    status, body = cluster.post(NODES, node("node1"), NODE2)
    assert (status, body["message"]) == (
        403,
        'nodes "node1" is forbidden: node "node2" is not allowed to modify node "node1"',
    )
    path = f"{NODES}/node1/status"
    assert cluster.patch(path, {"status": {"phase": "x"}}, MERGE, NODE1).status == 200
    assert cluster.patch(path, {"status": {"phase": "y"}}, MERGE, NODE2).status == 403
    assert cluster.ask("DELETE", f"{NODES}/node1", who=NODE1).status == 403


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (8, 'nodes "node2" is forbidden: node node1 cannot modify node node2'),
        (9, 'nodes "node2" is forbidden: node "node1" cannot modify node "node2"'),
        (16, 'nodes "node2" is forbidden: node "node1" cannot modify node "node2"'),
        (17, 'nodes "node2" is forbidden: node "node1" is not allowed to modify node "node2"'),
    ],
)
def test_the_refusal_in_the_words_of_the_minor(boot: Boot, number: int, problem: str) -> None:
    assert boot(number).post(NODES, node("node2"), NODE1).body["message"] == problem


def test_a_node_cannot_change_its_taints_or_restricted_labels(cluster: Cluster) -> None:
    labels = {"node-role.kubernetes.io/master": ""}
    body = cluster.post(NODES, node("node1", labels), NODE1).body
    assert body["message"].endswith(
        'node "node1" is not allowed to set the following labels: node-role.kubernetes.io/master'
    )
    taints = [{"key": "a", "effect": "NoSchedule"}]
    own = {"zone": "a", "node.kubernetes.io/x": "y", "kubernetes.io/arch": "amd64"}
    assert cluster.post(NODES, node("node1", own, taints=taints), NODE1).status == 201
    path = f"{NODES}/node1"
    body = cluster.patch(path, {"spec": {"taints": []}}, MERGE, NODE1).body
    assert body["message"].endswith('node "node1" is not allowed to modify taints')
    body = cluster.patch(path, {"metadata": {"labels": labels}}, MERGE, NODE1).body
    assert body["message"].endswith(
        "is not allowed to modify labels: node-role.kubernetes.io/master"
    )
    assert cluster.patch(path, {"metadata": {"labels": {"zone": "b"}}}, MERGE, NODE1).status == 200


def test_old_servers_let_a_node_label_itself(boot: Boot) -> None:
    labels = {"node-role.kubernetes.io/master": ""}
    assert boot(16).post(NODES, node("node1", labels), NODE1).status == 201


def test_without_noderestriction_a_node_can_change_others(boot: Boot) -> None:
    cluster = boot(20)
    cluster.server.rest.admission.restrict_nodes = False
    assert cluster.post(NODES, node("node2"), NODE1).status == 201


@pytest.mark.parametrize(("number", "status"), [(31, 200), (32, 403)])
def test_a_node_reads_itself_alone_from_1_32_on(boot: Boot, number: int, status: int) -> None:
    cluster = boot(number)
    cluster.post(NODES, node("node1"))
    cluster.post(NODES, node("node2"))
    assert cluster.get(f"{NODES}/node1", NODE1).status == 200
    assert cluster.get(NODES, NODE1).status == status
    got = cluster.get(f"{NODES}/node2", NODE1)
    assert got.status == status
    if status == 403:
        assert got.body["message"].endswith(
            "node 'node1' cannot read 'node2', only its own Node object"
        )
    assert cluster.get(f"{NODES}?fieldSelector=metadata.name%3Dnode1", NODE1).status == 200


def test_a_node_has_its_lease_alone(cluster: Cluster) -> None:
    lease = {"metadata": {"name": "node1"}, "spec": {"holderIdentity": "node1"}}
    assert cluster.post(LEASES, lease, NODE1).status == 201
    assert cluster.post(LEASES, {"metadata": {"name": "node2"}}, NODE1).status == 403
    assert cluster.ask("PUT", f"{LEASES}/node1", lease, NODE1).status == 200
    body = cluster.ask("PUT", f"{LEASES}/node1", lease, NODE2).body
    assert body["message"].endswith(
        "can only access node lease with the same name as the requesting node"
    )
    assert cluster.get(LEASES, NODE1).status == 403


def test_a_node_reads_what_its_pods_refer_to(cluster: Cluster) -> None:
    cluster.post("/api/v1/namespaces/default/configmaps", config_map("used"))
    cluster.post("/api/v1/namespaces/default/configmaps", config_map("other"))
    spec = {"nodeName": "node1", "volumes": [{"name": "v", "configMap": {"name": "used"}}],
            "containers": []}  # fmt: skip
    cluster.post("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": spec})
    path = "/api/v1/namespaces/default/configmaps"
    assert cluster.get(f"{path}/used", NODE1).status == 200
    assert cluster.get(f"{path}/used", NODE2).status == 403
    body = cluster.get(f"{path}/other", NODE1).body
    assert body["message"].endswith("no relationship found between node 'node1' and this object")


def test_a_node_creates_mirror_pods_alone(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/kube-system/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "node1", "containers": []}}
    body = cluster.post(path, pod, NODE1).body
    assert 'pod does not have "kubernetes.io/config.mirror" annotation' in body["message"]
    pod["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}  # type: ignore[index]
    assert cluster.post(path, pod, NODE2).status == 403
    assert cluster.post(path, pod, NODE1).status == 201
    assert cluster.ask("DELETE", f"{path}/p", who=NODE2).status == 403
    assert cluster.ask("DELETE", f"{path}/p", who=NODE1).status == 200


def test_a_node_without_a_name(cluster: Cluster) -> None:
    nameless = Client("kubelet", ("system:nodes",))
    assert 'unknown node for user "kubelet"' in cluster.get(NODES, nameless).body["message"]


# ------------------------------------------------------------------------------------- tokens


def test_a_bootstrap_token_counts(cluster: Cluster) -> None:
    assert cluster.get(SIGNING, NOBODY, token=TOKEN).status == 401
    cluster.post(SECRETS, token_secret(expiration=soon(60)))
    assert cluster.get(SIGNING, NOBODY, token=TOKEN).status == 200
    body = cluster.get(NODES, NOBODY, token=TOKEN).body
    assert 'User "system:bootstrap:abcdef" cannot list resource "nodes"' in body["message"]


@pytest.mark.parametrize(
    "secret",
    [
        token_secret(expiration=soon(-1)),
        token_secret(expiration="tomorrow"),
        token_secret(**{"usage-bootstrap-authentication": "false"}),
        token_secret(**{"token-secret": "another"}),
        token_secret(**{"auth-extra-groups": "system:masters"}),
        {**token_secret(), "type": "Opaque"},
    ],
)
def test_bootstrap_tokens_that_do_not_count(cluster: Cluster, secret: dict[str, object]) -> None:
    assert cluster.post(SECRETS, secret).status == 201
    assert cluster.get(SIGNING, NOBODY, token=TOKEN).status == 401


def test_bootstrap_tokens_have_to_be_enabled(boot: Boot) -> None:
    cluster = boot(20, "--enable-bootstrap-token-auth=false")
    cluster.post(SECRETS, token_secret())
    assert cluster.get(SIGNING, NOBODY, token=TOKEN).status == 401


def test_reviews(cluster: Cluster) -> None:
    cluster.post(SECRETS, token_secret())
    review = {"spec": {"token": TOKEN}}
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    found = cluster.post(path, review, NODE1).body["status"]
    assert found["authenticated"] is True
    assert found["user"]["username"] == "system:bootstrap:abcdef"
    assert "system:authenticated" in found["user"]["groups"]
    assert "authenticated" not in cluster.post(path, {"spec": {"token": "x"}}, NODE1).body["status"]
    assert cluster.post(path, review, JANE).status == 403

    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    spec = {
        "user": "jane",
        "resourceAttributes": {"verb": "get", "resource": "nodes", "subresource": "proxy"},
    }
    assert cluster.post(path, {"spec": spec}, NODE1).body["status"] == {"allowed": False}
    spec["groups"] = ["system:masters"]
    assert cluster.post(path, {"spec": spec}, NODE1).body["status"] == {"allowed": True}
    assert cluster.post(path, {"spec": {"user": "jane"}}, NODE1).status == 422
    own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spec = {"resourceAttributes": {"verb": "list", "resource": "nodes"}}
    assert cluster.post(own, {"spec": spec}, JANE).body["status"] == {"allowed": False}


def test_a_self_subject_review(boot: Boot) -> None:
    body = boot(28).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, JANE).body
    assert body["status"]["userInfo"] == {"username": "jane", "groups": ["system:authenticated"]}


def test_impersonation(cluster: Cluster) -> None:
    got = cluster.ask("GET", NODES, Impersonate_User="jane")
    assert 'User "jane" cannot list' in got.body["message"]
    got = cluster.ask("GET", NODES, who=JANE, Impersonate_User="root")
    assert 'User "jane" cannot impersonate resource "users"' in got.body["message"]
