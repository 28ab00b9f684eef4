from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from pytest_kubecluster.machines.existing.survey import read_survey, survey
from pytest_kubecluster.machines.ssh import Ssh

VIRTUALBOX = """\
user 1000
sudo free
python /usr/bin/python3
python /opt/bin/python
route default via 10.0.2.2 dev eth0 proto dhcp src 10.0.2.15 metric 1024
address 2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global dynamic eth0
address 3: eth1    inet 172.17.5.101/24 brd 172.17.5.255 scope global eth1
address 4: docker0    inet 172.18.0.1/16 brd 172.18.255.255 scope global docker0
address 5: cni0    inet 10.2.0.1/24 scope global cni0
"""
CLOUD = """\
user 0
route default via 10.1.0.1 dev ens5
address 2: ens5    inet 10.1.0.7/20 scope global ens5
"""


def test_a_machine_of_vagrants_has_its_address_on_the_second_interface() -> None:
    seen = read_survey(VIRTUALBOX)
    assert seen.address == IPv4Address("172.17.5.101")
    assert (seen.is_root, seen.free_sudo, seen.python) == (False, True, "/usr/bin/python3")


def test_a_machine_with_one_address_has_that_one() -> None:
    seen = read_survey(CLOUD)
    assert seen.address == IPv4Address("10.1.0.7")
    assert (seen.is_root, seen.free_sudo, seen.python) == (True, False, "")


@pytest.mark.parametrize(
    ("more", "there_are"),
    [
        ("address 9: eth2    inet 192.168.1.5/24 scope global eth2\n", "192.168.1.5 on eth2"),
        ("address 9: eth1    inet 172.17.5.9/24 scope global eth1\n", "172.17.5.9 on eth1"),
    ],
)
def test_several_addresses_are_for_a_person_to_choose_from(more: str, there_are: str) -> None:
    with pytest.raises(ValueError, match=there_are):
        _ = read_survey(VIRTUALBOX + more).address


def test_no_address_is_said() -> None:
    with pytest.raises(ValueError, match="there are: none"):
        _ = read_survey("user 0\n").address


class Here(Ssh):
    """No machine but this one."""

    def run(
        self, node: str, command: Sequence[str], *, timeout: float, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            list(command), input=stdin, capture_output=True, timeout=timeout, check=False
        )


def test_python_that_is_asked_for_comes_first_if_it_is_of_use(tmp_path: Path) -> None:
    here = Here(tmp_path)
    # As Python 3.8 and older, and 2.7, end where they are asked whether they are too old.
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    assert survey(here, "node", sys.executable).python == sys.executable
    assert survey(here, "node", str(old)).python == survey(here, "node").python != str(old)
    assert survey(here, "node", str(tmp_path / "none")).python == survey(here, "node").python
