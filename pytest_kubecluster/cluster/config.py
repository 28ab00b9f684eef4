"""The settings of one run, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kubecluster.cluster.sources import (
    Bundled,
    Docker,
    Download,
    Hollow,
    MachineSource,
)
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.spec.defaults import LayoutName
from pytest_kubecluster.spec.model import ControlPlaneSpec
from pytest_kubecluster.spec.specfile import SpecFile
from pytest_kubecluster.spec.version import KubeVersion

if TYPE_CHECKING:
    from pytest_kubecluster.ansible.node_python import PythonTarball
    from pytest_kubecluster.kubelet.binary import KubeletBinary
    from pytest_kubecluster.kubelet.control_plane import ControlPlaneBinaries
    from pytest_kubecluster.machines.box_source import BoxSource

ASK = "ask"
FOUND = "found"


@dataclass(frozen=True)
class Settings:
    """The settings of one run."""

    version: KubeVersion
    bundled_layout: LayoutName = "classic"
    """The layout of nodes that the bundled playbook makes."""
    masters: int = 3
    workers: int = 1
    machines: MachineSource = Docker()
    kubelet: Hollow | Download | KubeletBinary = Hollow()
    control_plane: Hollow | Download | ControlPlaneBinaries | None = None
    """The control plane to run on the masters."""
    network: IPv4Network | None = None
    """The requested subnet; None for the default one, or the next free one."""
    tolerate: frozenset[str] = frozenset()
    """The features of the host, of TOLERABLE, that a real kubelet is configured to allow."""
    timeout: float = Docker.timeout
    """Seconds that booting and provisioning may take."""
    report: Path | None = None
    """The folder to write a report to."""
    keep: str = "never"
    """``never``, ``failed`` or ``always``."""
    reuse: str | None = None
    """The name of the kept cluster to use, empty for the project's last one, None to boot one."""
    python: PythonTarball | None = None
    """The Python to install on nodes."""
    playbook: Path | None = None
    """The playbook to run instead of the bundled one."""
    provision: bool | None = None
    """Whether to provision the machines; None for the default of their source."""
    roles: RolePatterns = RolePatterns()
    """The user's patterns for the roles of existing machines."""
    forks: int = 10
    """How many existing machines to work on at the same time."""
    sudo_password: str = field(default="", repr=False)
    """The password for sudo on existing machines; ASK to prompt for it."""
    disturb: bool = False
    """Whether tests may disturb machines that this run did not boot."""
    kubeconfig: Path | None = None
    """The user's kubeconfig, through which existing machines are looked at."""
    version_stated: bool = True
    """Whether the user states the version, or it is the default."""
    spec_file: SpecFile = SpecFile()
    """The project's kubecluster.toml."""
    ansible_folder: Path | None = None
    """Where the user's Ansible is configured, if the run uses their playbook or inventory."""

    @property
    def box(self) -> BoxSource | None:
        """The image or box that the machines boot from; None for the bundled one."""
        return self.machines.box if isinstance(self.machines, Bundled) else None

    @property
    def binary(self) -> KubeletBinary | None:
        """The real kubelet to run; None for the hollow one and for one to be downloaded."""
        return None if isinstance(self.kubelet, Hollow | Download) else self.kubelet

    @property
    def control_plane_binaries(self) -> ControlPlaneBinaries | None:
        """The real control plane to run; None for a hollow one, one to be downloaded, or none."""
        plane = self.control_plane
        return None if plane is None or isinstance(plane, Hollow | Download) else plane

    @property
    def control_plane_spec(self) -> ControlPlaneSpec | None:
        """What the control plane must be; None where the masters run none."""
        if self.control_plane is None:
            return None
        binaries = self.control_plane_binaries
        version = binaries.version if binaries else self.version
        return ControlPlaneSpec(
            version,
            hollow=isinstance(self.control_plane, Hollow),
            # A playbook of the user's own installs the files that it knows.
            tls_bootstrap=self.playbook is None,
        )

    @property
    def layout(self) -> LayoutName:
        """The layout of the nodes: only what the bundled playbook makes is known to the byte."""
        theirs = self.playbook is not None or (self.machines.existing and not self.provisions)
        return "found" if theirs else self.bundled_layout

    @property
    def provisions(self) -> bool:
        """Whether this run provisions the machines."""
        return self.machines.provisioned if self.provision is None else self.provision

    @property
    def real(self) -> bool:
        """Whether the nodes get everything that a real kubelet needs."""
        return not isinstance(self.kubelet, Hollow)

    @property
    def kind(self) -> str:
        """The kubelets that are judged: ``real``, ``hollow``, or ``found`` on the machines."""
        if not self.provisions:
            return FOUND
        pretends = self.binary is not None and self.binary.hollow
        return "real" if self.real and not pretends else "hollow"
