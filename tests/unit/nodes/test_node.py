"""Nodes that are not what one would wish, without a machine."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from unittest.mock import Mock

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


class BackAfterReboot(GoneAfterReboot):
    """An ssh to a node that is away for a moment, and comes back with another start time."""

    connections = 0

    def run(self, node: str, *_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 0, b"UserspaceTimestamp=%d" % self.connections, b"")

    def connect_now(self, node: str) -> None:
        type(self).connections += 1
        if self.connections == 1:
            super().connect_now(node)


def test_node_is_waited_for_until_it_has_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "Ssh", BackAfterReboot)
    Node(cluster_spec()["master01"], Access("config", "files")).reboot(timeout=30)
    assert BackAfterReboot.connections == 2


class Answering:
    """An ssh to a node on which every command prints the same."""

    def __init__(self, config: object) -> None: ...

    def run(self, node: str, *_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 3, "größer\n".encode(), b"no\n")


def test_run_gives_text_as_testinfra_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "Ssh", Answering)
    node = Node(cluster_spec()["master01"], Access("config", "files"))
    node.host.backend._encoding = "UTF-8"
    done = node.run("cat", "/etc/a file", stdin="words\n")
    assert (done.rc, done.stdout, done.stderr, done.failed) == (3, "größer\n", "no\n", True)
    assert done.command == b"cat '/etc/a file'"
    assert done.stdout_bytes == "größer\n".encode()


def test_command_makes_the_look_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "Ssh", Answering)
    node = Node(cluster_spec()["master01"], Access("config", "files"))
    monkeypatch.setattr(Node, "look", lambda node: Mock(registered_name="master01"))
    before = node.kubelet
    assert node.kubelet is before
    node.run("true")
    after = node.kubelet
    assert after is not before
    assert node.kubelet is after


def test_name_that_the_kubelet_was_seen_to_use_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inventory may call the machine otherwise; a bundled layout's name is stated."""
    monkeypatch.setattr(Node, "look", lambda node: Mock(registered_name="ip-10-0-0-7"))
    found = cluster_spec()["worker01"]
    found = replace(found, kubelet=replace(found.kubelet, layout="found", hostname=""))
    node = Node(found, Access("config", "files"))
    assert node.registered_name == "worker01"
    node.refresh()
    node.forget()
    assert node.registered_name == "ip-10-0-0-7"
    bundled = Node(cluster_spec()["worker01"], Access("config", "files"))
    bundled.refresh()
    assert bundled.registered_name == "worker01"
