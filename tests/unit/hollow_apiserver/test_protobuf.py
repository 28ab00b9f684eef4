"""What kubelets send in protobuf; the bytes are made by the numbers of generated.proto."""

from __future__ import annotations

from typing import Any

import pytest
from hollow_apiserver.protobuf import Unreadable, read

from tests.unit.hollow_apiserver.support import LEASES, NODE1, Cluster

KIND = "application/vnd.kubernetes.protobuf"


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def field(number: int, value: Any) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def envelope(version: str, kind: str, raw: bytes) -> bytes:
    meta = field(1, version) + field(2, kind)
    return b"k8s\0" + field(1, meta) + field(2, raw)


def pair(key: str, value: bytes) -> bytes:
    return field(1, key) + field(2, value)


def node() -> bytes:
    metadata = field(1, "node1") + field(11, pair("zone", b"a")) + field(8, b"")
    taint = field(1, "k") + field(2, "v") + field(3, "NoSchedule")
    condition = field(1, "Ready") + field(2, "True") + field(3, field(1, 1_700_000_000))
    status = field(1, pair("cpu", field(1, "2"))) + field(4, condition)
    status += field(5, field(1, "InternalIP") + field(2, "192.0.2.1"))
    status += field(6, field(1, field(1, 10250))) + field(7, field(7, "v1.36.3"))
    return field(1, metadata) + field(2, field(4, 0) + field(5, taint)) + field(3, status)


def test_a_node() -> None:
    assert read(envelope("v1", "Node", node())) == {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node1", "labels": {"zone": "a"}},
        "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "2"},
            "conditions": [
                {"type": "Ready", "status": "True", "lastHeartbeatTime": "2023-11-14T22:13:20Z"}
            ],
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {"kubeletVersion": "v1.36.3"},
        },
    }


def test_a_kubelet_registers_and_keeps_its_lease(cluster: Cluster) -> None:
    data = envelope("v1", "Node", node())
    made = cluster.post("/api/v1/nodes", data, NODE1, kind=KIND, accept=f"{KIND}, */*")
    assert (made.status, made.body["metadata"]["name"]) == (201, "node1")
    spec = field(1, "node1") + field(2, 40)
    spec += field(4, field(1, 1_700_000_000) + field(2, 5000))
    lease = field(1, field(1, "node1")) + field(2, spec)
    made = cluster.post(
        LEASES, envelope("coordination.k8s.io/v1", "Lease", lease), NODE1, kind=KIND
    )
    assert made.body["spec"] == {
        "holderIdentity": "node1", "leaseDurationSeconds": 40,
        "renewTime": "2023-11-14T22:13:20.000005Z",
    }  # fmt: skip


def test_a_mirror_pod_and_its_volumes() -> None:
    volume = field(1, "v") + field(2, field(1, field(1, "/etc") + field(2, "")))
    container = field(1, "c") + field(2, "i") + field(9, field(1, "v") + field(3, "/m"))
    spec = field(1, volume) + field(2, container) + field(10, "node1") + field(11, 1)
    pod = read(envelope("v1", "Pod", field(1, field(1, "p")) + field(2, spec)))
    assert pod["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/etc"}}]
    assert pod["spec"]["containers"][0]["volumeMounts"] == [{"name": "v", "mountPath": "/m"}]
    assert pod["spec"]["hostNetwork"] is True


def test_fields_that_are_not_known_are_dropped() -> None:
    raw = field(1, field(1, "a") + field(99, "x")) + field(50, 7) + b"\xa5\x03abcd"
    assert read(envelope("v1", "Pod", raw))["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"k8s\0x", envelope("v1", "ConfigMap", b""), envelope("v1", "Node", b"\x0a\x7f"),
     envelope("v1", "Node", field(1, field(1, b"\xff"))), b"k8s\0" + b"\xff" * 20],
)  # fmt: skip
def test_bytes_that_are_no_object(cluster: Cluster, data: bytes) -> None:
    with pytest.raises(Unreadable):
        read(data)
    if data:
        assert cluster.post("/api/v1/nodes", data, kind=KIND).status == 400
