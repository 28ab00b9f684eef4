"""Machines of a Vagrantfile that a project has already: used as it is, by Vagrant as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.base import Machines
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.machines.ssh import SshOptions
from pytest_kubecluster.machines.vagrant import NOT_CREATED, RUNNING, Vagrant
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.util.process import Commands

_REMOVE_SECONDS = 600.0
_ASK_SECONDS = 120.0
_UNWANTED = ("LogLevel",)
"""What Vagrant says of ssh that would hide why a login fails."""


@dataclass(frozen=True)
class OwnVagrantfile:
    """The machines of a Vagrantfile that are nodes, and their states when it was read."""

    folder: Path
    machines: tuple[Machine, ...]
    states: Mapping[str, str]
    """The state of each, as Vagrant calls it: ``running``, ``not_created``, ``poweroff``."""
    left_out: tuple[str, ...] = ()
    """The machines whose names tell no role."""

    @property
    def without_address(self) -> tuple[str, ...]:
        """The machines that have to be asked for their addresses, which are all."""
        return tuple(machine.name for machine in self.machines)

    def explain_left_out(self) -> str:
        """Return a line about the machines that are not nodes, or nothing if all are."""
        names = ", ".join(self.left_out)
        return f"left out because the name tells no role: {names} (--kube-roles)" if names else ""

    @property
    def running(self) -> tuple[str, ...]:
        """The machines that already run."""
        return self._in(lambda state: state == RUNNING)

    @property
    def to_create(self) -> tuple[str, ...]:
        """The machines that are not there yet."""
        return self._in(lambda state: state == NOT_CREATED)

    @property
    def to_start(self) -> tuple[str, ...]:
        """The machines that are there and do not run."""
        return self._in(lambda state: state not in (RUNNING, NOT_CREATED))

    def _in(self, fits: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(machine.name for machine in self.machines if fits(self.states[machine.name]))


class VagrantfileMachines(Machines):
    """Machines of a Vagrantfile of one's own, of which a run booted some."""

    tools: ClassVar[Mapping[str, str]] = {"vagrant": "vagrant", "ssh": "openssh-client"}

    def __init__(
        self, folder: Path, logs: Path, *, to_destroy: Sequence[str], to_halt: Sequence[str]
    ) -> None:
        """Know what a run must undo; ``logs`` is the folder for Vagrant's."""
        self._folder = folder
        self._logs = logs
        self._to_destroy = to_destroy
        self._to_halt = to_halt

    def machine(self, node: str) -> str:
        """Return what the Vagrantfile calls the node."""
        return node

    def running(self) -> Sequence[str]:
        """Return the names of the machines that run."""
        states = _vagrant(self._folder, None, _ASK_SECONDS).status()
        return [status.name for status in states if status.state == RUNNING]

    def destroy(self) -> None:
        """Remove the machines that were created, and halt those that were started."""
        vagrant = _vagrant(self._folder, Commands(self._logs), _REMOVE_SECONDS)
        if self._to_destroy:
            vagrant.run("destroy", "--force", *self._to_destroy)
        if self._to_halt:
            vagrant.run("halt", *self._to_halt)


def read_vagrantfile(folder: Path, patterns: RolePatterns) -> OwnVagrantfile:
    """Return the machines of the Vagrantfile in ``folder`` whose names ``patterns`` give a role.

    Their addresses are to be asked of them. Raises KubeClusterError naming the Vagrantfile and what
    is wrong with it.
    """
    name = os.environ.get("VAGRANT_VAGRANTFILE", "Vagrantfile")
    if folder.is_file():
        raise KubeClusterError(f"{folder} is a file; name the folder it is in")
    # Vagrant itself would go on looking, in the folders above.
    if not (folder / name).is_file():
        raise KubeClusterError(f"there is no {name} in {folder}")
    states = {s.name: s.state for s in _vagrant(folder, None, _ASK_SECONDS).status()}
    roles = {machine: patterns.role_of(machine) for machine in states}
    nodes = ((m, role) for m, role in roles.items() if role == "master" or role == "worker")
    machines = [Machine(machine, role, NO_ADDRESS) for machine, role in nodes]
    left_out = tuple(machine for machine, role in roles.items() if role is None)
    if not machines:
        raise KubeClusterError(
            f"{folder / name} has no machine that is a master or a worker: {', '.join(states)}\n"
            "  give machines a role with --kube-roles='PATTERN=master PATTERN=worker'"
        )
    return OwnVagrantfile(folder, tuple(machines), states, left_out)


def boot(
    own: OwnVagrantfile, commands: Commands, *, timeout: float, on_line: Callable[[str], None]
) -> Mapping[str, SshOptions]:
    """Boot the machines that do not run, and return how all are reached. Raises CommandError."""
    if asleep := [*own.to_create, *own.to_start]:
        _vagrant(own.folder, commands, timeout, on_line).boot(*asleep)
    names = [machine.name for machine in own.machines]
    return read_ssh_config(_vagrant(own.folder, commands, timeout).ssh_config(*names))


def reboot_command(own: OwnVagrantfile, machine: str) -> tuple[str, ...]:
    """Return the command of this host that reboots a machine."""
    return ("env", f"VAGRANT_CWD={own.folder}", "vagrant", "reload", "--no-provision", machine)


def read_ssh_config(text: str) -> dict[str, SshOptions]:
    """Return what ``vagrant ssh-config`` prints, by machine."""
    hosts: dict[str, dict[str, str]] = {}
    options: dict[str, str] = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        keyword, value = re.split(r"\s+", line, maxsplit=1)
        if keyword == "Host":
            options = hosts.setdefault(value, {})
        elif keyword not in _UNWANTED:
            # There may be several keys, and a line for each.
            before = f"{options[keyword]}\n  {keyword} " if keyword in options else ""
            options[keyword] = before + value
    return dict(hosts)


def _vagrant(
    folder: Path,
    commands: Commands | None,
    timeout: float,
    on_line: Callable[[str], None] = lambda line: None,
) -> Vagrant:
    # Of the person's own Vagrant all is as ever: its home, its state, its plugins.
    environment = {**os.environ, "VAGRANT_NO_COLOR": "1", "VAGRANT_CHECKPOINT_DISABLE": "1"}
    return Vagrant(folder, commands, env=environment, timeout=timeout, on_line=on_line)
