"""The topology of a cluster that is known by its API server alone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kubecluster.cluster.through_api import read_nodes, registered_besides
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import spec_of
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

NODES: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"items": NODES}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    NODES.clear()
    yield path
    server.shutdown()
    server.server_close()
    thread.join()


def registered(
    name: str, version: str = "v1.30.1", address: str = "10.0.0.1", **labels: str
) -> None:
    addresses = [{"type": "InternalIP", "address": address}] if address else []
    info = {"kubeletVersion": version}
    status = {"addresses": addresses, "nodeInfo": info}
    own = {key.replace("__", "/").replace("_", "-"): text for key, text in labels.items()}
    NODES.append({"metadata": {"name": name, "labels": own}, "status": status})


def test_roles_are_those_of_the_labels(kubeconfig: Path) -> None:
    registered("a", **{"node-role.kubernetes.io/control-plane": ""})
    registered("b", **{"kubernetes.io/role": "master"})
    registered("c", **{"node-role.kubernetes.io/worker": ""})
    found = read_nodes(kubeconfig, RolePatterns(), with_versions=True)
    assert [machine.role for machine in found.machines] == ["master", "master", "worker"]
    assert found.running == ("a", "b", "c")


def test_pattern_for_a_node_whose_labels_do_not_say(kubeconfig: Path) -> None:
    registered("cp-1")
    patterns = RolePatterns.parse("cp*=master")
    (machine,) = read_nodes(kubeconfig, patterns, with_versions=True).machines
    assert machine.role == "master"


def test_each_node_must_be_of_its_own_version_where_none_is_stated(kubeconfig: Path) -> None:
    registered("a", "v1.30.1")
    registered("b", "v1.29.3-eks-ae9a62a")
    machines = read_nodes(kubeconfig, RolePatterns(), with_versions=True).machines
    spec = spec_of(machines, None, KubeVersion.parse("1.7.5"), layout="found")
    assert [node.kubelet.version.number for node in spec] == ["1.30.1", "1.29.3"]
    machines = read_nodes(kubeconfig, RolePatterns(), with_versions=False).machines
    spec = spec_of(machines, None, KubeVersion.parse("1.30.0"), layout="found")
    assert {node.kubelet.version.number for node in spec} == {"1.30.0"}


def test_node_without_an_address_or_a_known_version(kubeconfig: Path) -> None:
    registered("a", "devel", address="")
    (machine,) = read_nodes(kubeconfig, RolePatterns(), with_versions=True).machines
    assert machine.address == NO_ADDRESS
    assert machine.version is None


def test_cluster_without_nodes(kubeconfig: Path) -> None:
    with pytest.raises(KubeClusterError, match="has no nodes"):
        read_nodes(kubeconfig, RolePatterns(), with_versions=True)


def test_registered_nodes_that_an_inventory_does_not_have(kubeconfig: Path) -> None:
    registered("a", address="10.0.0.1")
    registered("called-otherwise", address="10.0.0.2")
    registered("behind-a-nat", address="10.0.0.3")
    registered("d", address="10.0.0.4")
    addresses = {"a": "10.0.0.1", "b": "10.0.0.2", "behind-a-nat": "192.0.2.7"}
    machines = [Machine(name, "worker", ip_address(ip)) for name, ip in addresses.items()]
    spec = spec_of(machines, None, KubeVersion.parse("1.30.0"), layout="found")
    nodes = [Node.of(spec, name, Access("", "")) for name in addresses]
    assert registered_besides(ApiServer(kubeconfig), nodes) == ["d"]
