"""Runs external commands with a deadline and a log, and ends them with everything they started."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pytest_kubecluster.errors import KubeClusterError

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0


class CommandError(KubeClusterError):
    """A command failed or took too long. Shows its last lines and the path of its log."""

    def __init__(self, problem: str, argv: Sequence[str], log: Path) -> None:
        """Describe the failure of ``argv`` as ``problem``; ``log`` holds its output."""
        self.argv = tuple(argv)
        self.log = log
        self.tail = last_lines(log)
        shown = "\n".join(f"    {line}" for line in self.tail) or "    (no output)"
        super().__init__(f"{problem}\n  its last lines:\n{shown}\n  full log: {log}")


class CommandTimeoutError(CommandError):
    """A command that was ended because it took too long."""


class Commands:
    """Runs the external commands of one cluster, each with its own log file.

    Output goes straight to the file, never through a pipe: a background process that keeps standard
    output open, such as an ssh master, cannot make a command look unfinished.
    """

    def __init__(self, logs: Path) -> None:
        """Keep logs in the existing folder ``logs``."""
        self.logs = logs
        self._running: list[subprocess.Popen[bytes]] = []
        self._stopped = threading.Event()

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str], None] = lambda line: None,
        check: bool = True,
    ) -> int:
        """Run ``argv`` for at most ``timeout`` seconds and return its exit status.

        Its output is appended to ``logs/name.log``, which only the owner can read, and given to
        ``on_line`` line by line. Raises CommandError if it fails (with ``check``) or cannot be
        started, and CommandTimeoutError if it takes too long.
        """
        log = self.logs / f"{name}.log"
        with open(log, "ab", opener=_private) as output, log.open("rb") as lines:
            output.write(f"$ {shlex.join(argv)}\n".encode())
            output.flush()
            lines.seek(0, os.SEEK_END)
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                    # We handle Ctrl-C ourselves, and end the command in an orderly way.
                    start_new_session=True,
                )
            except OSError as error:
                raise CommandError(f"{argv[0]} cannot be started: {error}", argv, log) from error
            self._running.append(process)
            try:
                self._follow(process, lines.readline, on_line, time.monotonic() + timeout)
            except TimeoutError:
                what = shlex.join(argv[:2])
                problem = f"{what} took longer than {timeout:.0f} s and was ended"
                raise CommandTimeoutError(problem, argv, log) from None
            finally:
                end_process_tree(process)
                self._running.remove(process)
        if check and process.returncode != 0:
            how = "was interrupted" if self.stopped else "failed"
            raise CommandError(
                f"{shlex.join(argv[:2])} {how} (exit status {process.returncode})", argv, log
            )
        return process.returncode

    @property
    def stopped(self) -> bool:
        """Whether stop was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End every running command, whichever thread started it."""
        self._stopped.set()
        for process in list(self._running):
            end_process_tree(process)

    @staticmethod
    def _follow(
        process: subprocess.Popen[bytes],
        read: Callable[[], bytes],
        on_line: Callable[[str], None],
        deadline: float,
    ) -> None:
        begun = b""
        while True:
            ended = process.poll() is not None
            while chunk := read():
                begun += chunk
                if begun.endswith(b"\n"):
                    on_line(begun.decode(errors="replace").rstrip())
                    begun = b""
            if ended:
                return
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Captured:
    """What a program printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


def capture(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    executable: Path | None = None,
) -> Captured:
    """Run ``argv`` for at most ``timeout`` seconds and return what it printed.

    ``executable`` is the file of the program, if ``argv`` begins with another name. Output goes to
    files, not pipes, so that a background process that keeps standard output open does not make the
    program look unfinished. Raises KubeClusterError if the program cannot be started, or if it
    takes longer: it is then ended with everything that it started.
    """
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                argv,
                stdin=given,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                executable=executable,
                start_new_session=True,  # Ctrl-C is for us to handle
            )
        except OSError as error:
            raise KubeClusterError(f"{argv[0]} cannot be started: {error}") from None
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            problem = f"{shlex.join(argv[:2])} took longer than {timeout:.0f} s and was ended"
            raise KubeClusterError(problem) from None
        finally:
            end_process_tree(process)
        stdout.seek(0)
        stderr.seek(0)
        return Captured(
            status, stdout.read().decode(errors="replace"), stderr.read().decode(errors="replace")
        )


def ask(argv: Sequence[str], *, what: str, seconds: float, check: bool = True) -> str:
    """Return what a client of a machine runtime (docker, virsh, VBoxManage) prints.

    With ``check``, raises KubeClusterError if the client fails, since no answer does not mean that
    nothing is left. Also raises it if there is no answer within ``seconds``.
    """
    try:
        done = capture(argv, timeout=seconds, env={**os.environ, "LC_ALL": "C"})
    except KubeClusterError as error:
        raise KubeClusterError(f"{what} failed: {error}") from None
    if check and done.status != 0:
        raise KubeClusterError(f"{what} failed: {done.stderr.strip()}")
    return done.stdout


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def end_process_tree(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and all its descendants, with SIGTERM first and SIGKILL if that fails.

    The tree is collected before anything is signalled, since an orphan is no longer a descendant.
    Ansible forks workers into their own sessions: signalling the process group would miss them, and
    killing their parent would leave them behind. SIGINT does not work: background jobs of a shell
    ignore it, and so do their children.
    """
    if process.poll() is not None:
        return
    root = psutil.Process(process.pid)
    descendants = root.children(recursive=True)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in (root, *descendants):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)
        # Only Popen may wait for its own child: psutil would steal the exit status.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        _, descendants = psutil.wait_procs(descendants, timeout=_GRACE_SECONDS)
        # What was forked in the meantime is an orphan by now, but still in the command's session.
        descendants += [one for one in _session(process.pid) if one not in descendants]
        if process.poll() is not None and not descendants:
            return


def end_processes_of(folder: Path) -> None:
    """End the commands that still work for the cluster folder of a killed process.

    They are recognised by the home folder of Vagrant or Ansible in their environment.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            environment = process.environ()
            homes = [environment.get(name) for name in ("VAGRANT_HOME", "ANSIBLE_HOME")]
            if any(home and folder.resolve() in Path(home).resolve().parents for home in homes):
                process.kill()


def end_children_with(word: str) -> None:
    """End the descendants of this process that have ``word`` among their arguments."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if word in child.cmdline():
                child.kill()


def _session(leader: int) -> list[psutil.Process]:
    """Return the processes of a session, without its leader."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if process.pid != leader and os.getsid(process.pid) == leader:
                found.append(process)
    return found


def last_lines(log: Path, count: int = 12) -> list[str]:
    """Return the last ``count`` lines of a log that are not blank."""
    try:
        with log.open(errors="replace") as lines:
            return [line.rstrip() for line in deque((x for x in lines if x.strip()), count)]
    except OSError:
        return []
