"""An empty project of its own for each test here, and a look at what its runs leave behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ONE_NODE = ("--kube-masters=1", "--kube-workers=0")


class Bench:
    """An empty project with a state folder of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Clusters are named after their project's folder: this one's are told from all others.
        self.project = path / f"project{secrets.token_hex(3)}"
        self.project.mkdir()
        self.state = path / "state"
        self.pytest = [sys.executable, "-m", "pytest"]
        self.options = ["--kube-cluster", *ONE_NODE]
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV"))},
            "XDG_STATE_HOME": str(self.state),
            "COLUMNS": "160",
        }

    def write(self, name: str, text: str) -> None:
        (self.project / name).write_text(text)

    def start_argv(self, *args: str) -> list[str]:
        return [*self.pytest, "-p", "no:cacheprovider", *self.options, *args]

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
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

    def run(self, *args: str) -> tuple[int, str]:
        process = self.start(*args)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def start_line(self, text: str, *args: str) -> subprocess.Popen[str]:
        """Start a run and wait until it prints a line with ``text``."""
        process = self.start("-s", *args)
        seen = read_until(process, text)
        assert text in seen, seen
        return process

    def left(self) -> dict[str, list[str]]:
        """What of this bench's clusters is still there: in Docker, on disk, as a process."""
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


def docker(*words: str) -> list[str]:
    return subprocess.check_output(["docker", *words], text=True).split()


NOTHING: dict[str, list[str]] = {"containers": [], "networks": [], "state": [], "processes": []}


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read a run's output up to a line with ``text``, or to its end."""
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
    assert bench.left() == NOTHING
