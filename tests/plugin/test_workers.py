"""What pytest-xdist's workers receive, and which items go together."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.plugin.resolution import Placement
from pytest_kubecluster.plugin.workers import WorkerInput
from pytest_kubecluster.spec.topology import Machine


def worker_input(folder: Path, placement: Placement) -> WorkerInput:
    access = Access("config", "files", ("docker", "restart"), sudo_password="secret")
    paths = (folder / "booted", folder / "pki", folder / "locks")
    return WorkerInput(placement, {"master01": access}, frozenset({"master01"}), *paths)


@pytest.mark.parametrize(
    "placement",
    [
        Placement(network=IPv4Network("10.1.2.0/24")),
        Placement((Machine("master01", "master", IPv4Address("192.0.2.1")),)),
    ],
)
def test_worker_input_survives_the_channel(placement: Placement, tmp_path: Path) -> None:
    given = worker_input(tmp_path, placement)
    assert WorkerInput.from_json(given.to_json()) == given


def test_worker_sees_that_the_boot_failed(tmp_path: Path) -> None:
    worker = worker_input(tmp_path / "removed", Placement())
    with pytest.raises(KubeClusterError, match="the cluster did not boot; the controller shows"):
        worker.wait_until_booted(60)


def test_worker_waits_no_longer_than_the_boot_may_take(tmp_path: Path) -> None:
    with pytest.raises(KubeClusterError, match="the cluster was not up within 0 s"):
        worker_input(tmp_path, Placement()).wait_until_booted(0)


def test_worker_goes_on_once_the_cluster_is_up(tmp_path: Path) -> None:
    (tmp_path / "booted").touch()
    worker_input(tmp_path, Placement()).wait_until_booted(0)


def test_node_that_one_worker_uses_is_locked(tmp_path: Path) -> None:
    from filelock import FileLock, Timeout

    (tmp_path / "locks").mkdir()
    worker = worker_input(tmp_path, Placement())
    for nodes in (["master01"], []):
        with worker.locked(nodes), pytest.raises(Timeout):
            FileLock(tmp_path / "locks" / "master01.lock").acquire(timeout=0)


def test_items_of_a_node_are_grouped_before_other_plugins_look(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            groups = [[mark.args[0] for mark in item.iter_markers("xdist_group")] for item in items]
            print("groups:", groups)
        """
    )
    pytester.makepyfile("def test_it(kube_node): ...\ndef test_spec(kube_spec): ...\n")
    result = pytester.runpytest("--kube-cluster", "--collect-only", "--kube-masters=1", "-s")
    assert "groups: [['master01'], ['worker01'], []]" in result.stdout.str()


def test_worker_looks_again_at_a_node_that_another_has_changed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    one, other = (worker_input(tmp_path, Placement()) for _ in range(2))
    nodes = [Node(cluster_spec()["master01"], Access("config", "files")) for _ in range(2)]
    for _ in range(2):
        with one.sharing_changes(nodes[:1], {"master01"}):
            pass
        with other.sharing_changes(nodes[1:], {"master01"}):
            pass
    assert [node.changes for node in nodes] == [0, 0]
    with one.sharing_changes(nodes[:1], {"master01"}):
        nodes[0].forget()
    for _ in range(2):
        with other.sharing_changes(nodes[1:], {"master01"}):
            assert nodes[1].changes == 1
    with one.sharing_changes(nodes[:1], {"master01"}):
        assert nodes[0].changes == 1
