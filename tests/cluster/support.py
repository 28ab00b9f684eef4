"""Changes nodes of every layout by shell scripts."""

from __future__ import annotations

import inspect
import textwrap

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.node import Node

HEALTHY_SECONDS = 60


def places(node: Node) -> str:
    """Return assignments of the variables that scripts use."""
    kubelet = node.spec.kubelet
    in_a_file = [file.path for file in kubelet.files if file.name == "kubeadm-flags.env"]
    found = {
        "UNIT": kubelet.unit_path,
        "FLAGS": (in_a_file or [kubelet.unit_path])[0],
        "CONFIG": kubelet.kubeconfig,
        "FILE": kubelet.config_path,
        "CA": kubelet.client_ca_file,
        "MANIFESTS": kubelet.manifests,
    }
    return "".join(f"{name}={path}\n" for name, path in found.items())


def shell(node: Node, script: str) -> None:
    done = node.run("sh", "-euc", places(node) + textwrap.dedent(script))
    assert done.rc == 0, done.stderr


def ready(node: Node) -> bool:
    try:
        return node.object.ready
    except KubeClusterError:
        return False


def failing_in_the_api(node: Node, nodes: tuple[Node, ...]) -> set[str]:
    """Run every check of what the API server says, and return those that fail."""
    from pytest_kubecluster.conformance import test_api

    given = {"kube_node": node, "kube_nodes": nodes}
    failed = set()
    for name, check in inspect.getmembers(test_api, inspect.isfunction):
        if not name.startswith("test_"):
            continue
        try:
            check(**{key: given[key] for key in inspect.signature(check).parameters})
        except AssertionError:
            failed.add(name.removeprefix("test_"))
        except pytest.skip.Exception:
            continue
    return failed
