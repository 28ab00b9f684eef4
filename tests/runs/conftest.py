"""An empty project for each test, and a look at what its runs leave behind."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

ONE_NODE = ("--kube-masters=1", "--kube-workers=0")


class Bench:
    """An empty project, with its own state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Clusters are named after their project's folder, so this name distinguishes them from all others.
        self.project = path / f"project{secrets.token_hex(3)}"
        self.project.mkdir()
        self.state = path / "state"
        self._started: list[subprocess.Popen[str]] = []
        self.pytest = [sys.executable, "-m", "pytest"]
        self.options = ["--kube-cluster", *ONE_NODE]
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))},
            "XDG_STATE_HOME": str(self.state),
            "COLUMNS": "160",
        }

    def write(self, name: str, text: str) -> None:
        """Write a file of the project; the common indentation of its lines is removed."""
        (self.project / name).write_text(dedent(text))

    def start_argv(self, *args: str) -> list[str]:
        return [*self.pytest, "-p", "no:cacheprovider", *self.options, *args]

    def start(self, *args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.start_argv(*args),
            cwd=self.project,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A test run in the background of a shell ignores SIGINT; these must not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
        )
        self._started.append(process)
        return process

    def end(self) -> None:
        """End the runs of a test that failed before they did."""
        for process in self._started:
            with process:
                process.kill()

    def run(self, *args: str) -> tuple[int, str]:
        process = self.start(*args)
        output = output_of(process, 240)
        return process.returncode, output

    def start_line(self, text: str, *args: str) -> subprocess.Popen[str]:
        """Start a run and wait until it prints a line with ``text``."""
        process = self.start("-s", *args)
        seen = read_until(process, text)
        assert text in seen, seen
        return process

    def containers(self) -> list[str]:
        """Return the names of the containers of this project's clusters."""
        label, name = "label=kubecluster", f"name={self.project.name}"
        return docker("ps", "--all", "--format", "{{.Names}}", "--filter", label, "--filter", name)

    def left(self) -> dict[str, list[str]]:
        """Return what is left of this project's clusters: in Docker, on disk, as a process."""
        form = '{{.Label "kubecluster"}}'
        containers = docker("ps", "--all", "--format", form, "--filter", "label=kubecluster")
        networks = docker("network", "ls", "--format", form, "--filter", "label=kubecluster")
        return {
            "containers": [name for name in containers if name.startswith(self.project.name)],
            "networks": [name for name in networks if name.startswith(self.project.name)],
            "state": [str(path) for path in self.state.glob("kubecluster/clusters/*")],
            "processes": [
                " ".join(process.info["cmdline"] or [])
                for process in psutil.process_iter(["cmdline"])
                if str(self.path) in " ".join(process.info["cmdline"] or [])
            ],
        }


def command(bench: Bench, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kubecluster", *words],
        cwd=bench.project,
        env=bench.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def passed(output: str) -> int:
    """Return how many items the last summary of a run counts as passed."""
    counts = re.findall(r"(\d+) passed", output)
    return int(counts[-1]) if counts else 0


def docker(*words: str) -> list[str]:
    return subprocess.check_output(["docker", *words], text=True).split()


NOTHING: dict[str, list[str]] = {"containers": [], "networks": [], "state": [], "processes": []}


def output_of(process: subprocess.Popen[str], seconds: float = 60) -> str:
    """Return the rest of a run's output once it has ended; a run that hangs is killed."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the run did not end within {seconds} s:\n{output}") from None


def until(
    condition: Callable[[], object], what: str, *, seconds: float = 60, pause: float = 0.05
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(pause)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return a run's output up to a line with ``text``, or to its end."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            break
    return seen


@pytest.fixture(autouse=True, scope="session")
def needs_docker() -> None:
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        pytest.skip("Docker does not answer")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.end()
    assert bench.left() == NOTHING
