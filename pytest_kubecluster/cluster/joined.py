"""Clusters of existing machines: used as they are, and left as they are."""

from __future__ import annotations

import getpass
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_kubecluster.cluster.cluster import Cluster, Parting
from pytest_kubecluster.cluster.config import ASK
from pytest_kubecluster.cluster.deployment import MachineTraits
from pytest_kubecluster.cluster.through_api import registered_besides
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
from pytest_kubecluster.machines.existing.vagrantfile import (
    ExistingVagrantfile,
    boot,
    reboot_command,
)
from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.progress import count

Existing = Inventory | ExistingVagrantfile

_LEAVE = Parting("leave", "closing the connections", "the machines are left as they were")
_SSH_CONFIGS = (Path("~/.ssh/config"), Path("/etc/ssh/ssh_config"))
"""What configures ssh besides the inventory."""


class Joining:
    """Makes a cluster of existing machines: surveys them, provisions them if asked, looks."""

    def __init__(self, cluster: Cluster, existing: Existing) -> None:
        """Prepare to use the machines ``existing``; no machine is contacted yet."""
        self._cluster = cluster
        self._existing = existing
        self._deadline = 0.0
        self._reach: Mapping[str, Reach] = {}
        self._surveys: Mapping[str, Survey] = {}
        self._sudo_password = cluster.settings.sudo_password
        cluster.parting = _parting(existing)

    def survey(self) -> Mapping[str, IPAddress]:
        """Boot what does not run, and return the addresses that only the machines know, by node.

        A machine whose address cannot be determined is missing there. Raises KubeClusterError.
        """
        cluster, settings = self._cluster, self._cluster.settings
        self._deadline = time.monotonic() + settings.timeout
        if left_out := self._existing.explain_left_out():
            cluster.progress.say(left_out)
        self._enter()
        with cluster.all_or_nothing():
            self._reach = self._find()
            if self._sudo_password == ASK:
                self._sudo_password = _ask_password()
            cluster.folder.subfolder("ssh")
            ssh = write_ssh_config(
                cluster.folder.ssh_config,
                {name: reach.ssh_options for name, reach in self._reach.items()},
                sockets=cluster.folder.sockets(),
                include=[path.expanduser() for path in _SSH_CONFIGS],
            )
            unknown = {name: self._reach[name] for name in self._existing.without_address}
            if unknown:
                machines = count(len(unknown), "machine")
                with cluster.progress.phase("survey", f"asking {machines} for addresses") as phase:
                    self._surveys = survey_machines(
                        ssh,
                        unknown,
                        sudo_password=self._sudo_password,
                        forks=settings.forks,
                        keep_connections=not self._bounded,
                    )
                    phase.detail = f"{machines} asked for addresses"
        return {name: seen.address for name, seen in self._surveys.items() if seen.address}

    def join(self, spec: ClusterSpec) -> None:
        """Use the surveyed machines as nodes of ``spec``: provision them if asked, look at all.

        A machine that cannot be used has the reason in its access, for the tests that use it.
        Raises KubeClusterError if none can be used.
        """
        cluster, provisions = self._cluster, self._cluster.settings.provisions
        with cluster.all_or_nothing():
            cluster.follow(spec)
            machines = count(len(spec.nodes), "machine")
            if not provisions:
                cluster.deployment.render(foreign_pki=True)
            with cluster.progress.phase("connect", f"connecting to {machines}") as phase:
                forks = cluster.settings.forks
                cluster.nodes = tuple(each_in_parallel(self._meet, spec, limit=forks))
                phase.detail = f"{len(cluster.usable())} of {machines}"
            cluster.warn_of_unusable()
            if provisions:
                cluster.deployment.ready.touch()
                cluster.provision_in_phase(self._deadline)
            self._ask_the_api_server()
            cluster.booted.touch()

    def _ask_the_api_server(self) -> None:
        """Say which nodes an API server has besides; raise KubeClusterError if it cannot be asked.

        A machine that is not registered fails the test that asks for its Node object.
        """
        cluster = self._cluster
        if cluster.settings.kubeconfig is None:
            return
        server = ApiServer(cluster.settings.kubeconfig)
        try:
            others = registered_besides(server, cluster.nodes)
        except KubeClusterError as error:
            raise KubeClusterError(f"--kube-kubeconfig: {error}") from None
        if others:
            cluster.progress.say(
                f"not checked, since the {cluster.settings.machines.name} does not have them: "
                f"{', '.join(others)}, registered at {server.url}"
            )

    def _enter(self) -> None:
        existing, cluster = self._existing, self._cluster
        forks = cluster.settings.forks
        if isinstance(existing, Inventory):
            cluster.enter(source=str(existing.path))
            cluster.describe_machines(MachineTraits(forks, inventory=existing.content))
        else:
            # Recorded before they are booted, so that they are removed even if this run is killed.
            cluster.enter(
                source=str(existing.folder),
                to_destroy=existing.to_create,
                to_halt=existing.to_start,
            )
            cluster.describe_machines(MachineTraits(forks))

    def _find(self) -> Mapping[str, Reach]:
        """Boot the machines that do not run, and return how each is reached."""
        existing, cluster = self._existing, self._cluster
        if isinstance(existing, Inventory):
            return existing.reach
        asleep = count(len(existing.to_create) + len(existing.to_start), "machine")
        with cluster.progress.phase("boot", f"booting {asleep}") as phase:
            options = boot(
                existing,
                cluster.deployment.commands,
                timeout=self._deadline - time.monotonic(),
                on_line=cluster.progress.step,
            )
            phase.detail = f"{asleep} booted, {len(existing.running)} up already"
        return {
            name: Reach(options[name], reboot_command(existing, name), by_vagrant=True)
            for name in options
        }

    def _meet(self, spec: NodeSpec) -> Node:
        with self._cluster.progress.on_node("connect", spec.name):
            return self._greet(spec)

    def _greet(self, spec: NodeSpec) -> Node:
        """Log in to a machine, survey it, and take the first look, which all tests share."""
        cluster, name, reach = self._cluster, spec.name, self._reach[spec.name]
        ssh = Ssh(cluster.folder.ssh_config)
        survey = self._surveys.get(name)
        if survey is None:
            survey = survey_machine(ssh, name, reach, sudo_password=self._sudo_password)
        python = cluster.python if cluster.settings.python else ""
        files = str(cluster.deployment.files(name))
        access = Access(
            str(ssh.config),
            files,
            reach.reboot,
            python=python,
            kubeconfig=str(cluster.settings.kubeconfig or ""),
            own_control_plane=False,
        )
        node = Node.of(cluster.spec, name, survey.access(access))
        try:
            if not node.access.problem:
                self._check(node, survey)
                if not cluster.settings.provisions:
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
            provisions = self._cluster.settings.provisions
            raise KubeClusterError(python_missing(node.name, survey, provisions=provisions))

    @property
    def _bounded(self) -> bool:
        """Whether there are more nodes than connections that may be open."""
        return len(self._cluster.spec.nodes) > self._cluster.settings.forks


def _parting(existing: Existing) -> Parting:
    """Return what becomes of the machines: those that this run booted do not stay."""
    if isinstance(existing, Inventory):
        return _LEAVE
    undone = []
    if existing.to_create:
        undone.append(f"{count(len(existing.to_create), 'machine')} removed")
    if existing.to_start:
        undone.append(f"{count(len(existing.to_start), 'machine')} halted")
    if not undone:
        return _LEAVE
    if existing.running:
        undone.append(f"{len(existing.running)} left running")
    return Parting("destroy", "undoing what this run booted", ", ".join(undone))


def _ask_password() -> str:
    """Return the password that is typed at the terminal. Raises KubeClusterError without one."""
    try:
        with warnings.catch_warnings():
            # It would be read from standard input, and shown.
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass("kubecluster: password for sudo on your machines: ")
    except (getpass.GetPassWarning, OSError, EOFError):
        raise KubeClusterError(
            "--kube-sudo-password=ask: there is no terminal to ask at; name a file that has the "
            "password in its first line"
        ) from None
