"""The verdict: what of an observation breaks an invariant or a statement of the spec.

One check is one function that yields the differences it finds. The bundled suite has an item for
each check, and `compare` runs them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import (
    files,
    kubeconfig,
    ports,
    process,
    registration,
    service,
)
from pytest_kubecluster.nodes.verdict.difference import (
    Case,
    Check,
    Difference,
    Evidence,
    NothingToCheck,
    difference_table,
)
from pytest_kubecluster.spec.model import KubeletSpec, NodeSpec
from pytest_kubecluster.spec.statements import Statements, statements_of

__all__ = [
    "Case",
    "Check",
    "Difference",
    "Evidence",
    "NothingToCheck",
    "case_of",
    "checks",
    "compare",
    "difference_table",
    "differences_of",
]


def checks() -> dict[str, Check]:
    """Return all checks by name, in the order of a difference table."""
    return {
        name: check
        for module in (process, service, files, kubeconfig, ports, registration)
        for name, check in _public(module)
    }


def _public(module: ModuleType) -> Iterator[tuple[str, Check]]:
    for name, value in vars(module).items():
        if name[0] != "_" and getattr(value, "__module__", "") == module.__name__:
            annotations = getattr(value, "__annotations__", {})
            if annotations.get("return") == "Iterator[Difference]":
                yield name, value


def case_of(
    seen: Observation, spec: NodeSpec | KubeletSpec, stated: Statements | None = None
) -> Case:
    """Return what checks judge: an observation, and what a spec states of it."""
    kubelet = spec.kubelet if isinstance(spec, NodeSpec) else spec
    stated = stated or statements_of(spec, seen.rendered)
    if stated.server is None and seen.api_server:
        stated = replace(stated, server=seen.api_server)
    return Case(seen, stated, kubelet)


def compare(
    seen: Observation, spec: NodeSpec | KubeletSpec, stated: Statements | None = None
) -> list[Difference]:
    """Return every difference of an observation and a spec, each named once."""
    return differences_of(case_of(seen, spec, stated))


def differences_of(case: Case) -> list[Difference]:
    """Return what all checks find, each difference named once."""
    found: dict[str, Difference] = {}
    for check in checks().values():
        for one in differences(check, case):
            found.setdefault(one.name, one)
    return list(found.values())


def differences(check: Check, case: Case) -> list[Difference]:
    """Return what one check finds; nothing where it has nothing to check."""
    try:
        return list(check(case))
    except NothingToCheck:
        return []
