from __future__ import annotations

import ctypes
import errno
import re
import stat
from pathlib import Path

import pytest
from hollow_common.errors import Failure
from hollow_common.libc import libc
from hollow_kubelet.inotify import Inotify
from hollow_kubelet.lock import take_lock

from tests.unit.kubelet.hollow.support import (
    SECONDS,
    Kubelet,
    Start,
    StartMinor,
    eventually,
    start_error,
)


def contended(start: Start, lock: Path, folder: str) -> Kubelet:
    return start(f"--lock-file={lock}", "--exit-on-lock-contention", folder=folder)


def test_a_second_kubelet_takes_the_lock_over(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    first = contended(start, lock, "first").wait_healthy()
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
    second = contended(start, lock, "second")
    assert first.wait_ended() == 0
    first.wait_logged(
        rf"^I\d{{4}} \d\d:\d\d:\d\d\.\d{{6}} +\d+ server_linux\.go:37\] "
        rf'inotify event: "{lock}": 0x20 == IN_OPEN$'
    )
    second.wait_healthy()


def test_reading_the_lock_file_ends_the_kubelet(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    kubelet = contended(start, lock, "kubelet").wait_healthy()
    lock.read_bytes()
    assert kubelet.wait_ended() == 0


def test_stat_of_the_lock_file_does_not_end_the_kubelet(article_kubelet: Kubelet) -> None:
    lock = Path(
        next(word for word in article_kubelet.command if "lock-file" in word).partition("=")[2]
    )
    inode = lock.stat().st_ino
    assert re.search(rf"FLOCK .* \d+ \S+:{inode} ", Path("/proc/locks").read_text())
    assert article_kubelet.plain("/healthz", article_kubelet.healthz) == (200, "ok")


def test_second_kubelet_waits_without_exit_on_contention(start: Start, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    first = start(f"--lock-file={lock}", folder="first").wait_healthy()
    second = start(f"--lock-file={lock}", folder="second")
    second.wait_logged(r"acquiring file lock on ")
    wchan = Path(f"/proc/{second.process.pid}/stack")
    eventually(
        "the second to wait",
        lambda: second.process.pid in waiting_for_locks() or not wchan.exists(),
    )
    assert first.process.poll() is None
    assert "watching for inotify" not in first.log
    first.stop()
    second.wait_healthy()


def waiting_for_locks() -> set[int]:
    return {
        int(pid)
        for pid in re.findall(r"-> FLOCK +\S+ +\S+ (\d+) ", Path("/proc/locks").read_text())
    }


def test_lock_is_taken_first_in_1_7(program: Path) -> None:
    status, lines = start_error(program, "--lock-file=/nonexist/lock", "--feature-gates=Foo=true")
    problem = 'unable to acquire file lock on "/nonexist/lock": no such file or directory'
    assert (status, lines) == (
        1,
        [
            'acquiring file lock on "/nonexist/lock"',
            *[f"Error: failed to run Kubelet: {problem}"] * 2,
        ],
    )


def test_lock_messages_are_structured_from_1_21(start_minor: StartMinor, tmp_path: Path) -> None:
    lock = tmp_path / "kubelet.lock"
    kubelet = start_minor(30, f"--lock-file={lock}", "--exit-on-lock-contention")
    lock.read_bytes()
    assert kubelet.process.wait(SECONDS) == 0
    log = kubelet.log.read_text()
    assert f'] "Acquiring file lock" path="{lock}"\n' in log
    assert f'] "inotify event" event="\\"{lock}\\": 0x20 == IN_OPEN"\n' in log


def test_messages_without_an_inotify_instance_name_the_right_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    monkeypatch.setattr(libc, "inotify_init1", fails)
    with pytest.raises(Failure, match=r"^inotify_init: too many open files$"):
        take_lock(str(tmp_path / "lock"), exit_on_contention=True)
    problem = "unable to create watcher for lockfile: inotify_init: too many open files\n"
    assert capfd.readouterr().err.endswith(problem)


def test_messages_about_a_path_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"^inotify_add_watch /nonexist: no such file or directory$"):
        Inotify().add("/nonexist", 1)
