"""What a test run shows at its end: how the nodes did, where the time went, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_kubecluster.cluster.config import FOUND
from pytest_kubecluster.spec.defaults import DEFAULT_VERSION

if TYPE_CHECKING:
    from pytest_kubecluster.plugin.lifecycle import Lifecycle
    from pytest_kubecluster.plugin.session import ClusterSession
    from pytest_kubecluster.report.results import Result
    from pytest_kubecluster.spec.model import ClusterSpec
    from pytest_kubecluster.spec.translate import Change

_KUBELETS = {
    "real": "a real kubelet",
    "hollow": "the hollow kubelet",
    FOUND: "the kubelets that were found",
}


def results(session: ClusterSession, found: Sequence[Result]) -> list[str]:
    """Return how the nodes did, evidence by evidence, and the first failure of each."""
    from pytest_kubecluster.report.summary import first_failures, node_table

    nodes = [node.name for node in session.spec]
    lines = node_table(found, nodes)
    lines += first_failures(found, nodes)
    return [*lines, ""] if lines else []


def summary(session: ClusterSession, lifecycle: Lifecycle, *, verbosity: int) -> list[str]:
    """Return how long each phase took, which kubelets were judged, and what is kept."""
    phases, kept = lifecycle.phases, lifecycle.kept
    total = sum(phase.seconds for phase in phases)
    shown = ", ".join(f"{phase.name} {phase.seconds:.1f} s" for phase in phases)
    lines = interruption(lifecycle)
    if phases:
        lines.append(f"{shown}; together {total:.1f} s, with {_KUBELETS[session.settings.kind]}")
        lines += _changes(session.spec, verbose=verbosity > 0)
    if session.settings.report:
        lines.append(f"report: {session.settings.report / 'index.html'}")
    if kept:
        lines += [
            f"cluster {kept} is kept",
            f"  enter a node:  kubecluster ssh {session.spec.nodes[0].name} --name {kept}",
            f"  run again:     pytest --kube-cluster --kube-reuse={kept}",
            f"  remove it:     kubecluster destroy {kept}",
        ]
    return lines


def quiet_summary(session: ClusterSession, lifecycle: Lifecycle) -> list[str]:
    """Return what even -q shows: which kubelets were judged, and what is left."""
    spec, kept = session.spec, lifecycle.kept
    end = f"cluster {kept} is kept" if kept else lifecycle.left or "not everything is removed"
    kubelet = f"{spec.version.number}, {_KUBELETS[session.settings.kind]}"
    lines = [f"kubecluster: {spec.summary()} with kubelet {kubelet}; {end}"]
    return [*lines, *(f"kubecluster: {line}" for line in interruption(lifecycle))]


def interruption(lifecycle: Lifecycle) -> list[str]:
    """Return what was interrupted, and what is left, in a line; nothing without an interrupt."""
    if not (what := lifecycle.outcome.interrupted):
        return []
    kept = lifecycle.kept
    left = f"cluster {kept} is kept" if kept else lifecycle.left
    return [f"interrupted during {what}" + (f"; {left}" if left else "")]


def _changes(spec: ClusterSpec, *, verbose: bool) -> list[str]:
    """Return what this version of the kubelet is configured with instead of the article's."""
    alike: dict[tuple[Change, ...], list[str]] = {}
    for node in spec:
        if node.kubelet.changes:
            alike.setdefault(node.kubelet.changes, []).append(node.name)
    if not alike:
        return []
    number, article = spec.version.number, DEFAULT_VERSION.number
    if not verbose:
        most = max(map(len, alike))
        things = "one change" if most == 1 else f"{most} changes"
        return [f"kubelet {number} is configured with {things} since {article} (-v lists them)"]
    lines = [f"changes of kubelet {number} since {article}:"]
    for changes, names in alike.items():
        lines += [f"  {', '.join(names)}", *(f"    {change}" for change in changes)]
    return lines
