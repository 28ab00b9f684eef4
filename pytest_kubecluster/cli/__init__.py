"""The kubecluster command: clusters without a test run, by the same code.

Exit status: 0 done, 1 failed (the message says why), 2 the call's words are off; `ssh` has the
status of what it ran.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from rich.table import Table

from pytest_kubecluster.cluster.registry import (
    ClusterFolder,
    Record,
    abandoned_clusters,
    all_clusters,
    find_cluster,
    kept_cluster,
)
from pytest_kubecluster.cluster.removal import machines_of, remove_cluster
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.preflight import check_tools
from pytest_kubecluster.machines.recipe import variant_for
from pytest_kubecluster.plugin.fixtures import SESSION
from pytest_kubecluster.plugin.session import ClusterSession, interrupt
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.model import NOT_ASKED, NodeSpec
from pytest_kubecluster.spec.version import KNOWN
from pytest_kubecluster.util.atomic import private_folder
from pytest_kubecluster.util.paths import cache_folder, registry_root
from pytest_kubecluster.util.progress import Progress

DONE, FAILED, USAGE = 0, 1, 2
_WIDE = 160


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (default: the process's own) asks for; return its status."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    # What follows -- is the node's to read, and unknown options are pytest's.
    ours, remote = words, []
    if "--" in words:
        ours, remote = words[: words.index("--")], words[words.index("--") + 1 :]
    arguments, options = parser.parse_known_args(ours)
    if options and not arguments.takes_options:
        parser.error(f"unrecognized arguments: {' '.join(options)}")
    arguments.options, arguments.remote = options, remote
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        return int(arguments.run(arguments))
    except KubeClusterError as error:
        print(f"kubecluster: {error}", file=sys.stderr)
        return FAILED
    except pytest.UsageError as error:
        print(f"kubecluster: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("kubecluster: interrupted", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kubecluster",
        description="Boots clusters of Kubernetes nodes, and looks after those that are kept.",
        epilog="Exit status: 0 done, 1 failed, 2 wrong usage; ssh: that of the remote command.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help: str, *, options: bool = False
    ) -> argparse.ArgumentParser:
        epilog = "The --kube-… options of pytest are taken too." if options else None
        made = commands.add_parser(name, help=help, description=help, epilog=epilog)
        made.set_defaults(run=run, takes_options=options)
        return made

    up = command("up", _up, "Boot and provision a cluster and keep it", options=True)
    up.add_argument("name", nargs="?", help="its name (default: one is made up)")
    provision = command("provision", _provision, "Run the playbook on a kept cluster", options=True)
    _takes_name(provision)
    status = command("status", _status, "Show a cluster's nodes")
    _takes_name(status)
    status.add_argument("--json", action="store_true", help="print JSON")
    ssh = command("ssh", _ssh, "Enter a node of a kept cluster, or run a command on it")
    ssh.add_argument("node", help="the node's name; behind --, a command")
    ssh.add_argument("--name", help="the cluster's name (default: this folder's last kept one)")
    destroy = command("destroy", _destroy, "Remove a cluster")
    _takes_name(destroy)
    listing = command("list", _list, "List all clusters")
    listing.add_argument("--json", action="store_true", help="print JSON")
    matrix = command(
        "matrix",
        _matrix,
        "Run the bundled suite with many kubelet versions on one cluster; behind --, pytest's "
        "arguments for other tests",
        options=True,
    )
    matrix.add_argument(
        "versions", nargs="+", metavar="VERSION", help="1.7.5, v1.30.0 …, or all for every minor"
    )
    matrix.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    matrix.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page")
    box = command("box", _box, "Build our own Vagrant box of virtual machines, and say where it is")
    box.add_argument("--real", action="store_true", help="the one for real kubelets")
    spec = command("spec", _spec, "Show what every node must be; boots nothing", options=True)
    form = spec.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--from",
        dest="seen",
        metavar="NODE",
        help="print the kubecluster.toml that this node of a kept cluster, or of --kube-inventory, "
        "satisfies instead",
    )
    spec.add_argument("--name", help="that cluster's name (default: this folder's last kept one)")
    render = command("render", _render, "Write every file a node gets; boots nothing", options=True)
    render.add_argument("folder", type=Path, metavar="DIR", help="a folder, made if need be")
    explain = command("explain", _explain, "Say where a flag's value comes from", options=True)
    explain.add_argument("node", help="the node's name")
    explain.add_argument("flag", help="the flag, without dashes: cluster-domain")
    command("gc", _gc, "Remove what ended runs left behind; kept clusters stay")
    return parser


def _takes_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="its name (default: this folder's last kept one)")


def _up(arguments: argparse.Namespace) -> int:
    session = _session_of_ours(arguments.options)
    cluster = session.open(Progress(sys.stdout), name=arguments.name)
    name = cluster.name
    cluster.keep()
    print(f"cluster {name} is up; run on it with: pytest --kube-cluster --kube-reuse={name}")
    return DONE


def _provision(arguments: argparse.Namespace) -> int:
    session = _session_of_ours(arguments.options)
    name = _folder(arguments.name).name
    session.open(Progress(sys.stdout), reuse=name, provision=True).keep()
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    folder = _folder(arguments.name)
    record = _record(folder)
    machines = machines_of(folder)
    running = machines.running()
    rows = [
        {"node": node, "machine": machines.machine(node), "running": node in running}
        for node in record.nodes
    ]
    if arguments.json:
        print(json.dumps({**_as_json(folder, record), "nodes": rows}, indent=1))
    else:
        print(f"{folder.name}: {_state(folder, record)}, project {record.project}")
        _print_table(rows)
    return DONE if all(row["running"] for row in rows) else FAILED


def _ssh(arguments: argparse.Namespace) -> int:
    folder = _folder(arguments.name)
    _check_node(arguments.node, folder)
    config = folder.ssh_config
    # Without our own sockets: they may be gone, or somebody's who uses the cluster now.
    argv = ["ssh", "-F", str(config), "-o", "ControlPath=none", arguments.node]
    if arguments.remote:
        argv.append(shlex.join(arguments.remote))
    return subprocess.run(argv, check=False).returncode


def _destroy(arguments: argparse.Namespace) -> int:
    folder = _folder(arguments.name)
    if not folder.try_lock():
        owner = f"process {record.pid}" if (record := folder.read()) else "another process"
        raise KubeClusterError(f"cluster {folder.name} is used by {owner}")
    _remove(folder)
    return DONE


def _remove(folder: ClusterFolder) -> None:
    """Remove a cluster that we hold the lock of. Raises KubeClusterError."""
    check_tools(record.provider if (record := folder.read()) else "docker")
    remove_cluster(folder, keep_logs=False)
    print(f"removed cluster {folder.name}")


def _list(arguments: argparse.Namespace) -> int:
    known = [(folder, folder.read()) for folder in all_clusters()]
    rows = [_as_json(folder, record) for folder, record in known]
    if arguments.json:
        print(json.dumps(rows, indent=1))
    elif rows:
        _print_table(rows)
    else:
        print("no clusters")
    return DONE


def _gc(arguments: argparse.Namespace) -> int:
    status = DONE
    for folder in abandoned_clusters():
        try:
            _remove(folder)
        except KubeClusterError as error:
            # What runs its machines may not be up; that of the others may.
            print(f"kubecluster: cluster {folder.name} is left: {error}", file=sys.stderr)
            folder.lock.release()
            status = FAILED
    return status


def _box(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.machines.vm.box_build import ensure_own_box, pack
    from pytest_kubecluster.util.process import Commands

    # Where the error of a build that fails says that its log is.
    logs = private_folder(registry_root() / "logs" / "box")
    say = Progress(sys.stderr).say
    variant = variant_for(real=arguments.real)
    print(pack(ensure_own_box(variant, Commands(logs), cache_folder(), say)))
    shutil.rmtree(logs, ignore_errors=True)
    return DONE


def _spec(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.spec.provenance import describe

    session = _session(arguments.options)
    if arguments.seen and session.settings.machines.existing:
        return _pin_own(arguments.seen, session)
    if arguments.seen:
        return _pin(arguments.seen, arguments.name)
    described = describe(session.spec)
    if arguments.json:
        print(json.dumps(described, indent=1))
    else:
        print(yaml.safe_dump(described, sort_keys=False, width=120), end="")
    return DONE


def _pin(name: str, cluster: str | None) -> int:
    from pytest_kubecluster.machines.access import Access
    from pytest_kubecluster.nodes.pin import pin_node

    folder = _folder(cluster)
    _check_node(name, folder)
    with tempfile.TemporaryDirectory() as temporary:
        # Without the cluster's own sockets, as `ssh` below.
        config = Path(temporary) / "config"
        config.write_text(f"ControlPath none\nInclude {folder.path / 'ssh' / 'config'}\n")
        record = _record(folder)
        access = Access(str(config), str(folder.path / "files" / name), python=record.python)
        print(pin_node(name, record.nodes[name], access), end="")
    return DONE


def _pin_own(name: str, session: ClusterSession) -> int:
    from pytest_kubecluster.nodes.pin import pin_node

    node = _node_of(session, name)
    session.settings = dataclasses.replace(session.settings, provision=False)
    try:
        cluster = session.open(Progress(sys.stderr, quiet=True))
        access = next(one.access for one in cluster.nodes if one.name == name)
        print(pin_node(name, node.role, access, own=True), end="")
    finally:
        if session.cluster is not None:
            session.cluster.destroy(keep_logs=False)
    return DONE


def _node_of(session: ClusterSession, name: str) -> NodeSpec:
    names = [node.name for node in session.spec]
    if name not in names:
        raise pytest.UsageError(f"there is no node {name}; there are {', '.join(names)}")
    return session.spec[name]


def _check_node(name: str, folder: ClusterFolder) -> None:
    nodes = _record(folder).nodes
    if name not in nodes:
        raise KubeClusterError(f"{folder.name} has no node {name}; it has: {', '.join(nodes)}")


def _render(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.artifacts.pki import ensure_pki
    from pytest_kubecluster.artifacts.render import write_files

    spec = _session(arguments.options).spec
    if unknown := [node.name for node in spec if node.address == NOT_ASKED]:
        raise pytest.UsageError(
            f"the address of {unknown[0]} is not known before it is asked; say it in "
            f"kubecluster.toml: [node.{unknown[0]}] address = …"
        )
    folder = arguments.folder.absolute()
    try:
        # One that is there may be used by others for more than this: its mode is left as it is.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KubeClusterError(f"{folder} cannot be made: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise KubeClusterError(f"{folder} cannot be written to")
    paths = write_files(spec, ensure_pki(folder / "pki"), folder)
    for files in paths.values():
        for path in files.values():
            print(path)
    print(f"the keys in {folder} are real: keep them to yourself", file=sys.stderr)
    return DONE


def _explain(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.spec.provenance import explain_flag

    session = _session(arguments.options)
    _node_of(session, arguments.node)
    flag = normal_name(arguments.flag)
    if catalog.history(flag) is None:
        raise pytest.UsageError(f"no kubelet from {KNOWN} has a flag --{flag}")
    print("\n".join(explain_flag(session.spec_steps(), arguments.node, flag)))
    return DONE


def _matrix(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.matrix.report import as_html, as_junit, as_text
    from pytest_kubecluster.matrix.run import read_versions, run_matrix

    try:
        versions = read_versions(arguments.versions)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    for path in filter(None, (arguments.junit, arguments.html)):
        if not path.absolute().parent.is_dir():
            raise pytest.UsageError(f"{path} cannot be written: its folder does not exist")
    matrix = run_matrix(
        _session_of_ours(arguments.options).config, versions, arguments.remote, Progress(sys.stdout)
    )
    width = shutil.get_terminal_size((_WIDE, 0)).columns
    print(f"\n{as_text(matrix, width)}", end="")
    if arguments.junit:
        arguments.junit.write_bytes(as_junit(matrix))
    if arguments.html:
        arguments.html.write_text(as_html(matrix))
    return FAILED if matrix.failed else DONE


def _session(options: Sequence[str]) -> ClusterSession:
    """Return the session pytest would have here: options, ini keys and hooks count alike."""
    config = pytest.Config.fromdictargs({}, ["-p", "no:cacheprovider", *options])
    config._do_configure()
    return config.stash[SESSION]


def _session_of_ours(options: Sequence[str]) -> ClusterSession:
    """Return the session for machines that we boot. Raises pytest.UsageError for a person's own."""
    session = _session(options)
    if session.settings.machines.existing:
        raise pytest.UsageError(
            f"--kube-{session.settings.machines.name} is for test runs; this boots machines of ours"
        )
    return session


def _folder(name: str | None) -> ClusterFolder:
    folder = find_cluster(name) if name else kept_cluster(Path.cwd())
    if folder is None:
        raise KubeClusterError(
            "no cluster is kept for this folder; name one (kubecluster list shows all), or boot "
            "one with: kubecluster up"
        )
    return folder


def _record(folder: ClusterFolder) -> Record:
    record = folder.read()
    if record is None:
        raise KubeClusterError(
            f"the record of cluster {folder.name} cannot be read\n"
            f"  remove it with: kubecluster destroy {folder.name}"
        )
    return record


def _state(folder: ClusterFolder, record: Record | None) -> str:
    if folder.in_use():
        return f"in use by process {record.pid}" if record else "in use"
    return "kept" if folder.is_kept() else "abandoned"


def _as_json(folder: ClusterFolder, record: Record | None) -> dict[str, Any]:
    shown = dataclasses.asdict(record) if record else {}
    fields = {name: shown.get(name, "?") for name in ("project", "network")}
    nodes = len(record.nodes) if record else 0
    return {"name": folder.name, "state": _state(folder, record), "nodes": nodes, **fields}


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(*rows[0], box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    width = None if os.isatty(sys.stdout.fileno()) else 200
    Console(width=width).print(table)
