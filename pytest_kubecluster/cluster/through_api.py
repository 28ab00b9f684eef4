"""Clusters that are looked at through their API server alone, without ssh."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from pytest_kubecluster.cluster.cluster import Cluster, Parting
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.api_view import NODES
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.spec.model import ClusterSpec, Role
from pytest_kubecluster.spec.parts import NO_ADDRESS, IPAddress
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.progress import count

_MASTER_LABELS = (
    "node-role.kubernetes.io/master",
    "node-role.kubernetes.io/control-plane",
    "node-role.kubernetes.io/controlplane",
)
"""What kubeadm and others label their masters with."""
_LEAVE = Parting("leave", "closing the connections", "the nodes are left as they were")


@dataclass(frozen=True)
class RegisteredNodes:
    """The nodes that an API server has."""

    path: Path
    """The kubeconfig that names the server."""
    machines: tuple[Machine, ...]

    @property
    def running(self) -> tuple[str, ...]:
        """The nodes that no test may disturb, which are all."""
        return tuple(machine.name for machine in self.machines)


def read_nodes(path: Path, patterns: RolePatterns, *, with_versions: bool) -> RegisteredNodes:
    """Ask the API server that a kubeconfig names for its nodes.

    A node is a master if its labels say so, or what ``patterns`` make of its name. With
    ``with_versions``, each node's own version is what it must be. Raises KubeClusterError.
    """
    server = ApiServer(path)
    seen = [NodeObject.parse(document) for document in server.get(NODES)["items"]]
    if not seen:
        raise KubeClusterError(f"the API server {server.url} has no nodes")
    return RegisteredNodes(
        path,
        tuple(
            Machine(
                one.name, _role(one, patterns), _address(one), _version(one, known=with_versions)
            )
            for one in seen
        ),
    )


def use_registered(cluster: Cluster, found: RegisteredNodes) -> None:
    """Use the nodes that an API server has, and look at each of them. Raises KubeClusterError."""
    cluster.parting = _LEAVE
    cluster.enter(source=str(found.path))
    with cluster.all_or_nothing():
        nodes = count(len(cluster.spec.nodes), "node")
        with cluster.progress.phase("connect", f"asking for {nodes}") as phase:
            cluster.nodes = _handles(cluster.spec, found.path)
            phase.detail = f"{nodes} through the API server"
        cluster.booted.touch()


def registered_besides(server: ApiServer, nodes: Sequence[Node]) -> list[str]:
    """Return the names of registered nodes that are none of ``nodes``. Raises KubeClusterError."""
    names = {node.registered_name for node in nodes}
    addresses = {str(node.address) for node in nodes}
    return [
        one.name
        for one in map(NodeObject.parse, server.get(NODES)["items"])
        if one.name not in names and addresses.isdisjoint(one.addresses_of("InternalIP"))
    ]


def _handles(spec: ClusterSpec, path: Path) -> tuple[Node, ...]:
    access = Access("", "", kubeconfig=str(path), own_control_plane=False)
    return tuple(Node.of(spec, node.name, access) for node in spec)


def _role(seen: NodeObject, patterns: RolePatterns) -> Role:
    if any(label in seen.labels for label in _MASTER_LABELS):
        return "master"
    if seen.labels.get("kubernetes.io/role") == "master":
        return "master"
    return "master" if patterns.role_of(seen.name) == "master" else "worker"


def _address(seen: NodeObject) -> IPAddress:
    for text in seen.addresses_of("InternalIP"):
        with suppress(ValueError):
            return ip_address(text)
    return NO_ADDRESS


def _version(seen: NodeObject, *, known: bool) -> KubeVersion | None:
    with suppress(ValueError):
        return KubeVersion.parse_known(seen.kubelet_version) if known else None
    return None
