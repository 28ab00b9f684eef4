"""Evidence: the Node object in the API server, after the disturbances of the recovery checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict.registration import monitor_grace
from pytest_kubecluster.util.poll import poll

_SERVER_SECONDS = 60.0
"""What an API server and its etcd may need to answer after a reboot, on a busy machine."""

pytestmark = pytest.mark.kube_disruptive


def test_2_node_is_ready_again_after_kill_9(kube_node: Node, after_kill: Mapping[str, Any]) -> None:
    assert after_kill["back"], after_kill["journal"]
    wait_until_heard_from(kube_node)


def test_3_node_is_ready_again_after_a_reboot(
    kube_node: Node, after_reboot: Mapping[str, Any]
) -> None:
    wait_until_heard_from(kube_node)


def wait_until_heard_from(node: Node) -> None:
    """Wait until the node is Ready and has sent a heartbeat from now on, for the grace period.

    The API server may be down, too, if it runs on the node: that is waited for first.
    """
    factor = node.access.timeout_factor
    state = ""

    def look() -> ApiView | None:
        nonlocal state
        try:
            return node.look_through_api()
        except KubeClusterError as error:
            state = str(error)
            return None

    first = poll(look, _SERVER_SECONDS * factor, every=0.5)
    assert first, f"{node.name} was not looked at within {_SERVER_SECONDS * factor:.0f} s: {state}"
    since = first.time

    def ready_again() -> bool:
        nonlocal state
        seen = look()
        if seen is None:
            return False
        condition = seen.object.condition("Ready") if seen.object else "there is no Node object"
        state = f"{condition}; the last heartbeat, {seen.heartbeat}, is in {seen.heartbeat_in}"
        heard = seen.heartbeat and since and seen.heartbeat >= since
        return bool(seen.object and seen.object.ready and heard)

    grace = monitor_grace(node.spec.kubelet.version).total_seconds() * factor
    assert poll(ready_again, grace, every=0.5), (
        f"{node.name} was not Ready within {grace:.0f} s, the node monitor's grace period: {state}"
    )
