from __future__ import annotations

import pytest

from pytest_kubecluster.machines.existing.role_patterns import RolePatterns

DEFAULT = RolePatterns()


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("master01", "master"),
        ("k8s-control-1", "master"),
        ("control01", "master"),
        ("controlplane-2", "master"),
        ("prod-master1a", "master"),
        ("cp-1.k8s.example.org", "master"),
        ("master-node-1", "master"),
        ("worker-a", "worker"),
        ("node3.master.example.org", "worker"),
        ("ip-10-0-0-1", None),
        ("loadbalancer", None),
        ("redis-master-1", None),
        ("jenkins-worker", None),
        ("node-exporter", None),
        ("nodejs1", None),
    ],
)
def test_name_without_groups(name: str, role: str | None) -> None:
    assert DEFAULT.role_of(name) == role


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        # kubespray, now and formerly
        (["kube_control_plane", "k8s_cluster"], "master"),
        (["kube_node", "k8s_cluster"], "worker"),
        (["kube-master", "etcd"], "master"),
        (["kube-node"], "worker"),
        (["etcd"], None),
        (["calico_rr", "k8s_cluster"], None),
        (["bastion"], None),
        # a host that is both
        (["kube_node", "kube_control_plane", "etcd"], "master"),
        # the article
        (["role=master"], "master"),
        (["role=worker"], "worker"),
        # kubeadm roles, kubernetes the hard way, typhoon, kubekey, OpenShift
        (["masters"], "master"),
        (["control_plane"], "master"),
        (["control-plane-nodes"], "master"),
        (["controllers"], "master"),
        (["workers"], "worker"),
        (["kube_worker"], "worker"),
        (["nodes", "masters"], "master"),
        # k3s and RKE2
        (["server", "k3s_cluster"], "master"),
        (["agent", "k3s_cluster"], "worker"),
        (["rke2_servers"], "master"),
        (["k3s_agents"], "worker"),
        (["master", "k3s_cluster"], "master"),
        (["servers"], None),
        (["agents"], None),
        # site inventories
        (["prod_k8s_workers"], "worker"),
        (["berlin-control-plane"], "master"),
        (["gpu_nodes"], "worker"),
        (["cluster1_masters", "ceph_osds"], "master"),
        # other software
        (["redis_master"], None),
        (["node_exporter"], None),
        (["prometheus-node"], None),
        (["jenkins_workers"], None),
        (["postgres_masters"], None),
        (["elasticsearch_nodes", "data"], None),
        (["control"], None),
        (["lb", "k8s_api"], None),
    ],
)
def test_groups_of_a_host_whose_name_matches_no_role(groups: list[str], role: str | None) -> None:
    assert DEFAULT.role_of("10.0.0.7", groups) == role


@pytest.mark.parametrize(
    ("name", "groups", "role"),
    [
        ("node1", ["kube_control_plane"], "master"),
        ("node6", ["etcd"], None),
        ("master5", ["kube_node"], "worker"),
        # all nodes in one group
        ("master", ["k8s_nodes"], "master"),
        ("worker1", ["k8s_nodes"], "worker"),
        # by site
        ("master01", ["berlin"], "master"),
        ("worker7", ["redis_master"], None),
        ("localhost", ["control"], None),
    ],
)
def test_groups_come_before_the_name(name: str, groups: list[str], role: str | None) -> None:
    assert DEFAULT.role_of(name, groups) == role


def test_patterns_of_the_user_are_added_to_the_usual_names() -> None:
    patterns = RolePatterns.parse("cp*=master, lb=none  backup_*=worker redis_master=worker")
    assert patterns.role_of("a", ["cp1"]) == "master"
    assert patterns.role_of("lb") == "none"
    assert patterns.role_of("anything", ["backup_pool"]) == "worker"
    assert patterns.role_of("a", ["redis_master"]) == "worker"
    assert patterns.role_of("a", ["kube_node"]) == "worker"
    assert patterns.role_of("master1") == "master"
    assert patterns.role_of("anything") is None
    assert RolePatterns.parse("role=master=worker").role_of("a", ["role=master"]) == "worker"


def test_first_pattern_that_matches_decides() -> None:
    patterns = RolePatterns.parse("spare*=none worker*=worker *=master")
    assert [patterns.role_of(name) for name in ("spare1", "worker1", "x")] == [
        "none",
        "worker",
        "master",
    ]


@pytest.mark.parametrize("text", ["master", "=master", "cp*=boss", "a=master b"])
def test_invalid_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be PATTERN=ROLE with one of the roles master, wor"):
        RolePatterns.parse(text)
