"""Evidence: the Node object in the API server, after the disturbances of the recovery checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict.registration import monitor_grace
from pytest_kubecluster.util.poll import poll

pytestmark = pytest.mark.kube_disruptive


def test_2_node_is_ready_again_after_kill_9(kube_node: Node, after_kill: Mapping[str, Any]) -> None:
    assert after_kill["back"], after_kill["journal"]
    wait_until_heard_from(kube_node)


def test_3_node_is_ready_again_after_a_reboot(
    kube_node: Node, after_reboot: Mapping[str, Any]
) -> None:
    wait_until_heard_from(kube_node)


def wait_until_heard_from(node: Node) -> None:
    """Wait until the node is Ready and has sent a heartbeat from now on, for the grace period."""
    first = node.look_through_api()
    seen = first

    def ready_again() -> bool:
        nonlocal seen
        seen = node.look_through_api()
        heard = seen.heartbeat and first.time and seen.heartbeat >= first.time
        return bool(seen.object and seen.object.ready and heard)

    grace = monitor_grace(node.spec.kubelet.version) * node.access.timeout_factor
    if not poll(ready_again, grace.total_seconds(), every=0.5):
        state = seen.object.condition("Ready") if seen.object else "there is no Node object"
        raise AssertionError(
            f"{node.name} was not Ready within {grace.total_seconds():.0f} s, the node monitor's "
            f"grace period: {state}; the last heartbeat, {seen.heartbeat}, is in "
            f"{seen.heartbeat_in or 'nothing'}"
        )
