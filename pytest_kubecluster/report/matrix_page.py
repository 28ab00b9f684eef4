"""The page of a matrix: the page of a run, with versions for columns."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_kubecluster.nodes.diagnostics import NodeFacts
from pytest_kubecluster.report.heatmap import Heading, Heatmap, Placed, heatmap
from pytest_kubecluster.report.matrix import verdict
from pytest_kubecluster.report.page import KUBELETS, WHOLE, render
from pytest_kubecluster.report.results import Column, Matrix


def as_html(matrix: Matrix) -> str:
    """Return an HTML page that refers to no other file."""
    facts: dict[str, NodeFacts] = {}
    for column in matrix.columns:
        facts |= {_key(column, name): one for name, one in column.facts.items()}
    return render(
        "matrix.html.j2",
        matrix=matrix,
        headline=verdict(matrix),
        verdict="failed" if matrix.failed else "passed",
        kubelets=KUBELETS,
        columns=[(f"version-{_slug(one.title)}", one) for one in matrix.columns],
        map=heatmap([*_headings(matrix)], _placed(matrix), facts),
        nodes={one.title: _by_node(one) for one in matrix.columns},
    )


def _headings(matrix: Matrix) -> Iterator[Heading]:
    for column in matrix.columns:
        title = column.title
        yield Heading(title, title, f"#version-{_slug(title)}", column.failed)


def _placed(matrix: Matrix) -> Iterator[Placed]:
    for column in matrix.columns:
        number = column.title
        for result in column.results:
            where = f"{number} on {result.node}" if result.node else number
            names = tuple(_key(column, name) for name in result.facts)
            yield Placed(result, number, where, names)


def _slug(title: str) -> str:
    """Return a title as the part of an id."""
    return re.sub(r"[^\w.-]+", "-", title)


def _key(column: Column, name: str) -> str:
    """Return the name of facts among those of all versions."""
    return f"{column.title} {name}"


def _by_node(column: Column) -> Heatmap:
    """Return the results of one version by node."""
    nodes = dict.fromkeys(node for one in column.results for node in one.node.split(",") if node)
    failed = {one.node for one in column.results if one.outcome == "failed"}
    headings = [Heading(node, node, failed=node in failed) for node in nodes]
    headings.append(Heading(WHOLE, "whole cluster", rare=True))
    placed = [
        Placed(one, node or WHOLE, node) for one in column.results for node in one.node.split(",")
    ]
    return heatmap(headings, placed, {})
