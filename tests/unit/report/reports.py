"""Reports of runs that did not happen, for tests of what shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_kubecluster.nodes.diagnostics import FileDiff, NodeFacts
from pytest_kubecluster.nodes.journal import JournalLine
from pytest_kubecluster.nodes.verdict.difference import Difference, Evidence
from pytest_kubecluster.report.data import (
    About,
    CertificateSeen,
    ChangeOfVersion,
    CisRow,
    NodeOfRun,
    PhaseOfRun,
    Report,
)
from pytest_kubecluster.report.results import OWN, Result
from pytest_kubecluster.util.progress import Span

START = 1_700_000_000.0
DAY = 86400.0
UNIT = "/etc/systemd/system/kubelet.service"
DOMAIN = Difference(
    "--cluster-domain",
    "cluster.local",
    "cluster.example",
    Evidence.PROCESS,
    UNIT,
    "running process",
)
CONTENT = Difference(f"{UNIT} content", "as rendered", "different content", Evidence.FILES)
EVIL = "<script>alert('&\"x')</script>"


def run(
    masters: int = 1,
    workers: int = 1,
    *,
    checks: int = 3,
    failing: tuple[str, ...] = ("worker01",),
    differing: int = 1,
) -> Report:
    """Return a run in which the first ``differing`` checks fail on the nodes ``failing``."""
    names = [f"master{n:02}" for n in range(1, masters + 1)]
    names += [f"worker{n:02}" for n in range(1, workers + 1)]
    nodes = tuple(node(name, number) for number, name in enumerate(names, 1))
    facts = {name: facts_of(name) for name in names if name in failing}
    results = tuple(_results(names, checks, failing, differing))
    about = About(
        f"{masters} masters, {workers} workers",
        "1.7.5",
        "v1.7.5_coreos.1",
        "hollow",
        "docker",
        "classic",
        network="10.17.4.0/24",
        plugin="0.1.0",
        command="pytest --kube-cluster",
        started=START,
        seconds=30.0,
        failed=bool(failing),
    )
    phases = (
        PhaseOfRun("boot", START, 5.0, "booted"),
        PhaseOfRun("provision", START + 5, 10.0, "4 changes on 2 nodes"),
        PhaseOfRun("destroy", START + 28, 2.0, "nothing is left"),
    )
    spans = tuple(Span("boot", name, START, 4.0) for name in names)
    spans += tuple(
        Span("provision", name, START + 6 + n, 0.9, f"kubelet : task {n}", "changed")
        for name in names
        for n in range(6)
    )
    cis = tuple(row for name in names for row in cis_rows(name, failed=name in failing))
    return Report(about, nodes, results, facts, phases, spans, certificates(names), CHANGES, cis)


def cis_rows(node: str, *, failed: bool) -> tuple[CisRow, ...]:
    found = (Difference("--authorization-mode", "Webhook", "AlwaysAllow", Evidence.PROCESS),)
    status, differences = ("fail", found) if failed else ("pass", ())
    return (
        CisRow(node, "cis-1.1", "2.1.2", "authorization", "No AlwaysAllow", False, status,
               differences=differences, remedy="Set it to Webhook."),
        CisRow(node, "cis-1.1", "2.1.9", "hostname", "No override", True, "warn"),
        CisRow(node, "cis-1.1", "2.2.1", "modes", "Modes of files", False, "waived", "ours"),
    )  # fmt: skip


def node(name: str, number: int) -> NodeOfRun:
    role = name[:6]
    return NodeOfRun(
        name,
        role,
        f"10.17.4.{number}",
        "1.7.5",
        "https://10.17.4.1:443",
        (f"node-role.kubernetes.io/{role}",),
        ("node-role.kubernetes.io/master=:NoSchedule",) if role == "master" else (),
        facts=name,
    )


def facts_of(name: str) -> NodeFacts:
    argv = ("hyperkube", "kubelet", "--cluster-domain=cluster.example", "--v=2")
    diff = FileDiff(UNIT, ("@@ -1,2 +1,2 @@", " [Service]", "-Restart=always", "+Restart=no"))
    journal = (JournalLine("E1125 10:11:12.1 1 x.go:1] connection refused", 17, loud=True),)
    unit = "active (running), enabled, 0 restarts, result success"
    return NodeFacts(
        name, "", unit, True, argv, (DOMAIN, CONTENT), (diff,), ("ports: timed out",), journal
    )


def _results(
    names: list[str], checks: int, failing: tuple[str, ...], differing: int
) -> Iterator[Result]:
    groups = ("files", "service", "process", "ports")
    for number in range(checks):
        group = groups[number % len(groups)]
        for place, name in enumerate(names):
            began = START + 16 + (number * len(names) + place) * 0.01
            result = Result(
                f"test_check_{number}", name, "passed", "", 0.01, group, "test_x.py", "Expect it.",
                began,
            )  # fmt: skip
            if number < differing and name in failing:
                result = replace(
                    result, outcome="failed", reason="not so", differences=(DOMAIN,), facts=(name,)
                )
            yield result


def certificates(names: list[str]) -> tuple[CertificateSeen, ...]:
    everywhere = tuple(names)
    ca = CertificateSeen(
        "ca", "CN=kube-ca", "CN=kube-ca", START - DAY, START + 364 * DAY, True, "", ("CA",),
        used={"client CA": everywhere},
    )  # fmt: skip
    client = CertificateSeen(
        "client", "CN=kubelet", "CN=kube-ca", START - DAY, START + 364 * DAY, False, "ca",
        ("server", "client"), used={"client certificate": everywhere},
    )  # fmt: skip
    old = CertificateSeen("old", "CN=old", "CN=gone", START - 9 * DAY, START - DAY)
    return ca, client, old


CHANGES = (
    ChangeOfVersion("--network-plugin is gone", "dockershim is gone", "KEP-2221", ("master01",)),
)


def with_evil_names() -> Report:
    """Return a run in which everything that others can name has HTML in it."""
    report = run()
    odd = replace(
        report.results[0],
        check=f"test_{EVIL}",
        outcome="failed",
        group=OWN,
        file=f"{EVIL}.py",
        reason=EVIL,
        text=EVIL,
        expects=EVIL,
        differences=(),
    )
    differs = replace(DOMAIN, name=EVIL, expected=EVIL, actual=f"{EVIL}!", expected_in=EVIL)
    facts = {
        name: replace(
            one,
            unit=EVIL,
            argv=(EVIL,),
            differences=(differs,),
            unseen=(EVIL,),
            diffs=(FileDiff(EVIL, (f"-{EVIL}", f"+{EVIL}")),),
            journal=(JournalLine(EVIL),),
        )
        for name, one in report.facts.items()
    }
    nodes = tuple(
        replace(one, labels=(EVIL,), taints=(EVIL,), problem=EVIL, api_server=f"https://{EVIL}")
        for one in report.nodes
    )
    about = replace(report.about, command=EVIL, error=EVIL, kept=EVIL, cluster=EVIL)
    spans = tuple(replace(one, task=EVIL) for one in report.spans)
    changes = (ChangeOfVersion(EVIL, EVIL, EVIL, ("master01",)),)
    seen = tuple(replace(one, subject=EVIL, names=(EVIL,)) for one in report.certificates)
    results = (odd, *report.results, replace(odd, differences=(differs,), check="test_other"))
    cis = tuple(replace(one, title=EVIL, remedy=EVIL, reason=EVIL) for one in report.cis)
    return replace(
        report,
        cis=cis,
        about=about,
        nodes=nodes,
        results=results,
        facts=facts,
        spans=spans,
        changes=changes,
        certificates=seen,
    )
