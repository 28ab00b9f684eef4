"""Nodes that fall silent, taints by condition, tokens that expired."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hollow_apiserver.lifecycle import Lifecycle, grace_seconds

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import (
    LEASES,
    MERGE,
    SECRETS,
    STRATEGIC,
    Cluster,
    node,
    soon,
    token_secret,
)

PATH = "/api/v1/nodes/node1"


def taints(cluster: Cluster) -> list[tuple[str, str]]:
    found = cluster.get(PATH).body["spec"].get("taints", [])
    return [(one["key"].partition("/")[2] or one["key"], one["effect"]) for one in found]


def ready(cluster: Cluster) -> dict[str, Any]:
    conditions = cluster.get(PATH).body["status"]["conditions"]
    return next(one for one in conditions if one["type"] == "Ready")


def test_a_silent_node_becomes_unknown_and_comes_back(cluster: Cluster) -> None:
    own = [{"key": "mine", "effect": "NoSchedule"}]
    cluster.post("/api/v1/nodes", node("node1", taints=own))
    controller = Lifecycle(cluster.server.rest.storage, grace=0.2)
    controller.look()
    assert (ready(cluster)["status"], taints(cluster)) == ("True", [("mine", "NoSchedule")])
    time.sleep(0.3)
    controller.look()
    assert ready(cluster)["status"] == "Unknown"
    assert ready(cluster)["reason"] == "NodeStatusUnknown"
    assert ready(cluster)["message"] == "Kubelet stopped posting node status."
    assert taints(cluster) == [
        ("mine", "NoSchedule"), ("unreachable", "NoSchedule"), ("unreachable", "NoExecute"),
    ]  # fmt: skip
    version = cluster.get(PATH).body["metadata"]["resourceVersion"]
    controller.look()
    assert cluster.get(PATH).body["metadata"]["resourceVersion"] == version
    reasons = [one["reason"] for one in cluster.get("/api/v1/events").body["items"]]
    assert sorted(reasons) == ["NodeNotReady", "RegisteredNode"]
    patch = {
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "x"}]}
    }
    cluster.patch(f"{PATH}/status", patch, STRATEGIC)
    controller.look()
    assert taints(cluster) == [("mine", "NoSchedule")]


def test_a_lease_that_is_renewed_is_a_sign(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", node("node1"))
    controller = Lifecycle(cluster.server.rest.storage, grace=0.3)
    lease = {"metadata": {"name": "node1"}, "spec": {"renewTime": "0"}}
    for number in range(4):
        lease["spec"]["renewTime"] = str(number)
        cluster.ask("PUT", f"{LEASES}/node1", lease)
        controller.look()
        time.sleep(0.2)
    assert ready(cluster)["status"] == "True"


def test_conditions_and_a_cordon_become_taints(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", node("node1"))
    controller = Lifecycle(cluster.server.rest.storage)
    patch = {"status": {"conditions": [{"type": "DiskPressure", "status": "True"},
                                       {"type": "Ready", "status": "False"}]}}  # fmt: skip
    cluster.patch(f"{PATH}/status", patch, STRATEGIC)
    cluster.patch(PATH, {"spec": {"unschedulable": True}}, MERGE)
    controller.look()
    assert sorted(taints(cluster)) == [
        ("disk-pressure", "NoSchedule"), ("not-ready", "NoExecute"), ("not-ready", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ]  # fmt: skip
    cluster.patch(PATH, {"spec": {"unschedulable": None}}, MERGE)
    controller.look()
    assert ("unschedulable", "NoSchedule") not in taints(cluster)


def test_a_node_that_never_posted_a_status(cluster: Cluster) -> None:
    cluster.post("/api/v1/nodes", {"metadata": {"name": "node1"}})
    controller = Lifecycle(cluster.server.rest.storage, grace=0.01)
    controller.look()
    time.sleep(0.05)
    controller.look()
    assert ready(cluster)["reason"] == "NodeStatusNeverUpdated"


def test_old_versions_have_no_taints_by_condition(boot: Boot) -> None:
    cluster = boot(11)
    cluster.post("/api/v1/nodes", node("node1", unschedulable=True))
    Lifecycle(cluster.server.rest.storage).look()
    assert taints(cluster) == []


@pytest.mark.parametrize(("number", "seconds"), [(7, 40), (31, 40), (32, 50), (36, 50)])
def test_the_grace_of_each_version(boot: Boot, number: int, seconds: float) -> None:
    boot(number)
    assert grace_seconds() == seconds


def test_one_of_several_servers_leads(cluster: Cluster) -> None:
    first, second = (Lifecycle(cluster.server.rest.storage) for _ in range(2))
    assert (first.leads(), second.leads(), first.leads()) == (True, False, True)
    second.other = second.other[0], time.monotonic() - 60
    assert second.leads(), "the first did not renew"
    first.renewal = 0.0
    assert not first.leads()


def test_old_states_are_forgotten(cluster: Cluster) -> None:
    controller = Lifecycle(cluster.server.rest.storage)
    controller.compact()
    first = cluster.etcd.revision
    cluster.post("/api/v1/nodes", node("node1"))
    controller.compact()
    assert cluster.etcd.compacted == 0, "not before five minutes passed"
    controller.compaction = 0.0
    controller.compact()
    assert cluster.etcd.compacted == first


def test_tokens_that_expired_are_removed(cluster: Cluster) -> None:
    cluster.post(SECRETS, token_secret(expiration=soon(-1)))
    cluster.post(SECRETS, {"metadata": {"name": "other"}})
    Lifecycle(cluster.server.rest.storage).look()
    names = [one["metadata"]["name"] for one in cluster.get(SECRETS).body["items"]]
    assert names == ["other"]
