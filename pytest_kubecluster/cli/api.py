"""The subcommands for a kept cluster's API server: kubectl, and a kubeconfig for other clients."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pytest_kubecluster.cli.common import (
    DEFAULT_CLUSTER,
    DONE,
    AddCommand,
    cluster_folder,
)
from pytest_kubecluster.cluster.registry import ClusterFolder
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.atomic import write_atomically
from pytest_kubecluster.util.encoding import base64_text

_LISTS = ("clusters", "users", "contexts")
_EMBEDDED = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


def add_commands(add: AddCommand) -> None:
    """Add the subcommands."""
    kubectl = add("kubectl", _kubectl, "Run kubectl with the arguments after -- on a kept cluster")
    kubectl.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    config = add("kubeconfig", _kubeconfig, "Print the kubeconfig of a kept cluster")
    config.add_argument("name", nargs="?", help=DEFAULT_CLUSTER)
    config.add_argument(
        "--merge",
        action="store_true",
        help="add it to your own kubeconfig ($KUBECONFIG or ~/.kube/config) and make it current",
    )


def kubeconfig_of(folder: ClusterFolder) -> Path:
    """Return the kubeconfig of a cluster's administrator. Raises KubeClusterError without one."""
    path = folder.path / "kubeconfig"
    if not path.exists():
        raise KubeClusterError(
            f"cluster {folder.name} has no control plane\n"
            "  boot one with: kubecluster up --kube-control-plane=hollow"
        )
    return path


def _kubectl(arguments: argparse.Namespace) -> int:
    path = kubeconfig_of(cluster_folder(arguments.name))
    if shutil.which("kubectl") is None:
        raise KubeClusterError(
            "kubectl is not installed (Debian: apt-get install kubernetes-client)\n"
            "  or use another client with: kubecluster kubeconfig"
        )
    environment = {**os.environ, "KUBECONFIG": str(path)}
    # The API server is on a network of this host.
    environment["NO_PROXY"] = environment["no_proxy"] = "*"
    return subprocess.run(["kubectl", *arguments.remote], env=environment, check=False).returncode


def _kubeconfig(arguments: argparse.Namespace) -> int:
    folder = cluster_folder(arguments.name)
    own = _portable(folder)
    if not arguments.merge:
        print(yaml.safe_dump(own, sort_keys=False), end="")
        return DONE
    path = Path(os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or "~/.kube/config")
    path = path.expanduser()
    merged = yaml.safe_dump(_merged(path, own), sort_keys=False).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise KubeClusterError(f"{path.parent}: {error.strerror}") from None
    write_atomically(path, merged, 0o600)
    print(f"{path}: the current context is {own['current-context']}")
    return DONE


def _portable(folder: ClusterFolder) -> dict[str, Any]:
    """Return a cluster's kubeconfig with all it needs in it, under names of the cluster's own."""
    document = yaml.safe_load(kubeconfig_of(folder).read_text())
    for kind in ("clusters", "users"):
        for entry in document[kind]:
            fields = entry[kind.removesuffix("s")]
            for name, embedded in _EMBEDDED.items():
                if name in fields:
                    content = Path(fields.pop(name)).read_bytes()
                    fields[embedded] = base64_text(content)

    def named(name: str) -> str:
        whole = f"kubecluster-{folder.name}"
        return whole if name in ("cluster", "admin") else f"{whole}-{name}"

    for kind in _LISTS:
        for entry in document[kind]:
            entry["name"] = named(entry["name"])
    for entry in document["contexts"]:
        entry["context"] = {key: named(value) for key, value in entry["context"].items()}
    document["current-context"] = named(document["current-context"])
    return dict(document)


def _merged(path: Path, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the user's kubeconfig with another in it. Raises KubeClusterError."""
    try:
        theirs = yaml.safe_load(path.read_text()) if path.exists() else {}
    except (OSError, ValueError, yaml.YAMLError):
        theirs = None
    if theirs is None or not isinstance(theirs, dict):
        raise KubeClusterError(f"{path} is not a kubeconfig, and is left as it is")
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", **theirs}
    for kind in _LISTS:
        names = {entry["name"] for entry in own[kind]}
        others = [entry for entry in theirs.get(kind) or () if entry.get("name") not in names]
        merged[kind] = [*others, *own[kind]]
    return {**merged, "current-context": own["current-context"]}
