"""Run the playbook again, and see what it changes on which node."""

from __future__ import annotations

import pytest

from pytest_kubecluster.cluster.cluster import Cluster

# A playbook that changes something may restart what it configures.
pytestmark = pytest.mark.kube_disruptive


def test_playbook_changes_nothing_when_it_runs_again(kube_cluster: Cluster) -> None:
    """The playbook changes nothing when it runs a second time."""
    if not kube_cluster.settings.provisions:
        pytest.skip("this run does not provision its machines (--kube-provision)")
    again = kube_cluster.provision()
    tasks = [f"  {node}: {task}" for node, names in again.tasks.items() for task in names]
    if tasks:
        raise AssertionError("\n".join(["a second run of the playbook changes:", *tasks]))
