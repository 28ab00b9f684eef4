"""Which kind of machines a cluster has."""

from __future__ import annotations

from pathlib import Path

from pytest_kubecluster.containers import ContainerMachines
from pytest_kubecluster.inventory import InventoryMachines
from pytest_kubecluster.machines import BundledMachines, Machines
from pytest_kubecluster.state import ClusterFolder
from pytest_kubecluster.vagrantfile import VagrantfileMachines


def bundled_machines(
    folder: ClusterFolder, provider: str, box: str | None = None
) -> BundledMachines:
    """Return the machines of ours that the cluster in ``folder`` has, or is going to have.

    They boot from ``box``, or from what is our own.
    """
    return ContainerMachines(folder.name, folder.path, box)


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
