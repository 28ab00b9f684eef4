"""Breaks a Node object in each way a check is there for, and sees exactly the right checks fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from datetime import timedelta
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from kubernetes.client import CoreV1Api
from kubernetes.watch import Watch

from pytest_kubecluster.artifacts import certificates
from pytest_kubecluster.artifacts.certificates import Request
from pytest_kubecluster.artifacts.control_plane import kubeconfig
from pytest_kubecluster.cluster.cluster import Cluster
from pytest_kubecluster.cluster.through_api import read_nodes
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.nodes.control_plane import kept_by, masters_of
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.control_plane import SURVIVES_A_LOSS
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.poll import poll
from tests.cluster.support import failing_in_the_api, ready

pytestmark = pytest.mark.kube_disruptive

Document = dict[str, Any]
ROLE = "node-role.kubernetes.io/worker"


@pytest.fixture
def node(kube_spec: ClusterSpec, kube_nodes: tuple[Node, ...]) -> Iterator[Node]:
    """A node that is registered again afterwards, as it was."""
    if kube_spec.control_plane is None:
        pytest.skip("needs --kube-control-plane")
    node = kube_nodes[-1]
    yield node
    assert node.api is not None
    with suppress(KubeClusterError):  # it may be what was broken
        node.api.delete(path(node))
    # Many starts in a row are more than systemd allows.
    node.run("systemctl", "reset-failed", "kubelet")
    assert node.run("systemctl", "restart", "kubelet").rc == 0
    assert poll(lambda: ready(node), 60, every=0.3)


def path(node: Node) -> str:
    return f"/api/v1/nodes/{node.registered_name}"


def addresses(kind: str, value: str) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        found = [one for one in document["status"]["addresses"] if one["type"] != kind]
        return {"status": {"addresses": [*found, {"type": kind, "address": value}]}}

    return change


def condition(**fields: str) -> Callable[[Document], Document]:
    def change(document: Document) -> Document:
        conditions = deepcopy(document["status"]["conditions"])
        next(one for one in conditions if one["type"] == "Ready").update(fields)
        return {"status": {"conditions": conditions}}

    return change


def always(document: Document) -> Callable[[Document], Document]:
    return lambda _: document


TAINT = {"key": "example.com/broken", "value": "", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("change", "subresource", "check"),
    [
        (always({"metadata": {"labels": {ROLE: None}}}), "", "node_has_the_labels"),
        (always({"metadata": {"labels": {"rack": "3"}}}), "", "node_has_the_labels"),
        (always({"spec": {"taints": [TAINT]}}), "", "node_has_the_taints"),
        # There is the master's kubelet, too, which the API server can ask.
        (addresses("InternalIP", "127.0.0.1"), "/status", "node_has_its_internal_ip"),
        (addresses("Hostname", "other"), "/status", "node_has_its_hostname"),
        (
            always({"status": {"nodeInfo": {"kubeletVersion": "v1.0.0"}}}),
            "/status",
            "node_reports_the_version",
        ),
        (condition(status="False"), "/status", "node_is_ready"),
    ],
)
def test_broken_object(
    node: Node,
    kube_nodes: tuple[Node, ...],
    change: Callable[[Document], Document],
    subresource: str,
    check: str,
) -> None:
    api = node.api
    assert api is not None
    for _ in range(3):
        # Its kubelet may have written its own status in between.
        document = api.get(path(node))
        api.patch(path(node) + subresource, change(document))
        if failed := failing_in_the_api(node, kube_nodes):
            if check == "node_has_its_internal_ip":
                # Another kubelet's configuration may differ.
                failed -= {"configz_through_the_api_server_agrees"}
            assert failed == {check}
            return
    pytest.fail(f"{check} did not fail")


def test_old_heartbeat(node: Node, kube_nodes: tuple[Node, ...]) -> None:
    api = node.api
    assert api is not None
    lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{node.registered_name}"
    for _ in range(3):
        document = api.get(path(node))
        old = condition(lastHeartbeatTime="2020-01-01T00:00:00Z")(document)
        api.patch(f"{path(node)}/status", old)
        with suppress(KubeClusterError):  # of a version without leases
            api.patch(lease, {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}})
        if failed := failing_in_the_api(node, kube_nodes):
            assert failed == {"node_is_heard_from"}
            return
    pytest.fail("node_is_heard_from did not fail")


def test_node_that_is_gone(node: Node, kube_nodes: tuple[Node, ...]) -> None:
    assert node.api is not None
    assert node.run("systemctl", "stop", "kubelet").rc == 0
    node.api.delete(path(node))
    assert failing_in_the_api(node, kube_nodes) == {"node_is_registered"}


def test_kubelet_that_the_server_cannot_ask(node: Node, kube_nodes: tuple[Node, ...]) -> None:
    assert node.run("systemctl", "stop", "kubelet").rc == 0
    assert failing_in_the_api(node, kube_nodes) == {"configz_through_the_api_server_agrees"}


def test_control_plane_that_is_down(node: Node, kube_masters: tuple[Node, ...]) -> None:
    (*_, master) = masters_of(kube_masters)
    master.kill()
    try:
        assert master.etcd().startswith("not reached")
        with pytest.raises(KubeClusterError, match="does not answer"):
            master.server.text("/healthz")
    finally:
        master.start()
    assert master.becomes_healthy()
    assert poll(lambda: ready(node), 30, every=0.3)


@pytest.mark.parametrize(
    ("user", "problem"),
    [
        (
            certificates.user("jane"),
            r'may not list nodes \(/api/v1/nodes\): .*User "jane" cannot list',
        ),
        (
            certificates.user("john", "system:masters", lifetime=timedelta(days=-1)),
            "the client certificate of .* expired on .*; get a new kubeconfig",
        ),
    ],
    ids=["forbidden", "expired"],
)
def test_kubeconfig_that_cannot_be_used(
    user: Request, problem: str, kube_cluster: Cluster, tmp_path: Path
) -> None:
    api = kube_cluster.nodes[0].api
    if api is None:
        pytest.skip("needs --kube-control-plane")
    path = tmp_path / "kubeconfig"
    path.write_bytes(kubeconfig(api.url, kube_cluster.pki(), "stranger", user))
    with pytest.raises(KubeClusterError, match=problem):
        read_nodes(path, RolePatterns(), with_versions=True)


def test_watch_outlives_the_etcd_member_of_its_server(kube_masters: tuple[Node, ...]) -> None:
    if kube_masters[0].api is None or len(kube_masters) < SURVIVES_A_LOSS:
        pytest.skip("needs --kube-control-plane and three masters")
    watched, *_, other = masters_of(kube_masters)
    seen: Queue[str] = Queue()

    def follow() -> None:
        config_maps = CoreV1Api(watched.server.client)
        listed = config_maps.list_namespaced_config_map
        # With a time-out, the client does not connect again.
        watch = Watch()  # type: ignore[no-untyped-call]
        stream = watch.stream(listed, "default", timeout_seconds=60)  # type: ignore[no-untyped-call]
        for event in stream:
            written = (event["object"].data or {}).get("lost", "")
            seen.put(written)
            if written == "after":
                return

    with kept_by(watched) as name, ThreadPoolExecutor(1) as pool:
        following = pool.submit(follow)
        assert other.writes(name, "before")
        while seen.get(timeout=30) != "before":
            pass
        assert watched.node.run("systemctl", "kill", "--signal=KILL", "etcd").rc == 0
        assert other.writes(name, "after")
        following.result(timeout=60)
    assert "after" in seen.queue
    assert watched.becomes_healthy()
