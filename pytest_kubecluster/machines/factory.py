"""Which kind of machines a cluster has."""

from __future__ import annotations

from pathlib import Path

from pytest_kubecluster.cluster.registry import ClusterFolder, cache_folder
from pytest_kubecluster.machines.base import BundledMachines, Machines
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.existing.inventory import InventoryMachines
from pytest_kubecluster.machines.existing.vagrantfile import VagrantfileMachines
from pytest_kubecluster.machines.vm.base import vm_megabytes
from pytest_kubecluster.machines.vm.box_source import BoxSource
from pytest_kubecluster.machines.vm.kvm import kvm_works
from pytest_kubecluster.machines.vm.libvirt import IMAGES, LibvirtMachines
from pytest_kubecluster.machines.vm.virtualbox import VirtualBoxMachines

_CONTAINER_MEGABYTES = 200
_EMULATOR_MEGABYTES = 1024
"""What QEMU takes for the code it translates (tb-size, one gigabyte by default)."""


def bundled_machines(
    folder: ClusterFolder, provider: str, box: BoxSource | None = None
) -> BundledMachines:
    """Return the machines of ours that the cluster in ``folder`` has, or is going to have.

    They boot from ``box``, or from what is our own.
    """
    if provider == "libvirt":
        return LibvirtMachines(folder.name, folder.path, box)
    if provider == "virtualbox":
        return VirtualBoxMachines(folder.name, folder.path, box)
    return ContainerMachines(folder.name, folder.path, box.where if box else None)


def machine_megabytes(provider: str, *, real: bool) -> int:
    """Return the memory that a machine takes of this host; ``real`` is whether its kubelet is."""
    if provider == "docker":
        return _CONTAINER_MEGABYTES
    emulated = provider == "libvirt" and not kvm_works()
    return vm_megabytes(real=real) + (_EMULATOR_MEGABYTES if emulated else 0)


def disk_folders(provider: str) -> list[Path]:
    """Return the folders that machines, and what they are made from, take room in."""
    return [cache_folder(), *([IMAGES] if provider == "libvirt" else [])]


def machines_of(folder: ClusterFolder) -> Machines:
    """Return the machines of a cluster that is in the registry, as its record says."""
    record = folder.record
    if record and record.provider == "inventory":
        return InventoryMachines()
    if record and record.provider == "vagrantfile":
        return VagrantfileMachines(
            Path(record.source), folder.logs, to_destroy=record.to_destroy, to_halt=record.to_halt
        )
    return bundled_machines(folder, record.provider if record else "docker")
