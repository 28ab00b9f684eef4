"""The message for a failed task. Each of Ansible's results was seen on a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.ansible.failures import explain
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
            {
                "msg": "failed to unpack /home/core/.ansible/tmp/x/source to /",
                "extract_results": {
                    "err": "tar: usr/lib/coreos: Cannot mkdir: Read-only file system\n"
                    "tar: usr/lib/coreos/kubelet-wrapper: Cannot open: No such file or directory\n"
                },
            },
            'below [kubelet] in kubecluster.toml, launched_by = "host"',
        ),
        (
            {
                "msg": "failed to unpack /home/core/.ansible/tmp/x/source to /",
                "extract_results": {
                    "err": "tar: usr/lib/coreos/kubelet-wrapper: Cannot open: Read-only file system\n"
                },
            },
            'below [kubelet] in kubecluster.toml, launched_by = "host"',
        ),
        (
            {
                "msg": "failed to unpack /home/core/.ansible/tmp/x/source to /",
                "extract_results": {"err": "tar: opt/bin: Cannot mkdir: Read-only file system\n"},
            },
            "    tar: opt/bin: Cannot mkdir: Read-only file system",
        ),
        ({"msg": "it broke", "stderr": "in python3.11/os.py"}, "task: Install it"),
    ],
)
def test_failed_task_is_named_with_the_way_out(
    result: dict[str, Any], message: str, tmp_path: Path
) -> None:
    events = tmp_path / "job_events"
    events.mkdir()
    data = {"host": "worker01", "task": "Install it", "res": result}
    event = {"event": "runner_on_failed", "event_data": data}
    (events / "7-uuid.json").write_text(json.dumps(event))
    error = CommandError("failed", ["ansible"], tmp_path / "ansible.log")
    said = str(explain(tmp_path, error, ()))
    assert "worker01" in said
    assert message in said
    assert f"full log: {tmp_path}/ansible.log" in said


def test_playbook_without_any_task_run_is_a_failure_of_ansible(tmp_path: Path) -> None:
    (tmp_path / "job_events").mkdir()
    argv = ["/usr/bin/python3", "-m", "ansible_runner", "run"]
    problem = "/usr/bin/python3 -m failed (exit status 4)"
    said = str(explain(tmp_path, CommandError(problem, argv, tmp_path / "ansible.log"), ()))
    assert said.startswith("Ansible failed (exit status 4)\n  its last lines:")
