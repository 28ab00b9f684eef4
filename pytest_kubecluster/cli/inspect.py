"""The subcommands that show what a cluster must be. They boot nothing."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_kubecluster.cli.common import (
    DEFAULT_CLUSTER,
    DONE,
    AddCommand,
    check_node,
    cluster_folder,
    existing_cluster,
    kept_access,
    node_of,
    record_of,
    session_of,
)
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.existing.survey import address_advice
from pytest_kubecluster.plugin.session import ClusterSession
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.kinds import SettingError
from pytest_kubecluster.spec.parts import NO_ADDRESS

if TYPE_CHECKING:
    from pytest_kubecluster.nodes.pin import Pin


def add_commands(add: AddCommand) -> None:
    """Add the subcommands."""
    spec = add("spec", _spec, "Show what every node must be", options=True)
    form = spec.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument(
        "--from",
        dest="seen",
        metavar="NODE",
        help="print the kubecluster.toml that describes this node of a kept cluster, of "
        "--kube-inventory, or of --kube-kubeconfig (what the API server shows)",
    )
    spec.add_argument(
        "--minimal", action="store_true", help="with --from: omit settings that equal the default"
    )
    spec.add_argument("--name", help=DEFAULT_CLUSTER)
    render = add("render", _render, "Write the files of every node", options=True)
    render.add_argument("folder", type=_folder, metavar="DIR", help="folder to write to")
    explain = add(
        "explain",
        _explain,
        "Show what a setting of the kubelet may be in a version and, with a node, where its value "
        "comes from",
        options=True,
    )
    explain.usage = "kubecluster explain [-h] [NODE] SETTING [--kube-...]"
    explain.add_argument(
        "words",
        nargs="+",
        metavar="[NODE] SETTING",
        help="name of a node, if its value is asked for, and a flag (max-pods), a configuration "
        "path (evictionHard) or a feature gate (NodeSwap)",
    )


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("it is empty; write . for the current folder")
    return Path(text)


def _spec(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.spec.provenance import describe

    session = session_of(arguments.options)
    if arguments.seen and session.settings.machines.existing:
        return _pin_existing(arguments.seen, session, minimal=arguments.minimal)
    if arguments.seen:
        return _pin(arguments.seen, arguments.name, minimal=arguments.minimal)
    described = describe(session.spec)
    if arguments.json:
        print(json.dumps(described, indent=1))
    else:
        print(yaml.safe_dump(described, sort_keys=False, width=120), end="")
    return DONE


def _pin(name: str, cluster: str | None, *, minimal: bool) -> int:
    """Print the spec of a node of a kept cluster."""
    from pytest_kubecluster.nodes.pin import pin_node

    folder = cluster_folder(cluster)
    check_node(name, folder)
    with kept_access(folder, name) as access:
        record = record_of(folder)
        role, layout = record.nodes[name], record.layout
        _print_pin(name, pin_node(name, role, access, layout, minimal=minimal))
    return DONE


def _print_pin(name: str, pin: Pin) -> None:
    """Print a spec file, and apart from it what no spec can allow."""
    from pytest_kubecluster.nodes.verdict import difference_table

    print(pin.text, end="")
    if pin.differences:
        lines = difference_table(pin.differences)
        print(f"{name} is not healthy:", *lines, sep="\n", file=sys.stderr)


def _pin_existing(name: str, session: ClusterSession, *, minimal: bool) -> int:
    """Print the spec of an existing machine."""
    from pytest_kubecluster.nodes.pin import pin_node
    from pytest_kubecluster.nodes.pin_through_api import LEFT_OUT, pin_through_api

    role = node_of(session, name).role
    with existing_cluster(session) as cluster:
        node = next(one for one in cluster.nodes if one.name == name)
        if node.access.ssh_config:
            view = node.look_through_api() if node.api else None
            pin = pin_node(name, role, node.access, "found", minimal=minimal, view=view)
            _print_pin(name, pin)
        else:
            _print_pin(name, pin_through_api(node, minimal=minimal))
            print(
                f"{name}: left out, since only ssh can see it: {LEFT_OUT}; "
                "with --kube-inventory it is written, too",
                file=sys.stderr,
            )
    return DONE


def _render(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.artifacts.pki import ensure_pki
    from pytest_kubecluster.artifacts.render import write_files

    spec = session_of(arguments.options).spec
    if unknown := [node.name for node in spec if node.address == NO_ADDRESS]:
        raise pytest.UsageError(
            f"the address of {unknown[0]} is not known without connecting to it; write in "
            f"kubecluster.toml:\n{address_advice(unknown[0])}"
        )
    folder = arguments.folder.absolute()
    try:
        # An existing folder keeps its mode: others may use it for something else.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KubeClusterError(f"{folder} cannot be created: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise KubeClusterError(f"{folder} is not writable")
    paths = write_files(spec, ensure_pki(folder / "pki"), folder)
    for files in paths.values():
        for path in files.values():
            print(path)
    print(f"the keys in {folder} are real: keep them secret", file=sys.stderr)
    return DONE


def _explain(arguments: argparse.Namespace) -> int:
    from pytest_kubecluster.spec.explanation import explain_setting
    from pytest_kubecluster.spec.provenance import explain_value

    if len(arguments.words) > 2:
        raise pytest.UsageError("explain takes a setting, or a node and a setting")
    *nodes, setting = arguments.words
    session = session_of(arguments.options)
    version = session.settings.version
    if nodes:
        version = node_of(session, nodes[0]).kubelet.version
    try:
        print("\n".join(explain_setting(version, setting)))
    except SettingError as error:
        if not nodes or catalog.history(normal_name(setting)) is None:
            raise pytest.UsageError(str(error)) from None
        print(error)
    for node in nodes:
        print(f"{node}:")
        for line in explain_value(session.spec_steps(), node, setting):
            print(f"  {line}")
    return DONE
