"""A master's part of the control plane: asked, killed and started again."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.control_plane import COMPONENTS, ETCD, ETCD_CLIENTS, FOLDER, TARGET
from pytest_kubecluster.util.poll import poll

_SECONDS = 30.0
"""What etcd may need to elect another leader, and a member to catch up, on a busy machine."""
_OBJECTS = "/api/v1/namespaces/default/configmaps"
_WRITER = "lost"


@dataclass(frozen=True)
class Master:
    """A master, with the API server that runs on it."""

    node: Node

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.name

    @cached_property
    def server(self) -> ApiServer:
        """The API server on this master, none else. Raises KubeClusterError without one."""
        if self.node.api is None:
            raise KubeClusterError(f"{self.name}: the cluster has no control plane")
        return replace(self.node.api, context=self.name)

    @property
    def _seconds(self) -> float:
        return _SECONDS * self.node.access.timeout_factor

    def etcd(self) -> str:
        """Return ``healthy``, or what is wrong with the etcd member. Raises KubeClusterError."""
        keys = f"{FOLDER}/etcd"
        argv = ["curl", "--silent", "--show-error", "--max-time", "5", "--cacert", f"{keys}/ca.crt"]
        argv += ["--cert", f"{keys}/server.crt", "--key", f"{keys}/server.key"]
        done = self.node.run(*argv, f"https://127.0.0.1:{ETCD_CLIENTS}/health")
        if done.rc != 0:
            return f"not reached: {done.stderr.strip()}"
        try:
            health = json.loads(done.stdout)["health"]
        except (ValueError, KeyError, TypeError):
            return f"not known: it answers {done.stdout[:80]!r}"
        return "healthy" if health in ("true", True) else "without a leader"

    def becomes_healthy(self) -> bool:
        """Return whether the etcd member is healthy in time."""
        return poll(lambda: self.etcd() == "healthy", self._seconds, every=0.5)

    def kill(self) -> None:
        """Kill etcd, the API server and what else runs, without warning, and keep them down."""
        units = [f"{name}.service" for name in (ETCD, *COMPONENTS)]
        self.node.run("systemctl", "kill", "--signal=KILL", *units)
        self.node.run("systemctl", "stop", TARGET, *units)

    def start(self) -> None:
        """Start what ``kill`` ended."""
        self.node.run("systemctl", "start", TARGET)

    def reads(self, name: str, written: str = "") -> bool:
        """Return whether the API server has an object in time, with what was written last."""

        def there() -> bool:
            try:
                data = self.server.get(f"{_OBJECTS}/{name}").get("data") or {}
            except KubeClusterError:
                return False
            return not written or data.get(_WRITER) == written

        return poll(there, self._seconds, every=0.3)

    def writes(self, name: str, text: str) -> bool:
        """Return whether a text can be written into an object in time."""

        def done() -> bool:
            try:
                self.server.patch(f"{_OBJECTS}/{name}", {"data": {_WRITER: text}})
            except KubeClusterError:
                return False
            return True

        return poll(done, self._seconds, every=0.3)


def masters_of(nodes: Sequence[Node]) -> list[Master]:
    """Return masters with their API servers."""
    return [Master(node) for node in nodes]


@contextmanager
def kept_by(master: Master) -> Iterator[str]:
    """Create an object through a master, yield its name, and delete it at the end."""
    name = f"kubecluster-{secrets.token_hex(4)}"
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    master.server.create(_OBJECTS, document)
    try:
        yield name
    finally:
        master.server.delete(f"{_OBJECTS}/{name}")
