"""What a node cannot reach: the host it runs on, and other clusters."""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.runs.conftest import Bench, command

REACH = {
    "the kernel's messages, by their device": "mknod /root/d c 1 11 && head -c1 /root/d",
    "the kernel's messages, by system call": "dmesg --syslog",
    "the memory": "mknod /root/d c 1 1 && head -c1 /root/d",
    "the loop devices": "mknod /root/d c 10 237 && : </root/d",
    "virtualisation": "mknod /root/d c 10 232 && : </root/d",
    "a disk": (
        "set -- $(tail -n +3 /proc/partitions | head -1) && [ $# = 4 ] && "
        "mknod /root/d b $1 $2 && head -c1 /root/d"
    ),
    "more devices, by its cgroup": (
        "[ -e /sys/fs/cgroup/devices ] && echo 'c 1:11 rwm' >/sys/fs/cgroup/devices/devices.allow"
    ),
    "the core pattern": "cat /proc/sys/kernel/core_pattern | tee /proc/sys/kernel/core_pattern",
    "the magic keys": "cat /proc/sys/kernel/sysrq | tee /proc/sys/kernel/sysrq",
    "the magic keys, at once": "echo h >/proc/sysrq-trigger",
    "the swappiness": "cat /proc/sys/vm/swappiness | tee /proc/sys/vm/swappiness",
    "the limit of files": "cat /proc/sys/fs/file-max | tee /proc/sys/fs/file-max",
    "the memory, as a core file": '[ -n "$(head -c4 /proc/kcore | od -An -tx1)" ]',
    "the debugging file system": "grep -E ' (debugfs|tracefs|securityfs|binfmt_misc) ' /proc/mounts",
    "the clock": 'date --set="$(date)"',
}
"""Commands of root on a node, each of which succeeds if it reaches what it is named after."""

HOST = """
    import pathlib, pytest

    REACH = {reach!r}
    KUBELETS = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "vm/panic_on_oom"]

    @pytest.mark.parametrize("what", REACH)
    def test_host_is_out_of_reach(kube_node, what):
        script = "cd /root; (" + REACH[what] + "); status=$?; rm -f /root/d; exit $status"
        done = kube_node.host.run("sudo bash -o pipefail -c %s", script)
        assert done.rc != 0, done.stdout

    @pytest.mark.parametrize("name", KUBELETS)
    def test_what_a_kubelet_sets_is_the_nodes_own(kube_node, name):
        path = pathlib.Path("/proc/sys", name)
        before = path.read_text()
        kube_node.host.check_output("echo 77 | sudo tee %s", str(path))
        assert kube_node.host.check_output("cat %s", str(path)) == "77"
        assert path.read_text() == before

    def test_packets_are_forwarded_by_the_node_alone(kube_node):
        kube_node.host.check_output("echo 1 | sudo tee /proc/sys/net/ipv4/ip_forward")

    def test_it_runs_well(kube_node):
        assert kube_node.host.check_output("systemctl is-system-running") == "running"
"""

NEIGHBOUR = """
    import pathlib, subprocess, pytest

    def opens(container, address, port):
        script = f"exec 3<>/dev/tcp/{{address}}/{{port}}"
        argv = ["docker", "exec", container, "timeout", "2", "bash", "-c", script]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def is_closed(container, address, port):
        # Where Docker adds a network, as for another test, its rules are away for a moment.
        return not all(opens(container, address, port) for _ in range(3))

    def test_it(kube_cluster, kube_master):
        mine = f"{{kube_cluster.name}}-{{kube_master.name}}", str(kube_master.spec.address)
        file = pathlib.Path({file!r})
        if not file.exists():
            file.write_text(" ".join(mine))
            return
        theirs = file.read_text().split()
        # The test itself works: a node reaches its own ports at its address.
        for port in (22, 10250, 10255):
            assert opens(mine[0], mine[1], port)
            assert opens(theirs[0], theirs[1], port)
            assert is_closed(mine[0], theirs[1], port)
            assert is_closed(theirs[0], mine[1], port)
"""


def test_node_does_not_reach_its_host(bench: Bench) -> None:
    bench.write("test_it.py", textwrap.dedent(HOST.format(reach=REACH)))
    status, output = bench.run()
    assert status == 0, output
    assert f"{len(REACH) + 6} passed" in output, output


def test_cluster_does_not_reach_another(bench: Bench, tmp_path: Path) -> None:
    bench.write("test_it.py", textwrap.dedent(NEIGHBOUR.format(file=str(tmp_path / "first"))))
    status, output = bench.run("--kube-keep=always")
    assert status == 0, output
    try:
        status, output = bench.run()
        assert status == 0, output
    finally:
        command(bench, "destroy")
