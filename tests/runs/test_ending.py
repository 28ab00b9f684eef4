"""However a run ends, its cluster is removed: terminals that close, reports that fail, signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
from textwrap import dedent

import pytest

from tests.runs.conftest import NOTHING, Bench, docker

WAITS = """
    import time
    def test_it(kube_node):
        print("waiting", flush=True)
        time.sleep(60)
"""
FAILS = "def test_it(kube_node): assert False\n"
SLOW_REPORT = """
    import time
    from pytest_kubecluster.nodes import diagnostics

    def pytest_configure():
        def slow(*args, **kwargs):
            print("writing the report", flush=True)
            time.sleep(30)
        import pytest_kubecluster.report.session as session
        session.write_report = slow
"""


class Reader(threading.Thread):
    """Reads a terminal until it is closed; ``found`` is set once ``word`` was printed, or never."""

    def __init__(self, descriptor: int, word: bytes) -> None:
        super().__init__(daemon=True)
        self.descriptor = descriptor
        self.word = word
        self.seen = b""
        self.found = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            while chunk := os.read(self.descriptor, 1024):
                self.seen += chunk
                if self.word in self.seen:
                    self.found.set()
        except OSError:
            return


@pytest.mark.parametrize("verbosity", [[], ["-v"]])
def test_terminal_that_is_closed_during_a_test(verbosity: list[str], bench: Bench) -> None:
    bench.write("test_it.py", dedent(WAITS))
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        bench.start_argv("-s", *verbosity),
        cwd=bench.project,
        env=bench.environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    reader = Reader(controller, b"waiting")
    while not reader.found.wait(1):
        assert process.poll() is None, reader.seen.decode()[-2000:]
    os.close(controller)
    # A new session has this terminal only as its output, so the signal is sent by hand.
    process.send_signal(signal.SIGHUP)
    process.wait(60)
    assert bench.left() == NOTHING


def test_nohup_ignores_a_hangup(bench: Bench) -> None:
    bench.write("test_it.py", dedent(WAITS).replace("60", "3"))
    process = subprocess.Popen(
        ["nohup", *bench.start_argv("-s")],
        cwd=bench.project,
        env=bench.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = ""
    with process:
        for line in process.stdout:
            seen += line
            if "waiting" in line:
                process.send_signal(signal.SIGHUP)
    assert process.returncode == 0, seen
    assert "1 passed" in seen


def test_second_interrupt_while_the_report_is_written(bench: Bench) -> None:
    bench.write("conftest.py", dedent(SLOW_REPORT))
    bench.write("test_it.py", dedent(WAITS))
    process = bench.start_line("waiting", "--kube-report=report")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if "writing the report" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=90)
    assert bench.left() == NOTHING


def test_interrupt_names_what_it_interrupted_and_what_is_left(bench: Bench) -> None:
    bench.write("test_it.py", dedent(WAITS))
    process = bench.start_line("waiting", "--kube-report=report")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=90)
    assert "interrupted during test_it.py::test_it[master01]; nothing is left" in output
    page = (bench.project / "report" / "index.html").read_text()
    assert "Interrupted during test_it.py::test_it[master01]" in page
    assert "destroy: nothing is left" in page


def test_report_that_fails_is_shown_and_the_cluster_is_removed(bench: Bench) -> None:
    bench.write(
        "conftest.py",
        dedent(
            """
            def pytest_configure():
                def broken(*args, **kwargs):
                    raise KeyError("it broke")
                import pytest_kubecluster.report.session as session
                session.write_report = broken
            """
        ),
    )
    bench.write("test_it.py", FAILS)
    status, output = bench.run("--kube-report=report")
    assert status == 1
    assert "report cannot be written: KeyError: 'it broke'" in output
    assert "INTERNALERROR" not in output
    assert "nothing is left" in output


def test_report_is_private_whatever_the_umask(bench: Bench) -> None:
    bench.write("test_it.py", FAILS)
    before = os.umask(0)
    try:
        status, output = bench.run("--kube-report=report")
    finally:
        os.umask(before)
    assert status == 1, output
    report = bench.project / "report"
    paths = [report, *report.rglob("*")]
    assert {"report.json", "master01", "ansible.log"} <= {path.name for path in paths}
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in paths}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_error_of_another_plugin_at_the_end(bench: Bench) -> None:
    bench.write(
        "conftest.py",
        dedent(
            """
            def pytest_sessionfinish():
                raise OSError("Input/output error")
            def pytest_unconfigure():
                raise OSError("Input/output error")
            """
        ),
    )
    bench.write("test_it.py", "def test_it(kube_node): ...\n")
    status, output = bench.run()
    assert status != 0
    assert "Input/output error" in output
    assert docker("ps", "--quiet", "--filter", f"name={bench.project.name}") == []
