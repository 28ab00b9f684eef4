"""Disturb the kubelet and see what becomes of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from . import process, system
from .wait import is_healthy

_POLL_SECONDS = 0.25
_EXIT_SECONDS = 5
_NOTICE_SECONDS = 3
_PROPERTIES = "MainPID ControlGroup SubState ExecMainStatus ExecMainCode"


def disturb(
    how: str, unit: str, lock_file: str, seconds: float, timeout_factor: float
) -> dict[str, Any]:
    """Kill the kubelet (``kill``) or open its lock file as a second one would (``open-lock``).

    Wait ``seconds`` for it to be back and healthy; ``timeout_factor`` multiplies the time for its
    end.
    """
    before = system.show([unit], seconds, _PROPERTIES)[0]
    kubelet = process.kubelet_of(before, process.processes())
    started = time.monotonic()
    if kubelet is None:
        return {"exited": False, "back": False, "journal": ["the kubelet is not running"]}
    pid = kubelet.pid
    if how == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        os.close(os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600))

    exited = _wait(lambda: not _alive(pid), _EXIT_SECONDS * timeout_factor)
    after = _account_of_its_end(unit, before, seconds, _NOTICE_SECONDS if exited else 0)
    back = exited and _wait(lambda: _came_back(unit, pid, seconds), seconds)
    if back:
        # It counts restarts: later checks must not see this one.
        system.output(["systemctl", "reset-failed", unit], seconds)
    return {
        "exited": exited,
        "exit_status": int(after.get("ExecMainStatus") or 0),
        # si_code of the main process's end, waitid(2): CLD_EXITED is 1, CLD_KILLED is 2.
        "exit_code": {"1": "exited", "2": "killed"}.get(after.get("ExecMainCode", ""), "other"),
        "back": back,
        "seconds": time.monotonic() - started,
        "journal": system.journal(unit, 15, seconds),
    }


def _account_of_its_end(
    unit: str, before: dict[str, str], seconds: float, notice_seconds: float
) -> dict[str, str]:
    """Return what systemd shows of the unit once it has noticed that the main process ended.

    That may be a moment after the end. Where the kubelet is not the main process, it may be never:
    ``notice_seconds`` bound the wait.
    """
    shown: list[dict[str, str]] = []

    def noticed() -> bool:
        shown.append(system.show([unit], seconds, _PROPERTIES)[0])
        return shown[-1].get("MainPID") != before.get("MainPID")

    _wait(noticed, notice_seconds)
    return shown[-1]


def _came_back(unit: str, pid: int, seconds: float) -> bool:
    """Return whether another kubelet runs in the old one's place, and is healthy."""
    state = system.show([unit], seconds, _PROPERTIES)[0]
    kubelet = process.kubelet_of(state, process.processes())
    return kubelet is not None and kubelet.pid != pid and is_healthy(state)


def _alive(pid: int) -> bool:
    # A zombie has ended: its parent may be a script that does not wait for it yet.
    return system.text(f"/proc/{pid}/stat").rpartition(") ")[2][:1] not in ("", "Z", "X")


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
