"""A difference between a node's spec and what was observed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from rich.console import Console
from rich.table import Table

from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.statements import Statements


class Evidence(IntEnum):
    """What a difference was seen in, from weakest to strongest."""

    FILES = 1
    SYSTEMD = 2
    PROCESS = 3
    PORTS = 4
    API = 5


@dataclass(frozen=True)
class Difference:
    """A deviation from the expected value; None stands for a thing that does not exist.

    ``expected_in`` and ``actual_in`` name where each is stated: a file, a flag, the spec.
    """

    name: str
    expected: str | None
    actual: str | None
    evidence: Evidence
    expected_in: str = ""
    actual_in: str = ""


class NothingToCheck(Exception):
    """A check that has nothing to judge on a node; the message is the reason."""


@dataclass(frozen=True)
class Case:
    """What a check judges: what was seen of a node, and what its spec states."""

    observed: Observation | None
    """What was seen over ssh; None for a node that is judged through the API server alone."""
    stated: Statements
    kubelet: KubeletSpec
    look_through_api: Callable[[], ApiView] | None = None
    """Looks at the node through the API server; None where the cluster has none to ask."""

    @property
    def seen(self) -> Observation:
        """What was seen over ssh. Raises NothingToCheck if that was not looked at."""
        if self.observed is None:
            raise NothingToCheck("only ssh can see this, and the node is judged through the API")
        return self.observed

    @property
    def leaves_more_to_the_api(self) -> bool:
        """Whether labels and taints may be in the Node object alone: who set them is not stated."""
        return self.look_through_api is not None and not self.stated.complete

    @cached_property
    def api(self) -> ApiView:
        """What the API server has. Raises NothingToCheck without one, and KubeClusterError."""
        if self.look_through_api is None:
            raise NothingToCheck("there is no control plane to ask")
        return self.look_through_api()

    def expects_content(self, path: str) -> bytes | None:
        """Return the bytes that a file must have; None if they are unknown."""
        found = (one.content for one in self.stated.files if one.path == path)
        return next((one for one in found if one is not None), None)


Check = Callable[[Case], Iterator[Difference]]
"""Yields the differences. Raises NothingToCheck."""


def difference_table(
    differences: Sequence[Difference], width: int = 160, *, places: bool = True
) -> list[str]:
    """Return the lines of a table of differences; the last column shows where each is stated.

    Without ``places`` there is no such column.
    """
    table = Table(box=None, pad_edge=False, header_style="")
    columns = ["", "expected", "actual"]
    if places and any(one.expected_in or one.actual_in for one in differences):
        columns.append("expected by; found in")
    for column in columns:
        table.add_column(column, overflow="fold")
    for one in differences:
        said_in = "; ".join(filter(None, (one.expected_in, one.actual_in)))
        row = [one.name, _cell(one.expected), _cell(one.actual), said_in]
        table.add_row(*row[: len(columns)])
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False, markup=False)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def _cell(value: str | None) -> str:
    return "(absent)" if value is None else value or '""'
