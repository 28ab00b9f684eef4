"""A cluster while this process uses it: its folder, its nodes, and its end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import NamedTuple

from pytest_kubecluster.ansible.run import ProvisioningResult
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.deployment import Deployment, MachineTraits
from pytest_kubecluster.cluster.registry import ClusterFolder, create_cluster_folder
from pytest_kubecluster.cluster.removal import remove_cluster
from pytest_kubecluster.cluster.signals import uninterrupted
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import BROUGHT, USUAL
from pytest_kubecluster.machines.ssh import Ssh
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.process import Commands, end_children_with
from pytest_kubecluster.util.progress import Progress, count


class Parting(NamedTuple):
    """Phrases for what happens to a cluster's machines at its end."""

    phase: str
    doing: str
    done: str


class Cluster:
    """A cluster that this process uses, and removes or keeps at the end.

    How it comes up is not its business: see ``Booting`` and ``Joining``.
    """

    parting = Parting("destroy", "removing the cluster", "nothing is left")
    """What ``destroy`` does to the machines."""

    def __init__(
        self, spec: ClusterSpec, settings: Settings, project: Path, progress: Progress
    ) -> None:
        """Prepare a cluster for the project in the folder ``project``; nothing exists yet."""
        self.spec = spec
        self.settings = settings
        self.project = project
        self.progress = progress
        self.nodes: tuple[Node, ...] = ()
        self._deployment: Deployment | None = None
        self._logs = Path()

    @property
    def exists(self) -> bool:
        """Whether there is anything of the cluster to remove."""
        return self._deployment is not None

    @property
    def deployment(self) -> Deployment:
        """What the run puts on the nodes. Raises KubeClusterError if the cluster is not up."""
        if self._deployment is None:
            raise KubeClusterError("the cluster is not up")
        return self._deployment

    @property
    def folder(self) -> ClusterFolder:
        """The cluster's folder on this host. Raises KubeClusterError if it is not up."""
        return self.deployment.folder

    @property
    def name(self) -> str:
        """The name that machines, networks and folders carry."""
        return self.folder.name

    @property
    def booted(self) -> Path:
        """A file that exists once all nodes can be used."""
        return self.folder.path / "booted"

    @property
    def logs(self) -> Path:
        """Where the logs of external commands are, also after the cluster is gone."""
        return self._logs

    @property
    def layout(self) -> LayoutName:
        """The layout of the nodes."""
        return self.spec.nodes[0].kubelet.layout

    @property
    def python(self) -> str:
        """The path of the Python on the nodes, now or once it is installed."""
        return BROUGHT if self.settings.python else USUAL

    def pki(self) -> Pki:
        """Return the cluster's certificates."""
        return self.deployment.pki()

    def usable(self) -> list[Node]:
        """Return the nodes that can be used. Raises KubeClusterError if there is none."""
        usable = [node for node in self.nodes if not node.access.problem]
        if not usable:
            reasons = (indent(node.access.problem, "    ").strip() for node in self.nodes)
            problems = "\n".join(f"  - {reason}" for reason in reasons)
            raise KubeClusterError(f"none of the machines can be used:\n{problems}")
        return usable

    def warn_of_unusable(self) -> None:
        """Show why nodes cannot be used; their own tests show it, too."""
        for node in self.nodes:
            if node.access.problem:
                self.progress.warn(f"not used: {node.access.problem}")

    def enter(self, name: str | None = None, **recorded: object) -> None:
        """Enter the cluster into the registry, with this record. Raises KubeClusterError."""
        self.open(create_cluster_folder(self.project, name))
        nodes = {node.name: node.role for node in self.spec}
        self.folder.write(
            nodes=nodes,
            layout=self.layout,
            provider=self.settings.machines.name,
            python=self.python,
            **recorded,
        )

    def open(self, folder: ClusterFolder) -> None:
        """Use the cluster in ``folder``, whose lock this process holds."""
        self._logs = folder.logs
        self._deployment = Deployment(
            self.spec,
            self.settings,
            folder,
            Commands(folder.logs),
            self.progress,
            MachineTraits(forks=len(self.spec.nodes)),
        )

    def describe_machines(self, traits: MachineTraits) -> None:
        """Set what provisioning has to know of the machines."""
        self._deployment = replace(self.deployment, machines=traits)

    def follow(self, spec: ClusterSpec, settings: Settings | None = None) -> None:
        """Take another spec, and other settings, for the same machines."""
        self.spec, self.settings = spec, settings or self.settings
        self._deployment = replace(self.deployment, spec=spec, settings=self.settings)
        self.nodes = tuple(Node.of(spec, node.name, node.access) for node in self.nodes)

    def change(self, spec: ClusterSpec, settings: Settings) -> None:
        """Make the nodes' kubelets those of another spec with the same machines.

        Raises KubeClusterError; the cluster stays.
        """
        self.follow(spec, settings)
        self.folder.write(layout=self.layout)
        deadline = time.monotonic() + settings.timeout
        self.deployment.provision_running(self.usable(), deadline)

    def provision(self) -> ProvisioningResult:
        """Run the playbook again on all nodes and return what it changed.

        If it changed anything, wait until all kubelets are healthy, and where there is a control
        plane, until their nodes are Ready. Raises KubeClusterError.
        """
        nodes, deadline = self.usable(), time.monotonic() + self.settings.timeout
        try:
            result = self.deployment.provision(nodes, self.settings.timeout)
        finally:
            for node in nodes:
                node.forget()
        if any(result.changed.values()):
            self.deployment.wait_for_kubelets(nodes, deadline)
        if self.spec.control_plane:
            self.deployment.wait_for_nodes(nodes, deadline)
        return result

    def provision_in_phase(self, deadline: float) -> None:
        """Run the playbook on nodes that are up, as a phase of the run."""
        with self.progress.phase("provision", "running the playbook") as phase:
            changed = self.deployment.provision_running(self.usable(), deadline)
            phase.detail = self.count_changes(changed)

    def count_changes(self, changed: Mapping[str, int]) -> str:
        """Return how many tasks changed something, as text."""
        nodes = count(len(self.spec.nodes), "node")
        return f"{count(sum(changed.values()), 'change')} on {nodes}"

    def stop(self) -> None:
        """End the commands of a boot in another thread: it fails, and removes everything."""
        if self._deployment is not None:
            self._deployment.commands.stop()

    def keep(self) -> None:
        """Leave the cluster to the run that reuses it next. Existing machines are forgotten."""
        if self.settings.machines.existing:
            # They stay as they are: the user knows them, and Vagrant does.
            self.folder.write(to_destroy=(), to_halt=())
            self.destroy(keep_logs=False)
            return
        folder = self.folder
        self._disconnect()
        folder.keep()
        self._deployment = None

    def destroy(self, *, keep_logs: bool) -> None:
        """Remove machines, networks, keys and state. No signal interrupts it.

        Prints nothing. Raises KubeClusterError if something cannot be removed.
        """
        with uninterrupted():
            if self._deployment is None:
                return
            self._hang_up()
            folder, self._deployment = self._deployment.folder, None
            remove_cluster(folder, keep_logs=keep_logs)

    def release(self) -> None:
        """Stop using the cluster, and remove nothing. No signal interrupts it."""
        with uninterrupted():
            if self._deployment is None:
                return
            self._hang_up()
            folder, self._deployment = self._deployment.folder, None
            folder.lock.release()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Remove the cluster if anything goes wrong in this context."""
        try:
            yield
        except OSError as error:
            self.destroy(keep_logs=True)
            raise _as_cluster_error(error) from error
        except BaseException:
            self.destroy(keep_logs=True)
            raise

    @contextmanager
    def still_kept(self) -> Iterator[None]:
        """Release the kept cluster if anything goes wrong in this context."""
        name = self.name
        try:
            yield
        except BaseException as error:
            self.release()
            if isinstance(error, OSError):
                error = _as_cluster_error(error)
            if isinstance(error, KubeClusterError):
                raise KubeClusterError(f"{error}\n  cluster {name} is kept") from error
            raise

    def _hang_up(self) -> None:
        """End all that this process runs for the cluster: commands and connections."""
        self.stop()
        self._disconnect()
        end_children_with(str(self.folder.ssh_config))

    def _disconnect(self) -> None:
        ssh = Ssh(self.folder.ssh_config)
        for node in self.spec:
            ssh.disconnect(node.name)


def _as_cluster_error(error: OSError) -> KubeClusterError:
    return KubeClusterError(
        f"{error.filename or 'the state folder'}: {error.strerror or error}\n"
        "  free some space or make the folder writable, and run again"
    )
