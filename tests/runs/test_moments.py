"""Runs that are ended at every moment of their life: nothing is ever left behind.

A moment is a phase of the run, recognized by what the run has made or printed, not by the clock.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tests.runs.conftest import NOTHING, Bench, command, output_of, read_until, until

Wait = Callable[[Bench, subprocess.Popen[str]], object]
INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL

TEST = """
    import time
    import pytest

    @pytest.fixture
    def thing(kube_node):
        yield
        print("in the teardown", flush=True)
        time.sleep(0.5)

    def test_it(kube_node, thing):
        print("in the test", flush=True)
        time.sleep(1)
        assert kube_node.kubelet.running
"""


@dataclass(frozen=True)
class Moment:
    """When to end a run, with which signals, and whether it may have succeeded by then."""

    wait: Wait
    signals: Sequence[signal.Signals]
    options: tuple[str, ...] = ("-s",)
    late: bool = False


def made(pattern: str, count: int = 1) -> Wait:
    """Wait until the run has made that many files in its state folder."""

    def wait(bench: Bench, process: subprocess.Popen[str]) -> None:
        folder = bench.state / "kubecluster"
        until(
            lambda: len(list(folder.glob(pattern))) >= count or process.poll() is not None,
            f"{count} of {pattern}",
            pause=0.01,
        )

    return wait


def printed(text: str) -> Wait:
    return lambda bench, process: read_until(process, text)


def event(number: int) -> Wait:
    """Wait until Ansible has reported that many events: tasks that begin or end on a node."""
    return made("clusters/*/ansible/runner/artifacts/*/job_events/*-*.json", number)


def container_created(bench: Bench, process: subprocess.Popen[str]) -> None:
    until(lambda: bench.containers() or process.poll() is not None, "a container", pause=0.2)


def container_removed(bench: Bench, process: subprocess.Popen[str]) -> None:
    read_until(process, "in the teardown")
    until(lambda: not bench.containers(), "the removal of the container", pause=0.2)


def state_removed(bench: Bench, process: subprocess.Popen[str]) -> None:
    read_until(process, "in the teardown")
    folder = bench.state / "kubecluster" / "clusters"
    until(lambda: not list(folder.glob("*/pki")), "the removal of the keys", pause=0.01)


def tracebacks(text: str, *, late: bool) -> list[str]:
    """Return the tracebacks in what a run printed.

    Python's own of a Ctrl-C that comes when this project has nothing left to do does not count.
    """
    found = [match.group() for match in TRACEBACK.finditer(text)]
    return [trace for trace in found if not late or "pytest_kubecluster/" in trace]


# execnet's own, of a worker whose controller ended before it sent the worker its program, does not count.
TRACEBACK = re.compile(
    r'Traceback \(most recent call last\):\n(?!  File "<string>", line 1, in <module>\n  File "<string>", line \d)'
    r"(?:[ \t].*\n|\n)*"
)
MOMENTS = {
    "tests are collected": Moment(printed("collected"), (INT, TERM, HUP)),
    "the cluster's name is taken": Moment(made("clusters/*.lock"), (INT, TERM, HUP)),
    "the cluster is recorded": Moment(made("clusters/*/cluster.json"), (INT, TERM, KILL)),
    "the ssh configuration is written": Moment(made("clusters/*/ssh/config"), (TERM, HUP, KILL)),
    "Vagrant starts": Moment(made("logs/*/vagrant.log"), (INT, HUP, KILL)),
    "Ansible starts": Moment(made("logs/*/ansible.log"), (INT, TERM, KILL)),
    "files are rendered": Moment(made("clusters/*/files/*/kubeconfig"), (TERM, HUP, KILL)),
    "the container is created": Moment(container_created, (INT, HUP, KILL)),
    "the node lets us log in": Moment(made("clusters/*/ready"), (INT, TERM, KILL)),
    "the playbook begins": Moment(event(2), (TERM, HUP, KILL)),
    "a task ends": Moment(event(6), (INT, HUP, KILL)),
    "another task ends": Moment(event(10), (INT, TERM, KILL)),
    "the machine is booted": Moment(printed("kubecluster: boot"), (TERM, HUP, KILL)),
    "the playbook has ended": Moment(printed("kubecluster: provision"), (INT, HUP, KILL)),
    "the kubelet is healthy": Moment(printed("kubecluster: start"), (INT, TERM, KILL)),
    "a test runs": Moment(printed("in the test"), (INT, TERM, HUP, KILL)),
    "a fixture is torn down": Moment(printed("in the teardown"), (INT, TERM, KILL), late=True),
    "the container is removed": Moment(container_removed, (INT, TERM, HUP), late=True),
    "the keys are removed": Moment(state_removed, (TERM, HUP, INT), late=True),
    "workers of xdist start": Moment(printed("created:"), (INT, TERM, KILL), ("-n1",)),
    "workers of xdist run tests": Moment(printed("kubecluster: start"), (INT, HUP, KILL), ("-n1",)),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=list(MOMENTS))
def test_run_that_is_ended_leaves_nothing(moment: Moment, bench: Bench) -> None:
    bench.write("test_it.py", TEST)
    for number in moment.signals:
        process = bench.start(*moment.options)
        moment.wait(bench, process)
        process.send_signal(number)
        rest = output_of(process)
        # A signal that comes before the run has anything to remove ends it as any other process.
        allowed = {pytest.ExitCode.INTERRUPTED, -number} | ({0, 1} if moment.late else set())
        assert process.returncode in allowed, f"{number.name}: {rest}"
        assert not tracebacks(rest, late=moment.late)
        if number is KILL:
            # The run cannot have removed anything itself.
            status, output = command(bench, "gc")
            assert status == 0, output
        assert bench.left() == NOTHING, f"{number.name}: {rest}"
