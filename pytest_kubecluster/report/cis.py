"""The CIS checks of nodes as rows, for tables and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_kubecluster.nodes.cis import FAIL, Finding, findings
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.report.data import CisRow
from pytest_kubecluster.spec.benchmarks import Waiver


def cis_rows(name: str, seen: Observation, waivers: tuple[Waiver, ...]) -> list[dict[str, Any]]:
    """Return one row for each check of a node, with the same keys in every row.

    ``status`` is ``pass``, ``fail``, ``warn``, ``n/a``, ``waived`` or ``waiver not needed``;
    ``differences`` has the expected and the actual value of each thing that is not as it must be.
    """
    return [_row(name, finding) for finding in findings(seen, waivers)]


def cis_of_run(seen: Mapping[str, Observation], waivers: tuple[Waiver, ...]) -> Iterator[CisRow]:
    """Yield the rows of all nodes, by whose names their observations are given."""
    for node, observation in seen.items():
        for row, finding in zip(
            cis_rows(node, observation, waivers), findings(observation, waivers), strict=True
        ):
            yield CisRow(**{**row, "differences": tuple(finding.differences)})


def has_failed(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether any check fails that is neither manual nor waived."""
    return any(row["status"] == FAIL for row in rows)


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many checks have which status: ``20 pass, 2 fail``."""
    statuses = [str(row["status"]) for row in rows]
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    return ", ".join(f"{number} {status}" for status, number in counts.items())


def _row(name: str, finding: Finding) -> dict[str, Any]:
    check, waiver = finding.check, finding.waiver
    return {
        "node": name,
        "benchmark": check.benchmark,
        "id": check.id,
        "check": check.name,
        "title": check.title,
        "manual": check.manual,
        "status": finding.status,
        "reason": waiver.reason if waiver else finding.not_applicable,
        "differences": [
            {"what": one.name, "expected": one.expected, "actual": one.actual, "in": one.actual_in}
            for one in finding.differences
        ],
        "remedy": finding.remedy if finding.differences else "",
    }
