from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.util.process import Captured, CommandError, Commands, capture, last_lines


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_output_is_logged_and_given_line_by_line(commands: Commands) -> None:
    lines: list[str] = []
    commands.run("say", ["sh", "-c", "echo one; echo two >&2"], timeout=10, on_line=lines.append)
    assert lines == ["one", "two"]
    assert (commands.logs / "say.log").read_text() == "$ sh -c 'echo one; echo two >&2'\none\ntwo\n"


def test_failure_shows_the_last_lines_and_the_log(commands: Commands) -> None:
    with pytest.raises(CommandError) as caught:
        commands.run("fail", ["sh", "-c", "seq 30; exit 3"], timeout=10)
    message = str(caught.value)
    assert "failed (exit status 3)" in message
    assert "    30\n" in message
    assert "    18\n" not in message
    assert f"full log: {commands.logs / 'fail.log'}" in message


def test_failure_that_is_expected(commands: Commands) -> None:
    assert commands.run("fail", ["sh", "-c", "exit 3"], timeout=10, check=False) == 3


def test_command_that_is_not_there(commands: Commands) -> None:
    with pytest.raises(CommandError, match="no-such-command cannot be started"):
        commands.run("none", ["no-such-command"], timeout=10)


def test_slow_command_is_ended_with_all_it_started(commands: Commands) -> None:
    before = children()
    # The grandchild is in a session of its own, as Ansible's workers are.
    script = "setsid sleep 300 & sleep 300"
    with pytest.raises(CommandError, match="took longer than 1 s and was ended"):
        commands.run("slow", ["sh", "-c", script], timeout=1)
    assert children() <= before


def test_command_that_ignores_the_request_is_forced(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_kubecluster.util.process._GRACE_SECONDS", 0.3)
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(300)"
    before = children()
    with pytest.raises(CommandError):
        commands.run("stubborn", [sys.executable, "-c", stubborn], timeout=1)
    assert children() <= before


def test_background_process_that_keeps_the_output_open_does_not_block(commands: Commands) -> None:
    started = time.monotonic()
    commands.run("daemon", ["sh", "-c", "sleep 3 & echo done"], timeout=10)
    assert time.monotonic() - started < 2.5, "it waited for the background process"


def test_stop_ends_what_another_thread_runs(commands: Commands) -> None:
    caught: list[CommandError] = []

    def run() -> None:
        try:
            commands.run("sleep", ["sleep", "300"], timeout=300)
        except CommandError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not (commands.logs / "sleep.log").exists() or not commands._running:
        time.sleep(0.01)
    commands.stop()
    thread.join(10)
    assert "was interrupted" in str(caught[0])


def test_last_lines_skips_what_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\n\n  \ntwo\n")
    assert last_lines(log) == ["one", "two"]
    assert last_lines(tmp_path / "none") == []


def test_captured_output_and_status() -> None:
    done = capture(["sh", "-c", "cat; echo no >&2; exit 3"], timeout=10, stdin=b"yes\n")
    assert done == Captured(3, "yes\n", "no\n")


def test_program_that_hangs_is_ended_with_its_children_when_captured() -> None:
    before = children()
    with pytest.raises(KubeClusterError, match="sh -c took longer than 1 s and was ended"):
        capture(["sh", "-c", "setsid sleep 300 & sleep 300"], timeout=1)
    assert children() <= before


def test_program_that_is_missing_cannot_be_captured() -> None:
    with pytest.raises(KubeClusterError, match="no-such-program cannot be started"):
        capture(["no-such-program"], timeout=10)
