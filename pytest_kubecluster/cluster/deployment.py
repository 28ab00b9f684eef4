"""What a run puts on the nodes: keys, files, the kubelet, and Ansible to bring them there."""

from __future__ import annotations

import filecmp
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_kubecluster.ansible.events import TaskRun
from pytest_kubecluster.ansible.node_python import write_unpacker
from pytest_kubecluster.ansible.run import (
    KubeletInstall,
    Provisioning,
    ProvisioningResult,
    Target,
    provision,
)
from pytest_kubecluster.artifacts.control_plane import admin_kubeconfig
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.control_plane import (
    ControlPlane,
    files_of_masters,
    place_programs,
)
from pytest_kubecluster.cluster.registry import ClusterFolder
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import KubeletBinary
from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.launcher import INSTALLED, executable_name, runtime_for
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.process import Commands
from pytest_kubecluster.util.progress import Progress, Span


@dataclass(frozen=True)
class MachineTraits:
    """What provisioning has to know of the kind of machines."""

    forks: int
    """How many nodes to work on at the same time."""
    mount_folders: bool = False
    """Whether the nodes see a folder of this host, so that a kubelet need not be uploaded."""
    inventory: Mapping[str, Any] | None = None
    """The content of the inventory that the nodes come from, if they do."""


@dataclass(frozen=True)
class Deployment:
    """Provisions the nodes of a cluster as its spec states, from the cluster's folder."""

    spec: ClusterSpec
    settings: Settings
    folder: ClusterFolder
    commands: Commands
    progress: Progress
    machines: MachineTraits

    @property
    def ready(self) -> Path:
        """A file that is there once nodes can be provisioned; Ansible starts before."""
        return self.folder.path / "ready"

    def pki(self) -> Pki:
        """Return the cluster's certificates, created if they are missing."""
        return ensure_pki(self.folder.subfolder("pki"))

    def files(self, node: str) -> Path:
        """Return the folder with the rendered files of a node."""
        return self.folder.subfolder("files") / node

    def kubelets(self) -> Path:
        """Return the folder that the nodes see as their installed kubelets, if these are real."""
        return self.folder.subfolder("kubelets")

    def control_plane_programs(self) -> Path | None:
        """Return the folder that masters see as the programs of a real control plane, if any."""
        if self.settings.control_plane_binaries is None or not self.machines.mount_folders:
            return None
        folder = self.folder.subfolder("control-plane")
        place_programs(self.settings, folder)
        return folder

    def admin_kubeconfig(self) -> Path | None:
        """Return the kubeconfig of an administrator; None without a control plane."""
        if self.spec.control_plane is None:
            return None
        return admin_kubeconfig(self.spec, self.pki(), self.folder.path / "kubeconfig")

    def render(self, *, foreign_pki: bool = False) -> None:
        """Write the rendered files of all nodes; ``foreign_pki`` is for nodes with other keys."""
        files = self.folder.subfolder("files")
        write_files(self.spec, self.pki(), files, foreign_pki=foreign_pki)

    def provision(self, nodes: Sequence[Node], timeout: float) -> ProvisioningResult:
        """Run the playbook on ``nodes``. Raises KubeClusterError."""
        self.render()
        python, unpacker = self.settings.python, self.folder.path / "unpack-python"
        if python and not unpacker.exists():
            write_unpacker(Path(python.where), unpacker)
        work = Provisioning(
            self.spec,
            [Target(node.spec, node.access) for node in nodes],
            self._install(),
            self.pki(),
            folder=self.folder.subfolder("ansible"),
            ready=self.ready,
            forks=self.machines.forks,
            playbook=self.settings.playbook,
            python_unpacker=unpacker if python else None,
            inventory=self.machines.inventory,
            own_folder=self.settings.ansible_folder,
            existing=self.settings.machines.existing,
            control_plane=files_of_masters(self.spec, self.settings, self.pki()),
            control_plane_upload=self._control_plane_upload(),
        )

        def on_end(run: TaskRun) -> None:
            span = Span("provision", run.node, run.started, run.seconds, run.task, run.outcome)
            self.progress.record(span)

        step = self.progress.step
        with self._control_plane(nodes).admitting() if self.spec.control_plane else nullcontext():
            return provision(work, self.commands, timeout=timeout, on_task=step, on_end=on_end)

    def provision_running(self, nodes: Sequence[Node], deadline: float) -> Mapping[str, int]:
        """Run the playbook on nodes that are up, wait for their kubelets, and return the changes.

        Raises KubeClusterError.
        """
        changed = self.provision(nodes, deadline - time.monotonic()).changed
        self.wait_for_kubelets(nodes, deadline)
        if self.spec.control_plane:
            self.wait_for_nodes(nodes, deadline)
        return changed

    def wait_for_kubelets(self, nodes: Sequence[Node], deadline: float) -> None:
        """Wait until all kubelets are healthy, and look at them.

        API servers come first, as a kubelet that joins is healthy only with one. Raises
        KubeClusterError for whatever does not come up.
        """
        if self.spec.control_plane:
            self._control_plane(nodes).wait_for_api_servers(deadline)

        def wait(node: Node) -> None:
            # The deadline is stretched already, and a node would stretch what it is given.
            seconds = max(1.0, deadline - time.monotonic()) / node.access.timeout_factor
            with self.progress.on_node("start", node.name):
                node.wait_until_healthy(seconds, restarts=0)
                if not node.spec.kubelet.bootstrap_kubeconfig:
                    look(node)

        each_in_parallel(wait, nodes, limit=self.machines.forks)

    def wait_for_nodes(self, nodes: Sequence[Node], deadline: float) -> str:
        """Wait until all nodes are Ready, and return how many are, as text.

        Nodes that join are looked at then.
        """
        plane = self._control_plane(nodes)
        ready = plane.wait_for_nodes(deadline)
        plane.finish_joining()
        joined = [node for node in nodes if node.spec.kubelet.bootstrap_kubeconfig]
        each_in_parallel(look, joined, limit=self.machines.forks)
        return ready

    def _control_plane(self, nodes: Sequence[Node]) -> ControlPlane:
        kubeconfig = self.admin_kubeconfig()
        assert kubeconfig is not None
        return ControlPlane(self.spec, self.pki(), kubeconfig, nodes, self.progress)

    def _install(self) -> KubeletInstall:
        """Return how the kubelet gets onto the nodes; its file is at hand afterwards."""
        binary = self.settings.binary
        name = binary.name if binary else executable_name(self.spec.version)
        path = f"{INSTALLED}/{self.spec.image_tag}/{name}"
        if binary is None:
            hollow = self.folder.path / "hyperkube"
            write_atomically(hollow, render_hollow(self.spec.version), 0o755)
            return KubeletInstall(path, copy=hollow)
        install = KubeletInstall(path, runtime=runtime_for(self.spec.version))
        if self.machines.mount_folders:
            return replace(install, replaced=self._place_kubelet(binary))
        return replace(install, upload=binary.path)

    def _control_plane_upload(self) -> Sequence[tuple[str, Path]]:
        """Return the programs of the control plane to copy; nodes may see a folder with them."""
        binaries = self.settings.control_plane_binaries
        if binaries is None or self.machines.mount_folders:
            return ()
        return binaries.files

    def _place_kubelet(self, binary: KubeletBinary) -> bool:
        """Put a real kubelet where the nodes see it, and return whether it replaced another."""
        folder = self.kubelets()
        path = folder / self.spec.image_tag / binary.name
        if path.exists() and filecmp.cmp(path, binary.path):
            return False
        replaced = path.exists()
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
            fresh = Path(temporary) / binary.name
            # A copy: the file itself may be written to while nodes run it.
            shutil.copy2(binary.path, fresh)
            fresh.replace(path)
        return replaced


def look(node: Node) -> None:
    """Take the first look at a node, which all tests share; if it fails, only its tests do."""
    try:
        node.refresh()
    except KubeClusterError as error:
        node.access = replace(node.access, problem=str(error))
