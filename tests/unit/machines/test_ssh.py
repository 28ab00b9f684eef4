"""What ssh itself makes of the configuration that is written for it, and of the marks around output."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config

USERS = """\
Host 10.0.0.*
  User core
  ProxyJump bastion
Host bastion
  HostName 10.1.1.1
Host named
  HostName 10.2.2.2
Host *
  User everybody
  ConnectTimeout 77
"""
PROJECTS = """\
Host 10.20.0.*
  ProxyJump jump
Host lonely
  HostName 10.30.0.1
Host jump
  HostName 203.0.113.7
  Port 2222
Host *
  User project
"""


@pytest.fixture
def ssh(tmp_path: Path) -> Ssh:
    users, projects = tmp_path / "users", tmp_path / "projects"
    users.write_text(USERS)
    projects.write_text(PROJECTS)
    hosts = {
        "placed": {"HostName": "10.0.0.1"},
        "stated": {"HostName": "10.0.0.2", "User": "op"},
        "named": {},
        "cp-1": {"HostName": "10.20.0.11", "Include": str(projects)},
        "lonely": {"Include": str(projects)},
        "bare": {"HostName": "10.0.0.3", "Include": ""},
    }
    included = [users, tmp_path / "none"]
    return write_ssh_config(tmp_path / "config", hosts, sockets=tmp_path, include=included)


def settings(ssh: Ssh, node: str) -> dict[str, str]:
    shown = subprocess.check_output(["ssh", "-F", ssh.config, "-G", node], text=True)
    return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("placed", {"hostname": "10.0.0.1", "user": "core", "proxyjump": "bastion"}),
        ("stated", {"hostname": "10.0.0.2", "user": "op", "proxyjump": "bastion"}),
        ("named", {"hostname": "10.2.2.2", "user": "everybody", "connecttimeout": "77"}),
        ("bastion", {"hostname": "10.1.1.1", "user": "everybody"}),
    ],
)
def test_users_configuration_applies_as_without_the_plugin(
    ssh: Ssh, node: str, expected: dict[str, str]
) -> None:
    found = settings(ssh, node)
    assert {name: found.get(name) for name in expected} == expected
    assert (ssh.user(node), ssh.hostname(node)) == (expected["user"], expected["hostname"])


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("cp-1", {"user": "project", "proxyjump": "jump", "connecttimeout": "5"}),
        ("lonely", {"user": "project", "hostname": "10.30.0.1", "connecttimeout": "5"}),
        ("bare", {"hostname": "10.0.0.3", "proxyjump": None, "connecttimeout": "5"}),
        ("jump", {"hostname": "203.0.113.7", "port": "2222"}),
    ],
)
def test_configuration_of_a_project_replaces_the_users(
    ssh: Ssh, node: str, expected: dict[str, str]
) -> None:
    found = settings(ssh, node)
    assert {name: found.get(name) for name in expected} == expected


def test_defaults_come_last(tmp_path: Path) -> None:
    ssh = write_ssh_config(tmp_path / "config", {"a": {"HostName": "10.0.0.1"}}, sockets=tmp_path)
    assert settings(ssh, "a")["connecttimeout"] == "5"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    """Have `ssh` run commands here, in a login shell that prints and that has a short PATH."""
    program = tmp_path / "ssh"
    program.write_text(
        "#!/bin/bash\n"
        "echo Loading environment ...; echo Welcome >&2; trap 'echo bye' EXIT\n"
        'PATH=/nowhere\neval "${@: -1}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return Ssh(tmp_path / "config")


def test_output_is_that_of_the_command_alone(here: Ssh) -> None:
    done = here.run(
        "a", ["sh", "-c", "printf '%s' \"$1\"; echo no >&2; exit 3", "sh", "it's"], timeout=9
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, b"it's", b"no\n")
    done = here.run("a", ["cat"], timeout=9, stdin=b"one\ntwo\n")
    assert (done.returncode, done.stdout) == (0, b"one\ntwo\n")


def test_programs_of_the_system_are_found(here: Ssh) -> None:
    assert here.run("a", ["sh", "-c", "command -v ip || command -v ls"], timeout=9).stdout


def test_command_that_cannot_be_run(here: Ssh) -> None:
    done = here.run("a", ["no-such-program"], timeout=9)
    assert done.returncode == 127
    assert b"no-such-program" in done.stderr


def test_error_of_ssh_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho Connection refused >&2; exit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(KubeClusterError, match="a cannot be reached over ssh: Connection refused"):
        Ssh(tmp_path / "config").run("a", ["true"], timeout=9)


JUMP = "ops@203.0.113.7: Permission denied (publickey)."
CLOSED = "Connection closed by UNKNOWN port 65535"


@pytest.mark.parametrize(
    ("printed", "by_proxy", "shown"),
    [
        ([CLOSED], [JUMP, CLOSED], JUMP),
        (["kex_exchange_identification: Connection closed by remote host", CLOSED], [JUMP], JUMP),
        ([CLOSED], ["Connection timed out"], "jump host ops@203.0.113.7: Connection timed out"),
        ([CLOSED], [CLOSED], CLOSED),
        (["a: Permission denied (publickey)."], [JUMP], "a: Permission denied (publickey)."),
        ([], [], "the login was refused"),
    ],
)
def test_error_of_a_jump_host_is_shown(
    printed: list[str],
    by_proxy: list[str],
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As OpenSSH does, drop what a proxy prints where a connection is shared.
    program = tmp_path / "ssh"
    lines = ["#!/bin/sh", 'case "$*" in', "*-G*) echo proxyjump ops@203.0.113.7; exit ;;"]
    lines += ["*ControlPath=none*)"]
    lines += [f"echo '{line}' >&2" for line in by_proxy]
    lines += [";;", "*)", *(f"echo '{line}' >&2" for line in printed), ";;", "esac", "exit 255", ""]
    program.write_text("\n".join(lines))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(KubeClusterError) as raised:
        Ssh(tmp_path / "config").connect_now("a")
    assert str(raised.value) == f"a cannot be reached over ssh: {shown}"
