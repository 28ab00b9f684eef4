from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from pytest_kubecluster.survey import read_survey

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
