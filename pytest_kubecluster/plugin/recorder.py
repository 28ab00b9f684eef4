"""The results of tests: described where a test runs, gathered where the run is reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.diagnostics import NodeFacts
from pytest_kubecluster.nodes.verdict import Difference, checks, differences
from pytest_kubecluster.plugin.facts import nodes_of
from pytest_kubecluster.plugin.items import node_names
from pytest_kubecluster.report.outcome import Outcome
from pytest_kubecluster.report.results import OWN, Result
from pytest_kubecluster.report.results import Outcome as Verdict
from pytest_kubecluster.util.plain import from_plain, to_plain

if TYPE_CHECKING:
    from pytest_kubecluster.plugin.session import ClusterSession

_SUITES = ("pytest_kubecluster.conformance.", "pytest_kubecluster.cis")
_FIXTURES = "kube_"
_LONGEST = 8000
"""How much of a traceback is kept, from its end."""


def describe(
    item: pytest.Item,
    report: pytest.TestReport,
    session: ClusterSession,
    facts: dict[str, NodeFacts],
) -> None:
    """Note in a report what only this process knows of the test; pytest-xdist carries it along."""
    group = _group(item)
    result = Result(
        _check(item),
        ",".join(sorted(node_names(item))),
        _verdict(report),
        _reason(report),
        report.duration,
        group,
        report.location[0],
        _first_line(item) if group == OWN else "",
        getattr(report, "start", 0.0),
    )
    found: Sequence[Difference] = ()
    if report.failed:
        found = _differences(item, group, session)
        text = "" if found and group != OWN else report.longreprtext[-_LONGEST:]
        result = Result(
            **{**vars(result), "differences": tuple(found), "text": text, "facts": tuple(facts)}
        )
    uses = any(name.startswith(_FIXTURES) for name in getattr(item, "fixturenames", ()))
    described = {"uses": uses, "result": to_plain(result), "facts": to_plain(facts)}
    report.kubecluster = described  # type: ignore[attr-defined]


class Recorder:
    """Gathers the results of a run."""

    def __init__(self, outcome: Outcome | None = None, *, everything: bool = False) -> None:
        """Fill ``outcome``, with ``everything`` also by tests that use no fixture of the plugin."""
        self.outcome = outcome or Outcome()
        self._everything = everything

    def add(self, report: pytest.TestReport) -> None:
        """Add what a report says; a test that passed is one report, its call."""
        described: dict[str, Any] | None = getattr(report, "kubecluster", None)
        if described is None or not (described["uses"] or self._everything):
            return
        if report.outcome not in ("passed", "failed", "skipped"):
            return  # pytest-rerunfailures runs it again
        if report.when != "call" and report.outcome == "passed":
            return
        result = from_plain(Result, described["result"])
        worker = getattr(report, "worker_id", "")
        self.outcome.results.append(Result(**{**vars(result), "worker": worker}))
        for name, facts in described["facts"].items():
            self.outcome.facts.setdefault(name, from_plain(NodeFacts, facts))


def _group(item: pytest.Item) -> str:
    """Return the evidence of a check of a bundled suite: it is its module's name."""
    module: str = getattr(getattr(item, "module", None), "__name__", "")
    if not module.startswith(_SUITES):
        return OWN
    return module.rpartition(".")[2].removeprefix("test_")


def _check(item: pytest.Item) -> str:
    """Return the name of a test without its nodes, but with its other parameters."""
    name, _, rest = item.location[2].partition("[")
    parameters = rest.removesuffix("]")
    for node in node_names(item):
        parameters = parameters.replace(node, "", 1)
    parameters = "-".join(filter(None, parameters.split("-")))
    return f"{name}[{parameters}]" if parameters else name


def _first_line(item: pytest.Item) -> str:
    function = getattr(item, "function", None)
    return (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]


def _verdict(report: pytest.TestReport) -> Verdict:
    if report.passed:
        return "passed"
    return "failed" if report.failed else "skipped"


def _differences(item: pytest.Item, group: str, session: ClusterSession) -> Sequence[Difference]:
    """Return the differences that a test failed with."""
    if group == OWN:
        return session.compared
    check = checks().get(_check(item).removeprefix("test_"))
    if check is None:
        return ()
    nodes = [node for node in nodes_of(item) if node.used and node.seen]
    found: list[Difference] = []
    for node in nodes:
        with suppress(KubeClusterError):  # an API server may have gone meanwhile
            found += differences(check, node.case())
    return found


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped, or the message of its failure."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        # The same reason on several nodes is one.
        node = report.location[2].partition("[")[2].rstrip("]")
        return reason.removeprefix(f"{node}: ")
    if report.skipped:
        return str(getattr(report, "wasxfail", "")) or "expected to fail"
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash else report.longreprtext
