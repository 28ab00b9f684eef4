"""Clusters of machines that the run boots itself: claimed, booted, and reused if they are kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from filelock import Timeout

from pytest_kubecluster.cluster.cluster import Cluster
from pytest_kubecluster.cluster.deployment import MachineTraits, look
from pytest_kubecluster.cluster.fingerprint import (
    Fingerprint,
    Step,
    fingerprint,
    machine_differences,
    next_step,
)
from pytest_kubecluster.cluster.network import check_network
from pytest_kubecluster.cluster.registry import ClusterFolder, Record
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.machines.base import BundledMachines
from pytest_kubecluster.machines.factory import bundled_machines, check_room
from pytest_kubecluster.machines.preflight import check_kernel
from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config
from pytest_kubecluster.nodes.node import Node, connect
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.progress import count

_RESUME_SECONDS = 10.0
"""How long a node of a kept cluster, which is up, has to let us log in."""


class Booting:
    """Brings up a cluster of machines that this run boots."""

    def __init__(self, cluster: Cluster) -> None:
        """Prepare to boot the machines of ``cluster``; nothing happens yet."""
        self._cluster = cluster

    def claim(self, name: str | None = None) -> None:
        """Enter the cluster into the registry, so that its name and its network are taken.

        ``name`` is made up unless it is given. Raises KubeClusterError if the name is taken or the
        host has no room for the cluster, and NetworkTakenError if another run was faster.
        """
        cluster, spec = self._cluster, self._cluster.spec
        settings = cluster.settings
        assert spec.network is not None
        check_room(settings.machines.name, spec, real=settings.real)
        self._check_kernel()
        check_network(spec.network)
        cluster.enter(name, network=str(spec.network))
        with cluster.all_or_nothing():
            machines = self._machines()
            machines.claim(spec.network)
            self._make_handles(machines)

    def boot(self) -> None:
        """Boot, provision and wait for healthy kubelets. The cluster is claimed.

        Raises KubeClusterError; whatever it raises, nothing of the cluster is left.
        """
        with self._cluster.all_or_nothing():
            cluster, machines = self._cluster, self._machines()
            settings, commands = cluster.settings, cluster.deployment.commands
            machines.prepare(commands, cluster.progress.say, real=settings.real)
            # What is built or downloaded once, for all clusters, does not count as boot time.
            deadline = time.monotonic() + settings.timeout
            wanted = self._fingerprint(machines)
            cluster.folder.write(machines=wanted.machines)
            pool = ThreadPoolExecutor(max_workers=2 * len(cluster.nodes) + 2)
            try:
                self._boot(pool, machines, deadline)
            finally:
                # Waiting threads end when their commands and connections are ended.
                pool.shutdown(wait=False, cancel_futures=True)
            cluster.folder.write(provisioning=wanted.provisioning)
            cluster.booted.touch()

    def reuse(self, kept: ClusterFolder, *, provision: bool = False) -> None:
        """Take over a kept cluster, changing only what differs from the requested one.

        With ``provision``, the playbook runs in any case. Waits for as long as a boot may take if
        another process uses the cluster. A node that cannot be reached or looked at has the reason
        in its access, for the tests that use it. Raises KubeClusterError; the cluster stays kept.
        """
        cluster = self._cluster
        deadline = time.monotonic() + cluster.settings.timeout
        self._check_kernel()
        self._wait_for(kept, deadline)
        cluster.open(kept)
        with cluster.still_kept():
            machines, record = self._machines(), kept.read()
            running = machines.running()
            alive = any(node.name in running for node in cluster.spec)
            wanted, step = self._fingerprint(machines), Step.REBUILD
            if record is not None:
                made = Fingerprint(record.machines, record.provisioning)
                step = next_step(made, wanted, alive=alive)
            if step is not Step.REBUILD:
                self._take_over(machines, running, deadline)
                if provision or step is Step.PROVISION:
                    self._provision_kept(wanted, deadline)
                return
            if kept.path.exists():  # the process we waited for may have removed it
                self._check_may_rebuild(record, alive=alive, only_provision=provision)
        cluster.progress.say(
            f"cluster {kept.name} does not match the requested one; booting a new one"
        )
        cluster.destroy(keep_logs=False)
        self.claim(kept.name)
        self.boot()

    def _boot(self, pool: ThreadPoolExecutor, machines: BundledMachines, deadline: float) -> None:
        cluster, deployment = self._cluster, self._cluster.deployment
        progress, nodes = cluster.progress, cluster.nodes
        with progress.phase("boot", f"booting {count(len(nodes), 'machine')}") as phase:
            booting = pool.submit(
                machines.up,
                cluster.spec,
                deployment.commands,
                kubelets=deployment.kubelets() if cluster.settings.real else None,
                control_plane=deployment.control_plane_programs(),
                timeout=deadline - time.monotonic(),
                on_line=progress.step,
            )
            # Keys and files are made, and Ansible starts, while the machines boot.
            seconds = deadline - time.monotonic()
            provisioning = pool.submit(deployment.provision, nodes, seconds)
            self._connect(pool, machines, booting, deadline)
            deployment.ready.touch()
            provider = cluster.settings.machines.name
            phase.detail = f"{cluster.spec.summary()}, provider {provider}"
        with progress.phase("provision", "running the playbook") as phase:
            changed = provisioning.result().changed
            booting.result()
            phase.detail = cluster.count_changes(changed)
        with progress.phase("start", "waiting for healthy kubelets") as phase:
            deployment.wait_for_kubelets(nodes, deadline)
            phase.detail = f"{count(len(nodes), 'kubelet')} healthy"
        if cluster.spec.control_plane:
            with progress.phase("register", "waiting for the nodes to register") as phase:
                phase.detail = deployment.wait_for_nodes(nodes, deadline)

    def _connect(
        self,
        pool: ThreadPoolExecutor,
        machines: BundledMachines,
        booting: Future[None],
        deadline: float,
    ) -> None:
        """Log in to every node, as long as the machines boot or have booted."""
        commands = self._cluster.deployment.commands
        ssh = Ssh(self._cluster.folder.ssh_config)

        def hopeless() -> bool:
            failed = booting.done() and booting.exception() is not None
            return failed or commands.stopped

        def connect(name: str) -> None:
            with self._cluster.progress.on_node("boot", name):
                ssh.connect(name, deadline, hopeless)

        connections = {node.name: pool.submit(connect, node.name) for node in self._cluster.spec}
        failures = {name: connection.exception() for name, connection in connections.items()}
        if hopeless():
            booting.result()
        for name, failure in failures.items():
            if isinstance(failure, KubeClusterError):
                console = machines.console(name)
                shown = "\n".join(f"    {line}" for line in console) or "    (nothing)"
                raise KubeClusterError(f"{failure}\n  its console's last lines:\n{shown}")
            if failure is not None:
                raise failure

    def _wait_for(self, folder: ClusterFolder, deadline: float) -> None:
        """Take the lock of a cluster, waiting for the process that holds it."""
        if folder.try_lock():
            return
        record = folder.read()
        owner = f"process {record.pid}" if record else "another process"
        self._cluster.progress.say(f"waiting for cluster {folder.name}, which {owner} uses")
        try:
            folder.lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except Timeout:
            raise KubeClusterError(
                f"cluster {folder.name} is still used by {owner}; wait for it, or use another "
                "cluster"
            ) from None

    def _take_over(
        self, machines: BundledMachines, running: Sequence[str], deadline: float
    ) -> None:
        """Connect to the nodes of a kept cluster, and look at all of them at once."""
        cluster = self._cluster
        name, nodes = cluster.name, len(cluster.spec.nodes)
        cluster.folder.take()
        with cluster.progress.phase("reuse", f"connecting to cluster {name}") as phase:
            self._make_handles(machines)
            ssh, commands = Ssh(cluster.folder.ssh_config), cluster.deployment.commands
            by = min(deadline, time.monotonic() + _RESUME_SECONDS * machines.timeout_factor())

            def resume(node: Node) -> None:
                with cluster.progress.on_node("reuse", node.name):
                    take_up(node)

            def take_up(node: Node) -> None:
                try:
                    if node.name not in running:
                        raise KubeClusterError(
                            f"{node.name}: its machine {machines.machine(node.name)} does not run\n"
                            f"  remove the cluster and run again: kubecluster destroy {name}"
                        )
                    ssh.connect(node.name, by, lambda: commands.stopped)
                except KubeClusterError as error:
                    node.access = replace(node.access, problem=str(error))
                else:
                    look(node)

            each_in_parallel(resume, cluster.nodes, limit=nodes)
            cluster.booted.touch()
            phase.detail = f"cluster {name} is up already"
            if (usable := len(cluster.usable())) < nodes:
                phase.detail = f"{usable} of {count(nodes, 'node')} of cluster {name}"
        cluster.warn_of_unusable()

    def _provision_kept(self, wanted: Fingerprint, deadline: float) -> None:
        cluster = self._cluster
        # Until the playbook has ended, nothing is known of what is on the nodes.
        cluster.folder.write(provisioning="", layout=cluster.layout)
        cluster.provision_in_phase(deadline)
        if len(cluster.usable()) == len(cluster.nodes):
            cluster.folder.write(provisioning=wanted.provisioning)

    def _check_may_rebuild(
        self, record: Record | None, *, alive: bool, only_provision: bool
    ) -> None:
        """Raise KubeClusterError unless removing the kept cluster is what the user asked for.

        A project's cluster follows the project. Another project's is removed by name only, and so
        is one that was only to be provisioned.
        """
        cluster = self._cluster
        why = "its record cannot be read"
        if record and alive:
            why = machine_differences(record, cluster.spec, cluster.settings.machines.name)
        elif record:
            why = "none of its machines runs"
        if record and record.project == str(cluster.project) and not only_provision:
            cluster.progress.warn(f"cluster {cluster.name} is removed, since {why}")
            return
        owner = f" of {record.project}" if record else ""
        raise KubeClusterError(
            f"cluster {cluster.name}{owner} does not match the requested one: {why}\n"
            f"  use options that match it, or remove it first: kubecluster destroy {cluster.name}"
        )

    def _check_kernel(self) -> None:
        settings = self._cluster.settings
        if settings.machines.shares_kernel:
            check_kernel(self._cluster.spec, real=settings.real)

    def _machines(self) -> BundledMachines:
        cluster, settings = self._cluster, self._cluster.settings
        return bundled_machines(
            cluster.name, cluster.folder.path, settings.machines.name, settings.box
        )

    def _fingerprint(self, machines: BundledMachines) -> Fingerprint:
        settings = self._cluster.settings
        made_of = machines.made_of(real=settings.real)
        return fingerprint(self._cluster.spec, settings, made_of)

    def _make_handles(self, machines: BundledMachines) -> None:
        """Make the nodes' handles, which work once the nodes are up."""
        cluster = self._cluster
        forks, mount_folders = len(cluster.spec.nodes), machines.sees_this_host
        cluster.describe_machines(MachineTraits(forks, mount_folders=mount_folders))
        hosts = machines.ssh_options(cluster.spec, cluster.folder.plain_path())
        sockets = cluster.folder.sockets()
        ssh = write_ssh_config(cluster.folder.ssh_config, hosts, sockets=sockets)
        kubeconfig = str(cluster.deployment.admin_kubeconfig() or "")
        access = {
            node.name: Access(
                str(ssh.config),
                str(cluster.deployment.files(node.name)),
                tuple(machines.reboot_command(node.name)),
                cluster.python,
                timeout_factor=machines.timeout_factor(),
                kubeconfig=kubeconfig,
            )
            for node in cluster.spec
        }
        cluster.nodes = connect(cluster.spec, access)
