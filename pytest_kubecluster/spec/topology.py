"""The machines of a cluster: their names, roles and addresses, as in the article."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pytest_kubecluster.spec.model import Role, SpecError
from pytest_kubecluster.spec.parts import IPAddress
from pytest_kubecluster.spec.version import KubeVersion

_FIRST_HOST = {"master": 101, "worker": 201}
"""The article's first addresses: 172.17.5.101 to .103 for masters, .201 for the worker."""


@dataclass(frozen=True)
class Machine:
    """A machine that is to be a node; NO_ADDRESS stands for an address it has not reported yet."""

    name: str
    role: Role
    address: IPAddress
    version: KubeVersion | None = None
    """The version of its kubelet, where that is not the cluster's."""


def article_machines(masters: int, workers: int, network: IPv4Network) -> tuple[Machine, ...]:
    """Return the machines of the article's cluster, of any size. Raises SpecError."""
    if masters < 0 or workers < 0:
        raise SpecError("the number of nodes cannot be negative")
    if masters == 0:
        raise SpecError(
            "a cluster needs at least one master: the kubelets' API server address is a master's"
        )
    roles: list[Role] = ["master" for _ in range(masters)]
    roles += ["worker" for _ in range(workers)]
    numbers = [*range(1, masters + 1), *range(1, workers + 1)]
    addresses = _addresses(masters, workers, network)
    return tuple(
        Machine(f"{role}{number:02}", role, address)
        for role, number, address in zip(roles, numbers, addresses, strict=True)
    )


def _addresses(masters: int, workers: int, network: IPv4Network) -> list[IPv4Address]:
    first, last = network.network_address, network.broadcast_address
    as_in_article = [_FIRST_HOST["master"] + i for i in range(masters)]
    as_in_article += [_FIRST_HOST["worker"] + i for i in range(workers)]
    distinct = len(set(as_in_article)) == masters + workers
    fits = distinct and all(first + n < last for n in as_in_article)
    # The first host of a network is the gateway: Docker's bridge or libvirt's host.
    hosts = as_in_article if fits else list(range(2, 2 + masters + workers))
    if first + hosts[-1] >= last:
        room = max(0, network.num_addresses - 3)
        raise SpecError(
            f"{masters + workers} nodes do not fit into {network}: it has room for {room}; "
            "choose a larger network or fewer nodes"
        )
    return [first + n for n in hosts]
