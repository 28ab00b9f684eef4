"""One pytest session and its cluster: owned by the controller, only used by its workers."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.settings import Settings, read_settings
from pytest_kubecluster.spec import ClusterSpec, SpecError, cluster_spec

# What only a session with a cluster needs is imported when it does: every other one has this plugin
# installed too, and should not pay a quarter of a second for it.
if TYPE_CHECKING:
    from pytest_kubecluster.cluster import Cluster
    from pytest_kubecluster.node import Node
    from pytest_kubecluster.pki import Pki
    from pytest_kubecluster.progress import Phase, Progress
    from pytest_kubecluster.state import ClusterFolder

WORKER_KEY = "kubecluster"

NEED_NODE = frozenset({"kube_node", "kube_master", "kube_worker"})
NEED_CLUSTER = NEED_NODE | {"kube_cluster", "kube_nodes", "kube_masters", "kube_workers"}

_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _interrupt(number: int, frame: object) -> None:
    """Turn a signal that would end us with machines running into what Ctrl-C is."""
    raise KeyboardInterrupt(signal.Signals(number).name)


class ClusterSession:
    """What the plugin knows in one process of a run."""

    def __init__(self, config: pytest.Config) -> None:
        """Read nothing yet: a session that needs no cluster pays for none."""
        self.config = config
        self.enabled: bool = config.getoption("--kube-cluster")
        self.cluster: Cluster | None = None
        self.phases: list[Phase] = []
        self.kept = ""
        self._explained: dict[str, tuple[str, str]] = {}
        self._before: dict[int, Any] = {}

    @cached_property
    def settings(self) -> Settings:
        """The checked options. Raises pytest.UsageError."""
        return read_settings(self.config)

    @cached_property
    def spec(self) -> ClusterSpec:
        """The cluster that is asked for, as the hook left it. Raises pytest.UsageError."""
        settings = self.settings
        try:
            spec = cluster_spec(
                settings.masters, settings.workers, settings.network, settings.version
            )
            hook = self.config.hook.pytest_kubecluster_spec
            changed = hook(config=self.config, spec=spec)
            spec = spec if changed is None else changed
            spec.check()
        except SpecError as error:
            raise pytest.UsageError(f"the cluster cannot be as asked: {error}") from None
        return spec

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
        from pytest_kubecluster.node import Access, connect

        access = {name: Access(**node) for name, node in self.described["nodes"].items()}
        return connect(self.spec.nodes, access)

    @cached_property
    def pki(self) -> Pki:
        """The cluster's certificates, or some of its kind where no cluster is up."""
        if self.cluster is not None:
            return self.cluster.pki
        from pytest_kubecluster.pki import ensure_pki

        if self.described is not None:
            return ensure_pki(Path(self.described["pki"]))
        self._scratch = tempfile.TemporaryDirectory(prefix="kubecluster-pki-")
        return ensure_pki(Path(self._scratch.name))

    @contextmanager
    def alone_with_nodes(self, item: pytest.Item) -> Iterator[None]:
        """Keep the nodes that an item uses to itself, among the workers of pytest-xdist.

        An item that uses one node holds that one; one that uses several holds all.
        """
        used = NEED_CLUSTER.intersection(getattr(item, "fixturenames", ()))
        if self.described is None or not used:
            yield
            return
        from filelock import FileLock

        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        named = {parameters[name] for name in NEED_NODE.intersection(parameters)}
        with ExitStack() as held:
            for node in sorted(named or self.described["nodes"]):
                path = Path(self.described["locks"]) / f"{node}.lock"
                held.enter_context(FileLock(path, timeout=self.settings.timeout))
            yield

    def describe(self) -> str:
        """Return what a worker must know, as text that any channel carries."""
        assert self.cluster is not None
        nodes = {node.name: asdict(node.access) for node in self.cluster.nodes}
        return json.dumps(
            {
                "nodes": nodes,
                "pki": str(self.cluster.pki.directory),
                "locks": str(self.cluster.folder.subfolder("locks")),
            }
        )

    def boot(self) -> None:
        """Boot the cluster; on failure show why and end the session with exit status 1."""
        from pytest_kubecluster.cluster import Cluster

        progress = self._progress()
        self.cluster = Cluster(self.spec, self.settings, self.config.rootpath, progress)
        self._before = {number: signal.signal(number, _interrupt) for number in _ENDING}
        try:
            kept = self._kept()
            if kept is None:
                self.cluster.boot()
            else:
                self.cluster.reuse(kept)
        except KubeClusterError as error:
            self._show(str(error))
            pytest.exit("kubecluster: the cluster did not boot", returncode=1)

    def _kept(self) -> ClusterFolder | None:
        """Return the kept cluster that is to be reused, if one is."""
        from pytest_kubecluster.state import find_cluster, kept_cluster

        name = self.settings.reuse
        if name is None:
            return None
        return find_cluster(name) if name else kept_cluster(self.config.rootpath)

    def finish(self, *, failed: bool) -> None:
        """Remove what this process booted, or keep it where that is asked for."""
        if hasattr(self, "_scratch"):
            self._scratch.cleanup()
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
        from pytest_kubecluster.diagnostics import write_report

        about = {
            "cluster": self.spec.summary(),
            "network": str(self.spec.network),
            "provider": self.settings.provider,
            "hyperkube": self.spec.image_tag,
            "kubelet": "real" if self.settings.kubelet else "hollow",
            "failed": failed,
            "seconds": {phase.name: round(phase.seconds, 1) for phase in cluster.progress.phases},
            "nodes": [node.name for node in self.spec],
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
        from pytest_kubecluster.diagnostics import node_facts
        from pytest_kubecluster.node import Node

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
        self.phases, self.kept = cluster.progress.phases, cluster.name
        cluster.keep()

    def _remove_cluster(self, cluster: Cluster, *, keep_logs: bool) -> None:
        self.phases = cluster.progress.phases
        writer = self.config.pluginmanager.getplugin("terminalreporter")._tw
        if writer.width_of_current_line:
            writer.line()
        try:
            with cluster.progress.phase("destroy", "removing the cluster") as phase:
                cluster.destroy(keep_logs=keep_logs)
                phase.detail = "nothing is left"
        except KubeClusterError as error:
            self._show(str(error))
            raise

    def header(self) -> str:
        """Return the session's header line: topology, provider, versions, which kubelet."""
        spec, settings = self.spec, self.settings
        kubelet = f"real ({settings.kubelet.path})" if settings.kubelet else "hollow"
        return (
            f"kubecluster: {spec.summary()} on {settings.provider}, {spec.network}, "
            f"hyperkube {spec.image_tag}, kubelet {kubelet}"
        )

    def summary(self) -> str:
        """Return where the time went, and which kubelet the verdicts are about."""
        total = sum(phase.seconds for phase in self.phases)
        shown = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in self.phases)
        kubelet = "a real kubelet" if self.settings.kubelet else "the hollow kubelet"
        lines = [f"{shown}; together {total:.1f} s, with {kubelet}"]
        if self.kept:
            lines += [
                f"cluster {self.kept} is kept",
                f"  enter a node:  kubecluster ssh {self.spec.nodes[0].name} --name {self.kept}",
                f"  run again:     pytest --kube-cluster --kube-reuse={self.kept}",
                f"  remove it:     kubecluster destroy {self.kept}",
            ]
        return "\n".join(lines)

    def _progress(self) -> Progress:
        from pytest_kubecluster.progress import Progress

        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        capture = self.config.pluginmanager.getplugin("capturemanager")
        return Progress(
            reporter._tw._file,
            quiet=self.config.option.verbose < 0,
            verbose=self.config.option.verbose > 0,
            uncaptured=capture.global_and_fixture_disabled,
        )

    def _show(self, text: str) -> None:
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        reporter.ensure_newline()
        reporter.section("kubecluster", sep="!", red=True, bold=True)
        reporter.write_line(text)
