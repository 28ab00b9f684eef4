"""A kept cluster survives failures of the runs that use it, and of some of its nodes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import dedent

import pytest

from tests.runs.conftest import NOTHING, Bench, command, docker, output_of, read_until

pytestmark = pytest.mark.xdist_group("kept")

NODES = ("--kube-masters=1", "--kube-workers=1")
PASSES = "def test_it(kube_node): assert kube_node.kubelet == kube_node.spec.kubelet\n"
WAITS = dedent(
    """
    import time
    def test_it(kube_node):
        print("in the test", flush=True)
        time.sleep(60)
    """
)


class Kept:
    """A kept cluster of two nodes, and the project it was kept for."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.name = f"{bench.project.name}-kept"
        self.worker = f"{self.name}-worker01"

    def machines(self) -> list[str]:
        label = f"label=kubecluster={self.name}"
        return docker("ps", "--all", "--quiet", "--no-trunc", "--filter", label)

    def state(self) -> str:
        listed = json.loads(command(self.bench, "list", "--json")[1])
        return str({cluster["name"]: cluster["state"] for cluster in listed}.get(self.name))


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    bench = Bench(tmp_path_factory.mktemp("kept"))
    kept = Kept(bench)
    bench.options = ["--kube-cluster", *NODES, f"--kube-reuse={kept.name}"]
    try:
        status, output = command(bench, "up", kept.name, *NODES)
        assert status == 0, output
        yield kept
    finally:
        command(bench, "destroy", kept.name)
        assert bench.left() == NOTHING


@pytest.fixture
def kept(two_nodes: Kept) -> Iterator[Kept]:
    """The kept cluster, which must be there and unchanged after each test."""
    before = two_nodes.machines()
    two_nodes.bench.write("test_it.py", PASSES)
    yield two_nodes
    assert two_nodes.state() == "kept"
    assert command(two_nodes.bench, "gc") == (0, "")
    assert two_nodes.machines() == before


@contextmanager
def paused(container: str) -> Iterator[None]:
    docker("pause", container)
    try:
        yield
    finally:
        docker("unpause", container)


def test_run_that_is_killed(kept: Kept) -> None:
    kept.bench.write("test_it.py", WAITS)
    process = kept.bench.start_line("in the test")
    assert kept.state() == f"in use by process {process.pid}"
    process.kill()
    process.communicate(timeout=60)


def test_test_that_ends_the_process(kept: Kept) -> None:
    """This is what the thread method of pytest-timeout does."""
    kept.bench.write("test_it.py", "import os\ndef test_it(kube_node): os._exit(1)\n")
    assert kept.bench.run()[0] == 1


def test_node_that_cannot_be_reached_fails_alone(kept: Kept) -> None:
    with paused(kept.worker):
        status, output = kept.bench.run("--kube-timeout=300")
    assert status == 1, output
    assert "not used: worker01: no login over ssh" in output
    assert "1 of 2 nodes of cluster" in output
    assert "1 failed, 1 passed" in output
    assert "FAILED test_it.py::test_it[worker01]" in output


def test_node_that_cannot_be_reached_fails_alone_under_xdist(kept: Kept) -> None:
    with paused(kept.worker):
        status, output = kept.bench.run("-n1", "-q")
    assert status == 1, output
    assert "1 failed, 1 passed" in output
    assert "worker01: no login over ssh" in output


def test_signal_while_a_node_is_waited_for(kept: Kept) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with paused(kept.worker):
            process = kept.bench.start("-v")
            read_until(process, "collected")
            time.sleep(3)  # it has begun to connect
            started = time.monotonic()
            process.send_signal(number)
            output, _ = process.communicate(timeout=60)
            took = time.monotonic() - started
        assert process.returncode == pytest.ExitCode.INTERRUPTED, output
        assert took < 8, output
        assert kept.state() == "kept"


def test_node_whose_run_is_full_harms_no_other(kept: Kept) -> None:
    fill = "mount -o remount,size=32m /run && cat /dev/zero >/run/fill"
    subprocess.run(["docker", "exec", kept.worker, "sh", "-c", fill], check=False)
    try:
        status, output = kept.bench.run("-rA")
    finally:
        docker("exec", kept.worker, "rm", "/run/fill")
        docker("exec", kept.worker, "mount", "-o", "remount,size=50%", "/run")
    # It may still be observed, or fail its own test.
    assert "PASSED test_it.py::test_it[master01]" in output
    assert status == ("FAILED test_it.py::test_it[worker01]" in output)


def test_state_of_a_run_that_provisioned_and_was_killed_is_not_trusted(kept: Kept) -> None:
    kept.bench.write(
        "conftest.py",
        "def pytest_kubecluster_spec(config, spec): return spec.with_flags({'v': '4'})\n",
    )
    process = kept.bench.start("-v")
    read_until(process, "kubelet : ")
    process.kill()
    process.communicate(timeout=60)
    (kept.bench.project / "conftest.py").unlink()
    status, output = kept.bench.run()
    assert status == 0, output
    assert "kubecluster: provision" in output


def test_what_another_project_asks_for_does_not_replace_it(kept: Kept, bench: Bench) -> None:
    bench.environment["XDG_STATE_HOME"] = str(kept.bench.state)
    bench.write("test_it.py", PASSES)
    status, output = bench.run(f"--kube-reuse={kept.name}")
    assert status == 1, output
    assert (
        f"cluster {kept.name} of {kept.bench.project} does not match the requested one: " in output
    )
    assert "its nodes are master01, worker01, not master01\n" in output
    assert f"remove it first: kubecluster destroy {kept.name}" in output


def test_provisioning_does_not_replace_it(kept: Kept) -> None:
    status, output = command(kept.bench, "provision", kept.name, "--kube-workers=3")
    assert status == 1, output
    assert "its nodes are master01, worker01, not master01, " in output


def test_stopped_machine_fails_its_own_tests(kept: Kept) -> None:
    docker("stop", "--time=1", kept.worker)
    try:
        status, output = kept.bench.run()
    finally:
        docker("start", kept.worker)
    assert status == 1, output
    assert f"worker01: its machine {kept.worker} does not run" in output
    assert "1 failed, 1 passed" in output
    until_reached(kept)


def until_reached(kept: Kept) -> None:
    argv = ["docker", "exec", kept.worker, "systemctl", "is-active", "ssh", "kubelet"]
    deadline = time.monotonic() + 60
    while subprocess.run(argv, capture_output=True, check=False).returncode:
        assert time.monotonic() < deadline, "the machine did not start again"
        time.sleep(0.1)


def test_second_run_waits_for_the_first(kept: Kept) -> None:
    kept.bench.write(
        "test_it.py",
        """
        import time
        from pathlib import Path

        def test_it(kube_node):
            print("in the test", flush=True)
            while not Path("go").exists():
                time.sleep(0.1)
        """,
    )
    first = kept.bench.start_line("in the test")
    second = kept.bench.start("-s")
    seen = read_until(second, "waiting for cluster")
    kept.bench.write("go", "")
    rest = output_of(first)
    seen += output_of(second)
    assert (first.returncode, second.returncode) == (0, 0), rest + seen
    assert f"waiting for cluster {kept.name}, which process {first.pid} uses" in seen


def test_crashed_worker_of_xdist_is_replaced_and_finds_the_cluster(kept: Kept) -> None:
    kept.bench.write(
        "test_it.py",
        """
        import os, pytest

        @pytest.mark.parametrize("n", range(3))
        def test_it(n, kube_master):
            if n == 0: os.kill(os.getpid(), 9)
            assert kube_master.refresh().running
        """,
    )
    status, output = kept.bench.run("-n1")
    assert status == 1, output
    assert "replacing crashed worker" in output
    assert "1 failed, 2 passed" in output
    assert output.count("kubecluster: reuse") == 1


def test_run_after_all_that_passes(kept: Kept) -> None:
    status, output = kept.bench.run()
    assert (status, "2 passed" in output) == (0, True), output
    assert "kubecluster: provision" not in output
    folder = kept.bench.state / "kubecluster" / "clusters" / kept.name
    assert os.stat(folder).st_mode & 0o077 == 0
