"""The first look at a machine that is not ours: who we are there, its Python, its addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.access import BROUGHT, USUAL
from pytest_kubecluster.machines.ssh import Ssh

_SECONDS = 60.0
_PYTHONS = (
    USUAL,
    BROUGHT,
    "/opt/bin/python",
    "/usr/local/bin/python3",
)
# A shell and iproute2 are all that any machine has.
_SCRIPT = """\
echo user $(id -u)
sudo -n true 2>/dev/null && echo sudo free
for path; do
    "$path" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null || continue
    echo python $path && break
done
ip -4 -o route show default | sed 's/^/route /'
ip -4 -o address show scope global | sed 's/^/address /'
"""
_INNER = re.compile(
    r"(docker|br-|cni|cbr|flannel|cali|tunl|kube|virbr|veth|lxc|weave|nodelocaldns)"
)
"""Interfaces that are for what runs on a machine: nobody reaches the machine by their address."""


@dataclass(frozen=True)
class Survey:
    """What a machine says of itself; ``python`` is the path of one that is of use, or nothing."""

    is_root: bool
    free_sudo: bool
    python: str
    addresses: tuple[tuple[str, IPv4Address], ...]
    """Interfaces and their addresses."""
    default_interface: str

    @property
    def address(self) -> IPv4Address:
        """The node's own address.

        That is the one which does not lead to the world, where there is one: Vagrant's first
        interface is its own, behind which all machines may have one address. Raises ValueError
        naming all there are where it cannot be told.
        """
        outer = [pair for pair in self.addresses if not _INNER.match(pair[0])]
        private = [pair for pair in outer if pair[0] != self.default_interface]
        chosen = private or outer
        if len(chosen) != 1:
            there_are = ", ".join(f"{address} on {name}" for name, address in outer) or "none"
            raise ValueError(f"which address is the node's cannot be told; there are: {there_are}")
        return chosen[0][1]


def survey(ssh: Ssh, node: str, python: str = "") -> Survey:
    """Ask a machine that lets us log in, for ``python`` before others. Raises KubeClusterError."""
    command = ["sh", "-c", _SCRIPT, "sh", *filter(None, [python]), *_PYTHONS]
    done = ssh.run(node, command, timeout=_SECONDS)
    return read_survey(done.stdout.decode(errors="replace"))


def read_survey(text: str) -> Survey:
    """Return what the lines say that a machine answered."""
    said = [line.split() for line in text.splitlines() if line.strip()]

    def words(kind: str) -> Iterator[list[str]]:
        return (line[1:] for line in said if line[0] == kind)

    routes = [route[route.index("dev") + 1] for route in words("route") if "dev" in route]
    return Survey(
        is_root=["0"] in words("user"),
        free_sudo=["free"] in words("sudo"),
        python=next((path for (path,) in words("python")), ""),
        addresses=tuple(
            (line[1], IPv4Address(line[line.index("inet") + 1].partition("/")[0]))
            for line in words("address")
            if "inet" in line
        ),
        default_interface=next(iter(routes), ""),
    )


def check_password(ssh: Ssh, node: str, password: str) -> None:
    """See that sudo takes a password. Raises KubeClusterError."""
    command = ["sudo", "-k", "-S", "-p", "", "true"]
    done = ssh.run(node, command, timeout=_SECONDS, stdin=f"{password}\n".encode())
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise KubeClusterError(f"{node}: sudo refuses the password: {said[-1] if said else ''}")
