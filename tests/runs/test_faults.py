"""Runs that are interrupted, killed or starved: after each, nothing is left and nothing is harmed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tests.runs.conftest import NOTHING, Bench, docker, read_until

WAITS = (
    "import time\n"
    "def test_it(kube_node):\n"
    "    print('in the test', flush=True)\n"
    "    time.sleep(60)\n"
)


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def children(process: subprocess.Popen[str], word: str) -> list[psutil.Process]:
    """The descendants of a run in whose command line a word stands."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if word in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def when_printed(text: str) -> Callable[[Bench, subprocess.Popen[str]], object]:
    return lambda bench, process: read_until(process, text)


def when_container(bench: Bench, process: subprocess.Popen[str]) -> None:
    until(lambda: bool(bench.left()["containers"]), "a container")


MOMENTS = {
    "while a machine boots": when_container,
    "while it is provisioned": when_printed("kubecluster: boot"),
    "in a test": when_printed("in the test"),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
def test_interrupted_run_leaves_nothing(
    moment: Callable[[Bench, subprocess.Popen[str]], object], number: signal.Signals, bench: Bench
) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start("-s")
    moment(bench, process)
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, rest
    assert bench.left() == NOTHING


def test_interrupted_at_twenty_moments(bench: Bench) -> None:
    """Between start and end, wherever that happens to be."""
    bench.write("test_it.py", "def test_it(kube_node): assert kube_node.kubelet.running\n")
    started = time.monotonic()
    status, output = bench.run()
    whole = time.monotonic() - started
    assert status == 0, output
    for moment in range(20):
        process = bench.start()
        time.sleep(whole * (moment + 0.5) / 20)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode in (0, pytest.ExitCode.INTERRUPTED, -signal.SIGINT, 1), rest
        assert bench.left() == NOTHING, f"at moment {moment}: {rest}"


def test_second_interrupt_abandons_nothing(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start_line("in the test")
    for _ in range(8):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    process.communicate(timeout=60)
    assert bench.left() == NOTHING


def test_interrupted_controller_of_xdist_leaves_nothing(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    for text in ("created:", "kubecluster: start"):
        process = bench.start("-n1")
        read_until(process, text)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert bench.left() == NOTHING


def test_next_run_removes_what_a_killed_one_left(bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start_line("in the test")
    process.kill()
    process.communicate(timeout=60)
    assert len(bench.left()["containers"]) == 1
    bench.write("test_it.py", "def test_it(kube_node): assert kube_node.kubelet.running\n")
    status, output = bench.run()
    assert status == 0, output
    assert re.search(r"removing cluster project\w+-\w+, which an ended run left behind", output)


@pytest.mark.parametrize("victim", ["vagrant", "ansible-playbook"])
def test_killed_helper_ends_the_boot(victim: str, bench: Bench) -> None:
    bench.write("test_it.py", WAITS)
    process = bench.start()
    until(lambda: bool(children(process, victim)), victim)
    for child in children(process, victim):
        child.kill()
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1, output
    assert "the cluster did not boot" in output
    assert "Traceback" not in output
    assert bench.left() == NOTHING


def test_boot_that_fails_under_xdist(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    bench.write(
        "conftest.py",
        "def pytest_kubecluster_spec(config, spec):\n"
        "    return spec.with_flags({'register-with-taints': 'bad'})\n",
    )
    status, output = bench.run("-n1")
    assert status == 1
    assert "invalid taint spec: bad" in output
    assert "the cluster did not boot; the controller shows why" in output


def test_node_that_lets_nobody_in(bench: Bench) -> None:
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    process = bench.start("--kube-timeout=12")
    running = ["ps", "--format", "{{.Names}}", "--filter", f"name={bench.project.name}"]
    until(lambda: bool(docker(*running)), "a container")
    docker("pause", *docker(*running))
    output, _ = process.communicate(timeout=90)
    assert process.returncode == 1
    assert re.search(r"master01 did not let us log in over ssh before the deadline: \w+", output), (
        output
    )
    assert "its console's last lines:" in output


def test_signal_handlers_are_restored(bench: Bench) -> None:
    bench.write(
        "run.py",
        "import pytest, signal, sys\n"
        "numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)\n"
        "before = [signal.getsignal(n) for n in numbers]\n"
        "assert pytest.main(sys.argv[1:]) == 0\n"
        "assert [signal.getsignal(n) for n in numbers] == before\n",
    )
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    argv = [sys.executable, "run.py", "-p", "no:cacheprovider", *bench.options]
    done = subprocess.run(
        argv, cwd=bench.project, env=bench.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_exception_in_a_fixture(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        "import pytest\n"
        "@pytest.fixture\n"
        "def broken(kube_node): raise RuntimeError('mine')\n"
        "def test_it(broken): ...\n",
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
    until(lambda: bench.left() == NOTHING, "the end of the run")


def test_two_runs_at_once_get_clusters_of_their_own(bench: Bench) -> None:
    bench.write("test_it.py", WAITS.replace("60", "5"))
    one, other = bench.start("-s"), bench.start("-s")
    outputs = [process.communicate(timeout=120)[0] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), "\n".join(outputs)


def test_frozen_node_cannot_hang_the_run(bench: Bench) -> None:
    bench.write(
        "test_it.py",
        "import subprocess\n"
        "def test_it(kube_node):\n"
        "    subprocess.run(['docker', 'pause', kube_node.access.reboot[-1]], check=True)\n"
        "    kube_node.refresh()\n",
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
        bench.write("test_it.py", "def test_it(kube_node): ...\n")
        assert bench.run()[0] == 0
        assert docker("ps", "--format", "{{.Names}}", "--filter", f"name={name}") == [name]
    finally:
        docker("rm", "--force", name)
