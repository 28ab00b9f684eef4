from __future__ import annotations

from typing import Any

import pytest
from hollow_kubelet import node_status
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.node import Node
from hollow_kubelet.node_status import NodeStatus, changed

from tests.unit.kubelet.hollow.support import Play


def status_of(number: int, play: Play, *words: str) -> dict[str, Any]:
    play(number)
    flags = FlagSet()
    flags.parse(["--node-ip=192.0.2.9", *words])
    return NodeStatus(flags, "node1").status(())


@pytest.mark.parametrize(
    ("number", "kinds"),
    [
        (7, ["OutOfDisk", "MemoryPressure", "DiskPressure", "Ready"]),
        (10, ["OutOfDisk", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]),
        (14, ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]),
        (36, ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]),
    ],
)
def test_conditions_of_the_version(play: Play, number: int, kinds: list[str]) -> None:
    assert [one["type"] for one in status_of(number, play)["conditions"]] == kinds


def test_resources_of_the_version(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_status, "disk_bytes", lambda _: 100 * 1024 * 1024)
    monkeypatch.setattr(node_status, "huge_pages", lambda: {2 << 20: 3, 1 << 30: 0})
    assert set(status_of(7, play)["capacity"]) == {"cpu", "memory", "pods"}
    status = status_of(20, play)
    assert status["capacity"]["ephemeral-storage"] == "102400Ki"
    assert status["allocatable"]["ephemeral-storage"] == str(90 * 1024 * 1024)
    assert status["capacity"]["hugepages-2Mi"] == "6Mi"
    assert status["capacity"]["hugepages-1Gi"] == "0"


def test_the_version_of_the_proxy_is_no_longer_told(play: Play) -> None:
    assert status_of(32, play)["nodeInfo"]["kubeProxyVersion"] == "v1.32.0+hollow"
    assert status_of(33, play)["nodeInfo"]["kubeProxyVersion"] == ""


def test_a_heartbeat_is_no_change(play: Play) -> None:
    before = status_of(20, play)
    now = status_of(20, play)
    for one in now["conditions"]:
        one["lastHeartbeatTime"] = "later"
    assert not changed(before, now)
    assert not changed({**before, "images": []}, now), "what others added does not count"
    now["conditions"][0]["status"] = "True"
    assert changed(before, now)
    assert changed({}, before)


@pytest.mark.parametrize(
    ("number", "labels"),
    [
        (13, {"beta.kubernetes.io/arch", "beta.kubernetes.io/os", "kubernetes.io/hostname"}),
        (14, {"beta.kubernetes.io/arch", "beta.kubernetes.io/os", "kubernetes.io/hostname",
              "kubernetes.io/arch", "kubernetes.io/os"}),
    ],
)  # fmt: skip
def test_labels_of_the_version(play: Play, number: int, labels: set[str]) -> None:
    play(number)
    flags = FlagSet()
    flags.parse(["--hostname-override=node1"])
    assert set(Node(flags).initial()["metadata"]["labels"]) == labels


def test_a_node_that_is_to_take_no_pods_is_tainted(play: Play) -> None:
    for number, taints in ((11, []), (12, ["node.kubernetes.io/unschedulable"])):
        play(number)
        flags = FlagSet()
        flags.parse(["--register-schedulable=false"])
        spec = Node(flags).initial()["spec"]
        assert spec["unschedulable"] is True
        assert [one["key"] for one in spec.get("taints", ())] == taints


def test_a_restart_sets_default_labels_again_and_no_taints(play: Play) -> None:
    asked: list[tuple[str, str, Any]] = []

    class Api:
        def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> None:
            asked.append((method, path, body))

    play(20)
    flags = FlagSet()
    flags.parse(
        [
            "--hostname-override=node1",
            "--node-labels=zone=b",
            "--register-with-taints=a=b:NoSchedule",
        ]
    )
    node = Node(flags)
    mine = node.initial()["metadata"]
    there = {
        "labels": {**mine["labels"], "kubernetes.io/os": "x", "zone": "a"},
        "annotations": mine["annotations"],
    }
    api: Any = Api()
    node.reconcile(api, "/api/v1/nodes/node1", mine, there)
    patch = {"metadata": {"labels": {"kubernetes.io/os": "linux"}}}
    assert asked == [("PATCH", "/api/v1/nodes/node1/status", patch)]
    asked.clear()
    node.reconcile(api, "/api/v1/nodes/node1", mine, mine)
    assert asked == []


def test_events_of_conditions_that_changed(play: Play) -> None:
    play(20)
    flags = FlagSet()
    flags.parse(["--hostname-override=node1"])
    node = Node(flags)
    conditions = node.facts.status(())["conditions"]
    node.record(conditions, ())
    node.record(conditions, [{"type": one["type"], "status": one["status"]} for one in conditions])
    node.record(conditions, [{"type": one["type"], "status": "Unknown"} for one in conditions])
    found = [node.events.waiting.get_nowait() for _ in range(node.events.waiting.qsize())]
    reasons = [reason for _, reason, _ in found]
    first = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"]
    assert reasons == [*first, *first, "NodeReady"]
    event: Any = node.events.event(*found[-1])
    assert event["message"] == "Node node1 status is now: NodeReady"
    assert event["involvedObject"] == {"kind": "Node", "name": "node1", "uid": "node1"}
    assert event["source"] == {"component": "kubelet", "host": "node1"}
