"""Which of a machine's addresses is the node's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from pytest_kubecluster.spec.parts import IPAddress

_INTERNAL = re.compile(
    r"(lo|dummy|docker|podman|virbr|lxc|lxdbr|veth|cni|cbr|flannel|cali|vxlan|tunl|weave|cilium|"
    r"antrea|ovn-k8s|genev|gre|ip6tnl|sit|wg|tailscale|zt|nebula|utun|tun|wt|nodelocaldns)"
    r"([^a-z].*)?|br-[0-9a-f]{12}|(kube-|lxc|veth|cali|zt)\w+"
)
"""Loopback, bridges of containers and virtual machines, pod networks, service addresses, VPNs."""


@dataclass(frozen=True)
class InterfaceAddress:
    """An address of a machine."""

    interface: str
    value: IPv4Interface | IPv6Interface
    flags: frozenset[str] = frozenset()
    """What ip(8) prints beside it: ``secondary``, ``deprecated``, ``temporary``."""

    def __str__(self) -> str:
        return f"{self.value.ip} on {self.interface}"

    @property
    def is_alone(self) -> bool:
        """Whether it has no network: the address of a cloud's machine, or a virtual IP."""
        return self.value.network.prefixlen == self.value.max_prefixlen


def parse_address(words: Sequence[str]) -> InterfaceAddress:
    """Parse a line of ``ip -o address show``. Raises ValueError if it has no address."""
    place = next((words.index(family) for family in ("inet", "inet6") if family in words), None)
    if place is None:
        raise ValueError(f"no address in {' '.join(words)!r}")
    return InterfaceAddress(
        words[1].partition("@")[0], ip_interface(words[place + 1]), frozenset(words[place + 2 :])
    )


def node_addresses(addresses: Iterable[InterfaceAddress]) -> list[InterfaceAddress]:
    """Return the addresses that may be the node's own.

    Those are not internal ones, not the virtual IPs of kube-vip or keepalived (alone or secondary
    beside a network's own address), and IPv6 addresses only where there is no IPv4 address.
    """
    known = [
        address
        for address in addresses
        if not _INTERNAL.fullmatch(address.interface)
        and not address.value.ip.is_link_local
        and not address.flags & {"secondary", "deprecated", "temporary"}
    ]
    known = [address for address in known if address.value.version == 4] or known
    if with_network := [address for address in known if not address.is_alone]:
        return with_network
    # A cloud may give a machine an address without a network; the first one is the machine's.
    first: dict[str, InterfaceAddress] = {}
    for address in known:
        first.setdefault(address.interface, address)
    return list(first.values())


def choose_address(
    addresses: Iterable[InterfaceAddress],
    *,
    default_interface: str,
    reached: IPAddress | None,
    node_ip: IPAddress | None,
) -> IPAddress:
    """Return the node's own address.

    That is the only one, or the one that ssh ``reached``, or the only one that does not lead to the
    default gateway (the first interface of Vagrant's machines is Vagrant's own, often with the same
    address on all of them), or else the one that the kubelet has as ``node_ip``. Raises ValueError
    with all addresses if that leaves none or several.
    """
    addresses = list(addresses)
    candidates = node_addresses(addresses)
    known = {candidate.value.ip for candidate in candidates}
    if len(known) == 1:
        return known.pop()
    if reached is not None and (reached in known or reached == node_ip):
        return reached
    private = {c.value.ip for c in candidates if c.interface != default_interface}
    if len(private) == 1:
        return private.pop()
    if node_ip in known and node_ip is not None:
        return node_ip
    if not candidates:
        found = ", ".join(map(str, addresses)) or "none"
        raise ValueError(f"no address of its own was found among its addresses: {found}")
    raise ValueError(f"cannot tell which address is the node's: {', '.join(map(str, candidates))}")
