"""The parts of a node's spec: labels, taints, files, the unit, the identity and the host."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

NO_ADDRESS = IPv4Address("0.0.0.0")
"""Stands for the address of a machine until the machine reports it."""

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_TAINT = re.compile(
    rf"(?P<key>[^=:,]+)(?:=(?P<value>[^=:,]*))?:(?P<effect>{'|'.join(TAINT_EFFECTS)})"
)


@dataclass(frozen=True)
class Label:
    """A node label, as ``--node-labels`` writes it; the role label has no value."""

    key: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.key}={self.value}" if self.value else self.key


@dataclass(frozen=True)
class Taint:
    """A node taint, written ``key=value:effect``; kubelets before 1.15 require the ``=``."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    @classmethod
    def parse(cls, text: str) -> Taint:
        """Read ``key=value:effect``, ``key=:effect`` or ``key:effect``. Raises ValueError."""
        match = _TAINT.fullmatch(text)
        if match is None:
            effects = ", ".join(TAINT_EFFECTS)
            raise ValueError(
                f"invalid taint {text!r}; write it as key=value:effect with one of {effects}"
            )
        return cls(match["key"], match["value"] or "", match["effect"])

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}"


@dataclass(frozen=True)
class FileStatement:
    """A file of the node, or its absence; None stands for a property that is not stated."""

    path: str
    owner: str | None = None
    group: str | None = None
    mode: int | None = None
    digest: str | None = None
    """The SHA-256 of its content, in hexadecimal."""
    content: bytes | None = field(default=None, repr=False)
    """The content itself, where it may be shown in a difference."""
    absent: bool = False
    said_in: str = field(default="", compare=False)


@dataclass(frozen=True)
class UnitStatement:
    """The systemd unit that runs the kubelet; None stands for a property that is not stated."""

    name: str = "kubelet.service"
    path: str | None = None
    drop_ins: tuple[str, ...] | None = None
    """The paths of all drop-in files of this unit; those for all services are not its own."""
    environment_files: tuple[str, ...] | None = None
    text: str | None = None
    """The directives of the unit file, compared by what systemd makes of them."""
    enabled: bool | None = None
    restart_seconds: int | None = None


@dataclass(frozen=True)
class IdentityStatement:
    """Who the kubelet is to the API server, and the kubeconfig that it uses."""

    user: str | None = None
    """The common name of the client certificate."""
    groups: tuple[str, ...] | None = None
    """The organizations of the client certificate, in any order."""
    kubeconfig: str | None = None


@dataclass(frozen=True)
class HostStatement:
    """Facts about the host: demanded (True), not demanded (False), or not stated (None)."""

    resolver: bool | None = None
    """systemd-resolved is active before the kubelet starts, and resolv.conf names a server."""
    no_failed_units: bool | None = None
    """No systemd unit of the node has failed."""
