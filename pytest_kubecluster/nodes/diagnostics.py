"""What is worth knowing of a node when a test that uses it failed, and the report of a run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import difference_table

_LINE = 240
_SECONDS = 30.0
_CUT_KEYS = r"s/\(client-key-data: *\|token: *\|password: *\).*/\1(cut out)/"


def node_facts(node: Node) -> str:
    """Return a node's facts as text: unit, argv, where it is not its spec, the journal's end.

    A node that does not answer is described by the reason.
    """
    try:
        view = node.look()
    except KubeClusterError as error:
        return str(error)
    unit = view.unit
    state = f"{unit.get('ActiveState')} ({unit.get('SubState')}), {unit.get('UnitFileState')}"
    restarts = f"{unit.get('NRestarts')} restarts, result {unit.get('Result')}"
    differences = view.differences(node.spec.kubelet)
    table = difference_table(differences) if differences else ["as its spec says"]
    return "\n".join(
        [
            f"unit:  {state}, {restarts}",
            f"argv:  {view.command_line_text}",
            "spec:  " + "\n       ".join(table),
            "journal:",
            *(f"  {line[:_LINE]}" for line in view.journal),
        ]
    )


def write_report(
    folder: Path, about: Mapping[str, Any], nodes: Sequence[Node], logs: Path, *, failed: bool
) -> None:
    """Write ``report.json`` and, of a failed run, each node's diagnostics and all logs.

    ``about`` goes into the report as it is; ``logs`` is the folder of the external commands' logs.
    No private key and no environment gets into any of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(about, indent=1) + "\n")
    if not failed:
        return
    for log in logs.glob("*.log"):
        shutil.copy(log, folder)
    if nodes:
        with ThreadPoolExecutor(max_workers=min(16, len(nodes))) as pool:
            list(pool.map(lambda node: _collect(node, folder / node.name), nodes))


def _collect(node: Node, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    kubelet = node.spec.kubelet
    commands = {
        "journal.txt": ["journalctl", "--unit", kubelet.unit, "--no-pager", "--lines=5000"],
        kubelet.unit: ["cat", kubelet.unit_path],
        "kubeconfig": ["sed", _CUT_KEYS, kubelet.kubeconfig],
        "systemctl-status.txt": ["systemctl", "status", "--no-pager", "--full", kubelet.unit],
        "addresses.txt": ["ip", "address"],
        "routes.txt": ["ip", "route"],
        "disk.txt": ["df", "-h"],
    }
    for name, command in commands.items():
        try:
            done = node.run(*command, timeout=_SECONDS)
            (folder / name).write_bytes(done.stdout + done.stderr)
        except (KubeClusterError, subprocess.SubprocessError) as error:
            (folder / name).write_text(f"{error}\n")
            return
