"""The machines of a cluster, of whatever kind: how they are reached, watched, rebooted, removed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Network
from pathlib import Path
from typing import ClassVar, Protocol

from pytest_kubecluster.machines.ssh import SshOptions, own_ssh_options
from pytest_kubecluster.machines.ssh_key import SshKey, ensure_ssh_key
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.process import Commands


class Machines(Protocol):
    """The machines of one cluster, as far as they are found again by its name."""

    def machine(self, node: str) -> str:
        """Return what a node's machine is called where it comes from."""

    def running(self) -> Sequence[str]:
        """Return the names of the nodes whose machines run."""

    def destroy(self) -> None:
        """Remove all that a run of ours made. Raises KubeClusterError naming what is left."""


class BundledMachines(Machines, ABC):
    """Machines that are ours: made for this cluster from the bundled Vagrantfile."""

    sees_this_host: ClassVar[bool]
    """Whether the nodes can be shown a folder of this host."""

    def __init__(self, folder: Path) -> None:
        """Know the machines of the cluster that has ``folder`` on this host."""
        self._folder = folder / "vagrant"
        self._ssh = folder / "ssh"

    @property
    @abstractmethod
    def patience(self) -> float:
        """How many times as long as with containers things may take."""

    @abstractmethod
    def made_of(self, *, real: bool) -> str:
        """Return what a machine is made from, as a name that changes when that does.

        ``real`` machines have all that a real kubelet needs.
        """

    @abstractmethod
    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Have what machines are made from at hand. Raises KubeClusterError."""

    def claim(self, network: IPv4Network) -> None:
        """Take the machines' network. Raises NetworkTakenError if somebody else has it by now."""

    def ssh_options(self, spec: ClusterSpec) -> Mapping[str, SshOptions]:
        """Return how each node is reached: by its address, with the cluster's own key."""
        return own_ssh_options(spec, self._key.path)

    def console(self, node: str) -> Sequence[str]:
        """Return the last lines on a node's console, as far as they can be had."""
        return ()

    def reboot_command(self, node: str) -> Sequence[str]:
        """Return this host's command that reboots a node; none where the node does it itself."""
        return ()

    @property
    def _key(self) -> SshKey:
        return ensure_ssh_key(self._ssh)

    @abstractmethod
    def up(
        self,
        spec: ClusterSpec,
        commands: Commands,
        *,
        kubelets: Path | None,
        timeout: float,
        on_line: Callable[[str], None],
    ) -> None:
        """Boot a machine for every node of ``spec``, within ``timeout`` seconds.

        ``kubelets`` is a folder that nodes which see this host have as their installed real
        kubelets. Raises CommandError if Vagrant fails or takes longer.
        """
