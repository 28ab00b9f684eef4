"""Nodes of a cluster that others run, looked at through its API server: alone, or with ssh, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_kubecluster.nodes.api_server import ApiServer
from tests.runs.conftest import NOTHING, Bench, command, docker

pytestmark = pytest.mark.xdist_group("registered nodes")

SUITE = ("--pyargs", "pytest_kubecluster.conformance")
API = (*SUITE, "-k", "test_api")
ZONE = {"metadata": {"labels": {"zone": "a"}}}


class Registered:
    """A running cluster with a control plane, and what its users have of it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = f"{bench.project.name}-theirs"
        self.folder = bench.state / "kubecluster" / "clusters" / self.name
        self.kubeconfig = self.folder / "kubeconfig"

    @property
    def api(self) -> ApiServer:
        return ApiServer(self.kubeconfig, ours=True)

    def inventory(self, **names: str) -> str:
        """Return an inventory, in which nodes may have other names, or none and be left out."""
        addresses = {
            one["metadata"]["name"]: one["status"]["addresses"][0]["address"]
            for one in self.api.get("/api/v1/nodes")["items"]
        }
        hosts = {names.get(name, name): (name[:-2], address) for name, address in addresses.items()}
        lines = [
            line
            for role in ("master", "worker")
            for line in (
                f"[{role}s]",
                *(f"{n} ansible_host={ip}" for n, (own, ip) in hosts.items() if n and own == role),
            )
        ]
        trust = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
        lines += ["[all:vars]", "ansible_user=core", f"ansible_ssh_common_args='{trust}'"]
        lines += [f"ansible_ssh_private_key_file={self.folder / 'ssh' / 'id_ed25519'}", ""]
        return "\n".join(lines)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registered]:
    bench = Bench(tmp_path_factory.mktemp("theirs"))
    theirs = Registered(bench)
    options = ("--kube-control-plane=hollow", "--kube-masters=1", "--kube-workers=2")
    layout = ("--kube-layout=kubeadm", "--kube-hyperkube=1.30.4")
    try:
        status, output = command(bench, "up", theirs.name, *options, *layout)
        assert status == 0, output
        yield theirs
    finally:
        command(bench, "destroy", theirs.name)
        assert bench.left() == NOTHING


@pytest.fixture
def own(theirs: Registered, bench: Bench) -> Bench:
    """A project that has the kubeconfig alone."""
    bench.options = ["--kube-cluster", f"--kube-kubeconfig={theirs.kubeconfig}"]
    return bench


def pin(own: Bench, node: str) -> Path:
    """Write the spec of a node as the project's, and return its path."""
    status, output = command(own, "spec", "--from", node, *own.options[1:])
    assert status == 0, output
    text, _, left_out = output.rpartition(f"{node}: left out")
    own.write("kubecluster.toml", text or output)
    assert ("only ssh can see it" in left_out) == ("--kube-inventory=hosts" not in own.options)
    return own.project / "kubecluster.toml"


def test_node_is_as_it_was_written_down_until_it_changes(theirs: Registered, own: Bench) -> None:
    path = "/api/v1/nodes/worker01"
    theirs.api.patch(path, ZONE)
    assert 'zone = "a"' in pin(own, "worker01").read_text()
    status, output = own.run(*SUITE)
    assert status == 0, output
    assert "the nodes are left as they were" in output
    theirs.api.patch(path, {"metadata": {"labels": {"zone": "b"}}})
    status, output = own.run(*API)
    assert status == 1, output
    assert "FAILED test_api.py::test_node_has_the_labels[worker01]" in output
    assert "1 failed" in output


def test_together_with_an_inventory(theirs: Registered, own: Bench) -> None:
    own.options.append("--kube-inventory=hosts")
    own.write("hosts", theirs.inventory())
    # What an operator sets is in no flag of the kubelet.
    theirs.api.patch("/api/v1/nodes/worker01", ZONE)
    pin(own, "worker01")
    status, output = own.run(*SUITE)
    assert status == 0, output


def test_names_that_differ_and_nodes_that_only_one_side_has(theirs: Registered, own: Bench) -> None:
    own.options.append("--kube-inventory=hosts")
    own.write("kubecluster.toml", 'version = "1.30.4"\n')
    own.write("hosts", theirs.inventory(master01="cp", worker02=""))
    status, output = own.run(*API)
    assert status == 0, output
    assert "the inventory does not have them: worker02, registered at https://" in output
    own.write("hosts", theirs.inventory(master01="cp"))
    container = f"{theirs.name}-worker02"
    docker("exec", container, "systemctl", "stop", "kubelet")
    try:
        theirs.api.delete("/api/v1/nodes/worker02")
        status, output = own.run(*API)
    finally:
        docker("exec", container, "systemctl", "start", "kubelet")
    assert status == 1, output
    assert "FAILED test_api.py::test_node_is_registered[worker02]" in output
    assert "there is no Node object worker02 at https://" in output
    assert "1 failed" in output


def test_api_server_that_is_not_there(theirs: Registered, own: Bench) -> None:
    text = theirs.kubeconfig.read_text().replace(":6443", ":6444")
    own.write("elsewhere", text)
    own.write("hosts", theirs.inventory())
    own.options = ["--kube-cluster", "--kube-kubeconfig=elsewhere", "--kube-inventory=hosts"]
    status, output = own.run(*API)
    assert status == 1, output
    assert "--kube-kubeconfig: the API server https://" in output
    assert "does not answer" in output
