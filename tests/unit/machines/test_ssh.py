"""What ssh itself makes of the configuration that is written for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pytest_kubecluster.machines.ssh import Ssh, write_ssh_config

THEIRS = """\
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


@pytest.fixture
def ssh(tmp_path: Path) -> Ssh:
    theirs = tmp_path / "theirs"
    theirs.write_text(THEIRS)
    hosts = {
        "placed": {"HostName": "10.0.0.1"},
        "told": {"HostName": "10.0.0.2", "User": "op"},
        "named": {},
    }
    included = [theirs, tmp_path / "none"]
    return write_ssh_config(tmp_path / "config", hosts, sockets=tmp_path, include=included)


@pytest.mark.parametrize(
    ("node", "settings"),
    [
        ("placed", {"hostname": "10.0.0.1", "user": "core", "proxyjump": "bastion"}),
        ("told", {"hostname": "10.0.0.2", "user": "op", "proxyjump": "bastion"}),
        ("named", {"hostname": "10.2.2.2", "user": "everybody", "connecttimeout": "77"}),
        ("bastion", {"hostname": "10.1.1.1", "user": "everybody"}),
    ],
)
def test_ones_own_configuration_is_of_what_ssh_would_be_told_without_us(
    ssh: Ssh, node: str, settings: dict[str, str]
) -> None:
    shown = subprocess.check_output(["ssh", "-F", ssh.config, "-G", node], text=True)
    said = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert {name: said.get(name) for name in settings} == settings
    assert ssh.user(node) == settings["user"]


def test_own_defaults_come_last(tmp_path: Path) -> None:
    ssh = write_ssh_config(tmp_path / "config", {"a": {"HostName": "10.0.0.1"}}, sockets=tmp_path)
    shown = subprocess.check_output(["ssh", "-F", ssh.config, "-G", "a"], text=True)
    assert "connecttimeout 5\n" in shown
