"""Virtual machines of any hypervisor: booted by Vagrant from a box, found by their names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.box_source import BoxSource
from pytest_kubecluster.machines.recipe import variant_for
from pytest_kubecluster.machines.ssh import USER
from pytest_kubecluster.machines.ssh_key import SshKey
from pytest_kubecluster.machines.vagrant import vagrant_for_plan
from pytest_kubecluster.machines.vm.box_build import (
    box_folder,
    ensure_box,
    ensure_own_box,
    link_box,
    own_box_name,
)
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands
from pytest_kubecluster.util.resources import provisioning


class VirtualMachines(BundledMachines):
    """What the virtual machines of a cluster have in common.

    Their names begin with the cluster's. Vagrant is called once, to boot. Everything else goes to
    the hypervisor directly, which also finds what a killed Vagrant left behind.
    """

    sees_this_host = False

    def __init__(self, name: str, folder: Path, box: BoxSource | None = None) -> None:
        """Describe the machines of the cluster ``name``."""
        super().__init__(name, folder, box)
        self._label = f"kubecluster-{name}"

    @classmethod
    def node_megabytes(cls, *, real: bool) -> int:
        """Return the memory of a machine."""
        return vm_megabytes(real=real)

    def timeout_factor(self) -> float:
        """Return how much slower a virtual machine may be than a container."""
        return 2.0

    def made_of(self, *, real: bool) -> str:
        """Return the name of the box."""
        if self._box:
            return self._box.name_for(self.provider)
        return own_box_name(variant_for(real=real))

    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Build the bundled box, or fetch the given one, if necessary. Raises KubeClusterError."""
        if self._box:
            ensure_box(self._box, self.provider, commands, cache_folder(), say, self.disks_of_box)
        else:
            ensure_own_box(variant_for(real=real), commands, cache_folder(), say)

    @staticmethod
    def disks_of_box(metadata: Mapping[str, Any]) -> Sequence[str]:
        """Return the files that a box with this metadata must contain, beside the metadata."""
        return ()

    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        control_plane: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a machine for every node of ``spec`` and wait until Vagrant reports them ready."""
        real = kubelets is not None
        box = box_folder(cache_folder(), self.made_of(real=real))
        plan = {
            "provider": self.provider,
            "boot_timeout": int(timeout),
            "box": self._label,
            **self._plan(spec, box, vm_megabytes(real=real)),
        }
        vagrant = vagrant_for_plan(plan, self._folder, commands, timeout, on_line)
        link_box(box, self._folder / "home", self._label, self.provider)
        vagrant.boot(f"--provider={self.provider}")

    @abstractmethod
    def _plan(self, spec: ClusterSpec, box: Path, megabytes: int) -> Mapping[str, Any]:
        """Create what the machines need, and return the plan for the bundled Vagrantfile.

        ``box`` is the folder of their box, and ``megabytes`` the memory of each.
        """

    def machine(self, node: str) -> str:
        """Return the name of a node's machine."""
        return f"{self._label}.{node}"

    def _is_ours(self, machine: str) -> bool:
        # Cluster names have no dot: a name that begins with another one is not mistaken for it.
        return machine.startswith(self.machine(""))


def vm_megabytes(*, real: bool) -> int:
    """Return the memory of a machine; ``real`` describes its kubelet."""
    return 2048 if real else 512


def login_script(key: SshKey) -> str:
    """Return the script that makes the cluster's ``key`` the only login of a box from elsewhere."""
    script = (provisioning() / "login").read_text()
    return script.replace("@USER@", USER).replace("@KEY@", key.public)
