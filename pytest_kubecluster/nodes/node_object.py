"""A Node object as the API server has it, parsed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from pytest_kubecluster.spec.parts import Taint


@dataclass(frozen=True)
class Condition:
    """A condition of a node: ``Ready`` is ``True``, ``False`` or ``Unknown``."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    heartbeat: datetime | None = None

    def __str__(self) -> str:
        why = f" ({self.reason}: {self.message})" if self.reason or self.message else ""
        return f"{self.type}={self.status}{why}"


@dataclass(frozen=True)
class NodeObject:
    """A Node object: labels, taints, addresses, version and conditions."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    addresses: tuple[tuple[str, str], ...] = ()
    """Type and value of each, such as ``InternalIP`` and ``10.17.5.101``."""
    kubelet_version: str = ""
    conditions: tuple[Condition, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The whole object."""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> NodeObject:
        """Read the object as the API server returns it."""
        metadata = document.get("metadata") or {}
        spec, status = document.get("spec") or {}, document.get("status") or {}
        return cls(
            metadata.get("name", ""),
            metadata.get("labels") or {},
            metadata.get("annotations") or {},
            tuple(
                Taint(one.get("key", ""), one.get("value") or "", one.get("effect", ""))
                for one in spec.get("taints") or ()
            ),
            bool(spec.get("unschedulable")),
            tuple(
                (one.get("type", ""), one.get("address", ""))
                for one in status.get("addresses") or ()
            ),
            (status.get("nodeInfo") or {}).get("kubeletVersion", ""),
            tuple(map(_condition, status.get("conditions") or ())),
            document,
        )

    @property
    def ready(self) -> bool:
        """Whether the node is Ready."""
        condition = self.condition("Ready")
        return condition is not None and condition.status == "True"

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type; None without one."""
        return next((one for one in self.conditions if one.type == kind), None)

    def addresses_of(self, kind: str) -> tuple[str, ...]:
        """Return the addresses of a type, such as ``InternalIP``."""
        return tuple(address for type_, address in self.addresses if type_ == kind)


def api_time(text: str | None) -> datetime | None:
    """Return a time of the API, which may have a fraction of a second; None for none."""
    if not text:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=int(f"{fraction:0<6}"[:6])) if fraction else moment


def _condition(document: Mapping[str, Any]) -> Condition:
    return Condition(
        document.get("type", ""),
        document.get("status", ""),
        document.get("reason", ""),
        document.get("message", ""),
        api_time(document.get("lastHeartbeatTime")),
    )
