"""A booted cluster as its users see it."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.cluster.cluster import Cluster
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.launcher import WRAPPER
from pytest_kubecluster.spec.model import ClusterSpec

INSECURE_KEY = Path.home() / ".vagrant.d" / "insecure_private_key"


def test_second_provisioning_changes_nothing(kube_cluster: Cluster) -> None:
    assert dict(kube_cluster.provision().changed) == {}


def test_nodes_are_those_of_the_spec(kube_nodes: tuple[Node, ...], kube_spec: ClusterSpec) -> None:
    assert [node.spec for node in kube_nodes] == list(kube_spec.nodes)


def test_masters_and_workers(
    kube_nodes: tuple[Node, ...], kube_masters: tuple[Node, ...], kube_workers: tuple[Node, ...]
) -> None:
    assert kube_masters + kube_workers == kube_nodes
    assert {node.role for node in kube_masters} == {"master"}
    assert {node.role for node in kube_workers} == {"worker"}


def test_first_test_of_the_readme(kube_master: Node) -> None:
    settings = kube_master.kubelet.settings
    assert settings["register-with-taints"] == ",".join(kube_master.spec.kubelet.node_taints)
    assert kube_master.kubelet.taints[0].endswith("=:NoSchedule")
    assert kube_master.host.service("kubelet").is_running


def test_spec(kube_node: Node) -> None:
    assert kube_node.kubelet == kube_node.spec.kubelet


def test_host_is_root_of_the_right_machine(kube_node: Node) -> None:
    assert kube_node.host.check_output("id -un; hostname") == f"root\n{kube_node.name}"
    assert kube_node.host.interface("eth0").addresses[0] == str(kube_node.address)


def test_node_runs_systemd_as_pid_1(kube_node: Node) -> None:
    assert kube_node.host.process.get(pid=1).comm == "systemd"
    assert kube_node.host.check_output("systemctl is-system-running") == "running"


def test_cgroups_are_writable(kube_node: Node) -> None:
    script = "d=$(find /sys/fs/cgroup -maxdepth 1 -name cpuset); d=${d:-/sys/fs/cgroup}/probe; mkdir $d && rmdir $d"
    kube_node.host.run_expect([0], script)


def test_rendered_files_are_those_on_the_node(kube_node: Node, kube_pki: Pki) -> None:
    for path, file in kube_node.files.items():
        assert kube_node.host.file(path).content == file.read_bytes(), path
    ca = kube_node.host.file("/etc/kubernetes/ca.crt").content
    assert ca == kube_pki.ca_cert


def test_a_look_costs_one_ssh_round_trip(kube_node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    real = subprocess.run

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "run", counting)
    view = kube_node.refresh()
    assert view == kube_node.spec.kubelet
    assert view.healthz.body == "ok"
    assert view.configz
    assert len(calls) == 1
    assert kube_node.kubelet is view


def test_no_private_key_is_in_an_observation(kube_node: Node, kube_pki: Pki) -> None:
    seen = kube_node.kubelet
    # What was rendered for the node is this host's, to compare with.
    brought = {name: value for name, value in vars(seen).items() if name != "rendered"}
    assert "PRIVATE KEY" not in repr(brought)
    assert all(b"PRIVATE KEY" not in (f.content or b"") for f in seen.files.values() if f)
    user = kube_node.kubelet.kubeconfig["users"][0]["user"]
    assert user["client-key-data"] == "(cut out)"


def login(node: Node, key: Path) -> subprocess.CompletedProcess[str]:
    argv = ["ssh", "-F", "/dev/null", "-i", str(key), "-o", "IdentitiesOnly=yes", "-o"]
    argv += [
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]
    return subprocess.run(
        [*argv, f"core@{node.address}", "true"], capture_output=True, text=True, check=False
    )


def test_only_the_clusters_key_opens_a_node(
    kube_node: Node, kube_cluster: Cluster, tmp_path: Path
) -> None:
    assert login(kube_node, kube_cluster.folder.path / "ssh" / "id_ed25519").returncode == 0
    stranger = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    refused = login(kube_node, stranger)
    assert (refused.returncode, "Permission denied" in refused.stderr) == (255, True)
    insecure = kube_cluster.folder.path / "vagrant" / "home" / "insecure_private_key"
    assert insecure.exists(), "Vagrant's well-known key, which must open nothing"
    assert login(kube_node, insecure).returncode == 255


def test_keys_are_for_their_owner_only(kube_cluster: Cluster) -> None:
    folder = kube_cluster.folder.path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes()[:4096]:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, path


def test_no_key_is_in_a_log_or_an_argument(kube_cluster: Cluster, kube_pki: Pki) -> None:
    needles = [
        kube_pki.kubelet_key.splitlines()[5],
        kube_pki.ca_key.splitlines()[5],
        b"PRIVATE KEY",
    ]
    runner = kube_cluster.folder.path / "ansible" / "runner" / "artifacts"
    for path in [*kube_cluster.folder.logs.rglob("*"), *runner.rglob("*")]:
        if path.is_file():
            content = path.read_bytes()
            assert not any(needle in content for needle in needles), path
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline()).encode()
        except psutil.Error:
            continue
        assert not any(needle in words for needle in needles)


def test_ansible_leaves_no_record_but_its_log(kube_cluster: Cluster) -> None:
    assert not list(kube_cluster.folder.path.glob("ansible/runner/artifacts/*"))
    log = kube_cluster.folder.logs / "ansible.log"
    assert "PYTEST_CURRENT_TEST" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_machines_get_a_list_of_capabilities(kube_cluster: Cluster, kube_node: Node) -> None:
    form = "{{.HostConfig.Privileged}} {{len .NetworkSettings.Ports}}"
    argv = ["docker", "inspect", "--format", form, f"{kube_cluster.name}-{kube_node.name}"]
    privileged = subprocess.check_output(argv, text=True).split()[0]
    assert privileged == "false"
    published = subprocess.check_output(["docker", "port", argv[-1]], text=True)
    assert published == "", "no port of a node is published on the host"


def test_idle_node_is_small(kube_node: Node) -> None:
    if not kube_node.kubelet.command_line.launcher[0].startswith("python3"):
        pytest.skip("a real kubelet and Docker take what they take")
    resident = kube_node.host.check_output(
        "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ {s+=$2} END {print s}'"
    )
    assert int(resident) < 200 * 1024


def test_kubelet_identifies_itself(kube_node: Node) -> None:
    launcher = kube_node.kubelet.command_line.launcher
    version = kube_node.host.check_output(f"{' '.join(launcher)} --version")
    assert version.startswith(f"Kubernetes v{kube_node.spec.kubelet.version.number}")
    hollow = launcher[0] == "python3"
    assert version.endswith("+hollow") is hollow


def test_wrapper_refuses_what_it_cannot_run(kube_node: Node) -> None:
    wrapper, kubelet = WRAPPER, kube_node.spec.kubelet
    if kubelet.launcher.program != wrapper:
        pytest.skip(f"kubelet {kubelet.version.number} is started without a wrapper")
    host = kube_node.host
    missing = host.run(f"KUBELET_IMAGE_TAG=v9.9.9 {wrapper} --version")
    assert (missing.rc, "hyperkube:v9.9.9 is installed" in missing.stderr) == (1, True)
    unset = host.run(wrapper)
    assert unset.stderr == "One of KUBELET_IMAGE KUBELET_IMAGE_TAG must be set\n"
    tag, args = kubelet.version.tag, f"KUBELET_IMAGE_ARGS={kubelet.launcher.image_args}"
    for variable in (f"KUBELET_VERSION={tag}", f"KUBELET_IMAGE=quay.io/coreos/hyperkube:{tag}"):
        said = host.check_output(f"{args} {variable} {wrapper} --version")
        assert f"Kubernetes v{kubelet.version.number}" in said


def test_each_node_has_one_ssh_master_short_of_name(
    kube_cluster: Cluster, kube_nodes: tuple[Node, ...]
) -> None:
    sockets = list(kube_cluster.folder.sockets().iterdir())
    assert len(sockets) == len(kube_nodes)
    # Its path is limited to 108 bytes (unix(7)), of which ssh takes 17 while it makes one.
    assert all(len(os.fspath(socket)) + 17 < 108 for socket in sockets)
