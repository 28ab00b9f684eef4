from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import ip_address

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.classic import classic_kubelet
from pytest_kubecluster.layouts.cluster import completed, spec_of, with_layout
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes import pin
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, NodeSpec
from pytest_kubecluster.spec.parts import Label, Taint
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

V30 = KubeVersion.parse("1.30.0")
MACHINE = Machine("w-1", "worker", ip_address("10.0.0.21"))


def test_found_states_nothing_but_the_version() -> None:
    assert found_kubelet(V30) == KubeletSpec(V30, "found")
    assert found_kubelet(V30).files == ()
    assert dict(found_kubelet(V30).flags) == {}


def test_classic_states_what_the_article_has() -> None:
    kubelet = classic_kubelet(MACHINE, V30)
    assert kubelet.node_ips == (MACHINE.address,)
    assert kubelet.labels == (Label("node-role.kubernetes.io/worker"),)
    assert kubelet.taints == ()
    assert classic_kubelet(replace(MACHINE, role="master"), V30).taints == (
        Taint("node-role.kubernetes.io/master"),
    )
    names = [file.name for file in kubelet.files]
    assert names == ["ca.crt", "ca.key", "kubeconfig", "kubelet.service", "kubelet.yaml"]


@pytest.mark.parametrize("layout", [*BUNDLED_LAYOUTS, "found"])
def test_every_layout_makes_a_cluster(layout: str) -> None:
    spec = spec_of([replace(MACHINE, role="master"), MACHINE], None, V30, layout=layout)  # type: ignore[arg-type]
    assert {node.kubelet.layout for node in spec} == {layout}
    assert all(statements_of(node).complete is (layout != "found") for node in spec)


def test_what_a_spec_leaves_open_is_completed_for_a_playbook() -> None:
    stated = replace(
        found_kubelet(V30),
        cluster_domain="example.org",
        taints=(),
        node_ips=(),
        cluster_dns=(),
        extra_flags=(("v", "4"),),
        kubeconfig="/var/lib/kubelet/kubeconfig",
    )
    node = NodeSpec("m-1", "master", MACHINE.address, stated)
    kubelet = completed(node).kubelet
    assert kubelet.layout == "classic"
    assert kubelet.cluster_domain == "example.org"
    assert kubelet.kubeconfig == "/var/lib/kubelet/kubeconfig"
    assert kubelet.flags["v"] == "4"
    assert "cluster-dns" not in kubelet.settings
    assert kubelet.restart_seconds == 10
    # An empty tuple is a statement: none at all.
    assert (kubelet.taints, kubelet.node_ips) == ((), ())
    assert "node-ip" not in kubelet.flags
    assert kubelet.unit_path == "/etc/systemd/system/kubelet.service"
    assert {file.name for file in kubelet.files} >= {"ca.crt", "kubeconfig", "kubelet.service"}


def test_a_node_of_the_bundled_layout_is_complete() -> None:
    node = NodeSpec("w-1", "worker", MACHINE.address, classic_kubelet(MACHINE, V30))
    assert completed(node) is node


def test_a_completed_spec_is_the_articles_where_nothing_is_stated() -> None:
    node = NodeSpec("w-1", "worker", MACHINE.address, found_kubelet(V30))
    article = classic_kubelet(MACHINE, V30)
    kubelet = completed(node).kubelet
    differing = [
        one.name
        for one in fields(KubeletSpec)
        if getattr(kubelet, one.name) != getattr(article, one.name)
    ]
    assert differing == []


def test_a_hook_may_choose_the_layout() -> None:
    classic = spec_of([replace(MACHINE, role="master"), MACHINE], None, V30, swap=True)
    classic = replace(classic, api_server_url="https://lb:6443")
    kubeadm = with_layout(classic, "kubeadm")
    assert [node.kubelet.layout for node in kubeadm] == ["kubeadm", "kubeadm"]
    assert [node.name for node in kubeadm] == [node.name for node in classic]
    assert kubeadm.api_server == "https://lb:6443"
    assert kubeadm.nodes[0].kubelet.configuration["failSwapOn"] is False
    assert with_layout(kubeadm, "classic") == classic


def test_node_of_kubeadm_is_pinned_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []

    def look(spec: ClusterSpec, name: str, access: Access) -> None:
        looked.append(spec[name].kubelet.layout)
        raise KubeClusterError("that is enough")

    monkeypatch.setattr(pin, "_look", look)
    with pytest.raises(KubeClusterError, match="that is enough"):
        pin.pin_node("w-1", "worker", Access("", ""), "kubeadm")
    assert looked == ["found"]
