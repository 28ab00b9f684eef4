"""A cluster of machines that are not ours: used as they are, and left as they are."""

from __future__ import annotations

import getpass
import time
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Generic, TypeVar

from pytest_kubecluster.ansible.node_python import no_python
from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.cluster.booted import Cluster, Parting
from pytest_kubecluster.cluster.config import ASK, Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.existing.inventory import Inventory
from pytest_kubecluster.machines.existing.survey import check_password, survey
from pytest_kubecluster.machines.existing.vagrantfile import OwnVagrantfile, boot, reboot_command
from pytest_kubecluster.machines.ssh import Ssh, SshOptions, write_ssh_config
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.model import NOT_ASKED, ClusterSpec, NodeSpec
from pytest_kubecluster.util.progress import Progress, count

Own = TypeVar("Own")

_SSH_CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
"""What says how machines are reached, where the inventory does not."""


@dataclass(frozen=True)
class Reach:
    """How a machine is reached and used, as far as that is known without asking it."""

    ssh_options: SshOptions
    reboot: tuple[str, ...] = ()
    python: str = ""
    sudo_password: str = field(default="", repr=False)


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
        self._addresses: dict[str, IPv4Address] = {}

    def join(self, placed: Callable[[Mapping[str, IPv4Address]], ClusterSpec]) -> None:
        """Get to know the machines, provision them if that is asked for, and look at all.

        ``placed`` returns the spec for addresses by node, which only the machines could tell. A
        machine that cannot be used has its reason in its node, for the tests that want it. Raises
        KubeClusterError if none can be used.
        """
        deadline = time.monotonic() + self.settings.timeout
        with self._all_or_nothing():
            reach = self._find(deadline)
            machines = count(len(self.spec.nodes), "machine")
            with self.progress.phase("connect", f"connecting to {machines}") as phase:
                self.nodes = self._meet(reach)
                if self._addresses:
                    self.spec = placed(self._addresses)
                    self.nodes = tuple(replace(n, spec=self.spec[n.name]) for n in self.nodes)
                phase.detail = f"{len(self._usable)} of {machines}"
            for node in self.nodes:
                if node.access.problem:
                    self.progress.say(f"not used: {node.access.problem}")
            if self.settings.provisions:
                self._ready.touch()
                with self.progress.phase("provision", "running the playbook") as phase:
                    phase.detail = self._changes(self._provision_running(deadline))
            elif not self._looks_at_once:
                self._write_files()
                with self.progress.phase("look", f"looking at {machines}") as phase:
                    self._at_once(self._look, self._usable)
                    phase.detail = f"{len(self._usable)} looked at"
            self.booted.touch()

    @property
    def parting(self) -> Parting:
        """The machines are left as they were."""
        return Parting("leave", "closing the connections", "the machines are left as they were")

    @property
    def _looks_at_once(self) -> bool:
        """Whether a machine can be looked at while we are there anyway: one connection less."""
        known = all(node.address != NOT_ASKED for node in self.spec)
        return known and not self.settings.provisions

    def _write_files(self) -> None:
        write_files(self.spec, self.pki, self.folder.subfolder("files"), foreign_pki=True)

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

    def _meet(self, reach: Mapping[str, Reach]) -> tuple[Node, ...]:
        """Log in to all machines and learn of each what it takes to use it."""
        password = self.settings.sudo_password
        if password == ASK:
            password = _asked_password()
        config = self.folder.subfolder("ssh") / "config"
        ssh = write_ssh_config(
            config,
            {name: one.ssh_options for name, one in reach.items()},
            sockets=self.folder.sockets(),
            include=[path.expanduser() for path in _SSH_CONFIGS],
        )
        files = self.folder.subfolder("files")
        if self._looks_at_once:
            self._write_files()

        def meet(spec: NodeSpec) -> Node:
            host = reach[spec.name]
            node = Node(spec, Access(str(config), str(files / spec.name), host.reboot))
            try:
                node.access = self._met(ssh, node, host, password)
                if self._looks_at_once:
                    node.refresh()
            except KubeClusterError as error:
                node.access = replace(node.access, problem=str(error))
            finally:
                if self._bounded:
                    ssh.disconnect(spec.name)
            return node

        return tuple(self._at_once(meet, self.spec))

    def _met(self, ssh: Ssh, node: Node, host: Reach, password: str) -> Access:
        """Return what it takes to use a machine. Raises KubeClusterError."""
        name = node.name
        ssh.connect_now(name)
        seen = survey(ssh, name, host.python)
        if node.address == NOT_ASKED:
            try:
                self._addresses[name] = seen.address
            except ValueError as error:
                raise KubeClusterError(
                    f"{name}: {error}\n  say it in kubecluster.toml: [node.{name}] address = …"
                ) from None
        python = seen.python or (self._python if self.settings.python else "")
        if not python:
            raise KubeClusterError(no_python(name, provisions=self.settings.provisions))
        access = replace(node.access, is_root=seen.is_root, python=python)
        if seen.is_root or seen.free_sudo:
            return access
        password = host.sudo_password or password
        if not password:
            raise KubeClusterError(
                f"{name}: sudo asks for a password; give it as ansible_become_password in the "
                "inventory, or with --kube-sudo-password"
            )
        check_password(ssh, name, password)
        return replace(access, sudo_password=password)

    def _look(self, node: Node) -> None:
        """Take the first look, which all tests share; who cannot be looked at says so to each."""
        try:
            node.refresh()
        except KubeClusterError as error:
            node.access = replace(node.access, problem=str(error))
        finally:
            if self._bounded:
                Ssh(self.folder.ssh_config).disconnect(node.name)


class InventoryCluster(JoinedCluster[Inventory]):
    """The hosts of an inventory, which already run."""

    def _find(self, deadline: float) -> Mapping[str, Reach]:
        self._enter(source=str(self._own.path))
        return {
            host.machine.name: Reach(
                host.ssh_options, python=host.python, sudo_password=host.sudo_password
            )
            for host in self._own.hosts
        }

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
        return {name: Reach(options[name], reboot_command(own, name)) for name in options}


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
