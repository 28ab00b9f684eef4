"""What becomes of Ansible's words about a task that failed; each was seen on a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.ansible.run import _explain
from pytest_kubecluster.util.process import CommandError


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            {
                "msg": "The module interpreter '/usr/bin/python3' was not found.",
                "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n",
                "rc": 127,
            },
            "bring one along with --kube-python=TARBALL",
        ),
        (
            {"msg": "MODULE FAILURE", "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n"},
            "bring one along with --kube-python=TARBALL",
        ),
        (
            {
                "msg": "ansible-core requires a minimum of Python version 3.9. Current version: 3.6.8"
            },
            "bring one along with --kube-python=TARBALL",
        ),
        (
            {"msg": "/usr/lib/coreos cannot be installed: Read-only file system"},
            'below [kubelet] in kubecluster.toml, launched_by = "host"',
        ),
        (
            {"msg": "/usr/lib/coreos/.install-x1 cannot be installed: Read-only file system"},
            'below [kubelet] in kubecluster.toml, launched_by = "host"',
        ),
        ({"msg": "/opt/bin cannot be installed: Read-only file system"}, "task: Install it"),
        ({"msg": "it broke", "stderr": "in python3.11/os.py"}, "task: Install it"),
    ],
)
def test_failed_task_is_told_with_what_to_do(
    result: dict[str, Any], message: str, tmp_path: Path
) -> None:
    events = tmp_path / "job_events"
    events.mkdir()
    data = {"host": "worker01", "task": "Install it", "res": result}
    event = {"event": "runner_on_failed", "event_data": data}
    (events / "7-uuid.json").write_text(json.dumps(event))
    said = str(_explain(tmp_path, CommandError("failed", ["ansible"], tmp_path / "ansible.log")))
    assert "worker01" in said
    assert message in said
    assert f"full log: {tmp_path}/ansible.log" in said


def test_playbook_that_no_task_of_was_run_is_ansibles_failure(tmp_path: Path) -> None:
    (tmp_path / "job_events").mkdir()
    argv = ["/usr/bin/python3", "-m", "ansible_runner", "run"]
    problem = "/usr/bin/python3 -m failed (exit status 4)"
    said = str(_explain(tmp_path, CommandError(problem, argv, tmp_path / "ansible.log")))
    assert said.startswith("Ansible failed (exit status 4)\n  its last lines:")
