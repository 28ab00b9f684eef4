"""Clusters that outlive a run: kept, reused, and managed with the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runs.conftest import NOTHING, ONE_NODE, Bench, command, docker

PASSES = "def test_it(kube_node): assert kube_node.kubelet == kube_node.spec.kubelet\n"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.write("test_it.py", PASSES)
    yield bench
    bench.end()
    for cluster in json.loads(command(bench, "list", "--json")[1]):
        command(bench, "destroy", cluster["name"])
    assert bench.left() == NOTHING


def kept_name(output: str) -> str:
    match = re.search(r"cluster (\S+) is kept", output)
    assert match is not None, output
    return match[1]


def containers(name: str) -> list[str]:
    return docker("ps", "--format", "{{.ID}}", "--filter", f"label=kubecluster={name}")


def test_kept_cluster_is_used_again(bench: Bench) -> None:
    status, output = bench.run("--kube-keep=always")
    name = kept_name(output)
    assert f"pytest --kube-cluster --kube-reuse={name}" in output
    machines = containers(name)
    assert (status, len(machines)) == (0, 1)

    # The same again: nothing is booted, nothing is provisioned.
    status, output = bench.run("--kube-reuse")
    assert status == 0, output
    assert f"cluster {name} is up already" in output
    assert "kubecluster: provision" not in output
    assert containers(name) == machines

    # Another flag: the machines stay, the playbook runs.
    bench.write(
        "conftest.py",
        "def pytest_kubecluster_spec(config, spec): return spec.with_flags({'v': '4'})\n",
    )
    status, output = bench.run(f"--kube-reuse={name}")
    assert status == 0, output
    assert re.search(r"kubecluster: provision +\S+ s  2 changes on 1 node", output)
    assert containers(name) == machines

    # If a machine was removed, the cluster is booted again under the same name.
    docker("rm", "--force", *machines)
    status, output = bench.run(f"--kube-reuse={name}", "--kube-keep=never")
    assert status == 0, output
    assert f"cluster {name} does not match the requested one; booting a new one" in output
    assert bench.left() == NOTHING


def test_keep_failed_keeps_what_failed(bench: Bench) -> None:
    assert "is kept" not in bench.run("--kube-keep=failed")[1]
    assert bench.left() == NOTHING
    bench.write("test_it.py", "def test_it(kube_node): assert 0\n")
    status, output = bench.run("--kube-keep=failed")
    assert status == 1
    assert len(containers(kept_name(output))) == 1


def test_another_topology_is_booted_anew(bench: Bench) -> None:
    name = kept_name(bench.run("--kube-keep=always")[1])
    # Under xdist, whose workers wait until the cluster is up, however it came up.
    status, output = bench.run(f"--kube-reuse={name}", "--kube-workers=1", "-n1")
    assert status == 0, output
    assert "booting a new one" in output
    assert len(containers(name)) == 2


def test_reuse_without_a_kept_cluster_boots_one(bench: Bench) -> None:
    status, output = bench.run("--kube-reuse")
    assert status == 0, output
    assert kept_name(output)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "there is no cluster nobody; there are: none"),
        ("a/b", "--kube-reuse: 'a/b' is not a cluster name"),
        ("..", "--kube-reuse: '..' is not a cluster name"),
    ],
)
def test_name_that_cannot_be_reused(name: str, message: str, bench: Bench) -> None:
    status, output = bench.run(f"--kube-reuse={name}")
    assert status in (1, 4)
    assert message in output


def test_cluster_in_use_is_not_removed(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        import time

        def test_it(kube_node):
            print("in the test", flush=True)
            time.sleep(60)
        """,
    )
    process = bench.start_line("in the test")
    (cluster,) = json.loads(command(bench, "list", "--json")[1])
    assert cluster["state"] == f"in use by process {process.pid}"
    assert command(bench, "gc") == (0, "")
    status, output = command(bench, "destroy", cluster["name"])
    assert (status, f"is used by process {process.pid}" in output) == (1, True)
    assert len(containers(cluster["name"])) == 1
    process.kill()
    process.communicate(timeout=60)
    assert command(bench, "gc") == (0, f"removed cluster {cluster['name']}\n")
    assert containers(cluster["name"]) == []


def test_command(bench: Bench) -> None:
    options = [option for option in bench.options if option != "--kube-cluster"]
    status, output = command(bench, "up", "demo", *options)
    assert status == 0, output
    assert "cluster demo is up" in output
    assert command(bench, "up", "demo", *options)[0] == 1
    status, output = command(bench, "status", "demo", "--json")
    shown = json.loads(output)
    assert (status, shown["state"], shown["nodes"][0]["running"]) == (0, "kept", True)
    assert command(bench, "ssh", "master01", "--", "echo", "it's $HOME") == (0, "it's $HOME\n")
    assert command(bench, "ssh", "master01", "--name", "demo", "--", "exit 7")[0] == 7
    assert command(bench, "ssh", "master01", "--", "sh", "-c", "exit 7")[0] == 7
    assert "demo has no node worker09; it has: master01" in command(bench, "ssh", "worker09")[1]
    # What made the cluster need not be said again.
    status, output = command(bench, "provision", "demo", "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert (status, events[-1]) == (0, {"event": "cluster", "name": "demo", "verdict": "up"})
    ends = {one["phase"]: one["detail"] for one in events if one.get("status") == "done"}
    assert ends["provision"] == "0 changes on 1 node"
    nodes = [one for one in events if one["event"] == "node"]
    assert {one["node"] for one in nodes} == {"master01"}
    assert "Start and enable kubelet service" in {one.get("task") for one in nodes}
    bench.options = ["--kube-cluster"]
    for reuse in ("--kube-reuse=demo", "--kube-reuse"):
        status, output = bench.run(reuse)
        assert status == 0, output
        assert "cluster demo is up already" in output
    assert "master01  demo-master01  yes      as specified" in command(bench, "status")[1]
    docker("stop", "--time=1", "demo-master01")
    assert command(bench, "status", "demo")[0] == 1
    assert command(bench, "destroy") == (0, "removed cluster demo\n")
    assert command(bench, "list") == (0, "no clusters\n")
    assert "no cluster is kept for this folder" in command(bench, "status")[1]


def test_command_used_wrongly(bench: Bench) -> None:
    for words in ([], ["up", "--kube-masters=none"], ["list", "--nonsense"], ["explode"]):
        status, output = command(bench, *words)
        assert (status, "Traceback" in output) == (2, False), output
    status, help = command(bench, "--help")
    assert (status, "Exit status: 0 done" in help) == (0, True)


def test_failed_test_brings_its_nodes_facts(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        def test_it(kube_node):
            kube_node.host.run_expect([0], "systemctl stop kubelet")
            assert kube_node.host.service("kubelet").is_running
        """,
    )
    status, output = bench.run("--junitxml=junit.xml", "--kube-report=report")
    assert status == 1
    junit = (bench.project / "junit.xml").read_text()
    for place in (output, junit):
        assert "unit:  failed (failed), enabled, 0 restarts, result exit-code" in place
        assert re.search(r"kubelet process +running +no: kubelet\.service is failed", place)
        assert "Failed with result 'exit-code'" in place
    folder = bench.project / "report"
    about = json.loads((folder / "report.json").read_text())
    assert (about["about"]["kubelet"], about["about"]["failed"]) == ("hollow", True)
    page = (folder / "index.html").read_text()
    assert "1 of 1 check failed on 1 of 1 node" in page
    assert "kubelet process" in page
    assert {path.name for path in (folder / "master01").iterdir()} == {
        "journal.txt",
        "kubelet.service",
        "kubeconfig",
        "systemctl-status.txt",
        "addresses.txt",
        "routes.txt",
        "disk.txt",
    }
    assert "client-key-data: REDACTED" in (folder / "master01" / "kubeconfig").read_text()
    assert {"vagrant.log", "ansible.log"} <= {path.name for path in folder.iterdir()}
    for path in [bench.project / "junit.xml", *folder.rglob("*")]:
        if path.is_file():
            assert "PRIVATE KEY" not in path.read_text()
            assert "LS0tLS1CRUdJTiBSU0EgUFJJVkFURS" not in path.read_text(), "a key in base64"


def test_node_that_dies_fails_its_own_tests_only(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        import subprocess

        def test_kill(kube_worker):
            subprocess.run(["docker", "kill", kube_worker.access.reboot[-1]], check=True)

        def test_look(kube_node):
            kube_node.refresh()
        """,
    )
    status, output = bench.run("--kube-workers=1")
    assert status == 1
    assert "2 passed" in output or "1 failed, 2 passed" in output, output
    assert re.search(
        r"FAILED test_it.py::test_look\[worker01\].*worker01 cannot be reached", output
    )


def test_running_node_is_pinned_in_one_command(bench: Bench) -> None:
    """The file that is written about a node is the spec of that node."""
    bench.write(
        "conftest.py",
        """
        def pytest_kubecluster_spec(config, spec):
            spec = spec.with_flags({"v": "4", "max-pods": "50", "lock-file": None})
            return spec.with_flags({"exit-on-lock-contention": None, "cluster-domain": "a.b"})
        """,
    )
    status, output = command(bench, "up", "pinned", *ONE_NODE, "--kube-hyperkube=1.30.0")
    assert status == 0, output
    wanted = json.loads(command(bench, "spec", "--json", *ONE_NODE, "--kube-hyperkube=1.30.0")[1])
    status, pinned = command(bench, "spec", "--from", "master01")
    assert status == 0, pinned
    (bench.project / "conftest.py").unlink()
    bench.write("kubecluster.toml", pinned)
    found = json.loads(command(bench, "spec", "--json", *ONE_NODE)[1])
    for key in ("version", "flags", "config"):
        assert found["nodes"]["master01"][key] == wanted["nodes"]["master01"][key], pinned
    status, output = bench.run("--kube-reuse=pinned")
    assert status == 0, output
    assert "kubecluster: boot" not in output
    status, output = command(bench, "cis", "--json")
    found = {row["id"]: row["status"] for row in json.loads(output)}
    assert (status, found["4.2.1"], found["4.2.2"]) == (1, "pass", "fail")
    bench.write("kubecluster.toml", f'{pinned}\n[cis.waivers]\nunit-mode = "a"\n"4.2.2" = "b"\n')
    status, output = command(bench, "cis", "pinned")
    assert (status, "2 waived" in output, "master01: kubelet 1.30.0, cis-1.11" in output) == (
        0,
        True,
        True,
    )
    status, output = command(bench, "spec", "--from", "worker07")
    assert (status, "pinned has no node worker07; it has: master01" in output) == (1, True)
