"""Real virtual machines through libvirt, emulated without KVM, which takes minutes."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.factory import check_tools
from pytest_kubecluster.machines.vm.libvirt import URI
from tests.runs.conftest import Bench, command, passed

SECONDS = 1800
NOTHING: dict[str, list[str]] = {"machines": [], "networks": [], "pools": [], "state": []}


class VmBench(Bench):
    """A project whose nodes are virtual machines."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.options += ["--kube-provider=libvirt"]

    def run(self, *args: str) -> tuple[int, str]:
        process = self.start(*args)
        output, _ = process.communicate(timeout=SECONDS)
        return process.returncode, output

    def vagrants(self) -> list[int]:
        """The processes that still work for this bench's clusters."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.state) in process.environ().get("VAGRANT_HOME", ""):
                    found.append(process.pid)
        return found

    def left(self) -> dict[str, list[str]]:
        label = f"kubecluster-{self.project.name}"

        def ours(kind: str) -> list[str]:
            argv = ["virsh", "--connect", URI, "--quiet", kind, "--all", "--name"]
            names = subprocess.check_output(argv, text=True).split()
            return [name for name in names if name.startswith(label)]

        return {
            "machines": ours("list"),
            "networks": ours("net-list"),
            "pools": ours("pool-list"),
            "state": [str(path) for path in self.state.glob("kubecluster/clusters/*")],
        }


@pytest.fixture(autouse=True, scope="session")
def needs_libvirt() -> None:
    try:
        check_tools("libvirt")
    except KubeClusterError as error:
        pytest.skip(str(error))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[VmBench]:
    bench = VmBench(tmp_path)
    yield bench
    left = bench.left()
    # No machine may keep running, even after a failure.
    command(bench, "destroy")
    command(bench, "gc")
    assert left == NOTHING


def refused(bench: VmBench, user: str, name: str) -> str:
    """Try to log in with Vagrant's well-known key; return ssh's output."""
    config = bench.state / "kubecluster" / "clusters" / name / "ssh" / "config"
    key = next((bench.state / "kubecluster").rglob("insecure_private_key"))
    stranger = bench.path / "stranger"
    shutil.copy(key, stranger)
    stranger.chmod(0o600)
    known = next(line for line in config.read_text().splitlines() if "HostName" in line).split()[1]
    options = ["IdentitiesOnly=yes", "BatchMode=yes", "StrictHostKeyChecking=no"]
    options += ["UserKnownHostsFile=/dev/null", "LogLevel=ERROR", f"IdentityFile={stranger}"]
    argv = ["ssh", "-F", "/dev/null", *(word for o in options for word in ("-o", o))]
    done = subprocess.run(
        [*argv, f"{user}@{known}", "true"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 255
    return done.stderr


def test_two_machines_are_booted_proved_kept_used_again_and_removed(bench: VmBench) -> None:
    bench.options += ["--kube-workers=1"]
    suite = ("--pyargs", "pytest_kubecluster.conformance")
    status, output = bench.run("--kube-reuse", *suite)
    assert status == 0, output
    assert "1 master, 1 worker on libvirt" in output
    assert passed(output) >= 78
    name = bench.left()["networks"][0].removeprefix("kubecluster-")

    status, output = command(bench, "status")
    assert status == 0, output
    assert f"kubecluster-{name}.worker01" in output
    status, output = command(bench, "ssh", "worker01", "--", "hostname")
    assert (status, output) == (0, "worker01\n")
    for user in ("core", "vagrant", "root"):
        assert "Permission denied (publickey)" in refused(bench, user, name)

    status, output = bench.run("--kube-reuse", *suite, "-m", "not kube_disruptive")
    assert status == 0, output
    assert f"cluster {name} is up already" in output

    status, output = command(bench, "destroy")
    assert (status, output) == (0, f"removed cluster {name}\n")
    assert bench.left() == NOTHING


def test_ctrl_c_while_machines_boot_leaves_nothing(bench: VmBench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    process = bench.start_line("Waiting for domain to get an IP address", "-v")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert bench.left() == NOTHING


def test_what_a_killed_run_leaves_is_removed_by_the_next(bench: VmBench) -> None:
    """Vagrant lives on where its run was killed; it is ended before it makes anything more."""
    bench.write("test_it.py", "def test_it(kube_node): pass\n")
    process = bench.start_line("Creating image", "-v")
    process.kill()
    process.communicate(timeout=60)
    assert bench.left() != NOTHING
    status, output = command(bench, "gc")
    assert status == 0
    assert "removed cluster" in output
    assert bench.left() == NOTHING
    assert bench.vagrants() == []
