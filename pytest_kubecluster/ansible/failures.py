"""What a failed Ansible run comes to: which task failed on which node, and what to do about it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_kubecluster.ansible.events import ENDS, events
from pytest_kubecluster.ansible.node_python import no_python
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.spec.launcher import WRAPPER
from pytest_kubecluster.util.process import CommandError, CommandTimeoutError
from pytest_kubecluster.util.redact import redact

_NO_PYTHON = re.compile(
    r"bin/python\S*: (not found|No such file)|interpreter .* was not found"
    r"|requires a minimum of Python"
)
"""What a shell, or Ansible, prints about a Python that is missing or too old."""
_NO_PLACE = re.compile(rf"tar: {WRAPPER.rpartition('/')[0].lstrip('/')}\S*: .*: Read-only")
"""What tar prints where /usr is read-only and the kubelet-wrapper is to be unpacked."""


class ProvisioningError(KubeClusterError):
    """A failed task: its name, its node, its message, and the path of the whole log."""


def explain(artifacts: Path, error: CommandError, secrets: Sequence[str]) -> ProvisioningError:
    """Return the error for the first task that failed, or for the task that took too long.

    Without either, Ansible itself failed: the error has the end of its log.
    """
    if isinstance(error, CommandTimeoutError) and (running := _running(artifacts)):
        task, hosts = running
        problem = (
            str(error).partition("\n")[0].replace(shlex.join(error.argv[:2]), "provisioning", 1)
        )
        text = f"{problem}\n  task that was running: {task}\n  on: {', '.join(hosts)}"
        return ProvisioningError(redact(f"{text}\n  full log: {error.log}", secrets))
    for _, event in events(artifacts, "runner_on_failed", "runner_on_unreachable"):
        if not event.get("ignore_errors"):
            return ProvisioningError(redact(f"{_message(event)}\n  full log: {error.log}", secrets))
    # The reader does not need to know how Ansible was started.
    text = str(error).replace(shlex.join(error.argv[:2]), "Ansible", 1)
    return ProvisioningError(redact(text, secrets))


def _running(artifacts: Path) -> tuple[str, list[str]] | None:
    """Return the task that was running, and the nodes on which it had not ended."""
    waiting: dict[str, str] = {}
    for kind, event in events(artifacts, "runner_on_start", *ENDS):
        if kind == "runner_on_start":
            waiting[event["host"]] = event["task"]
        else:
            waiting.pop(event["host"], None)
    if not waiting:
        return None
    task = next(iter(waiting.values()))
    return task, [host for host, one in waiting.items() if one == task]


def _message(event: dict[str, Any]) -> str:
    host, result = event["host"], event.get("res", {})
    said = [
        result.get("msg") or result.get("censored"),
        result.get("extract_results", {}).get("err"),
    ]
    said += [result.get("stderr"), result.get("stdout")]
    text = "\n".join(str(part) for part in said if part)
    if _NO_PYTHON.search(json.dumps(result)):
        return no_python(host)
    if _NO_PLACE.search(text):
        return (
            f"{host} has no {WRAPPER}, and its /usr is read-only, so that none can be installed\n"
            "  let the unit start the kubelet itself: below [kubelet] in kubecluster.toml, "
            'launched_by = "host"'
        )
    lines = "\n".join(f"    {line}" for line in text.split("\n")) if text else "    (none)"
    return f"provisioning failed on {host}\n  task: {event.get('task', '?')}\n  message:\n{lines}"
