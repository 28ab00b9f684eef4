"""Removes clusters: one whose lock is held, and those that ended runs left behind."""

from __future__ import annotations

from pathlib import Path

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.registry import ClusterFolder, abandoned_clusters
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.base import Machines
from pytest_kubecluster.machines.existing.inventory import InventoryMachines
from pytest_kubecluster.machines.existing.vagrantfile import VagrantfileMachines
from pytest_kubecluster.machines.factory import bundled_machines
from pytest_kubecluster.machines.preflight import check_tools
from pytest_kubecluster.util.process import end_processes_of
from pytest_kubecluster.util.progress import Progress


def remove_abandoned(progress: Progress, settings: Settings) -> None:
    """Remove what ended runs left behind. Raises KubeClusterError where the tools are not there."""
    check_tools(settings.machines.name)
    for abandoned in abandoned_clusters():
        progress.say(f"removing cluster {abandoned.name}, which an ended run left behind")
        try:
            remove_cluster(abandoned, keep_logs=False)
        except KubeClusterError as error:
            record = abandoned.record
            if record is None or record.provider == settings.machines.name:
                raise
            # What runs them need not be up for machines of another kind.
            progress.say(f"cluster {abandoned.name} is left for later: {error}")
            abandoned.lock.release()


def remove_cluster(folder: ClusterFolder, *, keep_logs: bool) -> None:
    """Remove all of a cluster whose lock we hold: machines, networks, keys, state.

    Raises KubeClusterError if something does not let itself be removed.
    """
    # What still boots or provisions it, where its run was killed.
    end_processes_of(folder.path)
    machines_of(folder).destroy()
    folder.remove(keep_logs=keep_logs)


def machines_of(folder: ClusterFolder) -> Machines:
    """Return the machines of a cluster that is in the registry, as its record says."""
    record = folder.record
    if record and record.provider == "inventory":
        return InventoryMachines()
    if record and record.provider == "vagrantfile":
        return VagrantfileMachines(
            Path(record.source), folder.logs, to_destroy=record.to_destroy, to_halt=record.to_halt
        )
    return bundled_machines(folder.name, folder.path, record.provider if record else "docker")
