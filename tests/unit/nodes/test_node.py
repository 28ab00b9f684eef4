"""Nodes that are not what one would wish, without a machine."""

from __future__ import annotations

import subprocess

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes import node as node_module
from pytest_kubecluster.nodes.node import Node


class GoneAfterReboot:
    """An ssh to a node that answers until it is rebooted."""

    def __init__(self, config: object) -> None: ...

    def run(self, node: str, *_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 0, b"UserspaceTimestamp=1", b"")

    def connect_now(self, node: str) -> None:
        raise KubeClusterError(f"{node} cannot be reached over ssh: No route to host")

    def disconnect(self, node: str) -> None: ...


def test_node_that_stays_down_after_its_reboot_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(node_module, "Ssh", GoneAfterReboot)
    with pytest.raises(KubeClusterError, match=r"come back .* in time: .*No route to host"):
        Node(cluster_spec()["master01"], Access("config", "files")).reboot(timeout=0.3)
