"""What the subcommands share: exit statuses, the session and the cluster they are about."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from rich.console import Console
from rich.table import Table

from pytest_kubecluster.cluster.registry import (
    ClusterFolder,
    Record,
    find_cluster,
    kept_cluster,
)
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.plugin.session import SESSION, ClusterSession
from pytest_kubecluster.spec.model import NodeSpec
from pytest_kubecluster.util.paths import current_folder
from pytest_kubecluster.util.progress import Progress

if TYPE_CHECKING:
    from pytest_kubecluster.cluster.cluster import Cluster
    from pytest_kubecluster.machines.access import Access

DONE, FAILED, USAGE = 0, 1, 2
DEFAULT_CLUSTER = "name of the cluster (default: the last one kept for this folder)"
_MATRIX_WIDTH = 160
"""Characters in a line of a matrix that is not printed to a terminal."""
_WIDTH = 200
"""Characters in a line of a table that is not printed to a terminal."""


def terminal_width() -> int:
    """Return the number of characters in a line of a matrix, on a terminal or elsewhere."""
    return shutil.get_terminal_size((_MATRIX_WIDTH, 0)).columns


class AddCommand(Protocol):
    """Adds a subcommand and returns its parser."""

    def __call__(
        self, name: str, run: Callable[[Any], int], help: str, *, options: bool = False
    ) -> Any:
        """Add the subcommand ``name``; with ``options`` it accepts those of pytest, too."""


def session_of(options: Sequence[str]) -> ClusterSession:
    """Return the session that pytest would have in this folder, with its ini file and hooks.

    ``options`` are those of a command, which takes no tests. Raises pytest.UsageError.
    """
    session = recorded_session(options)
    if unknown := session.config.known_args_namespace.file_or_dir:
        raise pytest.UsageError(f"unrecognized arguments: {' '.join(unknown)}")
    return session


def recorded_session(options: Sequence[str]) -> ClusterSession:
    """Return the session of a run that had these options, and tests among them.

    Raises pytest.UsageError.
    """
    current_folder()
    # The command has imported the plugin before pytest could rewrite its assertions: no warning.
    quiet = ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    config = pytest.Config.fromdictargs({}, [*quiet, *options])
    config.hook.pytest_configure.call_historic(kwargs={"config": config})
    return config.stash[SESSION]


def session_to_boot(options: Sequence[str]) -> ClusterSession:
    """Return the session of a cluster to boot. Raises pytest.UsageError for existing machines."""
    session = session_of(options)
    if session.settings.machines.existing:
        raise pytest.UsageError(
            f"--kube-{session.settings.machines.name} is for test runs; this command boots machines"
        )
    return session


def node_of(session: ClusterSession, name: str) -> NodeSpec:
    """Return the spec of a node. Raises pytest.UsageError if there is no such node."""
    if name not in session.spec:
        names = ", ".join(node.name for node in session.spec)
        raise pytest.UsageError(f"there is no node {name}; there are {names}")
    return session.spec[name]


def cluster_folder(name: str | None) -> ClusterFolder:
    """Return the cluster called ``name``, or the last one kept for this folder.

    Raises KubeClusterError if there is none.
    """
    folder = kept_cluster(current_folder()) if name is None else find_cluster(name)
    if folder is None:
        raise KubeClusterError(
            "no cluster is kept for this folder; name one (kubecluster list shows all), or boot "
            "one with: kubecluster up"
        )
    return folder


def record_of(folder: ClusterFolder) -> Record:
    """Return the record of a cluster. Raises KubeClusterError if it cannot be read."""
    record = folder.read()
    if record is None:
        raise KubeClusterError(
            f"the record of cluster {folder.name} cannot be read\n"
            f"  remove it with: kubecluster destroy {folder.name}"
        )
    return record


def check_node(name: str, folder: ClusterFolder) -> None:
    """Raise KubeClusterError unless the cluster has a node called ``name``."""
    nodes = record_of(folder).nodes
    if name not in nodes:
        raise KubeClusterError(f"{folder.name} has no node {name}; it has: {', '.join(nodes)}")


@contextmanager
def kept_access(folder: ClusterFolder, name: str) -> Iterator[Access]:
    """Yield how to reach a node of a kept cluster."""
    from pytest_kubecluster.machines.access import Access

    with tempfile.TemporaryDirectory() as temporary:
        # Not over the cluster's own connections: a run that uses them now may close them.
        config = Path(temporary) / "config"
        config.write_text(f"ControlPath none\nInclude {folder.path / 'ssh' / 'config'}\n")
        files = str(folder.path / "files" / name)
        yield Access(str(config), files, python=record_of(folder).python)


@contextmanager
def existing_cluster(session: ClusterSession) -> Iterator[Cluster]:
    """Yield the existing machines of a session, which are only looked at."""
    from pytest_kubecluster.plugin.lifecycle import Lifecycle

    session.settings = replace(session.settings, provision=False, keep="never", report=None)
    lifecycle = Lifecycle(session)
    try:
        yield lifecycle.open(Progress(sys.stderr, quiet=True))
    finally:
        lifecycle.finish(failed=False)


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same keys as a table."""
    table = Table(*rows[0], box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    Console(width=table_width()).print(table)


def _cell(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def table_width() -> int | None:
    """Return the width of a table; None for that of the terminal."""
    return None if os.isatty(sys.stdout.fileno()) else _WIDTH
