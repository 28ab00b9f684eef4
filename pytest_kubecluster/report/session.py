"""The report of a test run: a folder with report.json and, if the run failed, diagnostics."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.nodes.diagnostics import write_report
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.report.cis import cis_rows
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.util.progress import Phase


def write_session_report(
    folder: Path,
    spec: ClusterSpec,
    settings: Settings,
    phases: Iterable[Phase],
    nodes: Sequence[Node],
    logs: Path,
    *,
    failed: bool,
) -> None:
    """Write the report of a run that ``failed`` or passed to ``folder``.

    Only its owner can read it, despite the umask: logs of a user's playbook may show anything. A
    folder that exists keeps its mode. Raises OSError.
    """
    about = {**_about(spec, settings, phases, failed=failed), "cis": _cis(settings, nodes)}
    umask = os.umask(0o077)
    try:
        write_report(folder, about, nodes, logs, failed=failed)
    finally:
        os.umask(umask)
        for path in _written(folder, nodes, logs):
            path.chmod(0o700 if path.is_dir() else 0o600)


def _about(
    spec: ClusterSpec, settings: Settings, phases: Iterable[Phase], *, failed: bool
) -> Mapping[str, Any]:
    return {
        "cluster": spec.summary(),
        "network": str(spec.network or ""),
        "provider": settings.machines.name,
        "hyperkube": spec.image_tag,
        "kubelet": settings.kind,
        "failed": failed,
        "seconds": {phase.name: round(phase.seconds, 1) for phase in phases},
        "nodes": [node.name for node in spec],
        "changes": {n.name: [asdict(change) for change in n.kubelet.changes] for n in spec},
    }


def _cis(settings: Settings, nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """Return the CIS checks of the nodes that this run has looked at."""
    waivers = settings.spec_file.waivers
    return [row for one in nodes if one.seen for row in cis_rows(one.name, one.seen, waivers)]


def _written(folder: Path, nodes: Sequence[Node], logs: Path) -> Iterator[Path]:
    """Yield what a report consists of: the folder may hold other files, too."""
    names = ["report.json", *(log.name for log in logs.glob("*.log"))]
    yield from (path for name in names if (path := folder / name).is_file())
    for node in nodes:
        if (own := folder / node.name).is_dir():
            yield own
            yield from (path for path in own.iterdir() if path.is_file())
