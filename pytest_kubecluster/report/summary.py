"""The results of a run as a table of nodes and evidence, for a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from pytest_kubecluster.nodes.verdict.difference import Difference
from pytest_kubecluster.report.heatmap import readable
from pytest_kubecluster.report.results import GROUPS, Result, by_cause

_SHORT = {"service": "systemd", "control_plane": "control plane", "own": "own tests"}
"""Heads of columns that are not the group's own name."""
_MOST_NODES = 12
"""How many nodes that pass are lines of their own."""
_WIDTH = 110


def node_table(results: Sequence[Result], nodes: Sequence[str], width: int = 120) -> list[str]:
    """Return the lines of a table of nodes and evidence; nothing without a test of a node.

    Of many nodes, those that pass are one line.
    """
    by_node = {node: [one for one in results if node in one.node.split(",")] for node in nodes}
    there = {one.group for own in by_node.values() for one in own}
    groups = [*(name for name in GROUPS if name in there), *sorted(there - GROUPS.keys())]
    if not groups:
        return []
    table = Table(box=None, pad_edge=False, header_style="")
    table.add_column("node", no_wrap=True)
    for group in groups:
        table.add_column(_SHORT.get(group, group), no_wrap=True)
    shown = _shown(by_node)
    for node in shown:
        table.add_row(node, *(_cell(by_node[node], group) for group in groups))
    if len(shown) < len(nodes):
        table.add_row(f"and {len(nodes) - len(shown)} more", *("ok" for _ in groups))
    return _lines(table, width)


def first_failures(results: Sequence[Result], nodes: Sequence[str]) -> Iterator[str]:
    """Yield the failure of each node that explains most, in one line."""
    for node in nodes:
        own = (one for one in results if node in one.node.split(","))
        failed = sorted((one for one in own if one.outcome == "failed"), key=by_cause)
        for first in failed[:1]:
            yield f"{node}: {readable(first.check)}: {_why(first)}"


def _shown(by_node: dict[str, list[Result]]) -> list[str]:
    if len(by_node) <= _MOST_NODES:
        return list(by_node)
    return [
        node
        for node, own in by_node.items()
        if not own or any(one.outcome == "failed" for one in own)
    ]


def _cell(own: Sequence[Result], group: str) -> str:
    outcomes = [one.outcome for one in own if one.group == group]
    if failed := outcomes.count("failed"):
        return f"{failed} of {failed + outcomes.count('passed')} failed"
    if not outcomes:
        return "not run"
    return "ok" if "passed" in outcomes else "not applicable"


def _why(result: Result) -> str:
    if result.differences:
        return _difference(result.differences[0]) + _more(result.differences)
    lines = [line.strip() for line in result.reason.splitlines() if line.strip()] or ["failed"]
    return _cut(lines[0])


def _difference(one: Difference) -> str:
    expected = "absent" if one.expected is None else one.expected or '""'
    actual = "absent" if one.actual is None else one.actual.partition("\n")[0] or '""'
    return _cut(f"{one.name} is {actual}, expected {expected}")


def _more(differences: Sequence[Difference]) -> str:
    return f" (and {len(differences) - 1} more)" if len(differences) > 1 else ""


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _lines(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]
