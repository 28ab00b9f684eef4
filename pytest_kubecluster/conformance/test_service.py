"""Evidence: systemd's own account of the kubelet's unit, and of the node."""

from __future__ import annotations

from pytest_kubecluster.nodes.node import Node


def test_unit_is_loaded_from_its_file(kube_node: Node) -> None:
    unit = kube_node.kubelet.unit
    assert unit["LoadState"] == "loaded"
    assert unit["FragmentPath"] == kube_node.spec.kubelet.unit_path
    assert unit["DropInPaths"] == "", "a drop-in changes what the unit's file says"
    assert unit["NeedDaemonReload"] == "no", "systemd has not read the unit's file since it changed"


def test_unit_is_valid(kube_node: Node) -> None:
    assert kube_node.kubelet.verify == (0, ""), "systemd-analyze verify: exit status and complaints"


def test_service_is_enabled(kube_node: Node) -> None:
    assert kube_node.kubelet.unit["UnitFileState"] == "enabled"


def test_service_is_active(kube_node: Node) -> None:
    unit = kube_node.kubelet.unit
    assert (unit["ActiveState"], unit["SubState"]) == ("active", "running")


def test_service_does_not_restart(kube_node: Node) -> None:
    assert kube_node.kubelet.unit["NRestarts"] == "0", "\n".join(kube_node.kubelet.journal[-20:])


def test_no_unit_failed(kube_node: Node) -> None:
    assert list(kube_node.kubelet.failed_units) == []


def test_resolver_ran_before_the_kubelet(kube_node: Node) -> None:
    kubelet, resolved = kube_node.kubelet.unit, kube_node.kubelet.resolved
    assert resolved["ActiveState"] == "active", "systemd-resolved is not running"
    resolver_up = int(resolved["ActiveEnterTimestampMonotonic"])
    assert 0 < resolver_up <= int(kubelet["ExecMainStartTimestampMonotonic"])


def test_resolv_conf_names_a_server(kube_node: Node) -> None:
    lines = kube_node.kubelet.resolv_conf.splitlines()
    assert any(line.split()[:1] == ["nameserver"] for line in lines), lines
