from __future__ import annotations

from ipaddress import ip_address

import pytest

from pytest_kubecluster.machines.existing.addresses import (
    InterfaceAddress,
    choose_address,
    parse_address,
)


def addresses(*texts: str) -> list[InterfaceAddress]:
    """Parse addresses such as ``eth0 10.0.0.1/24 secondary``."""
    return [
        parse_address(
            ["2:", interface, "inet6" if ":" in value else "inet", value, "scope", "global", *flags]
        )
        for interface, value, *flags in map(str.split, texts)
    ]


def chosen(*texts: str, reached: str = "", node_ip: str = "", default: str = "eth0") -> str:
    return str(
        choose_address(
            addresses(*texts),
            default_interface=default,
            reached=ip_address(reached) if reached else None,
            node_ip=ip_address(node_ip) if node_ip else None,
        )
    )


@pytest.mark.parametrize(
    "internal",
    [
        "vxlan.calico 10.233.70.128/32",
        "cilium_host 10.0.1.181/32",
        "docker0 172.18.0.1/16",
        "br-0a1b2c3d4e5f 172.19.0.1/16",
        "cni0 10.2.0.1/24",
        "cali0123abcd 10.2.0.2/32",
        "flannel.1 10.2.0.0/32",
        "kube-ipvs0 10.96.0.1/32",
        "kube-bridge 10.2.1.1/24",
        "antrea-gw0 10.10.0.1/24",
        "ovn-k8s-mp0 10.244.0.2/24",
        "podman0 10.88.0.1/16",
        "virbr0 192.168.122.1/24",
        "tailscale0 100.64.0.7/32",
        "wg0 10.8.0.2/24",
        "lo 10.20.0.10/32",
        "nodelocaldns 169.254.25.10/32",
    ],
)
def test_internal_interface_is_not_the_nodes(internal: str) -> None:
    assert chosen("eth0 10.20.0.21/24", internal) == "10.20.0.21"


@pytest.mark.parametrize("interface", ["ens5", "bond0", "br0", "br-ex", "eno1.100", "vmbr0"])
def test_interface_of_a_host(interface: str) -> None:
    assert chosen(f"{interface} 10.20.0.21/24", "docker0 172.18.0.1/16") == "10.20.0.21"


@pytest.mark.parametrize(
    "virtual",
    ["eth0 10.20.0.10/32", "eth0 10.20.0.10/24 secondary", "dummy0 10.20.0.10/32"],
)
def test_virtual_ip_is_not_the_nodes(virtual: str) -> None:
    assert chosen("eth0 10.20.0.11/24", virtual) == "10.20.0.11"
    assert chosen(virtual, "eth0 10.20.0.11/24") == "10.20.0.11"


def test_address_without_a_network_as_clouds_give_it() -> None:
    assert chosen("ens4 10.128.0.2/32", "docker0 172.17.0.1/16") == "10.128.0.2"
    assert chosen("ens4 10.128.0.2/32", "ens4 10.128.0.99/32") == "10.128.0.2"


def test_ssh_reached_one_of_several() -> None:
    several = ("eth0 10.20.0.21/24", "eth1 192.168.50.21/24", "eth2 10.99.0.21/24")
    assert chosen(*several, reached="10.20.0.21") == "10.20.0.21"
    assert chosen(*several, reached="10.99.0.21") == "10.99.0.21"


def test_ssh_over_a_vpn_decides_only_if_the_kubelet_uses_it() -> None:
    machine = ("eth0 10.20.0.21/24", "eth1 192.168.50.21/24", "wg0 10.8.0.2/24")
    assert chosen(*machine, reached="10.8.0.2") == "192.168.50.21"
    assert chosen(*machine, reached="10.8.0.2", node_ip="10.8.0.2") == "10.8.0.2"


def test_machine_of_vagrant_has_its_address_on_the_second_interface() -> None:
    assert chosen("eth0 10.0.2.15/24", "eth1 192.168.56.11/24") == "192.168.56.11"
    calico = ("eth0 10.0.2.15/24", "eth1 192.168.56.11/24", "vxlan.calico 10.233.70.128/32")
    assert chosen(*calico, "eth1 192.168.56.10/32") == "192.168.56.11"


def test_node_ip_decides_if_nothing_else_does() -> None:
    several = ("eth0 10.0.2.15/24", "eth1 192.168.56.11/24", "eth2 10.99.0.21/24")
    assert chosen(*several, node_ip="10.99.0.21") == "10.99.0.21"
    with pytest.raises(ValueError, match=r"cannot tell which address is the node's: 10\.0\.2"):
        chosen(*several, node_ip="10.99.0.1")


@pytest.mark.parametrize(
    ("more", "listed"),
    [
        ("eth2 192.168.1.5/24", "172.17.5.101 on eth1, 192.168.1.5 on eth2"),
        ("eth1 172.17.9.9/24", "172.17.5.101 on eth1, 172.17.9.9 on eth1"),
    ],
)
def test_several_addresses_are_listed(more: str, listed: str) -> None:
    with pytest.raises(ValueError, match=f"10.0.2.15 on eth0, {listed}"):
        chosen("eth0 10.0.2.15/24", "eth1 172.17.5.101/24", more)


def test_no_address_of_its_own() -> None:
    with pytest.raises(ValueError, match=r"no address of its own .* addresses: none"):
        chosen()
    with pytest.raises(ValueError, match=r"addresses: 10\.2\.0\.1 on cni0"):
        chosen("cni0 10.2.0.1/24")


def test_ipv4_comes_first_on_a_dual_stack_machine() -> None:
    dual = ("eth0 10.20.0.21/24", "eth0 2001:db8::21/64", "eth0 2001:db8::f00/64 temporary")
    assert chosen(*dual, reached="2001:db8::21") == "10.20.0.21"


def test_machine_with_ipv6_only() -> None:
    assert chosen("eth0 2001:db8::21/64", "eth0 2001:db8::f00/64 temporary") == "2001:db8::21"
    virtual = ("eth0 2001:db8::21/64", "eth0 2001:db8::10/128 deprecated")
    assert chosen(*virtual) == "2001:db8::21"


def test_line_of_a_point_to_point_interface() -> None:
    words = ["7:", "tun0", "inet", "10.8.0.2", "peer", "10.8.0.1/32", "scope", "global", "tun0"]
    assert str(parse_address(words)) == "10.8.0.2 on tun0"
    with pytest.raises(ValueError, match="no address in"):
        parse_address(["7:", "tun0"])
