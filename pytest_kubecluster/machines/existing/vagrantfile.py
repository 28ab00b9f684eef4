"""The machines of a project's existing Vagrantfile, which is used as it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.base import Machines, MachinesRecord
from pytest_kubecluster.machines.existing.role_patterns import RolePatterns
from pytest_kubecluster.machines.existing.ssh_arguments import add_option
from pytest_kubecluster.machines.ssh import SshOptions
from pytest_kubecluster.machines.vagrant import NOT_CREATED, RUNNING, Vagrant, decoded
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.util.process import Commands
from pytest_kubecluster.util.resources import provisioning

_REMOVE_SECONDS = 600.0
_ASK_SECONDS = 120.0
_SETTING = re.compile(r"\s+(?P<keyword>[A-Za-z]\w*)\s+(?P<value>\S.*)")


@dataclass(frozen=True)
class ExistingVagrantfile:
    """The machines of a Vagrantfile that are nodes, and their states when it was read."""

    folder: Path
    machines: tuple[Machine, ...]
    states: Mapping[str, str]
    """The state of each, as Vagrant calls it: ``running``, ``not_created``, ``poweroff``."""
    left_out: tuple[str, ...] = ()
    """The machines whose names match no role."""
    not_booted: tuple[str, ...] = ()
    """The machines that do not run, and that ``vagrant up`` would not boot."""

    @property
    def running(self) -> tuple[str, ...]:
        """The machines that already run."""
        return self._in(lambda state: state == RUNNING)

    @property
    def to_create(self) -> tuple[str, ...]:
        """The machines that do not exist yet."""
        return self._in(lambda state: state == NOT_CREATED)

    @property
    def to_start(self) -> tuple[str, ...]:
        """The machines that exist and do not run."""
        return self._in(lambda state: state not in (RUNNING, NOT_CREATED))

    @property
    def without_address(self) -> tuple[str, ...]:
        """The machines that have to be asked for their addresses, which are all."""
        return tuple(machine.name for machine in self.machines)

    def explain_left_out(self) -> str:
        """Return a line about the machines that are not nodes, or nothing if all are."""
        reasons = (
            (self.left_out, "left out because no role matches the name (--kube-roles)"),
            (self.not_booted, "not booted because of autostart: false"),
        )
        return "; ".join(f"{reason}: {', '.join(names)}" for names, reason in reasons if names)

    def _in(self, is_wanted: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(m.name for m in self.machines if is_wanted(self.states[m.name]))


class VagrantfileMachines(Machines):
    """Machines of an existing Vagrantfile, some of which a run booted."""

    tools: ClassVar[Mapping[str, str]] = {"vagrant": "vagrant", "ssh": "openssh-client"}

    def __init__(
        self, folder: Path, logs: Path, *, to_destroy: Sequence[str], to_halt: Sequence[str]
    ) -> None:
        """Manage the machines that a run has to undo; ``logs`` is the folder for Vagrant's log."""
        self._folder = folder
        self._logs = logs
        self._to_destroy = to_destroy
        self._to_halt = to_halt

    @classmethod
    def recorded(cls, record: MachinesRecord) -> VagrantfileMachines:
        """Return the machines of a Vagrantfile, with what a run has to undo."""
        return cls(
            Path(record.source),
            record.logs,
            to_destroy=record.to_destroy,
            to_halt=record.to_halt,
        )

    def machine(self, node: str) -> str:
        """Return the name that the Vagrantfile has for the node."""
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


def read_vagrantfile(folder: Path, patterns: RolePatterns) -> ExistingVagrantfile:
    """Return the machines of the Vagrantfile in ``folder`` whose names match a role.

    Machines with ``autostart: false`` are used if they run, and not booted otherwise. All have to
    be asked for their addresses. Raises KubeClusterError naming the Vagrantfile and its problem.
    """
    name = os.environ.get("VAGRANT_VAGRANTFILE", "Vagrantfile")
    if folder.is_file():
        raise KubeClusterError(f"{folder} is a file; name the folder it is in")
    # Vagrant itself would also look in the folders above.
    if not (folder / name).is_file():
        raise KubeClusterError(f"there is no {name} in {folder}")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_without_autostart, folder, folder / name)
        states = {s.name: s.state for s in _vagrant(folder, None, _ASK_SECONDS).status()}
        spare = {machine for machine in asked.result() if states.get(machine) != RUNNING}
    roles = {machine: patterns.role_of(machine) for machine in states}
    machines = [
        Machine(machine, role, NO_ADDRESS)
        for machine, role in roles.items()
        if (role == "master" or role == "worker") and machine not in spare
    ]
    if not machines:
        raise KubeClusterError(
            f"{folder / name} has no machine that is a master or a worker: {', '.join(states)}\n"
            "  give machines a role with --kube-roles='PATTERN=master PATTERN=worker'"
        )
    left_out = tuple(machine for machine, role in roles.items() if role is None)
    not_booted = tuple(
        m for m, role in roles.items() if m in spare and role in ("master", "worker")
    )
    return ExistingVagrantfile(folder, tuple(machines), states, left_out, not_booted)


def boot(
    own: ExistingVagrantfile, commands: Commands, *, timeout: float, on_line: Callable[[str], None]
) -> Mapping[str, SshOptions]:
    """Boot the machines that do not run, and return how all are reached. Raises CommandError."""
    if asleep := [*own.to_create, *own.to_start]:
        _vagrant(own.folder, commands, timeout, on_line).boot(*asleep)
    names = [machine.name for machine in own.machines]
    return parse_ssh_config(_vagrant(own.folder, commands, timeout).ssh_config(*names))


def reboot_command(own: ExistingVagrantfile, machine: str) -> tuple[str, ...]:
    """Return the command of this host that reboots a machine."""
    return ("env", f"VAGRANT_CWD={own.folder}", "vagrant", "reload", "--no-provision", machine)


def parse_ssh_config(text: str) -> dict[str, SshOptions]:
    """Return the options of each machine from what ``vagrant ssh-config`` prints.

    Lines that a Vagrantfile prints are skipped.
    """
    hosts: dict[str, dict[str, str]] = {}
    options: dict[str, str] = {}
    for line in text.splitlines():
        if host := re.fullmatch(r"Host (\S+)", line):
            options = hosts.setdefault(host[1], {})
        elif setting := _SETTING.fullmatch(line):
            add_option(options, setting["keyword"], setting["value"])
    return dict(hosts)


def _without_autostart(folder: Path, vagrantfile: Path) -> list[str]:
    """Return the machines that have ``autostart: false``; none if the Vagrantfile is invalid."""
    environment = {
        "VAGRANT_VAGRANTFILE": str(provisioning() / "autostart.rb"),
        "KUBECLUSTER_VAGRANTFILE": str(vagrantfile.resolve()),
    }
    vagrant = _vagrant(folder, None, _ASK_SECONDS, environment=environment)
    try:
        # Of all commands this one does the least beside loading the Vagrantfile.
        printed = vagrant.output("list-commands", "--machine-readable")
    except KubeClusterError:
        return []
    reports = [report for report in decoded(printed) if report.kind == "autostart"]
    return [report.machine for report in reports if report.values != ("true",)]


def _vagrant(
    folder: Path,
    commands: Commands | None,
    timeout: float,
    on_line: Callable[[str], None] = lambda line: None,
    environment: Mapping[str, str] = {},
) -> Vagrant:
    # The user's own Vagrant keeps its home, its state and its plugins.
    ours = {"VAGRANT_NO_COLOR": "1", "VAGRANT_CHECKPOINT_DISABLE": "1", **environment}
    return Vagrant(folder, commands, env={**os.environ, **ours}, timeout=timeout, on_line=on_line)
