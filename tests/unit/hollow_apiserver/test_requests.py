from __future__ import annotations

import pytest
from hollow_apiserver.requests import ANONYMOUS, User, read_request

from tests.unit.hollow_apiserver.support import Cluster


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("GET", "/api/v1/nodes", "list  nodes  "),
        ("GET", "/api/v1/nodes/a", "get  nodes a "),
        ("GET", "/api/v1/nodes?watch=true", "watch  nodes  "),
        ("GET", "/api/v1/nodes?watch=false", "list  nodes  "),
        ("GET", "/api/v1/watch/nodes", "watch  nodes  "),
        ("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Da", "list  nodes a "),
        ("PATCH", "/api/v1/nodes/a/status", "patch  nodes a status"),
        ("GET", "/api/v1/namespaces", "list  namespaces  "),
        ("PUT", "/api/v1/namespaces/n", "update n namespaces n "),
        ("PUT", "/api/v1/namespaces/n/status", "update n namespaces n status"),
        ("POST", "/api/v1/namespaces/n/pods", "create n pods  "),
        ("DELETE", "/api/v1/namespaces/n/pods/p", "delete n pods p "),
        ("DELETE", "/api/v1/namespaces/n/pods", "deletecollection n pods  "),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", "create n pods p eviction"),
        ("GET", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", "get n leases l "),
        ("GET", "/apis/coordination.k8s.io/v1", "get    "),
        ("GET", "/healthz", "get    "),
        ("HEAD", "/api/v1/nodes/a%2Fb", "get  nodes a/b "),
    ],
)
def test_what_a_path_asks_for(method: str, target: str, found: str) -> None:
    one = read_request(method, target, {}, b"", ANONYMOUS)
    shown = f"{one.verb} {one.namespace} {one.resource} {one.name} {one.subresource}"
    assert shown == found


def test_the_rest_of_a_path_is_for_the_kubelet() -> None:
    one = read_request("GET", "/api/v1/nodes/a/proxy/logs/x?y=z", {}, b"", ANONYMOUS)
    assert (one.subresource, one.rest, one.option("y")) == ("proxy", "logs/x", "z")


def test_which_node_a_user_is() -> None:
    assert User("system:node:a", ("system:nodes",)).node == "a"
    assert User("system:node:a").node == ""
    assert User("a", ("system:nodes",)).node == ""


ODD: list[object] = [
    None,
    1,
    "x",
    [],
    [1],
    {},
    {"metadata": 1},
    {"metadata": {"labels": []}},
    {"spec": []},
    {"status": 3},
]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes", "/api/v1/namespaces/default/pods", "/api/v1/namespaces/default/events",
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "/apis/authentication.k8s.io/v1/tokenreviews", "/api/v1/namespaces/kube-system/secrets",
    ],
)  # fmt: skip
def test_odd_bodies_are_the_clients_fault(cluster: Cluster, path: str, odd: object) -> None:
    body = {"metadata": {"name": "a"}, **odd} if isinstance(odd, dict) else odd
    assert cluster.post(path, body).status < 500
    for kind in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        assert cluster.patch(f"{path}/a", odd, kind).status < 500


@pytest.mark.parametrize(
    "query", ["limit=x", "watch=1&timeoutSeconds=x", "continue=%00", "continue=e30"]
)
def test_odd_queries_are_the_clients_fault(cluster: Cluster, query: str) -> None:
    assert cluster.get(f"/api/v1/nodes?{query}").status == 400
