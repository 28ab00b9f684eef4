"""What the workers of pytest-xdist are given: a description of the controller's cluster.

The controller owns the cluster; workers connect to its nodes. It boots while the workers start and
collect: they see by the file ``booted`` that it is up, and by its folder's removal that it failed.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.plugin.resolution import Placement
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.poll import poll

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.node import Node

KEY = "kubecluster"
"""The name of the description in pytest-xdist's workerinput."""


@dataclass(frozen=True)
class WorkerInput:
    """The controller's cluster, as plain values."""

    placement: Placement
    nodes: dict[str, Access]
    protected: frozenset[str]
    """The nodes that no test may disturb."""
    booted: Path
    """A file that exists once all nodes can be used."""
    pki: Path
    locks: Path
    """The folder with a lock file for each node."""
    _seen: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    """The changes of nodes that this worker knows of."""

    def to_json(self) -> str:
        """Return the description as text, which execnet can carry."""
        machines = self.placement.machines
        return json.dumps(
            {
                "machines": machines
                and [(m.name, m.role, str(m.address), str(m.version or "")) for m in machines],
                "network": self.placement.network and str(self.placement.network),
                "nodes": {name: asdict(access) for name, access in self.nodes.items()},
                "protected": sorted(self.protected),
                "booted": str(self.booted),
                "pki": str(self.pki),
                "locks": str(self.locks),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> WorkerInput:
        """Read the text that ``to_json`` returned."""
        data = json.loads(text)
        machines = data["machines"] and tuple(
            Machine(
                name, role, ip_address(address), KubeVersion.parse(version) if version else None
            )
            for name, role, address, version in data["machines"]
        )
        return cls(
            Placement(machines, data["network"] and IPv4Network(data["network"])),
            {
                name: Access(**{**access, "reboot": tuple(access["reboot"])})
                for name, access in data["nodes"].items()
            },
            frozenset(data["protected"]),
            Path(data["booted"]),
            Path(data["pki"]),
            Path(data["locks"]),
        )

    def wait_until_booted(self, timeout: float) -> None:
        """Wait until the controller has booted the cluster. Raises KubeClusterError."""
        poll(lambda: self.booted.exists() or not self.booted.parent.exists(), timeout)
        if self.booted.exists():
            return
        if not self.booted.parent.exists():
            raise KubeClusterError("the cluster did not boot; the controller shows why")
        raise KubeClusterError(f"the cluster was not up within {timeout:.0f} s (--kube-timeout)")

    @contextmanager
    def locked(self, nodes: Iterable[str]) -> Iterator[None]:
        """Hold the locks of ``nodes``, or of all nodes if there are none, among the workers."""
        from filelock import FileLock

        with ExitStack() as held:
            for node in sorted(nodes) or sorted(self.nodes):
                # However long another test takes; the system frees the lock if its process dies.
                held.enter_context(FileLock(self.locks / f"{node}.lock"))
            yield

    @contextmanager
    def sharing_changes(self, nodes: Iterable[Node], names: Container[str]) -> Iterator[None]:
        """Look again at those of ``nodes`` that another worker has changed, and tell the others.

        The locks of ``names`` are held. A file of each node names its last change by any worker.
        """
        used = [node for node in nodes if node.name in names]
        for node in used:
            counted = self._changes(node).read_text() if self._changes(node).exists() else ""
            if counted != self._seen.get(node.name, ""):
                node.forget()
                self._seen[node.name] = counted
        before = [node.changes for node in used]
        try:
            yield
        finally:
            for node, count in zip(used, before, strict=True):
                if node.changes != count and self.locks.exists():
                    self._seen[node.name] = token = secrets.token_hex(8)
                    self._changes(node).write_text(token)

    def _changes(self, node: Node) -> Path:
        return self.locks / f"{node.name}.changed"


def worker_input(config: pytest.Config) -> WorkerInput | None:
    """Return the controller's input of this worker; None in a controller or without a cluster."""
    text = getattr(config, "workerinput", {}).get(KEY)
    return WorkerInput.from_json(text) if text else None
