"""Waits on a node until its kubelet is healthy or dead, and prints which, as JSON.

Runs on the node, as root. The one argument is a JSON object: ``unit``, the ``seconds`` to wait, and
``restarts``: whether to go on while systemd starts a dead one again.
"""

import json
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException

POLL_SECONDS = 0.2
LINES = 15


def main() -> None:
    """Print what became of the kubelet."""
    asked = json.loads(sys.argv[1])
    deadline = time.monotonic() + asked["seconds"]
    reason = f"did not become healthy within {asked['seconds']:.0f} s"
    healthy = False
    while time.monotonic() < deadline:
        if answers():
            healthy = True
            break
        state = properties(asked["unit"])
        dead = state.get("ActiveState") in ("failed", "inactive")
        if not asked["restarts"] and (dead or state.get("SubState") == "auto-restart"):
            reason = why_dead(asked["unit"], state)
            break
        time.sleep(POLL_SECONDS)
    json.dump({"healthy": healthy, "reason": reason, "journal": journal(asked["unit"])}, sys.stdout)


def answers() -> bool:
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
    names = (
        "--property=LoadState,ActiveState,SubState,Result,ExecMainStatus,"
        "ExecMainStartTimestampMonotonic"
    )
    text = subprocess.check_output(["systemctl", "show", unit, names]).decode()
    return dict(line.split("=", 1) for line in text.splitlines())


def why_dead(unit: str, state: dict[str, str]) -> str:
    """Say why a unit does not run, as the end of a sentence about the kubelet."""
    if state.get("LoadState") == "not-found":
        return f"has no unit: systemd knows no {unit}; it is for the playbook to install and start"
    if state.get("ExecMainStartTimestampMonotonic") == "0":
        return f"was not started: {unit} is there, and it is for the playbook to start it"
    return "died at its start (result {}, exit status {})".format(
        state.get("Result"), state.get("ExecMainStatus")
    )


def journal(unit: str) -> list[str]:
    """Return the unit's last lines, but for a usage text of hundreds of lines behind an error."""
    command = ["journalctl", "--unit", unit, "--lines=1000", "--no-pager", "--output=cat"]
    lines = subprocess.check_output(command).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("      ")][-LINES:]


if __name__ == "__main__":
    main()
