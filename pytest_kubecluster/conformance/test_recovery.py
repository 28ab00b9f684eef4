"""Evidence: systemd's account and the kubelet's health endpoint, after a disturbance.

Each check leaves its node as it was: the kubelet runs again, and the reboot, which comes last,
clears what systemd counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_kubecluster.nodes.node import Node

pytestmark = pytest.mark.kube_disruptive


def test_1_kubelet_gives_up_its_lock_when_it_is_contended(
    kube_node: Node, after_contention: Mapping[str, Any]
) -> None:
    assert after_contention["exited"], "the kubelet kept running when its lock file was opened"
    assert after_contention["exit_status"] == 0, "it must exit with status 0"
    assert after_contention["exit_code"] == "exited", "it must exit, not be killed"


def test_1_systemd_brings_the_kubelet_back_after_contention(
    kube_node: Node, after_contention: Mapping[str, Any]
) -> None:
    assert after_contention["back"], after_contention["journal"]


def test_2_systemd_brings_the_kubelet_back_after_kill_9(
    kube_node: Node, after_kill: Mapping[str, Any]
) -> None:
    assert after_kill["exited"]
    assert after_kill["exit_code"] == "killed"
    assert after_kill["back"], after_kill["journal"]


def test_3_kubelet_comes_back_after_a_reboot(
    kube_node: Node, after_reboot: Mapping[str, Any]
) -> None:
    view = after_reboot["view"]
    assert view.unit["ExecMainStartTimestampMonotonic"] != after_reboot["before"]
    assert view == kube_node.spec.kubelet
