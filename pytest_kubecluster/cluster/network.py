"""The networks of this host: which are taken, by whom, and which is free for a cluster."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from ipaddress import IPv4Interface, IPv4Network

import psutil

from pytest_kubecluster.cluster.registry import all_clusters
from pytest_kubecluster.errors import NetworkTakenError
from pytest_kubecluster.machines.preflight import command_output, complain
from pytest_kubecluster.util.process import capture

_SECONDS = 20
_PRIVATE = IPv4Network("10.0.0.0/8")


def check_network(network: IPv4Network) -> None:
    """Check that nothing on this host overlaps ``network``. Raises NetworkTakenError."""
    complain([*_subnet_problems(network)], NetworkTakenError)


def free_network(first: IPv4Network, refused: Collection[IPv4Network] = ()) -> IPv4Network:
    """Return ``first``, or the next network of its size that nothing on this host overlaps.

    ``refused`` are networks that could not be had although nothing was seen to overlap them.
    Returns ``first`` if all of 10.0.0.0/8 after it is taken: booting then names the owner.
    """
    taken = [subnet for subnet, _ in _taken_networks()] + [*refused]
    start, size = int(first.network_address), first.num_addresses
    for number in range(start, int(_PRIVATE.broadcast_address), size):
        network = IPv4Network((number, first.prefixlen))
        if not any(network.overlaps(subnet) for subnet in taken):
            return network
    return first


def _subnet_problems(network: IPv4Network) -> Iterator[str]:
    for subnet, whose in _taken_networks():
        if subnet.overlaps(network):
            yield (
                f"the network {network} overlaps {subnet} of {whose}; "
                "choose another with --kube-network"
            )
            return


def _taken_networks() -> Iterator[tuple[IPv4Network, str]]:
    """Yield the networks of the host's interfaces, of Docker, and of clusters about to boot."""
    with_docker = shutil.which("docker") is not None
    identifiers = (
        command_output(["docker", "network", "ls", "--quiet"]).split() if with_docker else []
    )
    for name, subnet in _docker_subnets(identifiers):
        if name != "bridge":
            yield subnet, f"Docker's network {name}"
    for interface, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family.name == "AF_INET" and address.netmask:
                network = IPv4Interface(f"{address.address}/{address.netmask}").network
                yield network, f"interface {interface}"
    for folder in all_clusters():
        if (record := folder.read()) and record.network:
            yield IPv4Network(record.network), f"cluster {record.name}"


def _docker_subnets(identifiers: Sequence[str]) -> Iterator[tuple[str, IPv4Network]]:
    if not identifiers:
        return
    argv = ["docker", "network", "inspect", *identifiers]
    # One that another run removes meanwhile is an error, beside the answer for all others.
    for network in json.loads(capture(argv, timeout=_SECONDS).stdout or "[]"):
        for config in network["IPAM"]["Config"] or ():
            if "." in config.get("Subnet", ""):
                yield network["Name"], IPv4Network(config["Subnet"])
