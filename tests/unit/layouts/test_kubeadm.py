from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from pytest_kubecluster.artifacts.certificates import rotated_path
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts.cluster import cluster_spec, foreign_paths
from pytest_kubecluster.layouts.kubeadm import OLDEST
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.parts import FileStatement
from pytest_kubecluster.spec.specfile import read_spec_file
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.version import KubeVersion

KUBEADM = [minor for minor in MINORS if KubeVersion.parse(minor).minor >= OLDEST]


def cluster(version: str = "1.30.0", **options: Any) -> ClusterSpec:
    return cluster_spec(version=KubeVersion.parse(version), layout="kubeadm", **options)


def changed(spec: ClusterSpec, **table: Any) -> ClusterSpec:
    *_, (_, result) = read_spec_file(Path("kubecluster.toml"), {"kubelet": table}).steps(spec)
    return result


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize("version", ["1.7.5", "1.10.13"])
def test_version_whose_kubeadm_wrote_no_files(version: str) -> None:
    with pytest.raises(SpecError, match=rf"needs kubelet 1.11 or newer, not {version}.*classic"):
        cluster(version)


@pytest.mark.parametrize("minor", KUBEADM)
def test_every_minor_can_be_specified(minor: str) -> None:
    spec = cluster(minor, cgroup_v1=True, swap=True)
    spec.check()
    kubelet = spec["master01"].kubelet
    assert kubelet.configuration["rotateCertificates"] is True
    assert kubelet.configuration["failSwapOn"] is False
    assert ("failCgroupV1" in kubelet.configuration) is (KubeVersion.parse(minor).minor >= 35)
    assert kubelet.program == kubelet.launcher.program == "/usr/bin/kubelet"


@pytest.mark.parametrize("minor", KUBEADM[7:])
def test_no_zero_of_the_file_is_stated(minor: str) -> None:
    settings = statements_of(cluster(minor)["master01"].kubelet).settings
    assert not {"syncFrequency", "logging.flushFrequency", "nodeStatusReportFrequency"} & {
        *settings
    }


def test_zeros_of_the_file_state_nothing() -> None:
    kubelet = cluster()["master01"].kubelet
    assert kubelet.configuration["syncFrequency"] == "0s"
    assert "syncFrequency" not in statements_of(kubelet).settings
    assert "sync-frequency" not in kubelet.settings
    assert statements_of(kubelet).settings["clusterDomain"].value == "cluster.local"


def test_the_ca_key_is_on_no_node() -> None:
    for node in cluster():
        absent = [one.path for one in statements_of(node).files if one.absent]
        assert absent == ["/etc/kubernetes/pki/ca.key"]
        assert "ca.key" not in {file.name for file in node.kubelet.files}


def test_each_node_has_its_own_identity(pki: Pki) -> None:
    spec = cluster(masters=1, workers=2)
    for name in ("worker01", "worker02"):
        pem = render_node(spec, spec[name], pki)["kubelet-client.pem"]
        subject = x509.load_pem_x509_certificate(pem).subject.rfc4514_string()
        assert subject == f"CN=system:node:{name},O=system:nodes"
        assert statements_of(spec[name]).identity.user == f"system:node:{name}"
        assert statements_of(spec[name]).identity.groups == ("system:nodes",)


def test_identity_follows_the_host_name(pki: Pki) -> None:
    spec = changed(cluster(masters=1), hostname="Other")
    pem = render_node(spec, spec["worker01"], pki)["kubelet-client.pem"]
    subject = x509.load_pem_x509_certificate(pem).subject.rfc4514_string()
    assert subject == "CN=system:node:other,O=system:nodes"
    assert statements_of(spec["worker01"]).identity.user == "system:node:other"
    assert spec["worker01"].kubelet.flags["hostname-override"] == "Other"


def test_first_master_embeds_what_others_have_in_a_file(pki: Pki) -> None:
    spec = cluster(masters=2)
    users = {}
    for node in spec:
        files = render_node(spec, node, pki)
        config = yaml.safe_load(files["kubeconfig"])
        users[node.name] = sorted(config["users"][0]["user"])
        assert ("kubelet-client.pem" in files) is (node.name != "master01")
    embedded = ["client-certificate-data", "client-key-data"]
    in_a_file = ["client-certificate", "client-key"]
    assert users == {"master01": embedded, "master02": in_a_file, "worker01": in_a_file}


def test_file_behind_the_link_has_the_certificates_date(pki: Pki) -> None:
    pem = pki.node_client("worker01").combined
    path = rotated_path("/var/lib/kubelet/pki/kubelet-client-current.pem", pem)
    assert path == rotated_path("/var/lib/kubelet/pki/kubelet-client-current.pem", pem)
    assert path.startswith("/var/lib/kubelet/pki/kubelet-client-20")


@pytest.mark.parametrize(("version", "local"), [("1.32.0", False), ("1.33.0", True)])
def test_masters_use_their_own_api_server_from_1_33_on(version: str, local: bool) -> None:
    spec = cluster(version)
    own = f"https://{spec['master02'].address}:6443"
    first = f"https://{spec['master01'].address}:6443"
    assert spec.api_server == first
    assert spec.api_server_of(spec["master02"]) == (own if local else first)
    assert spec.api_server_of(spec["worker01"]) == first
    for node in spec:
        expected = Node.of(spec, node.name, Access("", "")).api_server
        assert expected == spec.api_server_of(node)
    elsewhere = spec.with_api_server("https://lb:6443", node="master02")
    assert elsewhere.api_server_of(elsewhere["master02"]) == "https://lb:6443"


@pytest.mark.parametrize(
    ("version", "labels", "taints"),
    [
        ("1.11.0", "master", "master"),
        ("1.20.0", "master control-plane", "master"),
        ("1.23.0", "master control-plane exclude", "master"),
        ("1.24.0", "control-plane exclude", "master control-plane"),
        ("1.36.0", "control-plane exclude", "control-plane"),
    ],
)
def test_masters_are_marked_through_the_api(version: str, labels: str, taints: str) -> None:
    spec = cluster(version)
    kubelet = spec["master01"].kubelet
    exclude = {"exclude": "node.kubernetes.io/exclude-from-external-load-balancers"}
    names = [exclude.get(word, f"node-role.kubernetes.io/{word}") for word in labels.split()]
    assert list(kubelet.labels_for_the_api) == names
    assert [str(taint) for taint in kubelet.api_taints] == [
        f"node-role.kubernetes.io/{word}=:NoSchedule" for word in taints.split()
    ]
    assert not kubelet.node_labels
    assert not kubelet.node_taints
    assert not spec["worker01"].kubelet.labels_for_the_api
    assert not spec["worker01"].kubelet.api_taints


def test_fields_of_the_spec_are_where_kubeadm_has_them() -> None:
    spec = changed(
        cluster(),
        cluster_domain="example.org",
        labels={"zone": "a"},
        taints=["dedicated=ci:NoExecute"],
        flags={"v": 4},
        settings={"max-pods": 50, "authorization": {"mode": "AlwaysAllow"}},
    )
    kubelet = spec["worker01"].kubelet
    assert kubelet.configuration["clusterDomain"] == "example.org"
    assert kubelet.configuration["maxPods"] == 50
    assert kubelet.configuration["authorization"]["mode"] == "AlwaysAllow"
    environment = list(kubelet.flags)[3:]
    assert environment == sorted(environment)
    assert kubelet.flags["node-labels"] == "zone=a"
    assert kubelet.flags["v"] == "4"
    spec.check()


def test_settings_and_flags_can_be_taken_away() -> None:
    spec = changed(cluster("1.16.0"), unset=["cluster-dns"], remove_flags=["resolv-conf"])
    kubelet = spec["worker01"].kubelet
    assert "clusterDNS" not in kubelet.configuration
    assert "resolv-conf" not in kubelet.flags
    assert "clusterDNS" in cluster("1.16.0")["worker01"].kubelet.configuration


def test_another_file_statement_joins_those_of_the_layout() -> None:
    spec = cluster()
    kubelet = spec["worker01"].kubelet.with_files(FileStatement("/etc/motd", mode=0o644))
    paths = [one.path for one in statements_of(kubelet).files]
    assert paths.count("/etc/kubernetes/pki/ca.key") == 1
    assert "/etc/motd" in paths


def test_what_another_layout_has_is_foreign() -> None:
    classic = cluster_spec(version=KubeVersion.parse("1.30.0"))["worker01"].kubelet
    old, new = (cluster(version)["worker01"].kubelet for version in ("1.16.0", "1.30.0"))
    drop_ins = [
        f"{folder}/systemd/system/kubelet.service.d/10-kubeadm.conf"
        for folder in ("/etc", "/usr/lib")
    ]
    assert {*drop_ins, "/etc/default/kubelet"} < {*foreign_paths(classic)}
    assert "/etc/systemd/system/kubelet.service" not in foreign_paths(classic)
    for kubelet in (old, new):
        # /lib is a link to /usr/lib: the unit is its own, whichever path it is called by.
        assert not {*foreign_paths(kubelet)} & {"/usr/lib/systemd/system/kubelet.service"}
        assert {"/etc/kubernetes/ca.key", "/etc/systemd/system/kubelet.service"} < {
            *foreign_paths(kubelet)
        }
    assert drop_ins[0] in foreign_paths(new)
    assert drop_ins[1] in foreign_paths(old)


def test_a_user_may_choose_other_modes() -> None:
    kubelet = replace(cluster()["worker01"].kubelet, modes=(("kubelet.yaml", 0o600),))
    assert {file.name: file.mode for file in kubelet.files}["kubelet.yaml"] == 0o600


def test_unit_that_does_not_wait_for_the_runtime_may_restart_once_at_boot() -> None:
    assert cluster()["worker01"].kubelet.restarts_at_boot == 1
    article = cluster_spec(version=KubeVersion.parse("1.30.0"))
    assert article["worker01"].kubelet.restarts_at_boot == 0
