"""A cluster of machines that are not ours: used as they are, and left as they are."""

from __future__ import annotations

import getpass
import time
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.cluster.booted import Cluster, Parting
from pytest_kubecluster.cluster.config import ASK, Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.existing.inventory import Inventory
from pytest_kubecluster.machines.existing.survey import (
    Reach,
    Survey,
    address_missing,
    python_missing,
    survey_machine,
    survey_machines,
)
from pytest_kubecluster.machines.existing.vagrantfile import OwnVagrantfile, boot, reboot_command
from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.progress import Progress, count

Own = TypeVar("Own", bound=Inventory | OwnVagrantfile)

_SSH_CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
"""What says how machines are reached, where the inventory does not."""


class JoinedCluster(Cluster, Generic[Own]):
    """Machines of the user's. They are looked at, and provisioned if that is asked for."""

    def __init__(
        self,
        own: Own,
        spec: ClusterSpec,
        settings: Settings,
        project: Path,
        progress: Progress,
    ) -> None:
        """Prepare to use the machines of ``own``; nobody is asked anything yet."""
        super().__init__(spec, settings, project, progress)
        self._own = own
        self._deadline = 0.0
        self._reach: Mapping[str, Reach] = {}
        self._surveys: Mapping[str, Survey] = {}
        self._sudo_password = settings.sudo_password

    def survey(self) -> Mapping[str, IPv4Address]:
        """Have all machines run, and return the addresses that only they know, by node.

        A machine that does not tell its address has none there. Raises KubeClusterError.
        """
        self._deadline = time.monotonic() + self.settings.timeout
        if left_out := self._own.explain_left_out():
            self.progress.say(left_out)
        with self._all_or_nothing():
            self._reach = self._find(self._deadline)
            if self._sudo_password == ASK:
                self._sudo_password = _asked_password()
            self.folder.subfolder("ssh")
            ssh = write_ssh_config(
                self.folder.ssh_config,
                {name: one.ssh_options for name, one in self._reach.items()},
                sockets=self.folder.sockets(),
                include=[path.expanduser() for path in _SSH_CONFIGS],
            )
            unknown = {name: self._reach[name] for name in self._own.without_address}
            if unknown:
                machines = count(len(unknown), "machine")
                with self.progress.phase("survey", f"asking {machines} for addresses") as phase:
                    self._surveys = survey_machines(
                        ssh,
                        unknown,
                        sudo_password=self._sudo_password,
                        forks=self.settings.forks,
                        keep_connections=not self._bounded,
                    )
                    phase.detail = f"{machines} asked for addresses"
        return {name: seen.address for name, seen in self._surveys.items() if seen.address}

    def join(self, spec: ClusterSpec) -> None:
        """Use the surveyed machines as nodes of ``spec``: provision them if asked, look at all.

        A machine that cannot be used has its reason in its node, for the tests that want it. Raises
        KubeClusterError if none can be used.
        """
        self.spec = spec
        with self._all_or_nothing():
            machines = count(len(spec.nodes), "machine")
            if not self.settings.provisions:
                write_files(spec, self.pki, self.folder.subfolder("files"), foreign_pki=True)
            with self.progress.phase("connect", f"connecting to {machines}") as phase:
                self.nodes = tuple(self._at_once(self._meet, spec))
                phase.detail = f"{len(self._usable)} of {machines}"
            for node in self.nodes:
                if node.access.problem:
                    self.progress.warn(f"not used: {node.access.problem}")
            if self.settings.provisions:
                self._ready.touch()
                with self.progress.phase("provision", "running the playbook") as phase:
                    phase.detail = self._changes(self._provision_running(self._deadline))
            self.booted.touch()

    @property
    def parting(self) -> Parting:
        """The machines are left as they were."""
        return Parting("leave", "closing the connections", "the machines are left as they were")

    @property
    def _at_a_time(self) -> int:
        return self.settings.forks

    @property
    def _sees_this_host(self) -> bool:
        return False

    @property
    def _bounded(self) -> bool:
        """Whether there are more nodes than connections that may be open."""
        return len(self.spec.nodes) > self.settings.forks

    @abstractmethod
    def _find(self, deadline: float) -> Mapping[str, Reach]:
        """Enter the registry, have all machines run, and return how each is reached."""

    def _meet(self, spec: NodeSpec) -> Node:
        """Log in to a machine, survey it, and take the first look, which all tests share."""
        name, reach = spec.name, self._reach[spec.name]
        ssh = Ssh(self.folder.ssh_config)
        files = self.folder.subfolder("files") / name
        survey = self._surveys.get(name)
        if survey is None:
            survey = survey_machine(ssh, name, reach, sudo_password=self._sudo_password)
        brought = self._python if self.settings.python else ""
        access = Access(str(ssh.config), str(files), reach.reboot, python=brought)
        node = Node(spec, survey.access(access))
        try:
            if not node.access.problem:
                self._check(node, survey)
                if not self.settings.provisions:
                    node.refresh()
        except KubeClusterError as error:
            node.access = replace(node.access, problem=str(error))
        finally:
            if self._bounded:
                ssh.disconnect(name)
        return node

    def _check(self, node: Node, survey: Survey) -> None:
        """Check that a machine can be used. Raises KubeClusterError."""
        if problem := address_missing(node.name, survey, self._reach[node.name], node.address):
            raise KubeClusterError(problem)
        if not node.access.python:
            provisions = self.settings.provisions
            raise KubeClusterError(python_missing(node.name, survey, provisions=provisions))


class InventoryCluster(JoinedCluster[Inventory]):
    """The hosts of an inventory, which already run."""

    def _find(self, deadline: float) -> Mapping[str, Reach]:
        self._enter(source=str(self._own.path))
        return self._own.reach

    @property
    def _ansible_inventory(self) -> Mapping[str, Any]:
        return self._own.content


class VagrantfileCluster(JoinedCluster[OwnVagrantfile]):
    """The machines of a Vagrantfile of one's own: those that do not run are booted, and removed."""

    @property
    def parting(self) -> Parting:
        """The machines that this run created are removed, those it started are halted."""
        own, undone = self._own, []
        if own.to_create:
            undone.append(f"{count(len(own.to_create), 'machine')} removed")
        if own.to_start:
            undone.append(f"{count(len(own.to_start), 'machine')} halted")
        if not undone:
            return super().parting
        if own.running:
            undone.append(f"{len(own.running)} left running")
        return Parting("destroy", "undoing what this run booted", ", ".join(undone))

    def keep(self) -> None:
        """Leave the machines running and forget them: Vagrant knows them, and so does the user."""
        self.folder.write(to_destroy=(), to_halt=())
        self.destroy(keep_logs=False)

    def _find(self, deadline: float) -> Mapping[str, Reach]:
        own = self._own
        # Before they are there: whoever removes what we leave behind must know.
        self._enter(source=str(own.folder), to_destroy=own.to_create, to_halt=own.to_start)
        assert self._commands is not None
        asleep = count(len(own.to_create) + len(own.to_start), "machine")
        with self.progress.phase("boot", f"booting {asleep}") as phase:
            options = boot(
                own,
                self._commands,
                timeout=deadline - time.monotonic(),
                on_line=self.progress.step,
            )
            phase.detail = f"{asleep} booted, {len(own.running)} up already"
        return {
            name: Reach(options[name], reboot_command(own, name), by_vagrant=True)
            for name in options
        }


def _asked_password() -> str:
    """Return the password that is typed at the terminal. Raises KubeClusterError without one."""
    try:
        with warnings.catch_warnings():
            # It would be read from standard input then, and shown.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass("kubecluster: password for sudo on your machines: ")
    except (getpass.GetPassWarning, OSError, EOFError):
        raise KubeClusterError(
            "--kube-sudo-password=ask: there is no terminal to ask at; name a file that has the "
            "password in its first line"
        ) from None


def joined_cluster(
    own: Inventory | OwnVagrantfile,
    spec: ClusterSpec,
    settings: Settings,
    project: Path,
    progress: Progress,
) -> JoinedCluster[Any]:
    """Prepare to use the user's own machines."""
    if isinstance(own, Inventory):
        return InventoryCluster(own, spec, settings, project, progress)
    return VagrantfileCluster(own, spec, settings, project, progress)
