from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec, spec_of
from pytest_kubecluster.spec.model import ClusterSpec, SpecError
from pytest_kubecluster.spec.parts import NO_ADDRESS, Taint
from pytest_kubecluster.spec.provenance import describe, explain_flag
from pytest_kubecluster.spec.specfile import NAME, SpecFile, SpecFileError, find_spec_file
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.version import KubeVersion

WHOLE = """
masters = 1
workers = 2
version = "1.30.0"
network = "10.9.8.0/24"

[kubelet]
cluster_domain = "example.org"
anonymous_auth = true
restart_seconds = 3
flags = { v = 4, cpu-cfs-quota = false, eviction-hard = "memory.available<100Mi" }

[role.worker]
labels = { zone = "a" }
launched_by = "host"

[node.worker02]
address = "10.9.8.77"
taints = ["dedicated=ci:NoExecute", "spot:NoSchedule"]
remove_flags = ["lock-file", "exit-on-lock-contention"]
"""


def applied(file: SpecFile, spec: ClusterSpec) -> ClusterSpec:
    return [step for _, step in file.steps(spec)][-1]


@pytest.fixture
def whole(tmp_path: Path) -> SpecFile:
    (tmp_path / "kubecluster.toml").write_text(WHOLE)
    return find_spec_file(tmp_path)


def test_topology(whole: SpecFile) -> None:
    topology = whole.topology
    assert (topology.masters, topology.workers) == (1, 2)
    assert topology.version == KubeVersion.parse("1.30.0")
    assert topology.network == IPv4Network("10.9.8.0/24")


def test_general_tables_come_before_particular_ones(whole: SpecFile) -> None:
    network = IPv4Network("10.9.8.0/24")
    spec = applied(whole, cluster_spec(1, 2, network, KubeVersion.parse("1.30.0")))
    spec.check()
    assert {node.kubelet.cluster_domain for node in spec} == {"example.org"}
    assert {node.kubelet.settings["anonymous-auth"] for node in spec} == {"true"}
    assert {node.kubelet.restart_seconds for node in spec} == {3}
    assert spec["worker01"].kubelet.flags["v"] == "4"
    assert spec["worker01"].kubelet.flags["cpu-cfs-quota"] == "false"
    assert spec["master01"].kubelet.node_labels == {}
    assert spec["worker01"].kubelet.node_labels == {"zone": "a"}
    second = spec["worker02"]
    assert second.address == second.kubelet.node_ip == IPv4Address("10.9.8.77")
    assert second.kubelet.node_taints == ("dedicated=ci:NoExecute", "spot=:NoSchedule")
    assert "lock-file" not in second.kubelet.settings
    assert "lock-file" in spec["worker01"].kubelet.settings


@pytest.mark.parametrize("key", ["cluster_domain", "network_plugin", "hostname"])
def test_empty_text_about_existing_machines_is_refused(tmp_path: Path, key: str) -> None:
    (tmp_path / "kubecluster.toml").write_text(f'[kubelet]\n{key} = ""\n')
    file = find_spec_file(tmp_path)
    machines = [Machine("w1", "worker", NO_ADDRESS)]
    version = KubeVersion.parse("1.20.0")
    with pytest.raises(SpecFileError, match=f"{key}: an empty text states nothing here; .*unset"):
        applied(file, spec_of(machines, None, version, layout="found"))
    applied(file, spec_of(machines, None, version))


def test_table_of_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kubecluster.kubelet]\ncluster_domain = 'a.b'\n")
    spec = applied(find_spec_file(tmp_path), cluster_spec())
    assert spec.nodes[0].kubelet.cluster_domain == "a.b"


def test_two_descriptions_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kubecluster]\nmasters = 5\n")
    (tmp_path / "kubecluster.toml").write_text("workers = 2\n")
    with pytest.raises(SpecFileError, match=r"kubecluster\.toml and \[tool.*keep one of them"):
        find_spec_file(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find_spec_file(tmp_path).topology.workers == 2


def test_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "kubecluster.toml").write_bytes(b"masters = 1\n# \xff")
    with pytest.raises(SpecFileError, match=r"kubecluster\.toml: it is not UTF-8 text \(line 2\)"):
        find_spec_file(tmp_path)


def test_mark_of_an_encoding_is_no_statement(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"\xef\xbb\xbfmasters = 1\r\n")
    assert find_spec_file(tmp_path).topology.masters == 1


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (os.mkdir, "is a folder, not a file"),
        (os.mkfifo, "is a FIFO, not a file"),
        (lambda path: os.symlink("/dev/zero", path), "is a device, not a file"),
        (lambda path: os.symlink(NAME, path), "Too many levels of symbolic links"),
        (lambda path: os.symlink("gone", path), "does not exist"),
    ],
)
def test_what_is_not_a_file_is_not_passed_over(make: Any, problem: str, tmp_path: Path) -> None:
    make(tmp_path / NAME)
    with pytest.raises(SpecFileError, match=problem):
        find_spec_file(tmp_path)


def test_missing_files_state_nothing(tmp_path: Path) -> None:
    assert find_spec_file(tmp_path) == SpecFile()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert find_spec_file(tmp_path) == SpecFile()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("masters = \nworkers = 1", "at line 1"),
        ("mastres = 1", "unknown key mastres; known are api_server, cis, files, host, identity, kubelet, layout, masters"),
        ("masters = '3'", "masters: invalid value '3' .must be a number"),
        ("masters = true", "masters: invalid value True .must be a number"),
        ("workers = -1", "workers: invalid value -1 .must be from 0"),
        ("version = '1.6.0'", "version: 1.6.0 is outside the range"),
        ("version = 1.30", "version: invalid value 1.3 .must be text in quotes"),
        ("network = '10.0.0.1/24'", "network: .*has host bits set"),
        ("kubelet = 3", "kubelet must be a table"),
        ("[kubelet]\nclusterDNS = '1.2.3.4'", "unknown key kubelet.clusterDNS; known are .*cluster_dns"),
        ("[kubelet]\ncluster_dns = 'ten'", "kubelet.cluster_dns: .*ten"),
        ("[kubelet]\nanonymous_auth = 'no'", "kubelet.anonymous_auth: invalid value 'no' .must be true or false"),
        ("[kubelet]\nlock_file = 'lock'", "kubelet.lock_file: invalid value 'lock' .must be an absolute path"),
        ("[kubelet]\nlaunched_by = 'podman'", "kubelet.launched_by: invalid choice 'podman' .choose from rkt, docker, host"),
        ("[kubelet]\nnode_ip = 'x'", "kubelet.node_ip: invalid value 'x' .must be an IP address"),
        ("[role.boss]", "unknown key role.boss; known are master, worker"),
        ("[role.worker]\ntaints = ['a=b']", "role.worker.taints: invalid taint 'a=b'"),
        ("[role.worker]\ntaints = ['a=b:Never']", "with one of NoSchedule"),
        ("[kubelet]\nlabels = { 'a b' = 'c' }", "kubelet.labels: invalid label 'a b=c'"),
        ("[kubelet]\nlabels = { zone = 'a-' }", "kubelet.labels: invalid label 'zone=a-'"),
        ("[kubelet]\nlabels = { 'Ex.org/a' = '' }", "kubelet.labels: invalid label 'Ex.org/a'"),
        ("[role.worker]\nlabels = ['a']", r"role.worker.labels: invalid value \['a'\] .must be a table of labels"),
        ("[node.master01]\naddress = '10.0.0.300'", "node.master01.address: .*300"),
        ("[node.master01]\nflags = { v = { x = 1 } }", "node.master01.flags: flag v: "),
        ("[kubelet]\nremove_flags = ['look-file']", "no kubelet from 1.7 to 1.36 has a flag --look-file"),
        ("[node]\nmaster01 = 3", "node.master01 must be a table"),
    ],
)  # fmt: skip
def test_wrong_files_are_named_with_the_key_or_line(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "kubecluster.toml").write_text(text)
    with pytest.raises(SpecFileError, match=rf"kubecluster\.toml: .*{message}"):
        find_spec_file(tmp_path)


def test_node_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "kubecluster.toml").write_text("[node.worker07]\nrestart_seconds = 1\n")
    with pytest.raises(
        SpecFileError, match=r"node\.worker07: unknown node; the nodes are master01"
    ):
        applied(find_spec_file(tmp_path), cluster_spec())


def test_double_address_is_found(tmp_path: Path) -> None:
    address = cluster_spec()["master01"].address
    (tmp_path / "kubecluster.toml").write_text(f"[node.worker01]\naddress = '{address}'\n")
    with pytest.raises(SpecError, match=f"worker01 have the same address {address}"):
        applied(find_spec_file(tmp_path), cluster_spec()).check()


def test_taints_are_read() -> None:
    assert Taint.parse("a=b:NoExecute") == Taint("a", "b", "NoExecute")
    assert Taint.parse("a=:NoSchedule") == Taint.parse("a:NoSchedule") == Taint("a")
    with pytest.raises(ValueError, match="invalid taint"):
        Taint.parse("a:b:NoSchedule")


def steps() -> list[tuple[str, ClusterSpec]]:
    spec = cluster_spec(version=KubeVersion.parse("1.30.0"))
    changed = spec.with_flags({"v": "4", "cluster-domain": None}, role="worker")
    return [("the article", spec), ("the hook", changed)]


@pytest.mark.parametrize(
    ("node", "flag", "expected"),
    [
        ("master01", "cluster_domain", ["cluster.local, set by the article", "it is in /etc/kubernetes/kubelet.yaml"]),
        ("worker01", "cluster-domain", ["cluster.local, set by the article", "(not set), set by the hook", "nothing sets --cluster-domain; the kubelet's default applies"]),
        ("worker01", "v", ["4, set by the hook", "it is on the command line in /etc/systemd/system/kubelet.service"]),
        ("master01", "v", ["nothing sets --v; the kubelet's default applies"]),
    ],
)  # fmt: skip
def test_explanations(node: str, flag: str, expected: list[str]) -> None:
    assert list(explain_flag(steps(), node, flag)) == expected


def test_explanation_has_the_versions_reason() -> None:
    lines = list(explain_flag(steps(), "master01", "require-kubeconfig"))
    assert lines[0].startswith("--require-kubeconfig dropped: unknown from 1.10;")
    assert lines[1:] == ["kubelet 1.30.0 does not have --require-kubeconfig"]


def test_description_is_plain() -> None:
    described = describe(steps()[1][1])
    node = described["nodes"]["worker01"]
    assert (node["role"], node["runtime"], node["program"]) == (
        "worker",
        "containerd",
        "/opt/bin/kubelet",
    )
    assert node["config"]["kind"] == "KubeletConfiguration"
    assert node["files"]["/etc/kubernetes/kubelet.yaml"] == "0600"
