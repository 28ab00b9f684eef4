"""Make the value of a run from its spec, its progress, its nodes and its test results."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.diagnostics import NodeFacts, facts_of
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import checks
from pytest_kubecluster.report.certificates import certificates
from pytest_kubecluster.report.cis import cis_of_run
from pytest_kubecluster.report.data import (
    About,
    ChangeOfVersion,
    NodeOfRun,
    PhaseOfRun,
    Report,
)
from pytest_kubecluster.report.outcome import Outcome
from pytest_kubecluster.report.results import OWN, Result
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.progress import Phase, Progress


def collect(
    spec: ClusterSpec,
    settings: Settings,
    progress: Progress,
    nodes: Sequence[Node],
    outcome: Outcome,
    *,
    failed: bool,
    registered: Mapping[str, Mapping[str, str]],
) -> Report:
    """Return everything that is known of a run at its end. No node is contacted.

    ``registered`` is what the API server has on each node.
    """
    seen = dict(_seen(nodes))
    cis = tuple(cis_of_run(seen, settings.spec_file.waivers))
    titles = {row.id: row.title for row in cis}
    facts = dict(outcome.facts)
    described = []
    for node in spec:
        handle = next((one for one in nodes if one.name == node.name), None)
        one = _node(spec, node, handle, seen.get(node.name), facts)
        described.append(replace(one, registered=registered.get(node.name, {})))
    return Report(
        replace(about_run(spec, settings, progress.phases, outcome), failed=failed),
        tuple(described),
        tuple(explained(outcome.results, titles)),
        facts,
        tuple(_phases(progress)),
        tuple(progress.spans),
        certificates(seen.items()),
        tuple(_changes(spec)),
        cis,
    )


def look_again(nodes: Sequence[Node]) -> dict[str, Mapping[str, str]]:
    """Look at the nodes whose last look is out of date; return what the API server has on each.

    A node or a server that does not answer is left out: the report has what the tests saw.
    """

    def look(node: Node) -> Mapping[str, str]:
        if node.seen is None and not node.access.problem:
            with suppress(KubeClusterError):
                node.refresh()
        with suppress(KubeClusterError):
            return _registered(node.object) if node.api else {}
        return {}

    found = each_in_parallel(look, nodes, limit=16)
    return {node.name: seen for node, seen in zip(nodes, found, strict=True)}


def _registered(seen: NodeObject) -> Mapping[str, str]:
    """Return what people look for in a Node object."""
    shown = {one.type: str(one) for one in seen.conditions}
    return {
        "Node object": ", ".join(shown[name] for name in ("Ready",) if name in shown)
        or "not Ready",
        "version in the API server": seen.kubelet_version,
        "addresses in the API server": ", ".join(f"{kind} {one}" for kind, one in seen.addresses),
        "labels in the API server": ", ".join(
            f"{key}={value}" if value else key for key, value in seen.labels.items()
        ),
        "taints in the API server": ", ".join(map(str, seen.taints)) or "none",
        "other conditions": ", ".join(text for name, text in shown.items() if name != "Ready"),
    }


def ended(report: Report, progress: Progress, *, kept: str) -> Report:
    """Return the report of a run with how its cluster ended."""
    about = replace(report.about, kept=kept, seconds=time.time() - report.about.started)
    return replace(report, about=about, phases=tuple(_phases(progress)))


def _phases(progress: Progress) -> Iterator[PhaseOfRun]:
    for one in progress.phases:
        yield PhaseOfRun(one.name, one.started, one.seconds, one.detail, one.failed)


def about_run(
    spec: ClusterSpec, settings: Settings, phases: Sequence[Phase], outcome: Outcome
) -> About:
    """Return what is run, on what."""
    now = time.time()
    first = min((phase.started for phase in phases), default=now)
    return About(
        spec.summary(),
        spec.version.number,
        spec.image_tag,
        settings.kind,
        settings.machines.name,
        settings.layout,
        network=str(spec.network or ""),
        control_plane=_control_plane(spec),
        plugin=version("pytest-kubecluster"),
        command=outcome.command,
        started=first,
        seconds=now - first,
        interrupted=outcome.interrupted,
        error=outcome.error,
    )


def _control_plane(spec: ClusterSpec) -> str:
    plane = spec.control_plane
    if plane is None:
        return ""
    return f"{'hollow' if plane.hollow else 'real'}, {plane.version.number}"


def _seen(nodes: Sequence[Node]) -> Iterator[tuple[str, Observation]]:
    """Yield the last look at each node that was looked at."""
    for node in nodes:
        if seen := node.seen:
            yield node.name, seen


def _node(
    cluster: ClusterSpec,
    spec: NodeSpec,
    node: Node | None,
    seen: Observation | None,
    facts: dict[str, NodeFacts],
) -> NodeOfRun:
    kubelet = spec.kubelet
    last = next((name for name in reversed(facts) if facts[name].node == spec.name), "")
    if not last and node and seen:
        last = f"{spec.name}-last"
        facts[last] = facts_of(node, seen)
    return NodeOfRun(
        spec.name,
        spec.role,
        str(spec.address),
        kubelet.version.number,
        cluster.api_server_of(spec),
        tuple(f"{key}={value}" if value else key for key, value in kubelet.node_labels.items()),
        kubelet.node_taints,
        node.access.problem if node else "",
        last,
    )


def explained(
    results: Sequence[Result], titles: Mapping[str, str] | None = None
) -> tuple[Result, ...]:
    """Return the results with what their checks expect, as the checks themselves say it.

    ``titles`` are those of the CIS benchmark by number.
    """
    known = {name: _first_line(check.__doc__ or "") for name, check in checks().items()}
    found = []
    for one in results:
        expects = one.expects
        if not expects and one.group != OWN:
            name, _, number = one.check.removeprefix("test_").partition("[")
            expects = known.get(name) or (titles or {}).get(number.rstrip("]"), "")
        found.append(replace(one, expects=expects))
    return tuple(found)


def _first_line(docstring: str) -> str:
    return docstring.partition("\n")[0].replace("``", "")


def _changes(spec: ClusterSpec) -> Iterator[ChangeOfVersion]:
    nodes: dict[tuple[str, str, str], list[str]] = {}
    for node in spec:
        for change in node.kubelet.changes:
            names = nodes.setdefault((change.what, change.reason, change.source), [])
            names.append(node.name)
    for (what, reason, source), names in nodes.items():
        yield ChangeOfVersion(what, reason, source, tuple(names))
