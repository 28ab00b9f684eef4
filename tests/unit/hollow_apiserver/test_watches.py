from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hollow_apiserver import watches

from tests.unit.hollow_apiserver.support import NODE1, TABLE, Cluster, config_map, node

MAPS = "/api/v1/namespaces/default/configmaps"


def names(events: Any) -> list[tuple[str, str]]:
    return [(one["type"], one["object"]["metadata"].get("name", "")) for one in events]


def test_changes_from_a_version_on(cluster: Cluster) -> None:
    first = cluster.post(MAPS, config_map("a", x="1")).body
    version = first["metadata"]["resourceVersion"]
    cluster.patch(f"{MAPS}/a", {"data": {"x": "2"}})
    cluster.post(MAPS, config_map("b"))
    cluster.ask("DELETE", f"{MAPS}/a")
    found = list(cluster.watch(f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=1"))
    assert names(found) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert found[2]["object"]["data"] == {"x": "2"}
    versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in found]
    assert versions == sorted(set(versions))


def test_without_a_version_it_begins_with_what_is_there(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a"))
    events = cluster.watch(f"{MAPS}?watch=true&timeoutSeconds=1")
    assert names([next(events)]) == [("ADDED", "a")]
    cluster.post(MAPS, config_map("b"))
    assert names(events) == [("ADDED", "b")]


def test_objects_enter_and_leave_a_selection(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a", {"on": "no"}))
    path = f"{MAPS}?watch=1&timeoutSeconds=1&labelSelector=on%3Dyes"
    events = cluster.watch(path)
    for state in ("yes", "yes2", "yes"):
        cluster.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": state}}})
    assert names(events) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


def test_a_version_that_etcd_forgot(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a"))
    version = int(cluster.post(MAPS, config_map("b")).body["metadata"]["resourceVersion"])
    cluster.server.etcd.compact(version)
    status, body = cluster.get(f"{MAPS}?watch=1&resourceVersion={version - 1}")
    assert (status, body["reason"], body["code"]) == (410, "Expired", 410)
    assert body["message"].startswith(f"too old resource version: {version - 1}")


def test_bookmarks_tell_how_far_it_is(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_SECONDS", 0.3)
    version = cluster.get(MAPS).body["metadata"]["resourceVersion"]
    path = f"{MAPS}?watch=1&resourceVersion={version}&timeoutSeconds=2&allowWatchBookmarks=true"
    events = cluster.watch(path)
    other = cluster.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}}).body
    found = list(events)
    assert {one["type"] for one in found} == {"BOOKMARK"}
    assert found[-1]["object"]["kind"] == "ConfigMap"
    assert (
        found[-1]["object"]["metadata"]["resourceVersion"] == other["metadata"]["resourceVersion"]
    )


def test_a_list_through_a_watch_ends_with_a_bookmark(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a"))
    path = (
        f"{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"
    )
    found = list(cluster.watch(path))
    assert names(found) == [("ADDED", "a"), ("BOOKMARK", "")]
    annotations = found[1]["object"]["metadata"]["annotations"]
    assert annotations == {"k8s.io/initial-events-end": "true"}


def test_tables_are_watched(cluster: Cluster) -> None:
    cluster.post(MAPS, config_map("a", x="1"))
    event = next(cluster.watch(f"{MAPS}?watch=1&timeoutSeconds=1", accept=TABLE))
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][:2] == ["a", 1]


def test_a_node_watches_itself(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", node("node1"))
    cluster.post("/api/v1/nodes", node("node2"))
    path = "/api/v1/nodes?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dnode1"
    assert names(cluster.watch(path, NODE1)) == [("ADDED", "node1")]


def test_it_ends_when_the_client_is_gone(cluster: Cluster) -> None:
    got = cluster.get(f"{MAPS}?watch=1")
    gone = threading.Event()
    gone.set()
    assert [json.loads(line) for line in got.body(gone.is_set)] == []


def test_it_goes_on_when_a_member_of_etcd_ends_it(cluster: Cluster) -> None:
    events = cluster.watch(f"{MAPS}?watch=1&timeoutSeconds=3")
    cluster.post(MAPS, config_map("a"))
    assert names([next(events)]) == [("ADDED", "a")]
    for watcher in cluster.etcd.watchers:
        watcher.put(None)
    cluster.post(MAPS, config_map("b"))
    assert names([next(events)]) == [("ADDED", "b")]
