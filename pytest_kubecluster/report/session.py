"""The report of a test run: a folder with a page, the same as JSON, and what a failure needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import yaml

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.report.data import FORMAT, Report
from pytest_kubecluster.report.matrix_page import as_html
from pytest_kubecluster.report.page import as_page
from pytest_kubecluster.report.results import Matrix
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.plain import map_text, to_plain
from pytest_kubecluster.util.redact import copy_redacted, redact

PAGE, DATA = "index.html", "report.json"
_SECONDS = 30.0


def write_session_report(
    folder: Path, report: Report, nodes: Sequence[Node], logs: Path, secrets: Sequence[str] = ()
) -> None:
    """Write the report of a run to ``folder``.

    ``logs`` is the folder of the external commands' logs; ``secrets`` are values that are removed
    whatever they look like. Only the owner can read the report, despite the umask: logs of a user's
    playbook may show anything. A folder that exists keeps its mode. Raises OSError and
    KubeClusterError.
    """
    umask = os.umask(0o077)
    try:
        write_report(folder, report, nodes, logs, secrets)
    finally:
        os.umask(umask)
        for path in _written(folder, nodes, logs):
            path.chmod(0o700 if path.is_dir() else 0o600)


def write_report(
    folder: Path, report: Report, nodes: Sequence[Node], logs: Path, secrets: Sequence[str]
) -> None:
    """Write the page, the data and, of a failed run, each node's diagnostics and all logs."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_page(folder, report, secrets)
    if not report.about.failed:
        return
    for log in logs.glob("*.log"):
        copy_redacted(log, folder / log.name, secrets)
    if nodes:
        with ThreadPoolExecutor(max_workers=min(16, len(nodes))) as pool:
            list(pool.map(lambda node: _collect(node, folder / node.name), nodes))


def write_page(folder: Path, report: Report, secrets: Sequence[str]) -> None:
    """Write the page and the data."""
    # Each text by itself: what joins them must not hide a secret, nor be taken for one.
    report = map_text(report, cache(partial(redact, secrets=secrets)))
    _write_data(folder, report)
    _write(folder / PAGE, as_page(report), str)


def write_matrix_report(folder: Path, matrix: Matrix) -> None:
    """Write a matrix, which has no secrets, to ``folder``: a page, and the data to compare.

    Only the owner can read them. Raises OSError and KubeClusterError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_data(folder, matrix)
    _write(folder / PAGE, as_html(matrix), str)


def _write_data(folder: Path, value: Report | Matrix) -> None:
    _write(folder / DATA, json.dumps({"format": FORMAT, **to_plain(value)}, indent=1) + "\n", str)


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


def _write(path: Path, text: str, clean: Callable[[str], str] = redact) -> None:
    write_atomically(path, clean(text).encode(errors="replace"), 0o600)


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


def _written(folder: Path, nodes: Sequence[Node], logs: Path) -> Iterator[Path]:
    """Yield what a report consists of: the folder may hold other files, too."""
    names = [PAGE, DATA, *(log.name for log in logs.glob("*.log"))]
    yield from (path for name in names if (path := folder / name).is_file())
    for node in nodes:
        if (own := folder / node.name).is_dir():
            yield own
            yield from (path for path in own.iterdir() if path.is_file())
