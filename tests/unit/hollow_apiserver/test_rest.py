"""The verbs on objects."""

from __future__ import annotations

import pytest

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import (
    ADMIN,
    MERGE,
    STRATEGIC,
    TABLE,
    Cluster,
    config_map,
    node,
)

MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_new_object_gets_what_the_server_sets(cluster: Cluster) -> None:
    status, made = cluster.post(MAPS, config_map("a", x="1"))
    assert status == 201
    assert set(made["metadata"]) == {
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "resourceVersion",
    }
    assert cluster.get(f"{MAPS}/a").body == made
    assert b"/registry/configmaps/default/a" in cluster.etcd.keys


def test_what_is_there_cannot_be_created(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a"))
    status, body = cluster.post(MAPS, config_map("a"))
    assert (status, body["reason"]) == (409, "AlreadyExists")
    assert body["message"] == 'configmaps "a" already exists'
    assert body["details"] == {"name": "a", "kind": "configmaps"}


def test_what_is_not_there(cluster: Cluster) -> None:
    for method, path in (("GET", f"{MAPS}/b"), ("DELETE", f"{MAPS}/b")):
        status, body = cluster.ask(method, path)
        assert (status, body["message"]) == (404, 'configmaps "b" not found')
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/b"
    body = cluster.get(lease).body
    assert body["message"] == 'leases.coordination.k8s.io "b" not found'
    assert body["details"] == {"name": "b", "group": "coordination.k8s.io", "kind": "leases"}
    for path in ("/apis/apps/v1/deployments", "/apis/nope"):
        assert cluster.get(path) == (404, b"404 page not found\n")
    for path in ("/api/v1/foos", "/apis/coordination.k8s.io/v1/foos"):
        body = cluster.get(path).body
        assert body["message"] == "the server could not find the requested resource"


def test_an_old_version_cannot_replace_a_newer_one(cluster: Cluster) -> None:
    first = cluster.post(MAPS, config_map("a", x="1")).body
    assert cluster.ask("PUT", f"{MAPS}/a", {**first, "data": {"x": "2"}}).status == 200
    status, body = cluster.ask("PUT", f"{MAPS}/a", {**first, "data": {"x": "3"}})
    assert (status, body["reason"]) == (409, "Conflict")
    assert "the object has been modified; please apply your changes" in body["message"]
    assert cluster.get(f"{MAPS}/a").body["data"] == {"x": "2"}


def test_what_changes_nothing_is_not_written(cluster: Cluster) -> None:
    made = cluster.post(MAPS, config_map("a", x="1")).body
    again = cluster.patch(f"{MAPS}/a", {"data": {"x": "1"}}).body
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_status_and_spec_are_changed_apart(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", node("node1"))
    path = "/api/v1/nodes/node1"
    changed = cluster.patch(path, {"spec": {"unschedulable": True}, "status": {"phase": "x"}}).body
    assert changed["spec"]["unschedulable"] is True
    assert "phase" not in changed["status"]
    patch = {"spec": {"unschedulable": False}, "status": {"phase": "x"}}
    changed = cluster.patch(f"{path}/status", patch, STRATEGIC).body
    assert changed["spec"]["unschedulable"] is True
    assert changed["status"]["phase"] == "x"
    assert len(changed["status"]["conditions"]) == 1, "merged, not replaced"


def test_a_dry_run_changes_nothing(cluster: Cluster) -> None:
    assert cluster.post(f"{MAPS}?dryRun=All", config_map("a")).status == 201
    assert cluster.get(f"{MAPS}/a").status == 404


def test_delete_answers_with_success_and_heeds_preconditions(cluster: Cluster) -> None:
    made = cluster.post(MAPS, config_map("a")).body
    options = {"preconditions": {"uid": "other"}}
    assert cluster.ask("DELETE", f"{MAPS}/a", options).status == 409
    options = {"preconditions": {"uid": made["metadata"]["uid"]}}
    status, body = cluster.ask("DELETE", f"{MAPS}/a", options)
    assert (status, body["status"], body["details"]["name"]) == (200, "Success", "a")


def test_a_namespace_goes_with_what_is_in_it(cluster: Cluster) -> None:
    space = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "mine"}}
    inside = "/api/v1/namespaces/mine/configmaps"
    status, body = cluster.post(inside, config_map("a"))
    assert (status, body["message"]) == (404, 'namespaces "mine" not found')
    cluster.post("/api/v1/namespaces", space)
    assert cluster.post(inside, config_map("a")).status == 201
    assert cluster.ask("DELETE", "/api/v1/namespaces/mine").status == 200
    assert cluster.get(inside).body["items"] == []
    status, body = cluster.ask("DELETE", "/api/v1/namespaces/default")
    assert body["message"] == 'namespaces "default" is forbidden: this namespace may not be deleted'


def test_lists_are_selected_and_come_in_parts(cluster: Cluster) -> None:
    for name in "abcde":
        cluster.post(MAPS, config_map(name, {"odd": str(name in "ace").lower()}))
    listed = cluster.get(f"{MAPS}?labelSelector=odd%3Dtrue").body
    assert listed["kind"] == "ConfigMapList"
    assert [one["metadata"]["name"] for one in listed["items"]] == ["a", "c", "e"]
    assert "kind" not in listed["items"][0]
    first = cluster.get(f"{MAPS}?limit=2").body
    assert [one["metadata"]["name"] for one in first["items"]] == ["a", "b"]
    cluster.post(MAPS, config_map("bb"))
    rest = cluster.get(f"{MAPS}?limit=9&continue={first['metadata']['continue']}").body
    assert [one["metadata"]["name"] for one in rest["items"]] == ["c", "d", "e"], "as it was"
    assert "continue" not in rest["metadata"]
    everywhere = cluster.get("/api/v1/configmaps?fieldSelector=metadata.name=d").body
    assert [one["metadata"]["name"] for one in everywhere["items"]] == ["d"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"kind": "Pod", "apiVersion": "v1"}, "cannot be handled as a ConfigMap"),
        ({"metadata": {}}, "name or generateName is required"),
        ({"metadata": {"name": "A b"}}, "a lowercase RFC 1123 subdomain"),
        ({"metadata": {"name": "a", "namespace": "other"}}, "does not match the namespace"),
        ({"metadata": {"name": "a", "labels": {"x": "a b"}}}, "a valid label must be an empty"),
        (b"{", "the object provided is unrecognized"),
    ],
)
def test_objects_that_are_refused(cluster: Cluster, body: object, problem: str) -> None:
    status, answer = cluster.post(MAPS, body)
    assert status in (400, 422)
    assert problem in answer["message"]


def test_protobuf_is_never_answered(cluster: Cluster) -> None:
    accept = "application/vnd.kubernetes.protobuf,application/json"
    assert cluster.get(MAPS, accept=accept).status == 200
    assert cluster.get(MAPS, accept="application/vnd.kubernetes.protobuf").status == 406


def test_server_side_apply_is_not_there(cluster: Cluster) -> None:
    status, body = cluster.patch(f"{MAPS}/a", {}, "application/apply-patch+yaml")
    assert (status, body["reason"]) == (415, "UnsupportedMediaType")


def test_events_have_two_faces(cluster: Cluster) -> None:
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Node", "name": "node1"},
             "reason": "Starting", "message": "hello", "type": "Normal"}  # fmt: skip
    cluster.post("/api/v1/namespaces/default/events", event)
    path = "/apis/events.k8s.io/v1/namespaces/default/events/e"
    other = cluster.get(path).body
    assert (other["apiVersion"], other["note"]) == ("events.k8s.io/v1", "hello")
    assert other["regarding"]["name"] == "node1"
    cells = cluster.get("/api/v1/events", accept=TABLE).body["rows"][0]["cells"]
    assert cells[1:4] == ["Normal", "Starting", "node/node1"]
    changed = cluster.patch(path, {"note": "bye"}).body
    assert changed["note"] == "bye"
    assert cluster.get("/api/v1/namespaces/default/events/e").body["message"] == "bye"


def test_a_lease_is_created_by_an_update(cluster: Cluster) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node1"
    lease = {"metadata": {"name": "node1"}, "spec": {"holderIdentity": "node1"}}
    assert cluster.ask("PUT", path, lease).status == 201
    assert cluster.ask("PUT", path, lease).status == 200


def test_pods_are_bound_and_evicted(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", node("node1"))
    pods = "/api/v1/namespaces/default/pods"
    cluster.post(pods, {"metadata": {"name": "p"}, "spec": {"containers": []}})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node1"}}
    assert cluster.post(f"{pods}/p/binding", binding).status == 201
    on_node = cluster.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1").body["items"]
    assert [one["metadata"]["name"] for one in on_node] == ["p"]
    assert cluster.post(f"{pods}/p/binding", binding).status == 409
    assert cluster.post(f"{pods}/p/eviction", {"metadata": {"name": "p"}}).status == 201
    assert cluster.get(f"{pods}/p").status == 404


def test_a_kubelet_lists_the_services_that_have_an_address(cluster: Cluster) -> None:
    listed = cluster.get("/api/v1/services?fieldSelector=spec.clusterIP%21%3DNone").body["items"]
    assert [one["metadata"]["name"] for one in listed] == ["kubernetes"]


def test_secrets_take_plain_text(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/secrets"
    made = cluster.post(path, {"metadata": {"name": "s"}, "stringData": {"a": "b"}}).body
    assert (made["data"], made["type"]) == ({"a": "Yg=="}, "Opaque")
    assert "stringData" not in made


@pytest.mark.parametrize("number", [7, 13, 20, 36])
def test_versions_are_those_of_the_minor(boot: Boot, number: int) -> None:
    cluster = boot(number)
    leases = {
        version: cluster.get(f"/apis/coordination.k8s.io/{version}/leases").status
        for version in ("v1", "v1beta1")
    }
    assert leases == {
        "v1": 200 if number >= 14 else 404, "v1beta1": 200 if 12 <= number < 22 else 404,
    }  # fmt: skip
    labels = cluster.get("/api/v1/namespaces/default").body["metadata"].get("labels")
    assert labels == ({"kubernetes.io/metadata.name": "default"} if number >= 21 else None)


def test_etcd_that_is_gone_is_said(cluster: Cluster) -> None:
    assert cluster.get("/healthz").body == b"ok"
    cluster.etcd.down = True
    status, body = cluster.get("/api/v1/nodes")
    assert status == 500
    assert "etcdserver: no member answers: 127.0.0.1:" in body["message"]
    assert cluster.get("/livez").body == b"ok"
    status, body = cluster.get("/readyz")
    assert (status, b"[-]etcd failed: reason withheld" in body) == (500, True)
    cluster.etcd.down = False
    assert cluster.get("/readyz").status == 200


def test_a_patch_is_of_a_known_kind(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a"))
    assert cluster.patch(f"{MAPS}/a", [], MERGE).status == 400
    assert cluster.ask("PATCH", f"{MAPS}/a", {}, ADMIN, "application/json").status == 415
