"""The subcommand that shows how nodes stand with the checks of their CIS benchmark."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pytest_kubecluster.cli.common import (
    DEFAULT_CLUSTER,
    DONE,
    FAILED,
    AddCommand,
    cluster_folder,
    existing_cluster,
    kept_access,
    print_table,
    record_of,
    session_of,
)
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.parts import NO_ADDRESS

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.observation import Observation
    from pytest_kubecluster.plugin.session import ClusterSession


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    cis = add(
        "cis",
        _cis,
        "Show how each node of a kept cluster, or of --kube-inventory, stands with the worker-node "
        "checks of the CIS benchmark of its kubelet's version",
        options=True,
    )
    cis.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    form = cis.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--all", action="store_true", help="show checks that pass, too")


def _cis(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.nodes.cis import PASS, benchmark_of
    from pytest_kubecluster.report.cis import cis_rows, has_failed, summary
    from pytest_kubecluster.spec.benchmarks import check_waivers

    session = session_of(arguments.options)
    waivers = session.settings.spec_file.waivers
    every: list[dict[str, Any]] = []
    problems = []
    for name, seen in _looks(arguments.name, session):
        if isinstance(seen, KubeClusterError):
            problems.append(f"{name} cannot be judged: {seen}")
            continue
        try:
            check_waivers(waivers, seen.read_as)
        except ValueError as error:
            raise pytest.UsageError(
                f"{session.settings.spec_file.path}: cis.waivers: {error}"
            ) from None
        rows = cis_rows(name, seen, waivers)
        every += rows
        if not arguments.json:
            if len(every) > len(rows):
                print()
            print(f"{name}: kubelet {seen.read_as.number}, {benchmark_of(seen).name}")
            shown = [row for row in rows if arguments.all or row["status"] != PASS]
            if shown:
                print_table([_cells(row) for row in shown])
            print(summary(rows))
    if arguments.json:
        print(json.dumps(every, indent=1))
    for problem in problems:
        print(f"kubecluster: {problem}", file=sys.stderr)
    return FAILED if problems or has_failed(every) else DONE


def _looks(
    name: str | None, session: ClusterSession
) -> Iterator[tuple[str, Observation | KubeClusterError]]:
    """Yield what is seen of each node, or why nothing is."""
    from pytest_kubecluster.layouts.cluster import spec_of
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.spec.topology import Machine

    if session.settings.machines.existing:
        with existing_cluster(session) as cluster:
            for node in cluster.nodes:
                try:
                    yield node.name, node.kubelet
                except KubeClusterError as error:
                    yield node.name, error
        return
    folder = cluster_folder(name)
    machines = [Machine(*one, NO_ADDRESS) for one in record_of(folder).nodes.items()]
    spec = spec_of(machines, None, session.settings.version, layout="found")

    def look(name: str) -> Observation | KubeClusterError:
        try:
            with kept_access(folder, name) as access:
                return Node(spec[name], access).look()
        except KubeClusterError as error:
            return error

    with ThreadPoolExecutor(max_workers=16) as pool:
        names = [node.name for node in spec]
        yield from zip(names, pool.map(look, names), strict=True)


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """Return a row as the table shows it: one line for each difference."""
    found = [
        f"{one['what']}: {one['actual'] or 'absent'} (expected: {one['expected']})"
        for one in row["differences"]
    ]
    lines = [*filter(None, [row["reason"]]), *found]
    if row["status"] in ("fail", "warn"):
        lines.append(row["remedy"])
    return {
        "id": row["id"],
        "check": row["check"],
        "status": row["status"],
        "what": "\n".join([row["title"], *lines]),
    }
