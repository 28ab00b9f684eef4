"""What every kind of machines can do: boot, be reached, be watched, be removed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import ClassVar

from pytest_kubecluster.machines.box_source import BoxSource
from pytest_kubecluster.machines.preflight import (
    Requirement,
    disk_requirements,
    memory_requirement,
)
from pytest_kubecluster.machines.ssh import SshOptions, booted_ssh_options
from pytest_kubecluster.machines.ssh_key import SshKey, ensure_ssh_key
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.paths import cache_folder
from pytest_kubecluster.util.process import Commands


@dataclass(frozen=True)
class MachinesRecord:
    """What the registry has on the machines of one cluster, for the process that removes them."""

    cluster: str
    folder: Path
    """The cluster's folder on this host."""
    logs: Path
    source: str = ""
    """The folder of the user's Vagrantfile, or the path of the inventory."""
    to_destroy: Sequence[str] = ()
    to_halt: Sequence[str] = ()
    """The machines of that Vagrantfile which a run created, or only started."""


class Machines(ABC):
    """The machines of one cluster, found by its name."""

    tools: ClassVar[Mapping[str, str]]
    """The programs that they need on this host, and the Debian package of each."""

    @classmethod
    @abstractmethod
    def recorded(cls, record: MachinesRecord) -> Machines:
        """Return the machines of a cluster that another process may have booted."""

    @classmethod
    def service_requirements(cls) -> Iterable[Requirement]:
        """Yield whether the service that runs them can be used."""
        return ()

    @abstractmethod
    def machine(self, node: str) -> str:
        """Return the name of a node's machine."""

    @abstractmethod
    def running(self) -> Sequence[str]:
        """Return the names of the nodes whose machines run."""

    @abstractmethod
    def destroy(self) -> None:
        """Remove everything that a run created. Raises KubeClusterError naming what is left."""


class BundledMachines(Machines):
    """Machines that a run creates for its cluster, from the bundled Vagrantfile."""

    provider: ClassVar[str]
    """What Vagrant calls their provider."""
    sees_this_host: ClassVar[bool]
    """Whether a folder of this host can be mounted into a node."""

    def __init__(self, name: str, folder: Path, box: BoxSource | None = None) -> None:
        """Describe the machines of the cluster ``name``, which has the folder ``folder`` here.

        They boot from ``box``, or from the bundled one.
        """
        self.name = name
        self._folder = folder / "vagrant"
        self._ssh = folder / "ssh"
        self._box = box

    @classmethod
    def recorded(cls, record: MachinesRecord) -> BundledMachines:
        """Return the machines of a cluster that another process may have booted."""
        return cls(record.cluster, record.folder)

    @classmethod
    def node_megabytes(cls, *, real: bool) -> int:
        """Return the memory of this host that a machine takes; ``real`` describes its kubelet."""
        raise NotImplementedError

    @classmethod
    def disk_folders(cls) -> Sequence[Path]:
        """Return the folders in which machines, and what they are made from, take room."""
        return [cache_folder()]

    @classmethod
    def room_requirements(cls, nodes: int, *, real: bool) -> Iterator[Requirement]:
        """Yield whether this host has room for ``nodes`` machines."""
        yield memory_requirement(nodes, cls.node_megabytes(real=real))
        yield from disk_requirements(cls.disk_folders())

    @classmethod
    def source_requirements(cls, *, real: bool) -> Iterator[Requirement]:
        """Yield whether what machines boot from is there, or can be made."""
        yield from ()

    @abstractmethod
    def timeout_factor(self) -> float:
        """Return how many times as long as with containers things may take."""

    @abstractmethod
    def made_of(self, *, real: bool) -> str:
        """Return an identifier of the image or box that changes when its content does.

        ``real`` machines have everything that a real kubelet needs.
        """

    @abstractmethod
    def prepare(self, commands: Commands, say: Callable[[str], None], *, real: bool) -> None:
        """Build or fetch the image or box. Raises KubeClusterError."""

    def claim(self, network: IPv4Network) -> None:
        """Create the machines' network. Raises NetworkTakenError if it is taken by now."""

    def ssh_options(self, spec: ClusterSpec, folder: Path) -> Mapping[str, SshOptions]:
        """Return how each node is reached: by its address, with the cluster's own key.

        ``folder`` is a path of the cluster's folder that ssh's configuration can hold.
        """
        return booted_ssh_options(spec, folder / self._ssh.name / self._key().path.name)

    def console(self, node: str) -> Sequence[str]:
        """Return the last lines on a node's console, if they are available."""
        return ()

    def reboot_command(self, node: str) -> Sequence[str]:
        """Return the command of this host that reboots a node; empty if the node does it itself."""
        return ()

    def _key(self) -> SshKey:
        return ensure_ssh_key(self._ssh)

    @abstractmethod
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
        """Boot a machine for every node of ``spec`` within ``timeout`` seconds.

        ``kubelets`` is a folder with real kubelets, and ``control_plane`` one with the programs of
        a real control plane; they are mounted into nodes that see this host. Raises CommandError
        if Vagrant fails or takes longer.
        """
