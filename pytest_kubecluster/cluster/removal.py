"""Removes clusters: one whose lock this process holds, and those that ended runs left behind."""

from __future__ import annotations

from dataclasses import replace

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.registry import ClusterFolder, abandoned_clusters
from pytest_kubecluster.cluster.sources import Docker
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.base import Machines, MachinesRecord
from pytest_kubecluster.machines.factory import check_tools, recorded_machines
from pytest_kubecluster.util.process import end_processes_of
from pytest_kubecluster.util.progress import Progress


def remove_abandoned(progress: Progress, settings: Settings) -> None:
    """Remove what ended runs left behind, as far as it can be removed now.

    Raises KubeClusterError if this run's own machines lack a tool.
    """
    check_tools(settings.machines.name)
    for abandoned in abandoned_clusters():
        progress.say(f"removing cluster {abandoned.name}, which an ended run left behind")
        try:
            remove_cluster(abandoned, keep_logs=False)
        except KubeClusterError as error:
            # Docker or libvirt may be stopped, or hold on to something. This run needs none of it.
            reason = str(error).partition("\n")[0]
            progress.warn(
                f"cluster {abandoned.name}, which an ended run left behind, cannot be removed now: "
                f"{reason} (try again with: kubecluster gc)"
            )


def remove_cluster(folder: ClusterFolder, *, keep_logs: bool) -> None:
    """Remove all of a cluster whose lock this process holds: machines, networks, keys, state.

    Raises KubeClusterError if something cannot be removed. The cluster stays in the registry in
    that case, without an owner, for ``gc``.
    """
    folder.disown()
    try:
        # Processes of a killed run that still boot or provision the machines.
        end_processes_of(folder.path)
        machines_of(folder).destroy()
    except BaseException:
        folder.lock.release()
        raise
    folder.remove(keep_logs=keep_logs)


def machines_of(folder: ClusterFolder) -> Machines:
    """Return the machines of a cluster in the registry, as its record describes them."""
    record = folder.read()
    known = MachinesRecord(folder.name, folder.path, folder.logs)
    if record is None:
        return recorded_machines(Docker.name, known)
    known = replace(
        known, source=record.source, to_destroy=record.to_destroy, to_halt=record.to_halt
    )
    return recorded_machines(record.provider, known)
