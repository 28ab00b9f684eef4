"""A cluster from spec to nodes, and its end: one direction, and nothing left behind."""

from __future__ import annotations

import filecmp
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple, TypeVar

from filelock import Timeout

from pytest_kubecluster.ansible.node_python import write_unpacker
from pytest_kubecluster.ansible.run import (
    KubeletInstall,
    Provisioning,
    ProvisioningResult,
    Target,
    provision,
)
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import write_files
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.cluster.fingerprint import (
    Fingerprint,
    Step,
    fingerprint,
    machine_differences,
    next_step,
)
from pytest_kubecluster.cluster.network import check_network
from pytest_kubecluster.cluster.registry import ClusterFolder, Record, create_cluster_folder
from pytest_kubecluster.cluster.removal import remove_cluster
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.binary import KubeletBinary
from pytest_kubecluster.kubelet.hollow import render_hollow
from pytest_kubecluster.machines.access import BROUGHT, USUAL, Access
from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.factory import (
    bundled_machines,
    check_room,
)
from pytest_kubecluster.machines.preflight import (
    check_kernel,
)
from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config
from pytest_kubecluster.nodes.node import Node, connect
from pytest_kubecluster.spec.launcher import INSTALLED, executable_name, runtime_for
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.process import Commands, end_children_with
from pytest_kubecluster.util.progress import Progress, count

A = TypeVar("A")
B = TypeVar("B")

_RESUME_SECONDS = 10.0
"""How long a node of a kept cluster, which is up, has to let us log in."""


class Parting(NamedTuple):
    """What becomes of a cluster's machines at its end, in words."""

    phase: str
    doing: str
    done: str


class Cluster:
    """A cluster this process owns: it booted it, and it removes it."""

    def __init__(
        self, spec: ClusterSpec, settings: Settings, project: Path, progress: Progress
    ) -> None:
        """Prepare a cluster for the project in the folder ``project``; nothing boots yet."""
        self.spec = spec
        self.settings = settings
        self.progress = progress
        self._project = project
        self._folder: ClusterFolder | None = None
        self._commands: Commands | None = None
        self._logs = Path()
        self.nodes: tuple[Node, ...] = ()

    @property
    def folder(self) -> ClusterFolder:
        """The cluster's folder on this host."""
        if self._folder is None:
            raise KubeClusterError("the cluster is not up")
        return self._folder

    @property
    def exists(self) -> bool:
        """Whether there is anything of the cluster to remove."""
        return self._folder is not None

    @property
    def name(self) -> str:
        """The name that machines, networks and folders carry."""
        return self.folder.name

    @property
    def parting(self) -> Parting:
        """What ``destroy`` does to the machines."""
        return Parting("destroy", "removing the cluster", "nothing is left")

    @property
    def booted(self) -> Path:
        """A file that is there once all nodes can be used."""
        return self.folder.path / "booted"

    @property
    def logs(self) -> Path:
        """Where the logs of external commands are, also after the cluster is gone."""
        return self._logs

    @property
    def pki(self) -> Pki:
        """The cluster's certificates."""
        return ensure_pki(self.folder.subfolder("pki"))

    def claim(self, name: str | None = None) -> None:
        """Enter the cluster into the registry, where nobody else can have its name or network.

        ``name`` is made up where it is not given. Raises KubeClusterError where it cannot be had,
        or the host has no room for the cluster; NetworkTakenError if somebody was faster.
        """
        assert self.spec.network is not None
        check_room(self.settings.machines.name, self.spec, real=self.settings.real)
        if self.settings.machines.shares_kernel:
            check_kernel(self.spec, real=self.settings.real)
        check_network(self.spec.network)
        self._enter(name, network=str(self.spec.network))
        with self._all_or_nothing():
            self._machines.claim(self.spec.network)
            self._make_handles()

    def boot(self) -> None:
        """Boot, provision and wait for healthy kubelets. The cluster is claimed.

        Raises KubeClusterError; whatever it raises, nothing of the cluster is left.
        """
        with self._all_or_nothing():
            self._boot()

    def reuse(self, kept: ClusterFolder, *, provision: bool = False) -> None:
        """Take over a kept cluster, doing no more than it takes to make it what is asked for.

        With ``provision``, the playbook runs in any case. Waits for as long as a boot may take if
        another process uses the cluster. A node that cannot be reached or looked at has the reason
        in its access, for the tests that use it. Raises KubeClusterError; the cluster stays kept.
        """
        deadline = time.monotonic() + self.settings.timeout
        if self.settings.machines.shares_kernel:
            check_kernel(self.spec, real=self.settings.real)
        self._wait_for(kept, deadline)
        with self._as_it_was(kept):
            record = kept.read()
            made = Fingerprint(record.machines, record.provisioning) if record else None
            running = self._machines.running()
            alive = any(node.name in running for node in self.spec)
            wanted = self._fingerprint
            step = next_step(made, wanted, alive=alive) if made else Step.REBUILD
            if step is not Step.REBUILD:
                self._take_over(kept, running, deadline)
                if provision or step is Step.PROVISION:
                    self._provision_kept(kept, wanted, deadline)
                return
            if kept.path.exists():  # the process we waited for may have removed it
                self._check_may_rebuild(record, alive=alive, only_provision=provision)
        self.progress.say(f"cluster {kept.name} is not what is asked for; booting it anew")
        remove_cluster(kept, keep_logs=False)
        self.claim(kept.name)
        self.boot()

    def _take_over(self, kept: ClusterFolder, running: Sequence[str], deadline: float) -> None:
        kept.take()
        self._logs = kept.logs
        self._commands = Commands(self._logs)
        nodes = len(self.spec.nodes)
        with self.progress.phase("reuse", f"connecting to cluster {kept.name}") as phase:
            self._resume(running, deadline)
            self.booted.touch()
            phase.detail = f"cluster {kept.name} is up already"
            if (usable := len(self._usable)) < nodes:
                phase.detail = f"{usable} of {count(nodes, 'node')} of cluster {kept.name}"
        for node in self.nodes:
            if node.access.problem:
                self.progress.warn(f"not used: {node.access.problem}")

    def _provision_kept(self, kept: ClusterFolder, wanted: Fingerprint, deadline: float) -> None:
        # Until the playbook has ended, nothing is known of what is on the nodes.
        kept.write(provisioning="")
        with self.progress.phase("provision", "running the playbook") as phase:
            phase.detail = self._changes(self._provision_running(deadline))
        if len(self._usable) == len(self.nodes):
            kept.write(provisioning=wanted.provisioning)

    def _check_may_rebuild(
        self, record: Record | None, *, alive: bool, only_provision: bool
    ) -> None:
        """Raise KubeClusterError unless removing the kept cluster is what the user asked for.

        A project's cluster follows the project. Another project's is removed by name only, and so
        is one that was only to be provisioned.
        """
        name = self.name
        why = "its record cannot be read"
        if record and alive:
            why = machine_differences(record, self.spec, self.settings.machines.name)
        elif record:
            why = "none of its machines runs"
        if record and record.project == str(self._project) and not only_provision:
            self.progress.warn(f"cluster {name} is removed, since {why}")
            return
        owner = f" of {record.project}" if record else ""
        raise KubeClusterError(
            f"cluster {name}{owner} is not what is asked for: {why}\n"
            f"  ask for what it is, or remove it first: kubecluster destroy {name}"
        )

    def change(self, spec: ClusterSpec, settings: Settings) -> None:
        """Make the nodes' kubelets those of another spec with the same machines.

        Raises KubeClusterError; the cluster stays.
        """
        self.spec, self.settings = spec, settings
        self._make_handles()
        self._provision_running(time.monotonic() + settings.timeout)

    def stop(self) -> None:
        """End the commands of a boot that another thread is in: it fails, and removes all."""
        if self._commands:
            self._commands.stop()

    def keep(self) -> None:
        """Let go of the cluster without removing it: whoever reuses its name has it next."""
        folder, self._folder = self.folder, None
        for node in self.spec:
            Ssh(folder.ssh_config).disconnect(node.name)
        folder.keep()

    def provision(self) -> ProvisioningResult:
        """Run the playbook again on all nodes and say what it changed."""
        return self._provision(self.settings.timeout)

    def destroy(self, *, keep_logs: bool) -> None:
        """Remove machines, networks, keys and state. No signal interrupts it.

        Prints nothing. Raises KubeClusterError if something cannot be removed.
        """
        with _uninterrupted():
            if self._folder is None:
                return
            folder, self._folder = self._folder, None
            self._hang_up(folder)
            remove_cluster(folder, keep_logs=keep_logs)

    def _hang_up(self, folder: ClusterFolder) -> None:
        """End all that this process runs for the cluster: commands and connections."""
        if self._commands:
            self._commands.stop()
        for node in self.spec:
            Ssh(folder.ssh_config).disconnect(node.name)
        end_children_with(str(folder.ssh_config))

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Remove the cluster if anything goes wrong."""
        try:
            yield
        except OSError as error:
            self.destroy(keep_logs=True)
            raise _as_cluster_error(error) from error
        except BaseException:
            self.destroy(keep_logs=True)
            raise

    @contextmanager
    def _as_it_was(self, kept: ClusterFolder) -> Iterator[None]:
        """Use a kept cluster; if anything goes wrong, release it without removing anything."""
        self._folder = kept
        try:
            yield
        except BaseException as error:
            with _uninterrupted():
                self._folder = None
                self._hang_up(kept)
                kept.lock.release()
            if isinstance(error, OSError):
                error = _as_cluster_error(error)
            if isinstance(error, KubeClusterError):
                raise KubeClusterError(f"{error}\n  cluster {kept.name} is kept") from error
            raise

    def _enter(self, name: str | None = None, **recorded: object) -> None:
        """Enter the cluster into the registry, as a folder with this record of it."""
        self._folder = create_cluster_folder(self._project, name)
        self._logs = self._folder.logs
        self._commands = Commands(self._logs)
        nodes = {node.name: node.role for node in self.spec}
        source, python = self.settings.machines.name, self._python
        self._folder.write(nodes=nodes, provider=source, python=python, **recorded)

    def _wait_for(self, folder: ClusterFolder, deadline: float) -> None:
        """Take the lock of a cluster, waiting for the process that holds it."""
        if folder.try_lock():
            return
        record = folder.read()
        owner = f"process {record.pid}" if record else "another process"
        self.progress.say(f"waiting for cluster {folder.name}, which {owner} uses")
        try:
            folder.lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except Timeout:
            raise KubeClusterError(
                f"cluster {folder.name} is still used by {owner}; wait for it, or use another "
                "cluster"
            ) from None

    def _resume(self, running: Sequence[str], deadline: float) -> None:
        """Connect to the nodes of a kept cluster, and look at all of them at once."""
        self._make_handles()
        ssh, machines, commands = Ssh(self.folder.ssh_config), self._machines, self._commands
        assert commands is not None
        by = min(deadline, time.monotonic() + _RESUME_SECONDS * machines.timeout_factor())

        def look(node: Node) -> None:
            try:
                if node.name not in running:
                    machine = machines.machine(node.name)
                    raise KubeClusterError(
                        f"{node.name}: its machine {machine} does not run\n"
                        f"  boot the cluster anew with: kubecluster destroy {self.name}"
                    )
                ssh.connect(node.name, by, lambda: commands.stopped)
                node.refresh()
            except KubeClusterError as error:
                node.access = replace(node.access, problem=str(error))

        self._at_once(look, self.nodes)

    def _at_once(self, do: Callable[[A], B], things: Iterable[A]) -> list[B]:
        """Do something with each of ``things``, with as many at the same time as are allowed."""
        pool = ThreadPoolExecutor(max_workers=self._at_a_time)
        try:
            return list(pool.map(do, things))
        finally:
            # An interrupt does not wait for threads: they end when their connections are closed.
            pool.shutdown(wait=False, cancel_futures=True)

    def _boot(self) -> None:
        assert self._folder is not None
        assert self._commands is not None
        self._machines.prepare(self._commands, self.progress.say, real=self.settings.real)
        # What is made or fetched once, for all clusters, is none of this one's time.
        deadline = time.monotonic() + self.settings.timeout
        wanted = self._fingerprint
        self._folder.write(machines=wanted.machines)
        nodes = len(self.spec.nodes)
        pool = ThreadPoolExecutor(max_workers=2 * nodes + 2)
        try:
            with self.progress.phase("boot", f"booting {count(nodes, 'machine')}") as phase:
                machines = self._start_machines(pool, deadline)
                provisioning = pool.submit(self._provision, deadline - time.monotonic())
                self._connect(pool, machines, deadline)
                self._ready.touch()
                phase.detail = f"{self.spec.summary()}, provider {self.settings.machines.name}"
            with self.progress.phase("provision", "running the playbook") as phase:
                changed = provisioning.result().changed
                machines.result()
                phase.detail = self._changes(changed)
            with self.progress.phase("start", "waiting for healthy kubelets") as phase:
                self._at_once(lambda node: self._wait_for_kubelet(node, deadline), self.nodes)
                phase.detail = f"{count(nodes, 'kubelet')} healthy"
            self._folder.write(provisioning=wanted.provisioning)
            self.booted.touch()
        finally:
            # Threads that still wait end when their commands and connections are ended.
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def _machines(self) -> BundledMachines:
        return bundled_machines(
            self.name, self.folder.path, self.settings.machines.name, self.settings.box
        )

    @property
    def _sees_this_host(self) -> bool:
        return self._machines.sees_this_host

    @property
    def _usable(self) -> Sequence[Node]:
        """The nodes that can be used. Raises KubeClusterError if there is none."""
        usable = [node for node in self.nodes if not node.access.problem]
        if not usable:
            reasons = (indent(node.access.problem, "    ").strip() for node in self.nodes)
            problems = "\n".join(f"  - {reason}" for reason in reasons)
            raise KubeClusterError(f"none of the machines can be used:\n{problems}")
        return usable

    @property
    def _at_a_time(self) -> int:
        """How many nodes are worked on at the same time."""
        return len(self.nodes)

    @property
    def _ansible_inventory(self) -> Mapping[str, Any] | None:
        """What an inventory says of the nodes, where they come from one."""
        return None

    @property
    def _fingerprint(self) -> Fingerprint:
        made_of = self._machines.made_of(real=self.settings.real)
        return fingerprint(self.spec, self.settings, made_of)

    def _changes(self, changed: Mapping[str, int]) -> str:
        nodes = count(len(self.spec.nodes), "node")
        return f"{count(sum(changed.values()), 'change')} on {nodes}"

    def _start_machines(self, pool: ThreadPoolExecutor, deadline: float) -> Future[None]:
        assert self._commands is not None
        return pool.submit(
            self._machines.up,
            self.spec,
            self._commands,
            kubelets=self._kubelets if self.settings.real else None,
            timeout=deadline - time.monotonic(),
            on_line=self.progress.step,
        )

    def _make_handles(self) -> None:
        """Make the nodes' handles, which work once the nodes are up."""
        machines = self._machines
        hosts = machines.ssh_options(self.spec, self.folder.plain_path())
        ssh = write_ssh_config(self.folder.ssh_config, hosts, sockets=self.folder.sockets())
        files = self.folder.subfolder("files")
        access = {
            node.name: Access(
                str(ssh.config),
                str(files / node.name),
                tuple(machines.reboot_command(node.name)),
                self._python,
                patience=machines.timeout_factor(),
            )
            for node in self.spec
        }
        self.nodes = connect(self.spec.nodes, access)

    def _prepare(self) -> None:
        """Make keys and files while the machines boot."""
        write_files(self.spec, self.pki, self.folder.subfolder("files"))
        if self.settings.python and not self._python_unpacker.exists():
            write_unpacker(Path(self.settings.python.where), self._python_unpacker)
        if self.settings.binary is None:
            write_atomically(self._hollow, render_hollow(self.spec.version), 0o755)

    def _place_kubelet(self, binary: KubeletBinary) -> bool:
        """Put a real kubelet where the nodes see it; say whether it takes another one's place."""
        path = self._kubelets / self.spec.image_tag / binary.name
        if path.exists() and filecmp.cmp(path, binary.path):
            return False
        replaced = path.exists()
        path.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._kubelets, prefix=".") as folder:
            fresh = Path(folder) / binary.name
            # A copy: the file itself may be written to while nodes run it.
            shutil.copy2(binary.path, fresh)
            fresh.replace(path)
        return replaced

    def _connect(self, pool: ThreadPoolExecutor, machines: Future[None], deadline: float) -> None:
        """Log in to every node; without machines that boot there is nothing to wait for."""
        assert self._commands is not None
        ssh, commands = Ssh(self.folder.ssh_config), self._commands

        def hopeless() -> bool:
            failed = machines.done() and machines.exception() is not None
            return failed or commands.stopped

        connections = {
            node.name: pool.submit(ssh.connect, node.name, deadline, hopeless) for node in self.spec
        }
        failures = {name: connection.exception() for name, connection in connections.items()}
        if hopeless():
            machines.result()
        for name, failure in failures.items():
            if isinstance(failure, KubeClusterError):
                console = self._machines.console(name)
                shown = "\n".join(f"    {line}" for line in console) or "    (nothing)"
                raise KubeClusterError(f"{failure}\n  its console's last lines:\n{shown}")
            if failure is not None:
                raise failure

    def _provision(self, timeout: float) -> ProvisioningResult:
        assert self._commands is not None
        self._prepare()
        work = Provisioning(
            self.spec,
            [Target(node.spec, node.access) for node in self._usable],
            self._install(),
            self.pki,
            folder=self.folder.subfolder("ansible"),
            ready=self._ready,
            forks=self._at_a_time,
            playbook=self.settings.playbook,
            python_unpacker=self._python_unpacker if self.settings.python else None,
            inventory=self._ansible_inventory,
            own_folder=self.settings.ansible_folder,
        )
        return provision(work, self._commands, timeout=timeout, on_task=self.progress.step)

    def _install(self) -> KubeletInstall:
        """Say how the kubelet gets onto the nodes."""
        binary = self.settings.binary
        if binary is None:
            return KubeletInstall(self._install_path, copy=self._hollow)
        install = KubeletInstall(self._install_path, runtime=runtime_for(self.spec.version))
        if self._sees_this_host:
            return replace(install, replaced=self._place_kubelet(binary))
        return replace(install, upload=binary.path)

    def _provision_running(self, deadline: float) -> Mapping[str, int]:
        """Run the playbook on nodes that are up, and wait for their kubelets."""
        changed = self._provision(deadline - time.monotonic()).changed
        self._at_once(lambda node: self._wait_for_kubelet(node, deadline), self._usable)
        return changed

    def _wait_for_kubelet(self, node: Node, deadline: float) -> None:
        # The deadline is stretched already, and a node would stretch what it is given.
        node.wait_until_healthy(max(1.0, deadline - time.monotonic()) / node.access.patience)
        try:
            # The first look, which all tests share: taken here, on all nodes at once.
            node.refresh()
        except KubeClusterError as error:
            node.access = replace(node.access, problem=str(error))

    @property
    def _install_path(self) -> str:
        binary = self.settings.binary
        name = binary.name if binary else executable_name(self.spec.version)
        return f"{INSTALLED}/{self.spec.image_tag}/{name}"

    @property
    def _kubelets(self) -> Path:
        """The folder that the nodes see as their installed kubelets, where these are real."""
        return self.folder.subfolder("kubelets")

    @property
    def _ready(self) -> Path:
        return self.folder.path / "ready"

    @property
    def _python(self) -> str:
        """Where the nodes' Python is, or will be."""
        return BROUGHT if self.settings.python else USUAL

    @property
    def _python_unpacker(self) -> Path:
        return self.folder.path / "unpack-python"

    @property
    def _hollow(self) -> Path:
        return self.folder.path / "hyperkube"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore the signals that would interrupt a removal, which has a deadline of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _as_cluster_error(error: OSError) -> KubeClusterError:
    return KubeClusterError(
        f"{error.filename or 'the state folder'}: {error.strerror or error}\n"
        "  free some space or make the folder writable, and run again"
    )
