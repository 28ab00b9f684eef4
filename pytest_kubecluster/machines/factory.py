"""Which kind of machines a cluster has."""

from __future__ import annotations

from pathlib import Path

from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.vm.base import vm_megabytes
from pytest_kubecluster.machines.vm.box_source import BoxSource
from pytest_kubecluster.machines.vm.kvm import kvm_works
from pytest_kubecluster.machines.vm.libvirt import IMAGES, LibvirtMachines
from pytest_kubecluster.machines.vm.virtualbox import VirtualBoxMachines
from pytest_kubecluster.util.paths import cache_folder

_CONTAINER_MEGABYTES = 200
_EMULATOR_MEGABYTES = 1024
"""What QEMU takes for the code it translates (tb-size, one gigabyte by default)."""


def bundled_machines(
    name: str, folder: Path, provider: str, box: BoxSource | None = None
) -> BundledMachines:
    """Return the machines of ours that the cluster ``name`` has, or is going to have.

    ``folder`` is the cluster's folder on this host. They boot from ``box``, or from our own.
    """
    if provider == "libvirt":
        return LibvirtMachines(name, folder, box)
    if provider == "virtualbox":
        return VirtualBoxMachines(name, folder, box)
    return ContainerMachines(name, folder, box.where if box else None)


def machine_megabytes(provider: str, *, real: bool) -> int:
    """Return the memory that a machine takes of this host; ``real`` is whether its kubelet is."""
    if provider == "docker":
        return _CONTAINER_MEGABYTES
    emulated = provider == "libvirt" and not kvm_works()
    return vm_megabytes(real=real) + (_EMULATOR_MEGABYTES if emulated else 0)


def disk_folders(provider: str) -> list[Path]:
    """Return the folders that machines, and what they are made from, take room in."""
    return [cache_folder(), *([IMAGES] if provider == "libvirt" else [])]
