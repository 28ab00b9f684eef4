"""One pytest session and its cluster: owned by the controller, only used by its workers."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.cluster.config import (
    FOUND,
    Download,
    Existing,
    FromInventory,
    FromVagrantfile,
    Settings,
)
from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
from pytest_kubecluster.kubelet.host_requirements import CGROUP_V1, SWAP, kernel_traits
from pytest_kubecluster.plugin.hooks import hook_steps
from pytest_kubecluster.spec.model import (
    DEFAULT_NETWORK,
    DEFAULT_VERSION,
    ClusterSpec,
    Machine,
    SpecError,
    seed_machines,
    spec_of,
)
from pytest_kubecluster.util.paths import check_writable_folder, readable_file, readable_folder

# What only a session with a cluster needs is imported when it does: every other one has this plugin
# installed too, and should not pay a quarter of a second for it.
if TYPE_CHECKING:
    from pytest_kubecluster.artifacts.pki import Pki
    from pytest_kubecluster.cluster.booted import Cluster
    from pytest_kubecluster.machines.existing.inventory import Inventory
    from pytest_kubecluster.machines.existing.vagrantfile import OwnVagrantfile
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.spec.translate import Change
    from pytest_kubecluster.util.progress import Phase, Progress

WORKER_KEY = "kubecluster"

NEED_NODE = frozenset({"kube_node", "kube_master", "kube_worker"})
NEED_CLUSTER = NEED_NODE | {"kube_cluster", "kube_nodes", "kube_masters", "kube_workers"}

_POLL_SECONDS = 0.1
_ATTEMPTS = 10
_KUBELETS = {
    "real": "a real kubelet",
    "hollow": "the hollow kubelet",
    FOUND: "the kubelets that were there",
}
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, frame: object) -> None:
    """Turn a signal that would end us with machines running into what Ctrl-C is."""
    raise KeyboardInterrupt(signal.Signals(number).name)


class ClusterSession:
    """What the plugin knows in one process of a run."""

    def __init__(self, config: pytest.Config, settings: Settings | None = None) -> None:
        """Read nothing yet: a session that needs no cluster pays for none.

        ``settings`` are used instead of the options.
        """
        self.config = config
        if settings is not None:
            self.settings = settings
        self.enabled: bool = config.getoption("--kube-cluster")
        self.cluster: Cluster | None = None
        self.phases: list[Phase] = []
        self.kept = ""
        described = self.described or {}
        self.network = IPv4Network(described["network"]) if "network" in described else None
        self._explained: dict[str, tuple[str, str]] = {}
        self._before: dict[int, Any] = {}
        self._booting: Thread | None = None
        self._finishing = False

    @cached_property
    def settings(self) -> Settings:
        """The checked options. Raises pytest.UsageError."""
        from pytest_kubecluster.plugin.settings import read_settings

        return read_settings(self.config)

    @cached_property
    def spec(self) -> ClusterSpec:
        """The cluster that is asked for, as the hook left it. Raises pytest.UsageError."""
        try:
            *_, (_, spec) = self.spec_steps()
            spec.check()
        except SpecError as error:
            raise pytest.UsageError(f"the cluster cannot be as asked: {error}") from None
        return spec

    def spec_steps(self) -> Iterator[tuple[str, ClusterSpec]]:
        """Yield the cluster as each who has a say makes it, in order. Raises SpecError."""
        settings = self.settings
        network = None
        if (machines := self.machines) is None:
            network = self.network or settings.network or DEFAULT_NETWORK
            machines = seed_machines(settings.masters, settings.workers, network)
        spec = spec_of(
            machines,
            network,
            settings.version,
            cgroup_v1=CGROUP_V1 in self._tolerated,
            swap=SWAP in self._tolerated,
        )
        yield "the article, and the options", spec
        if settings.spec_file.path:
            for table, changed in settings.spec_file.steps(spec):
                yield f"{settings.spec_file.path.name} {table}", changed
                spec = changed
        yield from hook_steps(self.config, spec)

    @cached_property
    def machines(self) -> tuple[Machine, ...] | None:
        """The machines that are to be nodes, where they are the user's own. Raises UsageError."""
        if self.described and "machines" in self.described:
            return tuple(
                Machine(name, role, IPv4Address(address))
                for name, role, address in self.described["machines"]
            )
        own = self.own_machines
        return own.machines if own else None

    @cached_property
    def own_machines(self) -> Inventory | OwnVagrantfile | None:
        """What the user says of their own machines, if they do. Raises UsageError."""
        source = self.settings.machines
        try:
            if isinstance(source, FromInventory):
                from pytest_kubecluster.machines.existing.inventory import read_inventory

                assert self.settings.ansible_folder is not None
                if not source.path.is_dir():  # Ansible accepts a folder of inventories
                    readable_file(source.path)
                return read_inventory(
                    source.path, self.settings.roles, self.settings.ansible_folder
                )
            if isinstance(source, FromVagrantfile):
                from pytest_kubecluster.machines.existing.vagrantfile import read_vagrantfile

                readable_folder(source.path)
                return read_vagrantfile(source.path, self.settings.roles)
        except KubeClusterError as error:
            raise pytest.UsageError(f"--kube-{source.name}: {error}") from None
        return None

    def _placed(self, addresses: Mapping[str, IPv4Address]) -> ClusterSpec:
        """Return the cluster with the addresses that only its machines could tell."""
        assert self.machines is not None
        self.machines = tuple(
            replace(machine, address=addresses.get(machine.name, machine.address))
            for machine in self.machines
        )
        del self.spec
        return self.spec

    @property
    def _tolerated(self) -> frozenset[str]:
        """What of their host the kubelets put up with: no verdict is about what a hollow one does.

        Of machines that do not run on this host's kernel, only the user knows.
        """
        if self.settings.real or not self.settings.machines.shares_kernel:
            return self.settings.tolerate
        return kernel_traits()

    @property
    def described(self) -> Mapping[str, Any] | None:
        """What the controller tells this worker of its cluster; None in the controller."""
        text = getattr(self.config, "workerinput", {}).get(WORKER_KEY)
        described: Mapping[str, Any] | None = json.loads(text) if text else None
        return described

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker of pytest-xdist."""
        return hasattr(self.config, "workerinput")

    @property
    def plans_only(self) -> bool:
        """Whether no test will run: --collect-only or --setup-plan."""
        option = self.config.option
        return bool(option.collectonly or getattr(option, "setupplan", False))

    def validate(self) -> None:
        """Check settings and spec before anything boots. Raises pytest.UsageError."""
        if self.settings.report:
            try:
                check_writable_folder(self.settings.report)
            except KubeClusterError as error:
                raise pytest.UsageError(f"--kube-report: {error}") from None
        _ = self.spec

    @property
    def distributes(self) -> bool:
        """Whether this process is a controller that leaves the tests to workers."""
        return self.config.pluginmanager.has_plugin("dsession")

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """The handles of the nodes, which are up."""
        if self.cluster is not None:
            return self.cluster.nodes
        if self.described is None:
            raise KubeClusterError("there is no cluster; run with --kube-cluster")
        from pytest_kubecluster.machines.access import Access
        from pytest_kubecluster.nodes.node import connect

        self._wait_until_booted(Path(self.described["booted"]))
        access = {name: Access(**node) for name, node in self.described["nodes"].items()}
        return connect(self.spec.nodes, access)

    def _wait_until_booted(self, booted: Path) -> None:
        """In a worker: wait for the controller's cluster. Raises KubeClusterError."""
        deadline = time.monotonic() + self.settings.timeout
        while not booted.exists():
            if not booted.parent.exists():
                raise KubeClusterError("the cluster did not boot; the controller shows why")
            if time.monotonic() > deadline:
                raise KubeClusterError(
                    f"the cluster was not up within {self.settings.timeout:.0f} s (--kube-timeout)"
                )
            time.sleep(_POLL_SECONDS)

    @cached_property
    def pki(self) -> Pki:
        """The cluster's certificates, or some of its kind where no cluster is up."""
        if self.cluster is not None:
            return self.cluster.pki
        from pytest_kubecluster.artifacts.pki import ensure_pki

        if self.described is not None:
            return ensure_pki(Path(self.described["pki"]))
        self._scratch = tempfile.TemporaryDirectory(prefix="kubecluster-pki-")
        return ensure_pki(Path(self._scratch.name))

    @cached_property
    def spared(self) -> frozenset[str]:
        """The nodes that no test may disturb: this run did not boot their machines."""
        if self.described is not None:
            return frozenset(self.described["spared"])
        if self.settings.disturb or self.own_machines is None:
            return frozenset()
        return frozenset(self.own_machines.running)

    @contextmanager
    def alone_with_nodes(self, item: pytest.Item) -> Iterator[None]:
        """Keep the nodes that an item uses to itself, among the workers of pytest-xdist.

        An item that uses one node holds that one; one that uses several holds all.
        """
        used = NEED_CLUSTER.intersection(getattr(item, "fixturenames", ()))
        if self.described is None or not used or not self._booted(self.described):
            yield
            return
        from filelock import FileLock

        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        named = {parameters[name] for name in NEED_NODE.intersection(parameters)}
        with ExitStack() as held:
            for node in sorted(named or self.described["nodes"]):
                path = Path(self.described["locks"]) / f"{node}.lock"
                # However long the other's test takes; the system frees the lock if it dies.
                held.enter_context(FileLock(path))
            yield

    def _booted(self, described: Mapping[str, Any]) -> bool:
        """In a worker: wait for the cluster and say whether it came up."""
        try:
            self._wait_until_booted(Path(described["booted"]))
        except KubeClusterError:
            return False
        return True

    def describe(self) -> str:
        """Return what a worker must know, as text that any channel carries."""
        assert self.cluster is not None
        nodes = {node.name: asdict(node.access) for node in self.cluster.nodes}
        place: dict[str, Any] = {"network": str(self.spec.network)}
        if self.machines is not None:
            place = {"machines": [(m.name, m.role, str(m.address)) for m in self.machines]}
        return json.dumps(
            {
                "nodes": nodes,
                **place,
                "spared": sorted(self.spared),
                "booted": str(self.cluster.booted),
                "pki": str(self.cluster.pki.directory),
                "locks": str(self.cluster.folder.subfolder("locks")),
            }
        )

    def boot(self) -> None:
        """Boot the cluster; on failure show why and end the session with exit status 1.

        A controller of pytest-xdist boots in the background, while its workers start and collect.
        """
        self._before = {number: signal.signal(number, interrupt) for number in _ENDING}
        try:
            self.open(self._progress(), reuse=self.settings.reuse, background=self.distributes)
        except KubeClusterError as error:
            self._show(str(error))
            what = "machines cannot be used" if self.own_machines else "cluster did not boot"
            pytest.exit(f"kubecluster: the {what}", returncode=1)

    def open(
        self,
        progress: Progress,
        *,
        name: str | None = None,
        reuse: str | None = None,
        provision: bool = False,
        background: bool = False,
    ) -> Cluster:
        """Return a cluster that is up: a new one called ``name``, or the kept one ``reuse`` names.

        An empty ``reuse`` is the last one kept for this project, if there is one; with
        ``provision`` the playbook runs on it in any case, and with ``background`` a new one boots
        in a thread of its own. Raises KubeClusterError.
        """
        from pytest_kubecluster.cluster.booted import Cluster
        from pytest_kubecluster.cluster.network import free_network
        from pytest_kubecluster.cluster.registry import find_cluster, kept_cluster
        from pytest_kubecluster.cluster.removal import remove_abandoned

        project = self.config.rootpath
        remove_abandoned(progress, self.settings)
        self.settings = self.prepared(progress)
        if self.own_machines is not None:
            from pytest_kubecluster.cluster.joined import joined_cluster

            joined = joined_cluster(self.own_machines, self.spec, self.settings, project, progress)
            self.cluster = joined
            addresses = joined.survey()
            joined.join(self._placed(addresses) if addresses else self.spec)
            return joined
        kept = None
        if reuse is not None:
            kept = find_cluster(reuse) if reuse else kept_cluster(project)
        if kept is not None:
            if (record := kept.read()) and record.network:
                self.move_to(IPv4Network(record.network))
            self.cluster = Cluster(self.spec, self.settings, project, progress)
            self.cluster.reuse(kept, provision=provision)
        else:
            for attempts_left in reversed(range(_ATTEMPTS)):
                network = free_network(self.spec.network or DEFAULT_NETWORK)
                if self.move_to(network):
                    progress.say(f"the default network is taken; using {network}")
                self.cluster = Cluster(self.spec, self.settings, project, progress)
                try:
                    self.cluster.claim(name)
                    break
                except NetworkTakenError:
                    if self.settings.network is not None or not attempts_left:
                        raise
            assert self.cluster is not None
            if background:
                self._booting = Thread(target=self._boot_in_background, args=[self.cluster])
                self._booting.start()
            else:
                self.cluster.boot()
        return self.cluster

    def _boot_in_background(self, cluster: Cluster) -> None:
        """Boot; workers see by a file that it is done, or by the folder's end that it failed."""
        try:
            cluster.boot()
        except KubeClusterError as error:
            if not self._finishing:
                self._show(str(error))

    def prepared(self, progress: Progress) -> Settings:
        """Return the settings with kubelet and Python here: downloaded now, if they are to be.

        Raises KubeClusterError.
        """
        settings = self.settings
        if isinstance(settings.kubelet, Download):
            from pytest_kubecluster.kubelet.binary import inspect_kubelet
            from pytest_kubecluster.kubelet.download import download_kubelet
            from pytest_kubecluster.util.paths import cache_folder

            path = download_kubelet(
                settings.version,
                mirror=settings.kubelet.mirror,
                cache=cache_folder(),
                progress=progress.say,
            )
            settings = replace(settings, kubelet=inspect_kubelet(path).of(settings.version))
        if settings.python and settings.python.is_remote:
            from pytest_kubecluster.util.paths import cache_folder

            python = settings.python.fetched(cache_folder(), progress.say)
            settings = replace(settings, python=python)
        return settings

    def move_to(self, network: IPv4Network | None) -> bool:
        """Take another network, unless one was asked for, and say whether that was done."""
        moves = self.settings.network is None and network != self.spec.network
        if moves:
            self.network = network
            del self.spec
        return moves

    def finish(self, *, failed: bool) -> None:
        """Remove what this process booted, or keep it where that is asked for."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()
        self._finishing = True
        if self.cluster is not None and self._booting is not None and self._booting.is_alive():
            self.cluster.stop()
            self._booting.join()
        if self.cluster is not None and self.settings.report:
            self._report(self.cluster, self.settings.report, failed=failed)
        if self.cluster is not None and self.cluster.exists:
            if self.settings.keep == "always" or (failed and self.settings.keep == "failed"):
                self._keep_cluster(self.cluster)
            else:
                self._remove_cluster(self.cluster, keep_logs=failed)
        self.cluster = None
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _report(self, cluster: Cluster, folder: Path, *, failed: bool) -> None:
        from pytest_kubecluster.nodes.diagnostics import write_report

        about = {
            "cluster": self.spec.summary(),
            "network": str(self.spec.network or ""),
            "provider": self.settings.machines.name,
            "hyperkube": self.spec.image_tag,
            "kubelet": self.settings.kind,
            "failed": failed,
            "seconds": {phase.name: round(phase.seconds, 1) for phase in cluster.progress.phases},
            "nodes": [node.name for node in self.spec],
            "changes": {
                node.name: [asdict(change) for change in node.kubelet.changes] for node in self.spec
            },
        }
        nodes = cluster.nodes if cluster.exists else ()
        try:
            write_report(folder, about, nodes, cluster.logs, failed=failed)
        except OSError as error:
            self._show(f"--kube-report: {folder} cannot be written: {error.strerror}")

    def explain(self, item: pytest.Item) -> list[tuple[str, str]]:
        """Return the facts of each node that a failed test was about, as title and text.

        Facts that were shown already are not shown again.
        """
        if not NEED_NODE.intersection(getattr(item, "fixturenames", ())):
            return []
        from pytest_kubecluster.nodes.diagnostics import node_facts
        from pytest_kubecluster.nodes.node import Node

        sections = []
        for node in getattr(item, "funcargs", {}).values():
            if isinstance(node, Node):
                facts = node_facts(node)
                # A journal grows; what it is about may be the same all the same.
                state = facts.partition("journal:")[0]
                shown, by = self._explained.setdefault(node.name, (state, item.nodeid))
                if shown == state and by != item.nodeid:
                    facts = f"as shown for {by}"
                self._explained[node.name] = state, by if shown == state else item.nodeid
                sections.append((f"kubecluster: {node.name}", facts))
        return sections

    def _keep_cluster(self, cluster: Cluster) -> None:
        self.phases, name = cluster.progress.phases, cluster.name
        cluster.keep()
        # What is the user's own is theirs to enter and to remove.
        self.kept = "" if self.settings.machines.existing else name

    def _remove_cluster(self, cluster: Cluster, *, keep_logs: bool) -> None:
        self.phases = cluster.progress.phases
        if reporter := self._reporter:
            reporter.ensure_newline()
        try:
            parting = cluster.parting
            with cluster.progress.phase(parting.phase, parting.doing) as phase:
                cluster.destroy(keep_logs=keep_logs)
                phase.detail = parting.done
        except KubeClusterError as error:
            self._show(str(error))
            raise

    def header(self) -> str:
        """Return the session's header line: topology, provider, versions, which kubelet."""
        spec, settings = self.spec, self.settings
        kubelet = "as found" if settings.kind == FOUND else settings.kind
        if settings.real and settings.provisions:
            source = settings.binary.path if settings.binary else "to be downloaded"
            kubelet += f" ({source})"
        where = f"on {settings.machines.name}, {spec.network}"
        if isinstance(settings.machines, Existing):
            where = f"of {settings.machines.path}"
        return (
            f"kubecluster: {spec.summary()} {where}, hyperkube {spec.image_tag}, kubelet {kubelet}"
        )

    def summary(self) -> str:
        """Return where the time went, and which kubelet the verdicts are about."""
        total = sum(phase.seconds for phase in self.phases)
        shown = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in self.phases)
        kubelet = _KUBELETS[self.settings.kind]
        lines = [f"{shown}; together {total:.1f} s, with {kubelet}", *self._changes()]
        if self.kept:
            lines += [
                f"cluster {self.kept} is kept",
                f"  enter a node:  kubecluster ssh {self.spec.nodes[0].name} --name {self.kept}",
                f"  run again:     pytest --kube-cluster --kube-reuse={self.kept}",
                f"  remove it:     kubecluster destroy {self.kept}",
            ]
        return "\n".join(lines)

    def _changes(self) -> list[str]:
        """Return what the nodes' kubelets are told otherwise than the seed's, alike nodes once."""
        alike: dict[tuple[Change, ...], list[str]] = {}
        for node in self.spec:
            if node.kubelet.changes:
                alike.setdefault(node.kubelet.changes, []).append(node.name)
        if not alike:
            return []
        number, seed = self.spec.version.number, DEFAULT_VERSION.number
        if self._verbosity <= 0:
            most = max(map(len, alike))
            things = "one thing" if most == 1 else f"{most} things"
            return [f"kubelet {number} is told {things} otherwise than {seed} (-v says which)"]
        lines = [f"what kubelet {number} is told otherwise than {seed}:"]
        for changes, names in alike.items():
            lines += [f"  {', '.join(names)}", *(f"    {change}" for change in changes)]
        return lines

    def _progress(self) -> Progress:
        from pytest_kubecluster.util.progress import Progress

        capture = self.config.pluginmanager.getplugin("capturemanager")
        return Progress(
            quiet=self._verbosity < 0 or self._reporter is None,
            verbose=self._verbosity > 0,
            # Workers' lines come in between: no place to write in place.
            in_place=not self.distributes,
            uncaptured=capture.global_and_fixture_disabled if capture else nullcontext,
        )

    @property
    def _verbosity(self) -> int:
        """How often -v was given, less -q; without a terminal reporter there is no such option."""
        verbosity: int = self.config.getoption("verbose", 0)
        return verbosity

    @property
    def _reporter(self) -> pytest.TerminalReporter | None:
        """The reporter of the terminal, which ``-p no:terminal`` removes."""
        reporter: pytest.TerminalReporter | None = self.config.pluginmanager.getplugin(
            "terminalreporter"
        )
        return reporter

    def _show(self, text: str) -> None:
        reporter = self._reporter
        if reporter is None:
            print(f"kubecluster: {text}", file=sys.stderr)
            return
        reporter.ensure_newline()
        reporter.section("kubecluster", sep="!", red=True, bold=True)
        reporter.write_line(text)
