"""What the person asked for, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from pytest_kubecluster.ansible.node_python import PythonTarball
from pytest_kubecluster.kubelet.binary import KubeletBinary
from pytest_kubecluster.machines.existing.role_patterns import DEFAULT_ROLES, RolePatterns
from pytest_kubecluster.machines.vm.box_source import BoxSource
from pytest_kubecluster.spec.specfile import SpecFile
from pytest_kubecluster.spec.version import KubeVersion

HOLLOW, DOWNLOAD, FOUND = "hollow", "download", "found"
ASK = "ask"


@dataclass(frozen=True)
class Settings:
    """The options of one run."""

    provider: str
    masters: int
    workers: int
    version: KubeVersion
    network: IPv4Network | None
    """The subnet asked for; None for the default one, or another if that is taken."""
    kubelet: KubeletBinary | None
    """The real kubelet to run, or None for the hollow one, and for one still to be downloaded."""
    download: bool
    """Whether the real kubelet is to be downloaded."""
    mirror: str | None
    """Where it is downloaded from; None for the official place."""
    tolerate: frozenset[str]
    """What of the host, of TOLERABLE, a real kubelet shall put up with."""
    timeout: float
    """Seconds the whole boot may take."""
    report: Path | None
    """The folder for the report, if one is wanted."""
    keep: str
    """``never``, ``failed`` or ``always``."""
    reuse: str | None
    """The name of the kept cluster to use, empty for the project's own, None to boot one."""
    box: BoxSource | None = None
    """What the machines boot from, or None for what is our own."""
    python: PythonTarball | None = None
    """The Python to bring to the nodes, if they need one."""
    playbook: Path | None = None
    """The playbook to run instead of the bundled one."""
    inventory: Path | None = None
    """The inventory of machines that already run."""
    vagrantfile: Path | None = None
    """The folder of the user's own Vagrantfile."""
    provision: bool | None = None
    """Whether machines are to be provisioned, where that is said."""
    roles: RolePatterns = RolePatterns.parse(DEFAULT_ROLES)
    """Which roles machines of one's own have."""
    forks: int = 10
    """How many machines of one's own are worked on at the same time."""
    sudo_password: str = field(default="", repr=False)
    """The password for sudo on machines of one's own; ASK is to be asked for."""
    disturb: bool = False
    """Whether tests may disturb machines that this run did not boot."""
    spec_file: SpecFile = SpecFile()
    """The project's own description of its cluster."""
    ansible_folder: Path | None = None
    """Where the user's own Ansible is configured, if it has a part in this."""

    @property
    def source(self) -> str:
        """Where the machines come from: ``inventory``, ``vagrantfile``, or a provider's name."""
        if self.inventory:
            return "inventory"
        return "vagrantfile" if self.vagrantfile else self.provider

    @property
    def own_machines(self) -> bool:
        """Whether the machines are the user's: an inventory's, or those of their Vagrantfile."""
        return self.inventory is not None or self.vagrantfile is not None

    @property
    def shares_kernel(self) -> bool:
        """Whether the nodes run on this host's kernel."""
        return self.source == "docker"

    @property
    def provisions(self) -> bool:
        """Whether this run makes kubelet nodes of the machines."""
        return self.inventory is None if self.provision is None else self.provision

    @property
    def real(self) -> bool:
        """Whether a kubelet is given that gets all that a real one needs."""
        return self.download or self.kubelet is not None

    @property
    def kind(self) -> str:
        """``real``, ``hollow``, or ``found`` there: what verdicts are about."""
        if not self.provisions:
            return FOUND
        pretends = self.kubelet is not None and self.kubelet.hollow
        return "real" if self.real and not pretends else "hollow"
