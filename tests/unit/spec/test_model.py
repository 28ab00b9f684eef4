from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec, spec_of
from pytest_kubecluster.spec.defaults import DEFAULT_NETWORK, DEFAULT_VERSION
from pytest_kubecluster.spec.model import KubeletSpec, SpecError
from pytest_kubecluster.spec.topology import Machine

ARTICLE = IPv4Network("172.17.5.0/24")

ARTICLE_MASTER = [
    "--kubeconfig=/etc/kubernetes/kubeconfig",
    "--require-kubeconfig",
    "--client-ca-file=/etc/kubernetes/ca.crt",
    "--anonymous-auth=false",
    "--cni-conf-dir=/etc/kubernetes/cni/net.d",
    "--network-plugin=cni",
    "--lock-file=/var/run/lock/kubelet.lock",
    "--exit-on-lock-contention",
    "--pod-manifest-path=/etc/kubernetes/manifests",
    "--allow-privileged",
    "--node-labels=node-role.kubernetes.io/master",
    "--node-ip=172.17.5.103",
    "--register-with-taints=node-role.kubernetes.io/master=:NoSchedule",
    "--cluster-dns=10.3.0.10",
    "--cluster-domain=cluster.local",
]


def test_default_is_the_articles_cluster() -> None:
    spec = cluster_spec(network=ARTICLE)
    assert [(node.name, node.role, str(node.address)) for node in spec] == [
        ("master01", "master", "172.17.5.101"),
        ("master02", "master", "172.17.5.102"),
        ("master03", "master", "172.17.5.103"),
        ("worker01", "worker", "172.17.5.201"),
    ]
    assert spec.api_server == "https://172.17.5.103:443"
    assert (spec.image_url, spec.image_tag) == ("quay.io/coreos/hyperkube", "v1.7.5_coreos.1")


def test_master_has_the_articles_flags_in_its_order() -> None:
    assert cluster_spec(network=ARTICLE)["master03"].kubelet.flags.words() == ARTICLE_MASTER


def test_worker_has_its_label_and_no_taint() -> None:
    words = cluster_spec(network=ARTICLE)["worker01"].kubelet.flags.words()
    expected = [word for word in ARTICLE_MASTER if "taint" not in word]
    expected[10:12] = ["--node-labels=node-role.kubernetes.io/worker", "--node-ip=172.17.5.201"]
    assert words == expected


@pytest.mark.parametrize(("masters", "expected"), [(1, 101), (2, 102), (3, 103), (5, 103)])
def test_api_server_is_the_third_master_or_the_last(masters: int, expected: int) -> None:
    assert cluster_spec(masters, 0, ARTICLE).api_server == f"https://172.17.5.{expected}:443"


def test_default_network_is_apart_from_dockers_bridge() -> None:
    assert not DEFAULT_NETWORK.overlaps(IPv4Network("172.16.0.0/12"))


def test_small_network_is_filled_from_its_start() -> None:
    spec = cluster_spec(network=IPv4Network("10.1.2.16/28"))
    # Host 1 is the network's gateway.
    assert [str(node.address) for node in spec] == [f"10.1.2.{n}" for n in (18, 19, 20, 21)]


def test_many_workers_fill_the_network_from_its_start() -> None:
    spec = cluster_spec(3, 200, ARTICLE)
    assert str(spec.nodes[0].address) == "172.17.5.2"
    assert len({node.address for node in spec}) == 203


def test_large_network_keeps_the_articles_hosts() -> None:
    spec = cluster_spec(1, 1, IPv4Network("10.0.0.0/16"))
    assert [str(node.address) for node in spec] == ["10.0.0.101", "10.0.0.201"]


@pytest.mark.parametrize("prefix", range(24, 31))
def test_full_network_holds_the_number_its_error_names(prefix: int) -> None:
    network = IPv4Network(f"10.9.8.0/{prefix}")
    room = network.num_addresses - 3
    assert len(cluster_spec(1, room - 1, network).nodes) == room
    with pytest.raises(SpecError, match=rf"room for {room};"):
        cluster_spec(1, room, network)


@pytest.mark.parametrize(
    ("masters", "workers", "network", "message"),
    [
        (0, 1, "10.0.0.0/24", "at least one master"),
        (0, 0, "10.0.0.0/24", "at least one master"),
        (-1, 1, "10.0.0.0/24", "cannot be negative"),
        (3, -1, "10.0.0.0/24", "cannot be negative"),
        (3, 197, "10.0.0.0/28", "200 nodes do not fit into 10.0.0.0/28: it has room for 13"),
        (1, 0, "10.0.0.0/32", "room for 0"),
    ],
)
def test_impossible_cluster(masters: int, workers: int, network: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        cluster_spec(masters, workers, IPv4Network(network))


def test_flags_change_on_all_on_a_role_and_on_a_node() -> None:
    spec = cluster_spec()
    changed = (
        spec.with_flags({"v": "4"})
        .with_flags({"max-pods": "50"}, role="worker")
        .with_flags({"cluster_domain": "example.org", "allow-privileged": None}, node="master02")
    )
    assert {node.kubelet.flags["v"] for node in changed} == {"4"}
    with_limit = [node.name for node in changed if "max-pods" in node.kubelet.flags]
    assert with_limit == ["worker01"]
    second = changed["master02"].kubelet.flags
    assert second["cluster-domain"] == "example.org"
    assert "allow-privileged" not in second
    assert list(second)[:9] == list(spec["master02"].kubelet.flags)[:9]
    assert "max-pods" not in spec["worker01"].kubelet.flags


def test_unknown_node_is_named_with_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"worker07.*\n  there are: master01, master02"):
        cluster_spec().with_flags({"v": "4"}, node="worker07")


def test_check_finds_a_flag_the_version_does_not_know() -> None:
    message = r"worker01: kubelet 1\.7\.5 has no flag --fail-swap-on; it was added in 1\.8"
    with pytest.raises(SpecError, match=message):
        cluster_spec().with_flags({"fail-swap-on": "false"}, role="worker").check()


@pytest.mark.parametrize("name", ["../m", "a/b", "*", "m 1", "-m", ""])
def test_check_finds_invalid_file_names_and_patterns(name: str) -> None:
    machine = Machine(name, "master", IPv4Address("10.0.0.1"))
    with pytest.raises(SpecError, match="invalid node name"):
        spec_of([machine], None, DEFAULT_VERSION).check()


def test_machines_behind_one_address_need_their_own_address() -> None:
    place = IPv4Address("203.0.113.1")
    machines = [Machine("a", "master", place), Machine("b", "worker", place)]
    with pytest.raises(SpecError, match=r"a and b have the same .*own with private_ipv4"):
        spec_of(machines, None, DEFAULT_VERSION).check()


def test_check_finds_doubles_and_strays() -> None:
    from dataclasses import replace

    spec = cluster_spec()
    twice = replace(spec, nodes=(spec.nodes[0], replace(spec.nodes[1], name="master01")))
    with pytest.raises(SpecError, match="two nodes have the name master01"):
        twice.check()
    same = replace(
        spec, nodes=(spec.nodes[0], replace(spec.nodes[1], address=spec.nodes[0].address))
    )
    with pytest.raises(SpecError, match=r"and master02 have the same address 10\.17\.5\.101"):
        same.check()
    with pytest.raises(SpecError, match=r"is not in 192\.0\.2\.0/24"):
        replace(spec, network=IPv4Network("192.0.2.0/24")).check()
    with pytest.raises(SpecError, match="needs a master"):
        replace(spec, nodes=spec.workers).check()


def test_spec_is_immutable_and_hashable() -> None:
    spec = cluster_spec()
    assert hash(spec) == hash(cluster_spec())
    assert spec == cluster_spec()
    with pytest.raises(AttributeError):
        spec.nodes[0].kubelet.cluster_domain = "x"  # type: ignore[misc]


def test_files_have_owner_and_mode() -> None:
    files = {file.path: file for file in cluster_spec().nodes[0].kubelet.files}
    assert {path: f"{file.mode:04o}" for path, file in files.items()} == {
        "/etc/kubernetes/ca.crt": "0644",
        "/etc/kubernetes/ca.key": "0600",
        "/etc/kubernetes/kubeconfig": "0600",
        "/etc/systemd/system/kubelet.service": "0644",
    }
    assert all((file.owner, file.group) == ("root", "root") for file in files.values())
    assert {path for path, file in files.items() if file.secret} == {
        "/etc/kubernetes/ca.key",
        "/etc/kubernetes/kubeconfig",
    }


def test_summary_counts() -> None:
    assert cluster_spec().summary() == "3 masters, 1 worker"
    assert cluster_spec(1, 0).summary() == "1 master"


def test_kubelet_spec_stands_alone() -> None:
    kubelet = cluster_spec().nodes[0].kubelet
    assert isinstance(kubelet, KubeletSpec)
    assert kubelet.with_flags({"v": "2"}).flags["v"] == "2"
