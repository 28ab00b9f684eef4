"""CIS checks of a node that is broken, and mended afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_kubecluster.nodes.cis import FAIL, WARN, findings
from pytest_kubecluster.nodes.node import Node
from tests.cluster.support import HEALTHY_SECONDS, shell

pytestmark = pytest.mark.kube_disruptive

UNIT = "/etc/systemd/system/kubelet.service"
CA = "/etc/kubernetes/ca.crt"
RESTART = "systemctl daemon-reload; systemctl restart kubelet"
PROXY = 'exec -a kube-proxy python3 -c "import time; time.sleep(900)" --metrics-bind-address=::'

BREAKAGES = {
    "unit-mode": (f"chmod 666 {UNIT}", f"chmod 644 {UNIT}"),
    "client-ca-owner": (f"chgrp daemon {CA}", f"chgrp root {CA}"),
    "anonymous-auth": (
        f"sed -i.before 's#--node-ip#--anonymous-auth=true --node-ip#' {UNIT}; {RESTART}",
        f"mv {UNIT}.before {UNIT}; {RESTART}",
    ),
    "proxy-kubeconfig-mode": (
        "install -D -m 666 /dev/null /var/lib/kube-proxy/kubeconfig",
        "rm -r /var/lib/kube-proxy",
    ),
    "proxy-metrics-bind-address": (
        f"systemd-run --quiet --unit=kube-proxy bash -c '{PROXY}'; sleep 0.5",
        "systemctl stop kube-proxy",
    ),
}
"""What breaks what a check expects, and what mends it."""


@pytest.fixture
def node(kube_nodes: tuple[Node, ...]) -> Iterator[Node]:
    """A node to break; it has to be as it was when the test ends."""
    one = kube_nodes[0]
    before = statuses(one)
    yield one
    one.wait_until_healthy(HEALTHY_SECONDS)
    assert statuses(one) == before


def statuses(node: Node) -> dict[str, str]:
    node.refresh()
    return {one.check.name: one.status for one in findings(node.kubelet)}


@pytest.mark.parametrize("name", BREAKAGES)
def test_check_fails_on_a_broken_node(node: Node, name: str) -> None:
    breaks, mends = BREAKAGES[name]
    before = statuses(node)
    if name not in before:
        version = node.spec.kubelet.version.number
        pytest.skip(f"the benchmark of kubelet {version} has no check {name}")
    shell(node, breaks)
    try:
        node.wait_until_healthy(HEALTHY_SECONDS)
        found = statuses(node)
    finally:
        shell(node, mends)
    failed = {key for key, one in found.items() if one in (FAIL, WARN)}
    known = {key for key, one in before.items() if one in (FAIL, WARN)}
    assert failed == known | {name}
