from __future__ import annotations

import os
import re

import pytest
from hollow_common.machine import architecture, local_addresses

from tests.unit.kubelet.hollow.support import FakeApi, Pki, Start, eventually, free_port


def test_registers_its_node(start_with_api: Start, api: FakeApi) -> None:
    addresses = (one for one in local_addresses() if not one.startswith("127."))
    node_ip = next(addresses, None)
    if node_ip is None:
        pytest.skip("this machine has no address but its loopback's")
    kubelet = start_with_api(
        api.url,
        f"--node-ip={node_ip}",
        "--node-labels=node-role.kubernetes.io/master,zone=a",
        "--register-with-taints=node-role.kubernetes.io/master=:NoSchedule,a=b:NoExecute",
        "--max-pods=50",
        "--kube-reserved=cpu=100m",
        "--node-status-update-frequency=100ms",
    )
    posted = eventually("the Node", lambda: api.find("POST", "/api/v1/nodes"))
    assert posted.user == "kubelet"
    node = posted.body
    assert node["metadata"]["name"] == "node1"
    assert node["metadata"]["labels"] == {
        "beta.kubernetes.io/arch": architecture(),
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/hostname": "node1",
        "node-role.kubernetes.io/master": "",
        "zone": "a",
    }
    assert node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] == node_ip
    assert [(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]] == [
        ("node-role.kubernetes.io/master", "NoSchedule"),
        ("a", "NoExecute"),
    ]
    assert "unschedulable" not in node["spec"]
    status = node["status"]
    assert {"type": "InternalIP", "address": node_ip} in status["addresses"]
    assert status["nodeInfo"]["kubeletVersion"] == "v1.7.5+coreos.1+hollow"
    assert status["capacity"]["pods"] == "50"
    assert status["allocatable"]["cpu"] == f"{(os.cpu_count() or 1) * 1000 - 100}m"
    assert status["conditions"][-1]["type"] == "Ready"
    assert status["conditions"][-1]["status"] == "True"
    patched = eventually("a status", lambda: api.find("PATCH", "/api/v1/nodes/node1/status"))
    assert patched.body["status"]["conditions"][-1]["status"] == "True"
    eventually("more of them", lambda: sum(one.method == "PATCH" for one in api.asked) > 2)
    assert kubelet.log.count("Successfully registered node node1") == 1


def test_an_existing_node_object_is_reused(start_with_api: Start, api: FakeApi) -> None:
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    api.node = {
        "metadata": {"annotations": annotations},
        "spec": {"externalID": "node1"},
        "status": {},
    }
    kubelet = start_with_api(api.url, "--network-plugin=cni", "--cni-conf-dir=/nonexist")
    kubelet.wait_logged(r"Node node1 was previously registered$")
    patched = eventually("a status", lambda: api.find("PATCH", "/api/v1/nodes/node1/status"))
    ready = patched.body["status"]["conditions"][-1]
    assert ready["status"] == "False"
    assert ready["message"].endswith("network plugin is not ready: cni config uninitialized")


def test_an_unreachable_api_server(start_with_api: Start) -> None:
    port = free_port()
    kubelet = start_with_api(f"https://127.0.0.1:{port}").wait_healthy()
    problem = (
        rf'Unable to register node "node1" with API server: Post https://127\.0\.0\.1:{port}'
        rf"/api/v1/nodes: dial tcp 127\.0\.0\.1:{port}: getsockopt: connection refused$"
    )
    eventually("a second attempt", lambda: len(re.findall(problem, kubelet.log, re.M)) > 1)
    assert kubelet.process.poll() is None


def test_an_api_server_that_does_not_trust_the_certificate(
    start_with_api: Start, api: FakeApi, pki: Pki
) -> None:
    foreign = {
        "client-certificate-data": pki.foreign.data()[0],
        "client-key-data": pki.foreign.data()[1],
    }
    kubelet = start_with_api(api.url, **foreign)
    kubelet.wait_logged(
        r"Unable to register node .*(unknown certificate authority|unknown ca|EOF)$"
    )
    assert api.asked == []


@pytest.mark.parametrize(
    ("node_ip", "problem"),
    [
        ("192.0.2.4", 'Node IP: "192.0.2.4" not found in the host\'s network interfaces'),
        ("127.0.0.1", "nodeIP can't be loopback address"),
        ("2001:db8::1", "nodeIP must be IPv4 address"),
    ],
)
def test_a_node_ip_on_no_interface(start: Start, node_ip: str, problem: str) -> None:
    kubelet = start(f"--node-ip={node_ip}").wait_healthy()
    kubelet.wait_logged(
        rf"^W.*kubelet_node_status\.go:951\] Failed to set some node status fields: "
        rf"failed to validate nodeIP: {re.escape(problem)}$"
    )
