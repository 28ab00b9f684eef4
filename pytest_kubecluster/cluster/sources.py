"""Where the machines and the kubelets of a run come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pytest_kubecluster.machines.box_source import BoxSource

_CONTAINER_SECONDS = 300.0
_VM_SECONDS = 1800.0
"""Default time to boot: emulated machines take minutes."""


@dataclass(frozen=True)
class Hollow:
    """The bundled stand-in of a kubelet."""


@dataclass(frozen=True)
class Download:
    """The official release of a kubelet, which is downloaded before the cluster boots."""

    mirror: str | None = None
    """A URL or a folder to download from, instead of dl.k8s.io/release."""


@dataclass(frozen=True)
class Bundled:
    """Machines that a run boots itself, with a Vagrant provider, and removes."""

    box: BoxSource | None = None
    """The image or box to boot from, instead of the bundled one."""

    name: ClassVar[str]
    existing: ClassVar[bool] = False
    provisioned: ClassVar[bool] = True
    shares_kernel: ClassVar[bool] = False
    boots_images: ClassVar[bool] = False
    """Whether they boot from images of Docker instead of Vagrant's boxes."""
    needs_box: ClassVar[bool] = False
    timeout: ClassVar[float] = _VM_SECONDS


class Docker(Bundled):
    """Containers, which run on the kernel of this host."""

    name = "docker"
    shares_kernel = True
    boots_images = True
    timeout = _CONTAINER_SECONDS


class Libvirt(Bundled):
    """Virtual machines of libvirt, emulated without KVM."""

    name = "libvirt"


class VirtualBox(Bundled):
    """Virtual machines of VirtualBox, for which there is no bundled box."""

    name = "virtualbox"
    needs_box = True


PROVIDERS: dict[str, type[Bundled]] = {kind.name: kind for kind in (Docker, Libvirt, VirtualBox)}


@dataclass(frozen=True)
class Existing:
    """Existing machines of the user, at ``path``."""

    path: Path

    name: ClassVar[str]
    existing: ClassVar[bool] = True
    provisioned: ClassVar[bool]
    """Whether the machines are provisioned by default."""
    shares_kernel: ClassVar[bool] = False
    timeout: ClassVar[float]


class FromInventory(Existing):
    """The hosts of the Ansible inventory at ``path``, which already run."""

    name = "inventory"
    provisioned = False
    timeout = _CONTAINER_SECONDS


class FromVagrantfile(Existing):
    """The machines of the user's Vagrantfile in the folder ``path``, booted where necessary."""

    name = "vagrantfile"
    provisioned = True
    timeout = _VM_SECONDS


class FromKubeconfig(Existing):
    """The nodes of the cluster that the kubeconfig at ``path`` names, without ssh."""

    name = "kubeconfig"
    provisioned = False
    timeout = _CONTAINER_SECONDS


MachineSource = Bundled | Existing
