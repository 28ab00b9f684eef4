"""Wait until the kubelet is healthy or dead."""

from __future__ import annotations

import time
from typing import Any

from . import documents, look, ports, process, system
from .options import Options

_POLL_SECONDS = 0.2
_LINES = 15
_PROPERTIES = (
    "LoadState ActiveState SubState Result ExecMainStatus ExecMainStartTimestampMonotonic "
    "MainPID ControlGroup NRestarts"
)


def wait(unit: str, seconds: float, restarts: int | None) -> dict[str, Any]:
    """Return whether the unit's kubelet became healthy, why not, and its last lines.

    Systemd may start a dead one again ``restarts`` times meanwhile; None sets no limit. A kubelet
    whose healthz port is off is healthy as soon as its other port answers.
    """
    deadline = time.monotonic() + seconds
    reason = f"did not become healthy within {seconds:.0f} s"
    healthy = False
    deaths: set[str | None] = set()
    while time.monotonic() < deadline:
        state = system.show([unit], seconds, _PROPERTIES)[0]
        if healthy := is_healthy(state):
            break
        if state.get("SubState", "").startswith("auto-restart"):
            deaths.add(state.get("ExecMainStartTimestampMonotonic"))
        dead = state.get("ActiveState") in ("failed", "inactive")
        if restarts is not None and (dead or len(deaths) > restarts):
            reason = _why_dead(unit, state)
            break
        time.sleep(_POLL_SECONDS)
    return {"healthy": healthy, "reason": reason, "journal": [] if healthy else _last_words(unit)}


def is_healthy(state: dict[str, str]) -> bool:
    """Return whether a unit's kubelet reports healthy on the ports it is configured with."""
    kubelet = process.kubelet_of(state, process.processes())
    if kubelet is None:
        return False
    described = process.describe(kubelet, kubelet.pid)
    options = Options(described["argv"], described["folder"], {})
    files = look.configuration(options, described["root"])
    options.add([one["document"] for one in files if "document" in one])
    if port := options.port("healthz-port", "healthzPort", look.HEALTHZ):
        address = options.text("healthz-bind-address", "healthzBindAddress")
        answer = ports.plain(address, port, "/healthz", 2)
        return bool(answer["status"] == 200 and answer["body"] == "ok")
    port = options.port("port", "port", look.KUBELET)
    address = options.text("address", "address")
    answered = documents.attempt(
        lambda: ports.secure(address, port, "/healthz", 2, ports.without_verification())
    )
    return bool(answered.get("value", {}).get("status"))


def _why_dead(unit: str, state: dict[str, str]) -> str:
    """Return why a unit does not run, as the end of a sentence about the kubelet."""
    if state.get("LoadState") == "not-found":
        return f"has no unit: {unit} was not found; your playbook must install and start it"
    if state.get("ExecMainStartTimestampMonotonic") == "0":
        return f"was not started: {unit} exists, and your playbook must start it"
    return "failed to start (result {}, exit status {})".format(
        state.get("Result"), state.get("ExecMainStatus")
    )


def _last_words(unit: str) -> list[str]:
    """Return the unit's last lines, without the usage text that follows an error."""
    lines = system.journal(unit, 1000, 20)
    return [line for line in lines if line.strip() and not line.startswith("      ")][-_LINES:]
