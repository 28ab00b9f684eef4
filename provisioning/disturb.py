"""Disturbs a node's kubelet and prints what came of it, as JSON.

Runs on the node, as root. The one argument is a JSON object: ``how`` (``kill``: SIGKILL to the main
process, ``open-lock``: open the lock file as a second kubelet would), ``unit``, ``lock_file``, the
``seconds`` to wait for the kubelet to be back and healthy, and ``patience``: by how much to
multiply what its end may take.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

POLL_SECONDS = 0.25
EXIT_SECONDS = 5


def main() -> None:
    """Disturb, wait, print."""
    asked = json.loads(sys.argv[1])
    unit = asked["unit"]
    before = properties(unit)
    pid = int(before["MainPID"])
    started = time.monotonic()
    if pid == 0:
        nothing = {"exited": False, "back": False, "journal": ["the kubelet is not running"]}
        json.dump(nothing, sys.stdout)
        return
    if asked["how"] == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        os.close(os.open(asked["lock_file"], os.O_RDWR | os.O_CREAT, 0o600))

    exited = wait(lambda: not alive(pid), EXIT_SECONDS * asked["patience"])
    after = properties(unit)
    back = exited and wait(lambda: came_back(unit, pid), asked["seconds"])
    if back:
        # It counts restarts: what comes after need not know of this one.
        subprocess.check_call(["systemctl", "reset-failed", unit])
    command = ["journalctl", "--unit", unit, "--lines=15", "--no-pager", "--output=cat"]
    outcome = {
        "exited": exited,
        "exit_status": int(after.get("ExecMainStatus") or 0),
        # si_code of the main process's end, waitid(2): CLD_EXITED is 1, CLD_KILLED is 2.
        "exit_code": {"1": "exited", "2": "killed"}.get(after.get("ExecMainCode", ""), "other"),
        "back": back,
        "seconds": time.monotonic() - started,
        "journal": subprocess.check_output(command).decode("utf-8", "replace").splitlines(),
    }
    json.dump(outcome, sys.stdout)


def came_back(unit: str, pid: int) -> bool:
    """Say whether another kubelet runs in the old one's place, and is healthy."""
    return int(properties(unit).get("MainPID") or 0) not in (0, pid) and healthy()


def wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until a condition holds, for so many seconds, and say whether it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def alive(pid: int) -> bool:
    """Say whether a process is there."""
    return os.path.exists(f"/proc/{pid}/stat")


def healthy() -> bool:
    """Say whether the kubelet's health endpoint says ok."""
    connection = HTTPConnection("127.0.0.1", 10248, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().read() == b"ok"
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def properties(unit: str) -> dict[str, str]:
    """Return systemd's account of the unit."""
    names = "--property=MainPID,ActiveState,SubState,ExecMainStatus,ExecMainCode"
    text = subprocess.check_output(["systemctl", "show", unit, names]).decode()
    return dict(line.split("=", 1) for line in text.splitlines())


if __name__ == "__main__":
    main()
