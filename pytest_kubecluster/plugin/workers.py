"""What the workers of pytest-xdist are given: a description of the controller's cluster.

The controller owns the cluster; workers connect to its nodes. It boots while the workers start and
collect: they see by the file ``booted`` that it is up, and by its folder's removal that it failed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network, ip_address
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.plugin.resolution import Placement
from pytest_kubecluster.spec.topology import Machine

KEY = "kubecluster"
"""The name of the description in pytest-xdist's workerinput."""
_POLL_SECONDS = 0.1


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

    def to_json(self) -> str:
        """Return the description as text, which execnet can carry."""
        machines = self.placement.machines
        return json.dumps(
            {
                "machines": machines and [(m.name, m.role, str(m.address)) for m in machines],
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
            Machine(name, role, ip_address(address)) for name, role, address in data["machines"]
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
        deadline = time.monotonic() + timeout
        while not self.booted.exists():
            if not self.booted.parent.exists():
                raise KubeClusterError("the cluster did not boot; the controller shows why")
            if time.monotonic() > deadline:
                raise KubeClusterError(
                    f"the cluster was not up within {timeout:.0f} s (--kube-timeout)"
                )
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def locked(self, nodes: Iterable[str]) -> Iterator[None]:
        """Hold the locks of ``nodes``, or of all nodes if there are none, among the workers."""
        from filelock import FileLock

        with ExitStack() as held:
            for node in sorted(nodes) or sorted(self.nodes):
                # However long another test takes; the system frees the lock if its process dies.
                held.enter_context(FileLock(self.locks / f"{node}.lock"))
            yield


def worker_input(config: pytest.Config) -> WorkerInput | None:
    """Return the controller's input of this worker; None in a controller or without a cluster."""
    text = getattr(config, "workerinput", {}).get(KEY)
    return WorkerInput.from_json(text) if text else None
