"""The subcommands that boot clusters, show them, enter them and remove them."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
from typing import Any

from pytest_kubecluster.cli.common import (
    DEFAULT_CLUSTER,
    DONE,
    FAILED,
    AddCommand,
    check_node,
    cluster_folder,
    print_table,
    session_to_boot,
)
from pytest_kubecluster.cli.events import JSON_HELP, shown_progress
from pytest_kubecluster.cluster.registry import (
    ClusterFolder,
    Record,
    abandoned_clusters,
    all_clusters,
)
from pytest_kubecluster.cluster.removal import remove_cluster
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.factory import check_tools
from pytest_kubecluster.plugin.lifecycle import Lifecycle
from pytest_kubecluster.util.progress import Progress


def add_commands(add: AddCommand) -> None:
    """Add the subcommands."""
    up = add("up", _up, "Boot and provision a cluster and keep it", options=True)
    up.add_argument("name", nargs="?", help="name of the cluster (default: a generated one)")
    up.add_argument("--json", action="store_true", help=JSON_HELP)
    provision = add("provision", _provision, "Run the playbook on a kept cluster", options=True)
    provision.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    provision.add_argument("--json", action="store_true", help=JSON_HELP)
    ssh = add("ssh", _ssh, "Log in to a node of a kept cluster as root, or run what follows --")
    ssh.epilog = (
        "One argument after -- is a command line for the node's shell: -- 'echo $HOSTNAME'. "
        "Several are a command and its arguments: -- systemctl restart kubelet."
    )
    ssh.add_argument("node", help="name of the node")
    ssh.add_argument("--name", help=DEFAULT_CLUSTER)
    destroy = add("destroy", _destroy, "Remove a cluster")
    destroy.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    destroy.add_argument("--json", action="store_true", help=JSON_HELP)
    listing = add("list", _list, "List all clusters")
    listing.add_argument("--json", action="store_true", help="print JSON")
    add("gc", _gc, "Remove what ended runs left behind; kept clusters stay")
    box = add("box", _box, "Build the bundled Vagrant box and print its path")
    box.add_argument("--real", action="store_true", help="build the one for real kubelets")


def _up(arguments: argparse.Namespace) -> int:
    session = session_to_boot(arguments.options)
    with shown_progress(arguments) as progress:
        try:
            cluster = Lifecycle(session).open(progress, name=arguments.name)
        except KeyboardInterrupt:
            print("kubecluster: nothing of the cluster is left", file=sys.stderr)
            raise
        name = cluster.name
        cluster.keep()
        progress.emit("cluster", name=name, verdict="up")
    if not arguments.json:
        print(f"cluster {name} is up; run on it with: pytest --kube-cluster --kube-reuse={name}")
    return DONE


def _provision(arguments: argparse.Namespace) -> int:
    folder = cluster_folder(arguments.name)
    name = folder.name
    made_with = record.options if (record := folder.read()) else ()
    session = session_to_boot([*made_with, *arguments.options])
    with shown_progress(arguments) as progress:
        Lifecycle(session).open(progress, reuse=name, provision=True).keep()
        progress.emit("cluster", name=name, verdict="up")
    return DONE


def _ssh(arguments: argparse.Namespace) -> int:
    folder = cluster_folder(arguments.name)
    check_node(arguments.node, folder)
    # Not over the cluster's own connections: a run that uses them now may close them.
    argv = ["ssh", "-F", str(folder.ssh_config), "-o", "ControlPath=none"]
    if arguments.remote:
        # One word is a line for a shell, as with ssh; several stay the words that they are.
        words = arguments.remote
        line = words[0] if len(words) == 1 else shlex.join(words)
        argv += [arguments.node, f'exec sudo -n -- "$SHELL" -c {shlex.quote(line)}']
    else:
        terminal = ["-t"] if sys.stdin.isatty() else []
        argv += [*terminal, arguments.node, "exec sudo -n -i"]
    return subprocess.run(argv, check=False).returncode


def _destroy(arguments: argparse.Namespace) -> int:
    folder = cluster_folder(arguments.name)
    if not folder.try_lock():
        owner = f"process {record.pid}" if (record := folder.read()) else "another process"
        raise KubeClusterError(f"cluster {folder.name} is used by {owner}")
    if not arguments.json:
        _remove(folder)
        print(f"removed cluster {folder.name}")
        return DONE
    name = folder.name
    with shown_progress(arguments) as progress:
        with progress.phase("destroy", "removing the cluster") as phase:
            _remove(folder)
            phase.detail = "nothing is left"
        progress.emit("cluster", name=name, verdict="removed")
    return DONE


def _remove(folder: ClusterFolder) -> None:
    """Remove a cluster whose lock this process holds. Raises KubeClusterError."""
    check_tools(record.provider if (record := folder.read()) else "docker")
    remove_cluster(folder, keep_logs=False)


def _list(arguments: argparse.Namespace) -> int:
    known = [(folder, folder.read()) for folder in all_clusters()]
    rows = [as_json(folder, record) for folder, record in known]
    if arguments.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        print_table(rows)
    else:
        print("no clusters")
    return DONE


def _gc(arguments: argparse.Namespace) -> int:
    status = DONE
    for folder in abandoned_clusters():
        try:
            _remove(folder)
            print(f"removed cluster {folder.name}")
        except KubeClusterError as error:
            # The provider of these machines may not run; that of other clusters may.
            print(f"kubecluster: cluster {folder.name} was not removed: {error}", file=sys.stderr)
            folder.lock.release()
            status = FAILED
    return status


def _box(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.machines.recipe import variant_for
    from pytest_kubecluster.machines.vm.box_build import ensure_own_box, pack
    from pytest_kubecluster.util.atomic import private_folder
    from pytest_kubecluster.util.paths import cache_folder, registry_root
    from pytest_kubecluster.util.process import Commands

    # The error of a build that fails names its log here.
    logs = private_folder(registry_root() / "logs" / "box")
    say = Progress(sys.stderr).say
    variant = variant_for(real=arguments.real)
    print(pack(ensure_own_box(variant, Commands(logs), cache_folder(), say)))
    shutil.rmtree(logs, ignore_errors=True)
    return DONE


def state_of(folder: ClusterFolder, record: Record | None) -> str:
    """Return whether a cluster is kept, in use, or abandoned."""
    if folder.in_use():
        return f"in use by process {record.pid}" if record else "in use"
    return "kept" if folder.is_kept() else "abandoned"


def as_json(folder: ClusterFolder, record: Record | None) -> dict[str, Any]:
    """Return what the registry has of a cluster, as the lists show it."""
    shown = dataclasses.asdict(record) if record else {}
    fields = {name: shown.get(name, "?") for name in ("project", "network")}
    nodes = len(record.nodes) if record else 0
    return {"name": folder.name, "state": state_of(folder, record), "nodes": nodes, **fields}
