"""The subcommand that shows the nodes of a cluster, and whether their kubelets are as specified."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_kubecluster.cli.clusters import as_json, state_of
from pytest_kubecluster.cli.common import (
    DEFAULT_CLUSTER,
    DONE,
    FAILED,
    AddCommand,
    cluster_folder,
    kept_access,
    print_table,
    record_of,
    recorded_session,
)
from pytest_kubecluster.cluster.removal import machines_of
from pytest_kubecluster.errors import KubeClusterError

if TYPE_CHECKING:
    from pytest_kubecluster.cluster.registry import ClusterFolder, Record
    from pytest_kubecluster.nodes.verdict import Difference
    from pytest_kubecluster.spec.model import ClusterSpec


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a node stands with its spec: its differences, or why they are not known."""

    problem: str = ""
    differences: Sequence[Difference] = ()

    @property
    def text(self) -> str:
        """The standing as a few words."""
        if self.problem:
            return f"unknown: {self.problem.splitlines()[0]}"
        number = len(self.differences)
        things = "difference" if number == 1 else "differences"
        return f"{number} {things}" if number else "as specified"


def add_commands(add: AddCommand) -> None:
    """Add the subcommand."""
    status = add(
        "status", _status, "Show the nodes of a cluster, and whether kubelets are as specified"
    )
    status.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    status.add_argument("--json", action="store_true", help="print JSON")


def _status(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.nodes.verdict import difference_table

    folder = cluster_folder(arguments.name)
    record = record_of(folder)
    machines = machines_of(folder)
    running = machines.running()
    standings = dict(_standings(folder, record, [name for name in record.nodes if name in running]))
    registered = _registered(folder, record)
    rows = [
        {
            "node": name,
            "machine": machines.machine(name),
            "running": name in running,
            "kubelet": standings[name].text if name in standings else "",
            **registered.get(name, {}),
        }
        for name in record.nodes
    ]
    if arguments.json:
        for row in rows:
            found = standings.get(str(row["node"]), Standing()).differences
            row["differences"] = [dataclasses.asdict(one) for one in found]
        print(json.dumps({**as_json(folder, record), "nodes": rows}, indent=1))
    else:
        print(f"{folder.name}: {state_of(folder, record)}, project {record.project}")
        print_table(rows)
        for name, one in standings.items():
            if one.differences:
                print(f"\n{name}", *difference_table(one.differences), sep="\n")
    differ = any(one.differences for one in standings.values())
    return DONE if len(running) >= len(record.nodes) and not differ else FAILED


def _registered(folder: ClusterFolder, record: Record) -> Mapping[str, Mapping[str, str]]:
    """Return what the API server says of each node; nothing without a control plane."""
    path = folder.path / "kubeconfig"
    if not path.exists():
        return {}
    from pytest_kubecluster.nodes.api_server import ApiServer
    from pytest_kubecluster.nodes.api_view import NODES
    from pytest_kubecluster.nodes.node_object import NodeObject

    unknown = {name: {"ready": "unknown", "version": ""} for name in record.nodes}
    try:
        documents = ApiServer(path, ours=True).get(NODES)["items"]
    except KubeClusterError as error:
        print(f"kubecluster: {error}", file=sys.stderr)
        return unknown
    seen = [NodeObject.parse(document) for document in documents]
    absent = {name: {"ready": "not registered", "version": ""} for name in record.nodes}
    return absent | {
        one.name: {"ready": "yes" if one.ready else "no", "version": one.kubelet_version}
        for one in seen
    }


def _standings(
    folder: ClusterFolder, record: Record, names: Sequence[str]
) -> Iterator[tuple[str, Standing]]:
    """Yield how each of the running nodes stands with the spec."""
    try:
        spec = _spec_of(record)
    except (pytest.UsageError, KubeClusterError) as error:
        yield from ((name, Standing(str(error))) for name in names)
        return
    with ThreadPoolExecutor(max_workers=16) as pool:
        found = pool.map(lambda name: _standing(folder, spec, name), names)
        yield from zip(names, found, strict=True)


def _standing(folder: ClusterFolder, spec: ClusterSpec, name: str) -> Standing:
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.nodes.verdict import compare

    if name not in spec:
        return Standing("the spec has no such node")
    with kept_access(folder, name) as access:
        node = Node.of(spec, name, access)
        try:
            return Standing(differences=compare(node.look(), node.spec))
        except KubeClusterError as error:
            return Standing(str(error))


def _spec_of(record: Record) -> ClusterSpec:
    """Return the spec as the project states it now, with the options of the run that booted.

    Raises pytest.UsageError.
    """
    with _working_in(Path(record.invoked_in or record.project)):
        session = recorded_session(record.options)
        if record.network:
            session.move_to(IPv4Network(record.network))
        return session.spec


@contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        raise KubeClusterError(f"{folder}: {error.strerror}") from None
    try:
        yield
    finally:
        os.chdir(before)
