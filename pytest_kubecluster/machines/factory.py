"""Finds the kind of machines that a name stands for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_kubecluster.machines.base import BundledMachines, Machines, MachinesRecord
from pytest_kubecluster.machines.box_source import BoxSource
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.existing.inventory import InventoryMachines
from pytest_kubecluster.machines.existing.vagrantfile import VagrantfileMachines
from pytest_kubecluster.machines.preflight import (
    Requirement,
    complain,
    kernel_requirement,
    problems,
    python_requirement,
    tool_requirements,
)
from pytest_kubecluster.machines.vm.libvirt import LibvirtMachines
from pytest_kubecluster.machines.vm.virtualbox import VirtualBoxMachines
from pytest_kubecluster.spec.model import ClusterSpec

_BUNDLED: dict[str, type[BundledMachines]] = {
    kind.provider: kind for kind in (ContainerMachines, LibvirtMachines, VirtualBoxMachines)
}
_KINDS: dict[str, type[Machines]] = {
    **_BUNDLED,
    "inventory": InventoryMachines,
    "kubeconfig": InventoryMachines,
    "vagrantfile": VagrantfileMachines,
}


def bundled_machines(
    name: str, folder: Path, provider: str, box: BoxSource | None = None
) -> BundledMachines:
    """Return the machines of the cluster ``name``, whether they are booted yet or not.

    ``folder`` is the cluster's folder on this host, and ``box`` what they boot from, if not the
    bundled one.
    """
    return _BUNDLED[provider](name, folder, box)


def recorded_machines(kind: str, record: MachinesRecord) -> Machines:
    """Return the machines of a cluster in the registry, of any kind."""
    return _KINDS[kind].recorded(record)


def check_tools(kind: str = ContainerMachines.provider) -> None:
    """Check that what machines of a kind need is installed, new enough, and answers.

    Raises KubeClusterError with all problems, one line each, and the way out.
    """
    machines = _KINDS[kind]
    complain(
        problems(tool_requirements(machines.tools)) or problems(machines.service_requirements())
    )


def check_room(provider: str, spec: ClusterSpec, *, real: bool) -> None:
    """Check that this host has room for the machines of ``spec``.

    ``real`` is whether their kubelets are real ones. Raises KubeClusterError with all problems,
    one line each, and the way out.
    """
    complain(problems(_BUNDLED[provider].room_requirements(len(spec.nodes), real=real)))


def host_requirements(kind: str, spec: ClusterSpec | None, *, real: bool) -> Iterator[Requirement]:
    """Yield all that this host must have for machines of a kind, whether it has it or not.

    What depends on something that is missing is left out; without ``spec``, so is room for nodes.
    """
    machines = _KINDS[kind]
    yield python_requirement()
    tools = [*tool_requirements(machines.tools)]
    yield from tools
    if spec and kind == ContainerMachines.provider:
        yield kernel_requirement(spec, real=real)
    services = [*machines.service_requirements()] if not problems(tools) else []
    yield from services
    if spec and kind in _BUNDLED:
        yield from _BUNDLED[kind].room_requirements(len(spec.nodes), real=real)
        if not problems([*tools, *services]):
            yield from _BUNDLED[kind].source_requirements(real=real)
