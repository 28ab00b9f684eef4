"""Describe a node where a test that uses it failed, and write the report of a run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import compare, difference_table
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.redact import copy_redacted, redact

_LINE = 240
_SECONDS = 30.0


def node_facts(node: Node) -> str:
    """Return a node's facts as text: unit, argv, where it is not its spec, the journal's end.

    They come from the look that the failed test used, or from a new one if it used none. A node
    that does not answer is described by the reason.
    """
    try:
        seen = node.kubelet if node.used else node.look()
    except KubeClusterError as error:
        return str(error)
    unit = seen.unit
    state = f"{unit.get('ActiveState')} ({unit.get('SubState')}), {unit.get('UnitFileState')}"
    restarts = f"{unit.get('NRestarts')} restarts, result {unit.get('Result')}"
    differences = compare(seen, node.spec)
    table = difference_table(differences) if differences else ["matches its spec"]
    lines = [
        f"unit:  {state}, {restarts}",
        f"argv:  {seen.command_line_text}",
        "spec:  " + "\n       ".join(table),
        *(f"not observed: {name}: {reason}" for name, reason in seen.problems.items()),
        "journal:",
        *(f"  {line[:_LINE]}" for line in seen.journal),
    ]
    return redact("\n".join(lines))


def write_report(
    folder: Path, about: Mapping[str, Any], nodes: Sequence[Node], logs: Path, *, failed: bool
) -> None:
    """Write ``report.json`` and, of a failed run, each node's diagnostics and all logs.

    ``about`` goes into the report as it is; ``logs`` is the folder of the external commands' logs.
    Secrets are redacted, and only the owner can read what is left.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / "report.json", json.dumps(about, indent=1) + "\n")
    if not failed:
        return
    for log in logs.glob("*.log"):
        copy_redacted(log, folder / log.name)
    if nodes:
        with ThreadPoolExecutor(max_workers=min(16, len(nodes))) as pool:
            list(pool.map(lambda node: _collect(node, folder / node.name), nodes))


def _collect(node: Node, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        seen = node.kubelet
    except KubeClusterError as error:
        _write(folder / "node.txt", f"{error}\n")
        return
    unit = node.spec.kubelet.unit
    for name, text in _observed(seen, unit).items():
        _write(folder / name, text)
    commands = {
        "journal.txt": ["journalctl", "--unit", unit, "--no-pager", "--lines=5000"],
        "systemctl-status.txt": ["systemctl", "status", "--no-pager", "--full", unit],
        "addresses.txt": ["ip", "address"],
        "routes.txt": ["ip", "route"],
        "disk.txt": ["df", "-h"],
    }
    for name, command in commands.items():
        try:
            done = node.run(*command, timeout=_SECONDS)
            printed = done.stdout_bytes + done.stderr_bytes
            _write(folder / name, printed.decode(errors="replace"))
        except (KubeClusterError, subprocess.SubprocessError) as error:
            _write(folder / name, f"{error}\n")
            return


def _write(path: Path, text: str) -> None:
    write_atomically(path, redact(text).encode(), 0o600)


def _observed(seen: Observation, unit: str) -> dict[str, str]:
    """Return the files that the look brought along; the agent has cut secrets out of them."""
    found = {"kubeconfig": yaml.safe_dump(dict(seen.kubeconfig), sort_keys=False)}
    for path, (kind, file) in seen.unit_files.items():
        name = unit if kind == "unit" else path.strip("/").replace("/", "_")
        found[name] = file.text if file else "it does not exist\n"
    for one in seen.documents:
        text = yaml.safe_dump(dict(one.document), sort_keys=False)
        found[one.path.strip("/").replace("/", "_")] = one.problem or text
    return found
