"""Runs whose helpers, nodes, disk or terminal fail: nothing is left and nothing else is harmed."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.runs.conftest import NOTHING, Bench, command, docker, output_of, read_until, until

PASSES = "def test_it(kube_node): assert kube_node.kubelet.running\n"
STARTS = "def test_it(kube_node): ...\n"
WAITS = """
    import time

    def test_it(kube_node):
        print("in the test", flush=True)
        time.sleep(60)
"""


def children(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """Return the descendants of a run that have a word in their command line."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if word in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def test_further_interrupts_do_not_stop_the_removal(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start_line("in the test")
    for _ in range(8):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    output_of(process)
    assert bench.left() == NOTHING


def test_next_run_removes_what_a_killed_one_left(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start_line("in the test")
    process.kill()
    output_of(process)
    assert len(bench.containers()) == 1
    bench.write("test_it.py", PASSES)
    status, output = bench.run()
    assert status == 0, output
    assert re.search(r"removing cluster project\w+-\w+, which an ended run left behind", output)


def test_leftover_that_cannot_be_removed_does_not_stop_the_next_run(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start_line("in the test")
    process.kill()
    output_of(process)
    (record,) = bench.state.glob("kubecluster/clusters/*/cluster.json")
    # Its machines are of a provider that is not there.
    record.write_text(
        record.read_text().replace('"provider": "docker"', '"provider": "virtualbox"')
    )
    bench.write("test_it.py", PASSES)
    status, output = bench.run("-q")
    assert status == 0, output
    name = record.parent.name
    assert f"cluster {name}, which an ended run left behind, cannot be removed now: " in output
    assert "(try again with: kubecluster gc)" in output
    status, output = command(bench, "gc")
    assert (status, f"cluster {name} was not removed: " in output) == (1, True), output
    record.write_text(
        record.read_text().replace('"provider": "virtualbox"', '"provider": "docker"')
    )
    assert command(bench, "gc") == (0, f"removed cluster {name}\n")


@pytest.mark.parametrize("victim", ["vagrant", "ansible-playbook"])
def test_killed_helper_ends_the_boot(victim: str, bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start()
    until(lambda: children(process, victim), victim, pause=0.2)
    for child in children(process, victim):
        child.kill()
    output = output_of(process, 90)
    assert process.returncode == 1, output
    assert "the cluster did not boot" in output
    assert "Traceback" not in output
    assert bench.left() == NOTHING


def test_boot_that_fails_under_xdist(bench: Bench) -> None:
    bench.write("test_it.py", STARTS)
    bench.write(
        "conftest.py",
        """
        def pytest_kubecluster_spec(config, spec):
            return spec.with_flags({"address": "192.0.2.1"})
        """,
    )
    status, output = bench.run("-n1")
    assert status == 1
    assert "bind: cannot assign requested address" in output
    assert "the cluster did not boot; the controller shows why" in output


def test_node_that_refuses_logins(bench: Bench) -> None:
    bench.write("test_it.py", STARTS)
    process = bench.start("--kube-timeout=12")
    until(bench.containers, "a container", pause=0.2)
    docker("pause", *bench.containers())
    output = output_of(process, 90)
    assert process.returncode == 1
    assert re.search(r"master01: no login over ssh before the deadline: \w+", output), output
    assert "its console's last lines:" in output


def test_node_that_is_removed_while_it_is_provisioned(bench: Bench) -> None:
    bench.write("test_it.py", STARTS)
    process = bench.start("-s")
    read_until(process, "kubecluster: boot")
    docker("rm", "--force", *bench.containers())
    output = output_of(process, 90)
    assert process.returncode == 1, output
    assert "master01" in output
    assert "Traceback" not in output
    assert bench.left() == NOTHING


def test_signal_handlers_are_restored(bench: Bench) -> None:
    bench.write(
        "run.py",
        """
        import pytest, signal, sys
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.getsignal(n) for n in numbers]
        assert pytest.main(sys.argv[1:]) == 0
        assert [signal.getsignal(n) for n in numbers] == before
        """,
    )
    bench.write("test_it.py", STARTS)
    argv = [sys.executable, "run.py", "-p", "no:cacheprovider", *bench.options]
    done = subprocess.run(
        argv, cwd=bench.project, env=bench.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_exception_in_a_fixture(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        import pytest

        @pytest.fixture
        def broken(kube_node): raise RuntimeError("mine")

        def test_it(broken): ...
        """,
    )
    status, output = bench.run()
    assert (status, "RuntimeError: mine" in output) == (1, True)


def test_timeout_of_the_shell(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    argv = ["timeout", "9", *bench.start_argv()]
    done = subprocess.run(
        argv, cwd=bench.project, env=bench.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode in (124, pytest.ExitCode.INTERRUPTED), done.stdout
    until(lambda: bench.left() == NOTHING, "the end of the run", pause=0.5)


def test_two_runs_at_once_get_clusters_of_their_own(bench: Bench) -> None:
    bench.write("test_it.py", WAITS.replace("60", "5"))
    one, other = bench.start("-s"), bench.start("-s")
    outputs = [output_of(process, 120) for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), "\n".join(outputs)


def test_frozen_node_cannot_hang_the_run(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        """
        import subprocess

        def test_it(kube_node):
            subprocess.run(["docker", "pause", kube_node.access.reboot[-1]], check=True)
            kube_node.refresh()
        """,
    )
    status, output = bench.run()
    assert status == 1
    assert re.search(r"master01 cannot be reached over ssh|did not end within", output), output


def test_foreign_containers_are_left_alone(bench: Bench) -> None:
    image = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "kubecluster-node")[0]
    name = f"foreign-{os.getpid()}"
    docker(
        "run", "--detach", "--name", name, "--label", "kubecluster=foreign", image, "sleep", "60"
    )
    try:
        bench.write("test_it.py", STARTS)
        assert bench.run()[0] == 0
        assert docker("ps", "--format", "{{.Names}}", "--filter", f"name={name}") == [name]
    finally:
        docker("rm", "--force", name)


# ------------------------------------------------------------------------------------------ disks


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.parametrize("size", ["4k", "32k", "128k", "512k"])
def test_state_folder_on_a_full_disk(size: str, bench: Bench) -> None:
    """The disk is full before the cluster is registered, or while it boots, and so on."""
    bench.write("test_it.py", STARTS)
    with small_disk(bench.state, f"size={size}"):
        status, output = bench.run()
        assert status == 1, output
        assert "No space left on device" in output
        assert "Traceback" not in output
        assert bench.left() == NOTHING


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
def test_state_folder_that_is_read_only(bench: Bench) -> None:
    bench.write("test_it.py", STARTS)
    with small_disk(bench.state, "ro"):
        status, output = bench.run()
        assert status == 1, output
        assert "Read-only file system" in output
        assert "Traceback" not in output
        for words in (["list"], ["gc"]):
            assert "Traceback" not in command(bench, *words)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can remount a file system")
def test_state_folder_that_becomes_read_only(bench: Bench) -> None:
    """The machines are removed; what is left on the disk is named, and gc completes it."""
    bench.write("test_it.py", WAITS.replace("60", "3"))
    with small_disk(bench.state, "size=64m"):
        process = bench.start_line("in the test")
        remount = ["mount", "-o", "remount,ro", str(bench.state)]
        subprocess.run(remount, check=False)
        subprocess.run([*remount, "-f"], check=False)
        output = output_of(process)
        read_only = "Read-only file system" in output
        subprocess.run(["mount", "-o", "remount,rw", str(bench.state)], check=True)
        assert bench.containers() == []
        if read_only:
            assert "remove them with: kubecluster gc" in output
            assert command(bench, "gc")[0] == 0
        assert "Traceback" not in output
        assert bench.left() == NOTHING


# -------------------------------------------------------------------------------------- terminals

WHERE = {
    "while the machine boots": "collected",
    "while it is provisioned": "kubecluster: boot",
    "in a test": "in the test",
}


def start_on_terminal(bench: Bench, *args: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start a run in the foreground of a terminal, and return our end of that terminal."""
    ours, theirs = os.openpty()

    def own_the_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    process = subprocess.Popen(
        bench.start_argv(*args),
        cwd=bench.project,
        env=bench.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=own_the_terminal,
    )
    os.close(theirs)
    return process, ours


@pytest.mark.parametrize("verbosity", ["-s", "-vs"])
@pytest.mark.parametrize("text", WHERE.values(), ids=list(WHERE))
def test_terminal_that_is_closed(text: str, verbosity: str, bench: Bench) -> None:
    bench.write("test_it.py", WAITS.replace("60", "3"))
    process, terminal = start_on_terminal(bench, verbosity)
    shown = b""
    while text.encode() not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    assert process.wait(60) != 0
    assert bench.left() == NOTHING
