"""The message for a failed task. Each of Ansible's results was seen on a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.ansible.failures import explain
from pytest_kubecluster.util.process import CommandError, CommandTimeoutError


def write_events(folder: Path, *events: tuple[str, dict[str, Any]]) -> None:
    (folder / "job_events").mkdir()
    for number, (kind, data) in enumerate(events):
        event = json.dumps({"event": kind, "event_data": data})
        (folder / "job_events" / f"{number}-uuid.json").write_text(event)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            {
                "msg": "The module interpreter '/usr/bin/python3' was not found.",
                "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n",
                "rc": 127,
            },
            "install one with --kube-python=TARBALL",
        ),
        (
            {"msg": "MODULE FAILURE", "module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n"},
            "install one with --kube-python=TARBALL",
        ),
        (
            {
                "msg": "ansible-core requires a minimum of Python version 3.9. Current version: 3.6.8"
            },
            "install one with --kube-python=TARBALL",
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
    data = {"host": "worker01", "task": "Install it", "res": result}
    write_events(tmp_path, ("runner_on_failed", data))
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


def test_message_of_a_failed_task_has_no_secret(tmp_path: Path) -> None:
    result = {"msg": "password: swordfish", "stderr": "he said open sesame"}
    write_events(tmp_path, ("runner_on_failed", {"host": "w", "task": "t", "res": result}))
    error = CommandError("failed", ["ansible"], tmp_path / "ansible.log")
    said = str(explain(tmp_path, error, ["open sesame"]))
    assert "password: REDACTED" in said
    assert "he said REDACTED" in said


def test_hidden_output_is_marked_as_hidden(tmp_path: Path) -> None:
    result = {"censored": "the output has been hidden due to the fact that 'no_log: true'"}
    write_events(tmp_path, ("runner_on_failed", {"host": "w", "task": "t", "res": result}))
    error = CommandError("failed", ["ansible"], tmp_path / "ansible.log")
    assert "the output has been hidden" in str(explain(tmp_path, error, ()))


def test_deadline_names_the_task_and_the_nodes_it_was_running_on(tmp_path: Path) -> None:
    def event(kind: str, host: str, task: str) -> tuple[str, dict[str, Any]]:
        return kind, {"host": host, "task": task}

    write_events(
        tmp_path,
        event("runner_on_start", "m", "Copy"),
        event("runner_on_start", "w", "Copy"),
        event("runner_on_ok", "w", "Copy"),
        event("runner_on_ok", "m", "Copy"),
        event("runner_on_start", "m", "Wait for a load balancer"),
        event("runner_on_start", "w", "Wait for a load balancer"),
        event("runner_on_ok", "m", "Wait for a load balancer"),
    )
    problem = "/usr/bin/python3 -m took longer than 60 s and was ended"
    argv = ["/usr/bin/python3", "-m", "ansible_runner", "run"]
    error = CommandTimeoutError(problem, argv, tmp_path / "ansible.log")
    assert str(explain(tmp_path, error, ())) == (
        "provisioning took longer than 60 s and was ended\n"
        "  task that was running: Wait for a load balancer\n"
        "  on: w\n"
        f"  full log: {tmp_path}/ansible.log"
    )
