from __future__ import annotations

from typing import Any

import pytest
from hollow_apiserver.tables import duration, node_cells
from hollow_common.facts import FACTS

from tests.unit.hollow_apiserver.conftest import Boot
from tests.unit.hollow_apiserver.support import TABLE, Cluster, config_map, node


def shown(cluster: Cluster, path: str) -> tuple[list[str], list[list[Any]]]:
    body = cluster.get(path, accept=TABLE).body
    assert body["kind"] == "Table"
    columns = [one["name"] for one in body["columnDefinitions"] if not one["priority"]]
    return columns, [row["cells"] for row in body["rows"]]


def test_nodes(cluster: Cluster) -> None:
    labels = {"node-role.kubernetes.io/master": "", "kubernetes.io/role": "etcd"}
    cluster.post("/api/v1/nodes", node("node1", labels, unschedulable=True))
    columns, rows = shown(cluster, "/api/v1/nodes")
    assert columns == ["Name", "Status", "Roles", "Age", "Version"]
    assert rows[0][:3] == ["node1", "Ready,SchedulingDisabled", "etcd,master"]
    assert rows[0][4:] == ["v1.20.2", "192.0.2.11", "<none>", "Debian", "6.1", "hollow://"]


def test_a_node_that_says_nothing() -> None:
    cells = node_cells({"metadata": {"name": "n"}, "spec": {}, "status": {}})
    assert cells == ["n", "Unknown", "<none>", "<unknown>", "", "<none>", "<none>", "<unknown>",
                     "<unknown>", "<unknown>"]  # fmt: skip


@pytest.mark.parametrize(("minor", "shown"), [(35, "6.1"), (36, "6.1 (amd64)")])
def test_kernel_has_its_architecture(
    monkeypatch: pytest.MonkeyPatch, minor: int, shown: str
) -> None:
    monkeypatch.setitem(FACTS, "minor", minor)
    info = {"kernelVersion": "6.1", "architecture": "amd64"}
    cells = node_cells({"metadata": {"name": "n"}, "status": {"nodeInfo": info}})
    assert cells[8] == shown


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        ("/api/v1/namespaces", ["Name", "Status", "Age"]),
        ("/api/v1/configmaps", ["Name", "Data", "Age"]),
        ("/api/v1/secrets", ["Name", "Type", "Data", "Age"]),
        ("/api/v1/pods", ["Name", "Ready", "Status", "Restarts", "Age"]),
        ("/api/v1/events", ["Last Seen", "Type", "Reason", "Object", "Message"]),
        ("/api/v1/services", ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]),
        ("/apis/coordination.k8s.io/v1/leases", ["Name", "Holder", "Age"]),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests",
         ["Name", "Age", "SignerName", "Requestor", "Condition"]),
        ("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", ["Name", "Role", "Age"]),
        ("/apis/storage.k8s.io/v1/csinodes", ["Name", "Age"]),
    ],
)  # fmt: skip
def test_columns(cluster: Cluster, path: str, columns: list[str]) -> None:
    found, rows = shown(cluster, path)
    assert found == columns
    body = cluster.get(path, accept=TABLE).body
    assert all(len(row) == len(body["columnDefinitions"]) for row in rows)


def test_what_of_the_object_a_row_has(cluster: Cluster) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    cluster.post(maps, config_map("a", x="1"))

    def included(option: str) -> Any:
        return cluster.get(f"{maps}/a{option}", accept=TABLE).body["rows"][0].get("object")

    assert included("")["kind"] == "PartialObjectMetadata"
    assert "data" not in included("")
    assert included("?includeObject=Object")["data"] == {"x": "1"}
    assert included("?includeObject=None") is None


def test_versions_of_tables(boot: Boot) -> None:
    old = "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
    assert boot(12).get("/api/v1/nodes", accept=TABLE).body["kind"] == "NodeList"
    assert boot(12).get("/api/v1/nodes", accept=old).body["apiVersion"] == "meta.k8s.io/v1beta1"
    assert boot(9).get("/api/v1/nodes", accept=old).body["kind"] == "NodeList"


def test_metadata_alone(cluster: Cluster) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    body = cluster.get("/api/v1/namespaces", accept=accept).body
    assert body["kind"] == "PartialObjectMetadataList"
    assert set(body["items"][0]) == {"kind", "apiVersion", "metadata"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"), (-0.5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"),
        (600, "10m"), (10799, "179m"), (10800, "3h"), (3 * 3600 + 300, "3h5m"), (8 * 3600, "8h"),
        (47 * 3600, "47h"), (48 * 3600, "2d"), (50 * 3600, "2d2h"), (8 * 86400, "8d"),
        (729 * 86400, "729d"), (730 * 86400, "2y"), (800 * 86400, "2y70d"), (9 * 365 * 86400, "9y"),
    ],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_requested_durations(boot: Boot) -> None:
    cluster = boot(22)
    columns, _ = shown(cluster, "/apis/certificates.k8s.io/v1/certificatesigningrequests")
    assert columns[-2:] == ["RequestedDuration", "Condition"]
