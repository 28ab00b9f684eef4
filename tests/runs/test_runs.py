"""Whole runs in separate processes: what they print, and that they leave nothing behind."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import pytest

from tests.runs.conftest import Bench, docker


def test_a_run_from_start_to_end(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): assert kube_node.kubelet.running\n")
    status, output = bench.run()
    assert status == 0, output
    for line in (
        r"kubecluster: 1 master on docker, 10\.17\.\d+\.0/24, hyperkube v1\.7\.5_coreos\.1, kubelet hollow",
        r"kubecluster: boot +\d+\.\d s  1 master, provider docker",
        r"kubecluster: provision +\d+\.\d s  2 changes on 1 node\n",
        r"kubecluster: start +\d+\.\d s  1 kubelet healthy",
        r"kubecluster: destroy +\d+\.\d s  nothing is left",
        r"node      own tests\nmaster01  ok\n",
        r"boot \d+\.\d s, provision .*; together .* s, with the hollow kubelet",
    ):
        assert re.search(line, output), f"{line}\n{output}"
    assert list(bench.state.glob("kubecluster/logs/*")) == []


def test_quiet_and_verbose(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): assert kube_node.kubelet.running\n")
    status, quiet = bench.run("-q")
    assert status == 0, quiet
    (line,) = (line for line in quiet.splitlines() if "kubecluster" in line)
    assert line == "kubecluster: 1 master with kubelet 1.7.5, the hollow kubelet; nothing is left"
    status, verbose = bench.run("-v")
    assert "kubecluster: kubelet : Start and enable kubelet service" in verbose


def test_kubelet_that_dies_at_its_start(bench: Bench) -> None:
    bench.write(
        "conftest.py",
        dedent(
            """
            def pytest_kubecluster_spec(config, spec):
                return spec.with_flags({"address": "192.0.2.1"})
            """
        ),
    )
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    status, output = bench.run()
    assert status == 1
    died = "master01: the kubelet failed to start (result exit-code, exit status 255)"
    assert died in output, output
    assert "listen tcp 192.0.2.1:10250: bind: cannot assign requested address" in output
    assert "the cluster did not boot" in output
    assert "Traceback" not in output


def test_playbook_that_fails_on_a_node(bench: Bench) -> None:
    bench.write(
        "conftest.py",
        dedent(
            """
            from dataclasses import replace

            def pytest_kubecluster_spec(config, spec):
                node = spec.nodes[0]
                kubelet = replace(node.kubelet, kubeconfig="/proc/nowhere/kubeconfig")
                return replace(spec, nodes=(replace(node, kubelet=kubelet),))
            """
        ),
    )
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    status, output = bench.run()
    assert status == 1
    assert "provisioning failed on master01" in output
    assert "task: Copy over the Kubernetes directory with CA and kubeconfig" in output
    assert "proc/nowhere: Cannot mkdir: No such file or directory" in output
    log = re.search(r"full log: (\S+/ansible\.log)", output)
    assert log is not None, output
    assert "fatal: [master01]" in Path(log[1]).read_text()


def test_vagrant_that_fails(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    fake = bench.path / "bin"
    fake.mkdir()
    vagrant = fake / "vagrant"
    vagrant.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo Vagrant 2.3.4\necho no such box >&2; exit 1\n'
    )
    vagrant.chmod(0o755)
    bench.environment["PATH"] = f"{fake}:{bench.environment['PATH']}"
    status, output = bench.run()
    assert status == 1
    assert "vagrant up failed (exit status 1)" in output
    assert "    no such box\n" in output


def test_boot_that_takes_too_long(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    status, output = bench.run("--kube-timeout=2")
    assert status == 1
    assert re.search(r"took longer than \d s and was ended|before the deadline", output), output


def test_difference_is_shown_as_a_table(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        dedent(
            """
            def test_it(kube_node):
                edit = "sed -i 's/cluster.local/example.org/; /allow-privileged/d'"
                unit = kube_node.spec.kubelet.unit_path
                restart = "systemctl daemon-reload; systemctl restart kubelet"
                kube_node.host.run_expect([0], f"{edit} {unit}; {restart}")
                kube_node.wait_until_healthy(30)
                kube_node.refresh()
                assert kube_node.kubelet == kube_node.spec.kubelet
            """
        ),
    )
    status, output = bench.run()
    assert status == 1
    for row in (
        r"E +(AssertionError: )?assert the kubelet does not match its spec: 3 differences",
        r"E +expected +actual",
        r"E +--allow-privileged +true +\(absent\)",
        r"E +--cluster-domain +cluster\.local +example\.org",
        r"master01: it: --allow-privileged is absent, expected true \(and 2 more\)",
        # pytest cuts a long explanation; the facts below it have all rows.
        r"/etc/systemd/system/kubelet\.service content +as rendered +different content",
    ):
        assert re.search(row, output), f"{row}\n{output}"


def test_network_that_is_taken(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    (network,) = docker("network", "create", "--subnet=10.99.7.0/24", f"taken-{os.getpid()}")
    try:
        status, output = bench.run("--kube-network=10.99.7.128/25")
    finally:
        docker("network", "rm", network)
    assert status == 1
    assert "the network 10.99.7.128/25 overlaps 10.99.7.0/24 of Docker's network taken-" in output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_xdist_workers_share_one_cluster(workers: str, bench: Bench) -> None:
    bench.write(
        "test_it.py",
        dedent(
            """
            import pytest

            @pytest.mark.parametrize("n", range(4))
            def test_it(n, kube_node, kube_pki):
                assert kube_node.kubelet == kube_node.spec.kubelet
                ca = kube_node.host.file("/etc/kubernetes/ca.crt")
                assert ca.content == kube_pki.ca_cert

            def test_cluster(kube_cluster): ...
            """
        ),
    )
    status, output = bench.run(f"-n{workers}", "-rs")
    assert status == 0, output
    assert output.count("kubecluster: boot") == 1
    assert "4 passed, 1 skipped" in output
