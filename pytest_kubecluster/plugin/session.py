"""What one process of a test run knows: its settings, the spec and the cluster in use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.plugin.options import CLUSTER, REPORT

# What only a session with a cluster needs is imported when it does: every other test run has this
# plugin installed, too.
if TYPE_CHECKING:
    from pytest_kubecluster.artifacts.pki import Pki
    from pytest_kubecluster.cluster.cluster import Cluster
    from pytest_kubecluster.cluster.config import Settings
    from pytest_kubecluster.cluster.through_api import RegisteredNodes
    from pytest_kubecluster.machines.existing.inventory import Inventory
    from pytest_kubecluster.machines.existing.vagrantfile import ExistingVagrantfile
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.nodes.verdict import Difference
    from pytest_kubecluster.plugin.resolution import Placement, Step
    from pytest_kubecluster.plugin.workers import WorkerInput
    from pytest_kubecluster.spec.model import ClusterSpec
    from pytest_kubecluster.spec.parts import IPAddress

NEED_NODE = frozenset({"kube_node", "kube_master", "kube_worker"})
NEED_CLUSTER = NEED_NODE | {
    "kube_cluster",
    "kube_api",
    "kube_nodes",
    "kube_masters",
    "kube_workers",
}


class ClusterSession:
    """The settings, the spec and the cluster of one process. Nothing is read before it is used."""

    def __init__(self, config: pytest.Config, settings: Settings | None = None) -> None:
        """Use ``settings`` instead of the options of ``config``, if given."""
        self.config = config
        self.enabled: bool = config.getoption(CLUSTER)
        self.cluster: Cluster | None = None
        self.compared: Sequence[Difference] = ()
        """The differences of the last comparison that failed in the present test."""
        self.compared_table: Sequence[str] = ()
        self._spec: ClusterSpec | None = None
        self._existing: list[Inventory | ExistingVagrantfile | RegisteredNodes | None] = []
        """What the run's machines were read from, once that was read."""
        self._nodes: tuple[Node, ...] = ()
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        if settings is not None:
            self.settings = settings

    @cached_property
    def settings(self) -> Settings:
        """The checked options, with those that made a cluster to reuse.

        Raises pytest.UsageError.
        """
        from pytest_kubecluster.plugin.reused import take_options
        from pytest_kubecluster.plugin.settings import read_settings

        # A worker gets the options of its controller.
        if self.enabled and not self.is_worker:
            take_options(self.config)
        return read_settings(self.config)

    @cached_property
    def worker(self) -> WorkerInput | None:
        """What the controller sent to this worker of pytest-xdist."""
        from pytest_kubecluster.plugin.workers import worker_input

        return worker_input(self.config)

    def existing(self) -> Inventory | ExistingVagrantfile | RegisteredNodes | None:
        """Return the existing machines, if the run uses any. Raises pytest.UsageError.

        The first call reads the inventory, or asks Vagrant for the machines.
        """
        from pytest_kubecluster.plugin.existing import read_existing

        if not self._existing:
            self._existing = [read_existing(self.settings)]
        return self._existing[0]

    @cached_property
    def placement(self) -> Placement:
        """Where the nodes are. Raises pytest.UsageError."""
        from pytest_kubecluster.plugin.resolution import Placement

        if self.worker is not None:
            return self.worker.placement
        existing = self.existing()
        return Placement(existing.machines if existing else None)

    @property
    def spec(self) -> ClusterSpec:
        """The spec of the cluster. Raises pytest.UsageError."""
        from pytest_kubecluster.plugin.resolution import resolve_spec

        if self._spec is None:
            self._spec = resolve_spec(self.spec_steps())
        return self._spec

    def spec_steps(self) -> Iterator[Step]:
        """Yield the spec after each customisation, in order of precedence. Raises SpecError."""
        from pytest_kubecluster.plugin.resolution import allowed_traits, hook_steps, spec_steps

        customise = partial(hook_steps, self.config)
        return spec_steps(self.settings, self.placement, allowed_traits(self.settings), customise)

    def validate(self) -> None:
        """Check settings and spec before anything boots. Raises pytest.UsageError."""
        from pytest_kubecluster.util.paths import check_writable_folder

        if self.settings.report:
            try:
                check_writable_folder(self.settings.report)
            except KubeClusterError as error:
                raise pytest.UsageError(f"{REPORT.flag}: {error}") from None
        _ = self.spec

    def move_to(self, network: IPv4Network | None) -> bool:
        """Use another network unless the user asked for one; return whether that changes it."""
        from pytest_kubecluster.plugin.resolution import Placement

        moves = self.settings.network is None and network != self.spec.network
        if moves:
            self.placement, self._spec = Placement(network=network), None
        return moves

    def locate(self, addresses: Mapping[str, IPAddress]) -> ClusterSpec:
        """Return the spec with the addresses that only the machines know."""
        self.placement, self._spec = self.placement.with_addresses(addresses), None
        return self.spec

    def use(self, cluster: Cluster) -> None:
        """Use a cluster that is up and that another owns."""
        self.cluster, self._spec = cluster, cluster.spec

    @property
    def arguments(self) -> Sequence[str]:
        """The arguments of pytest in this run."""
        return [str(one) for one in self.config.invocation_params.args]

    @property
    def asks_an_api_server(self) -> bool:
        """Whether there is an API server to ask about the nodes. Raises pytest.UsageError."""
        return self.enabled and (self.has_control_plane or self.settings.kubeconfig is not None)

    @property
    def has_control_plane(self) -> bool:
        """Whether the cluster's masters run a control plane. Raises pytest.UsageError."""
        return self.enabled and self.spec.control_plane is not None

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker of pytest-xdist."""
        return hasattr(self.config, "workerinput")

    @property
    def distributes(self) -> bool:
        """Whether this process is a controller of pytest-xdist, which leaves tests to workers."""
        return self.config.pluginmanager.has_plugin("dsession")

    @property
    def plans_only(self) -> bool:
        """Whether no test will run: --collect-only or --setup-plan."""
        option = self.config.option
        return bool(option.collectonly or getattr(option, "setupplan", False))

    def nodes(self) -> tuple[Node, ...]:
        """Return the handles of the nodes. In a worker, wait for them. Raises KubeClusterError."""
        from pytest_kubecluster.nodes.node import connect

        if self.cluster is not None:
            return self.cluster.nodes
        if self.worker is None:
            raise KubeClusterError(f"there is no cluster; run with {CLUSTER}")
        if not self._nodes:
            self.worker.wait_until_booted(self.settings.timeout)
            self._nodes = connect(self.spec, self.worker.nodes)
        return self._nodes

    @property
    def has_nodes(self) -> bool:
        """Whether the nodes can be used without waiting for them."""
        return self.cluster is not None or bool(self._nodes)

    def pki(self) -> Pki:
        """Return the cluster's certificates; without one, make temporary ones of the same kind."""
        from pytest_kubecluster.artifacts.pki import ensure_pki

        if self.cluster is not None:
            return self.cluster.pki()
        if self.worker is not None:
            return ensure_pki(self.worker.pki)
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="kubecluster-pki-")
        return ensure_pki(Path(self._scratch.name))

    def protected(self) -> frozenset[str]:
        """Return the nodes that no test may disturb: this run did not boot their machines."""
        if self.worker is not None:
            return self.worker.protected
        existing = self.existing()
        if self.settings.disturb or existing is None:
            return frozenset()
        return frozenset(existing.running)

    def describe(self) -> WorkerInput:
        """Return what the workers must know of the cluster."""
        from pytest_kubecluster.plugin.workers import WorkerInput

        assert self.cluster is not None
        placement = self.placement
        if placement.machines is None:
            placement = type(placement)(network=self.spec.network)
        return WorkerInput(
            placement,
            {node.name: node.access for node in self.cluster.nodes},
            self.protected(),
            self.cluster.booted,
            self.cluster.pki().directory,
            self.cluster.folder.subfolder("locks"),
        )

    def close(self) -> None:
        """Remove the temporary certificates."""
        if self._scratch is not None:
            self._scratch.cleanup()


SESSION = pytest.StashKey[ClusterSession]()
