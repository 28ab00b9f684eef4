"""The page of a run, or of several: one HTML file that refers to no other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from pytest_kubecluster.report.data import CertificateSeen, Report
from pytest_kubecluster.report.heatmap import (
    Heading,
    Placed,
    heatmap,
    marked_difference,
    readable,
)
from pytest_kubecluster.report.marking import mark_argv
from pytest_kubecluster.report.picture import picture, state_of
from pytest_kubecluster.report.results import Outcome, Result
from pytest_kubecluster.report.timeline import durations, timeline
from pytest_kubecluster.util.progress import count
from pytest_kubecluster.util.templates import template_environment

WHOLE = "cluster"
"""The column of tests that are about no single node."""
_COLUMNS = {"narrow": (1, 2), "middle": (3, 5), "wide": (6, 9)}
"""How many nodes the picture has beside each other, few or many, by the width of the screen."""
_MANY = 24
_MOST_SERVING = 3
"""How many serving certificates that sign themselves are shown without being asked for."""
KUBELETS = {
    "hollow": "the hollow kubelet, the bundled stand-in",
    "real": "a real kubelet",
    "found": "the kubelets that were found",
}
STATES = {
    "ok": "all its checks pass",
    "failed": "a check fails",
    "unusable": "it could not be used",
    "unchecked": "nothing was checked",
}


def as_page(report: Report) -> str:
    """Return the page of a run. The report has no secrets any more."""
    return render(
        "run.html.j2",
        report=report,
        about=report.about,
        headline=headline(report),
        verdict=verdict(report),
        map=heatmap(list(_headings(report)), _placed(report), report.facts),
        pictures={name: picture(report, _columns(name, len(report.nodes))) for name in _COLUMNS},
        states={node.name: state_of(report, node) for node in report.nodes},
        state_texts=STATES,
        line=timeline(report),
        roots=_roots(report.certificates),
        cis=heatmap(list(_headings(report))[: len(report.nodes)], _cis(report), {}, "cis-failure"),
        now=report.about.started + report.about.seconds or time.time(),
        kubelets=KUBELETS,
    )


def render(template: str, **values: Any) -> str:
    """Return a page with these values."""
    environment = template_environment("pytest_kubecluster.report", html=True)
    environment.filters |= {"readable": readable, "date": _date, "day": _day, "seconds": _seconds}
    environment.filters["marked"] = marked_difference
    environment.globals |= {
        "count": count,
        "durations": durations,
        "mark_argv": mark_argv,
    }
    return environment.get_template(template).render(**values)


def verdict(report: Report) -> str:
    """Return ``passed``, ``failed``, ``interrupted`` or ``empty``, for colour and shape."""
    if report.about.interrupted:
        return "interrupted"
    if report.about.failed or report.number_of("failed"):
        return "failed"
    return "passed" if report.number_of("passed") else "empty"


def headline(report: Report) -> str:
    """Return the verdict as one sentence."""
    about, failed, passed = report.about, report.number_of("failed"), report.number_of("passed")
    bad = {
        name for one in report.results if one.outcome == "failed" for name in one.node.split(",")
    }
    nodes = len(report.nodes)
    where = f" on {len(bad)} of {count(nodes, 'node')}" if bad - {""} else ""
    judged = f"{failed} of {count(failed + passed, 'check')} failed{where}"
    if about.interrupted:
        return f"Interrupted during {about.interrupted}" + (f"; {judged}" if failed else "")
    if failed:
        return judged
    if about.error:
        return about.error.partition("\n")[0]
    if not passed:
        return "The run failed" if about.failed else "No check was run"
    every = f"All {passed} checks pass" if passed > 1 else "The one check passes"
    return f"{every} on {count(nodes, 'node')}" + (", but the run failed" if about.failed else "")


def _headings(report: Report) -> Iterator[Heading]:
    for node in report.nodes:
        bad = state_of(report, node) in ("failed", "unusable")
        yield Heading(node.name, node.name, f"#node-{node.name}", bad)
    if any(not one.node for one in report.results):
        bad = any(one.outcome == "failed" and not one.node for one in report.results)
        yield Heading(WHOLE, "whole cluster", failed=bad, rare=True)


def _placed(report: Report) -> Iterator[Placed]:
    for one in report.results:
        for node in one.node.split(","):
            yield Placed(one, node or WHOLE, node or "the cluster", one.facts)


def _cis(report: Report) -> Iterator[Placed]:
    """Yield the CIS checks as results: a warning or a waived failure judges nothing."""
    outcomes: dict[str, Outcome] = {
        "pass": "passed",
        "waiver not needed": "passed",
        "fail": "failed",
    }
    for row in report.cis:
        reason = f"{row.status}: {row.reason}" if row.reason else row.status
        result = Result(
            f"{row.id} {row.title}",
            row.node,
            outcomes.get(row.status, "skipped"),
            reason,
            group=row.benchmark,
            expects=row.remedy,
            differences=row.differences,
        )
        yield Placed(result, row.node, row.node)


def _columns(width: str, nodes: int) -> int:
    few, many = _COLUMNS[width]
    return many if nodes > _MANY else few


SERVING = "serving"
"""Where the page has certificates that only serve, and that no CA signed."""


def _roots(certificates: Sequence[CertificateSeen]) -> Mapping[str, list[CertificateSeen]]:
    """Return the certificates by the fingerprint of the one that signed them; roots have none."""
    found: dict[str, list[CertificateSeen]] = {}
    known = {one.fingerprint for one in certificates}
    for one in certificates:
        found.setdefault(one.signed_by if one.signed_by in known else "", []).append(one)
    roots = found.get("", [])
    alone = [one for one in roots if {*one.used} == {"serving certificate"}]
    alone = [one for one in alone if one.fingerprint not in found]
    if len(alone) > _MOST_SERVING:
        found[""] = [one for one in roots if one not in alone]
        found[SERVING] = alone
    return found


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d}"


def _seconds(seconds: float) -> str:
    if seconds < 0.95:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
