"""The facts of a node that bear on a failure: what differs, and where that can be seen."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_view import find_object, last_events
from pytest_kubecluster.nodes.journal import JournalLine, digest
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import (
    Case,
    Difference,
    Evidence,
    case_of,
    compare,
    difference_table,
)
from pytest_kubecluster.util.plain import map_text
from pytest_kubecluster.util.redact import redact

_DIFF_LINES = 40
_CONTEXT = 2


@dataclass(frozen=True)
class FileDiff:
    """How a file of a node differs from the expected one: the lines of a unified diff."""

    path: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class NodeFacts:
    """What one look at a node showed. ``problem`` is why there was none."""

    node: str
    problem: str = ""
    unit: str = ""
    """Systemd's account of the kubelet's unit in one line."""
    healthy: bool = True
    """Whether the unit is active, was not restarted, and the kubelet says that it is healthy."""
    argv: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    diffs: tuple[FileDiff, ...] = ()
    unseen: tuple[str, ...] = ()
    """The parts of the look that failed, and why."""
    journal: tuple[JournalLine, ...] = ()
    registered: tuple[str, ...] = ()
    """The conditions of the Node object, and its last events; empty without an API server."""


def node_facts(node: Node) -> NodeFacts:
    """Return a node's facts, without secrets.

    They come from the look that the failed test used, or from a new one if it used none.
    """
    try:
        seen = node.kubelet if node.used else node.look()
    except KubeClusterError as error:
        if not node.access.ssh_config:
            return map_text(NodeFacts(node.name, registered=tuple(_registered(node))), redact)
        return NodeFacts(node.name, redact(str(error)), healthy=False)
    registered = map_text(tuple(_registered(node)), redact)
    return replace(facts_of(node, seen), registered=registered)


def facts_of(node: Node, seen: Observation) -> NodeFacts:
    """Return the facts of an observation of a node, without secrets. Nothing is contacted."""
    unit = seen.unit
    state = f"{unit.get('ActiveState')} ({unit.get('SubState')}), {unit.get('UnitFileState')}"
    restarts = int(unit.get("NRestarts") or 0)
    facts = NodeFacts(
        node.name,
        unit=f"{state}, {restarts} restarts, result {unit.get('Result')}",
        healthy=unit.get("SubState") == "running" and not restarts and _says_ok(seen),
        argv=seen.process.argv if seen.process else (),
        differences=tuple(compare(seen, node.spec)),
        diffs=tuple(_diffs(case_of(seen, node.spec))),
        unseen=tuple(f"{name}: {reason}" for name, reason in seen.problems.items()),
        journal=digest(seen.journal),
    )
    return map_text(facts, redact)


def _registered(node: Node) -> Iterator[str]:
    """Yield what the API server says of a node: its conditions and its last events."""
    if node.api is None:
        return
    try:
        found = find_object(node.api, node.registered_name, node.address)
        if found is None:
            yield f"there is no Node object {node.registered_name} at {node.api.url}"
            return
        yield ", ".join(map(str, found.conditions)) or "no conditions"
        yield from last_events(node.api, found.name)
    except KubeClusterError as error:
        yield str(error)


def _says_ok(seen: Observation) -> bool:
    return not seen.ports.get("healthz") or seen.healthz.body == "ok"


def _diffs(case: Case) -> Iterator[FileDiff]:
    """Yield the diffs of the files whose content is stated and not secret."""
    for stated in case.stated.files:
        file = case.seen.files.get(stated.path)
        if stated.content is None or file is None or file.content in (None, stated.content):
            continue
        wanted, actual = (text.decode(errors="replace") for text in (stated.content, file.content))
        lines = difflib.unified_diff(
            wanted.splitlines(), actual.splitlines(), n=_CONTEXT, lineterm=""
        )
        yield FileDiff(stated.path, tuple(lines)[2 : _DIFF_LINES + 2])


def facts_text(facts: NodeFacts, shown: str = "") -> str:
    """Return what of a node's facts bears on a failure; empty if nothing does.

    The differences come first. Lines that ``shown``, the text of the failure, has already are left
    out.
    """
    if facts.problem:
        return "" if facts.problem in shown else facts.problem
    registered = []
    if facts.differences or not facts.healthy or not _is_ready(facts) or "Node object" in shown:
        registered = [f"API server: {one}" for one in facts.registered]
    if not facts.differences:
        unhealthy = [] if facts.healthy else [*_unit(facts), *_journal(facts, shown)]
        return "\n".join([*unhealthy, *registered])
    seen_in = {one.evidence for one in facts.differences}
    table = difference_table(facts.differences)
    lines = [] if all(line in shown for line in table) else table
    if not facts.healthy or Evidence.SYSTEMD in seen_in:
        lines += _unit(facts)
    if Evidence.PROCESS in seen_in and facts.argv:
        lines.append(f"argv:  {' '.join(facts.argv)}")
    for diff in facts.diffs:
        lines += [f"diff of {diff.path}, expected and actual:", *(f"  {x}" for x in diff.lines)]
    lines += [f"not observed: {one}" for one in facts.unseen]
    lines += registered
    if not facts.healthy or seen_in & {Evidence.PORTS, Evidence.API}:
        lines += _journal(facts, "\n".join([shown, *table]))
    return "\n".join(lines)


def _is_ready(facts: NodeFacts) -> bool:
    return not facts.registered or "Ready=True" in facts.registered[0]


def all_facts_text(facts: NodeFacts) -> str:
    """Return everything that is known of a node, for a file beside the report of a failure."""
    if facts.problem:
        return facts.problem
    lines = [*_unit(facts), f"argv:  {' '.join(facts.argv) or 'not running'}", ""]
    lines += difference_table(facts.differences) if facts.differences else ["matches its spec"]
    for diff in facts.diffs:
        lines += [f"diff of {diff.path}, expected and actual:", *(f"  {x}" for x in diff.lines)]
    lines += [f"not observed: {one}" for one in facts.unseen]
    if facts.registered:
        lines += ["", *facts.registered]
    return "\n".join([*lines, "", *_journal(facts, "")])


def _unit(facts: NodeFacts) -> list[str]:
    return [f"unit:  {facts.unit}"]


def _journal(facts: NodeFacts, shown: str) -> list[str]:
    lines = [f"  {line}" for line in facts.journal if line.text[:80] not in shown]
    return ["journal:", *lines] if lines else []
