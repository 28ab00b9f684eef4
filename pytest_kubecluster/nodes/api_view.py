"""What the API server has on a node, from one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pytest_kubecluster.nodes.agent.documents import without_secrets
from pytest_kubecluster.nodes.api_server import ApiError, ApiServer
from pytest_kubecluster.nodes.node_object import NodeObject, api_time
from pytest_kubecluster.spec.parts import IPAddress

NODES = "/api/v1/nodes"
_LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}"
_EVENTS = "/api/v1/events?fieldSelector=involvedObject.kind%3DNode,involvedObject.name%3D{name}"
_LAST_EVENTS = 8


@dataclass(frozen=True)
class ApiView:
    """The Node object, the kubelet's last sign of life, and its /configz through the server."""

    name: str
    """The name that was asked for."""
    server: str
    """The URL of the API server."""
    object: NodeObject | None = None
    heartbeat: datetime | None = None
    heartbeat_in: str = ""
    """Where the heartbeat was seen: a lease, or the condition Ready."""
    time: datetime | None = None
    """The server's time at the look."""
    configz: Mapping[str, Any] = field(default_factory=dict, repr=False)
    configz_problem: str = ""
    """Why /configz was not shown through the server."""

    @property
    def place(self) -> str:
        """Return what differences call the object."""
        return f"Node object {self.name}"


def look_through(server: ApiServer, name: str, address: IPAddress | None = None) -> ApiView:
    """Look at a node through an API server.

    Where there is no object ``name``, the node is the one that has ``address`` for its InternalIP:
    an inventory may call it otherwise. Raises KubeClusterError if the server cannot be asked.
    """
    found = find_object(server, name, address)
    if found is None:
        return ApiView(name, server.url)
    answered = server.ask("GET", f"{NODES}/{found.name}")
    seen = NodeObject.parse(answered.json())
    heartbeat, where = _heartbeat(server, seen)
    configz: Mapping[str, Any] = {}
    problem = ""
    try:
        document = server.get(f"{NODES}/{seen.name}/proxy/configz")
        shown = document.get("kubeletconfig") or document.get("componentconfig") or {}
        configz = without_secrets(shown) if isinstance(shown, dict) else {}
    except ApiError as error:
        problem = str(error)
    return ApiView(seen.name, server.url, seen, heartbeat, where, answered.time, configz, problem)


def find_object(
    server: ApiServer, name: str, address: IPAddress | None = None
) -> NodeObject | None:
    """Return the Node object of a name or of an address; None if there is neither."""
    try:
        return NodeObject.parse(server.get(f"{NODES}/{name}"))
    except ApiError as error:
        if not error.not_found:
            raise
    for document in server.get(NODES)["items"] if address else ():
        seen = NodeObject.parse(document)
        if str(address) in seen.addresses_of("InternalIP"):
            return seen
    return None


def last_events(server: ApiServer, name: str) -> list[str]:
    """Return the last events of a node, a line each. Raises KubeClusterError."""
    events = server.get(_EVENTS.format(name=name)).get("items", ())
    mine = [one for one in events if (one.get("involvedObject") or {}).get("name") == name]
    mine.sort(key=lambda one: one.get("lastTimestamp") or one.get("eventTime") or "")
    return [
        f"{one.get('lastTimestamp') or one.get('eventTime')} {one.get('reason')}: "
        f"{one.get('message')}"
        for one in mine[-_LAST_EVENTS:]
    ]


def _heartbeat(server: ApiServer, seen: NodeObject) -> tuple[datetime | None, str]:
    """Return the later of the lease's renewal, which not every version has, and Ready's."""
    ready = seen.condition("Ready")
    signs = [(ready.heartbeat, "the condition Ready")] if ready and ready.heartbeat else []
    try:
        lease = server.get(_LEASE.format(name=seen.name))
        if renewed := api_time((lease.get("spec") or {}).get("renewTime")):
            signs.append((renewed, f"the lease kube-node-lease/{seen.name}"))
    except ApiError as error:
        if not error.not_found:
            raise
    return max(signs, key=lambda sign: sign[0]) if signs else (None, "")
