"""Virtual machines, whatever runs them: booted by Vagrant from a box, found again by their name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pytest_kubecluster.machines.base import BundledMachines
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
from pytest_kubecluster.machines.vm.box_source import BoxSource
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands
from pytest_kubecluster.util.resources import provisioning


class VirtualMachines(BundledMachines):
    """What the virtual machines of a cluster have in common.

    Their names begin with the cluster's. Vagrant is called once, to boot; everything after is asked
    of what runs them itself, which finds what a killed Vagrant left behind, too.
    """

    provider: ClassVar[str]
    sees_this_host = False
    patience = 2.0

    def __init__(self, name: str, folder: Path, box: BoxSource | None = None) -> None:
        """Know the machines of the cluster ``name``, which has the folder ``folder`` here.

        They boot from ``box``, or from our own one.
        """
        super().__init__(folder)
        self._label = f"kubecluster-{name}"
        self._box = box

    def made_of(self, *, real: bool) -> str:
        """Return the name of the box."""
        if self._box:
            return self._box.name_for(self.provider)
        return own_box_name(variant_for(real=real))

    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Build our own box or fetch the other one, if it is not here. Raises KubeClusterError."""
        if self._box:
            ensure_box(self._box, self.provider, commands, cache_folder(), say)
        else:
            ensure_own_box(variant_for(real=real), commands, cache_folder(), say)

    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a machine for every node of ``spec`` and wait until Vagrant calls them ready."""
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
        """Make what the machines need, and return what the bundled Vagrantfile is told of them.

        ``box`` is the folder of their box, and ``megabytes`` the memory that each has.
        """

    def machine(self, node: str) -> str:
        """Return the name of a node's machine."""
        return f"{self._label}.{node}"

    def _is_ours(self, machine: str) -> bool:
        # A cluster's name has no dot, so that one which begins with another's is not taken for it.
        return machine.startswith(self.machine(""))


def vm_megabytes(*, real: bool) -> int:
    """Return the memory of a machine; ``real`` is whether its kubelet is."""
    return 2048 if real else 512


def login_script(key: SshKey) -> str:
    """Return the script that lets nobody but the cluster's ``key`` into somebody else's box."""
    script = (provisioning() / "login").read_text()
    return script.replace("@USER@", USER).replace("@KEY@", key.public)
