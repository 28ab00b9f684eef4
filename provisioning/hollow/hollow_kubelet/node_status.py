"""The status of the Node object: pkg/kubelet/nodestatus/setters.go."""

from __future__ import annotations

import math
import os
import socket
from typing import Any

from hollow_common.errors import Failure
from hollow_common.facts import since, version
from hollow_common.go import is_ip, quote, text_of, timestamp
from hollow_common.log import log
from hollow_common.machine import (
    architecture,
    boot_id,
    local_addresses,
    machine_id,
    memory_bytes,
    os_image,
)
from hollow_common.quantity import parse_percentage, parse_quantity

from hollow_kubelet.flags import FlagSet
from hollow_kubelet.resources import parse_evictions

CONDITIONS = (
    ("OutOfDisk", "KubeletHasSufficientDisk", "kubelet has sufficient disk space available"),
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
NETWORK_NOT_READY = (
    "NetworkReady=false reason:NetworkPluginNotReady "
    "message:docker: network plugin is not ready: cni config uninitialized"
)
HUGE_PAGES = "/sys/kernel/mm/hugepages"


class NodeStatus:
    """Finds out what a Node object says of the machine."""

    def __init__(self, flags: FlagSet, name: str) -> None:
        self.flags = flags
        self.name = name

    def status(self, before: Any) -> dict[str, Any]:
        """Return the node's status; ``before`` are the conditions it had."""
        capacity, allocatable = self.resources()
        info = {
            "machineID": machine_id(),
            "systemUUID": machine_id(),
            "bootID": boot_id(),
            "kernelVersion": os.uname().release,
            "osImage": os_image(),
            "containerRuntimeVersion": "hollow://",
            "kubeletVersion": version(),
            "kubeProxyVersion": "" if since(33) else version(),
            "operatingSystem": "linux",
            "architecture": architecture(),
        }
        status = {
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": self.conditions(before),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.flags["port"]}},
            "nodeInfo": info,
        }
        try:
            status["addresses"] = [
                {"type": "InternalIP", "address": self.address()},
                {"type": "Hostname", "address": self.name},
            ]
        except Failure as error:
            problem = f"Failed to set some node status fields: {error}"
            log("W", "kubelet_node_status.go:951", problem)
        return status

    def address(self) -> str:
        """Return the address the node is reached at."""
        node_ip: str = self.flags["node-ip"]
        if is_ip(node_ip):
            self.check_node_ip(node_ip)
            return node_ip
        if is_ip(self.name):
            return self.name
        try:
            found = socket.getaddrinfo(self.name, None, socket.AF_INET)
        except OSError:
            found = []
        addresses = (str(entry[4][0]) for entry in found)
        return next((one for one in addresses if not one.startswith("127.")), "") or (
            self.default_address()
        )

    def default_address(self) -> str:
        """Return the address of the interface that the default route uses."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("192.0.2.1", 9))  # an address for documentation; nothing is sent
            except OSError:
                problem = "Unable to select an IP."
                raise Failure(
                    f"can't get ip address of node {self.name}. error: {problem}"
                ) from None
            return str(probe.getsockname()[0])

    def check_node_ip(self, node_ip: str) -> None:
        """Require an address of one of this machine's interfaces (validateNodeIP)."""
        problem = ""
        if node_ip.startswith("127.") or node_ip == "::1":
            problem = "nodeIP can't be loopback address"
        elif not is_ip(node_ip, socket.AF_INET):
            problem = "nodeIP must be IPv4 address"
        elif node_ip not in local_addresses():
            problem = f"Node IP: {quote(node_ip)} not found in the host's network interfaces"
        if problem:
            raise Failure(f"failed to validate nodeIP: {problem}")

    def resources(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the machine's capacity, and how much of it pods may use."""
        cores, memory = os.cpu_count() or 1, memory_bytes()
        pods = self.flags["max-pods"]
        if self.flags["pods-per-core"] > 0:
            pods = min(pods, cores * self.flags["pods-per-core"])
        evicting = parse_evictions(self.flags["eviction-hard"])
        reserved = {"cpu": 0.0, "memory": 0.0, "ephemeral-storage": 0.0}
        for flag in ("kube-reserved", "system-reserved"):
            for name, amount in self.flags[flag].items():
                reserved[name] = reserved.get(name, 0) + parse_quantity(amount)
        disk = disk_bytes(self.flags["root-dir"])
        if not self.flags["experimental-allocatable-ignore-eviction"]:
            reserved["memory"] += amount_of(evicting.get("memory.available", "0"), memory)
            reserved["ephemeral-storage"] += amount_of(evicting.get("nodefs.available", "0"), disk)
        millis = max(0, cores * 1000 - math.ceil(reserved["cpu"] * 1000))
        free = max(0, memory - math.ceil(reserved["memory"]))
        capacity = {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": str(pods)}
        allocatable = {
            "cpu": str(millis // 1000) if millis % 1000 == 0 else f"{millis}m",
            "memory": f"{free // 1024}Ki",
            "pods": str(pods),
        }
        if since(8) and disk:
            rest = max(0, disk - math.ceil(reserved["ephemeral-storage"]))
            capacity["ephemeral-storage"] = f"{disk // 1024}Ki"
            allocatable["ephemeral-storage"] = str(rest)
        for size, number in huge_pages().items() if since(10) else ():
            amount = f"{size * number >> 20}Mi" if number else "0"
            capacity[f"hugepages-{size_name(size)}"] = amount
            allocatable[f"hugepages-{size_name(size)}"] = amount
        return capacity, allocatable

    def conditions(self, before: Any) -> list[dict[str, str]]:
        """Return the node's conditions; an unchanged one keeps its time of transition."""
        status, reason, message = "True", "KubeletReady", "kubelet is posting ready status"
        if not self.network_ready():
            status, reason = "False", "KubeletNotReady"
            message = f"runtime network not ready: {NETWORK_NOT_READY}"
        now = timestamp()
        changed = {(one["type"], one["status"]): one.get("lastTransitionTime") for one in before}
        absent = ("PIDPressure",) if not since(10) else ("OutOfDisk",) if since(14) else ()
        found = [(kind, "False", why, text) for kind, why, text in CONDITIONS if kind not in absent]
        return [
            {
                "type": kind,
                "status": state,
                "lastHeartbeatTime": now,
                "lastTransitionTime": changed.get((kind, state)) or now,
                "reason": why,
                "message": text,
            }
            for kind, state, why, text in [*found, ("Ready", status, reason, message)]
        ]

    def network_ready(self) -> bool:
        """Return whether the network plugin has the configuration it needs, if any.

        From 1.24 on the container runtime looks for it. The hollow kubelet has no runtime, so that
        its network is ready.
        """
        if self.flags["network-plugin"] != "cni":
            return True
        try:
            names = os.listdir(self.flags["cni-conf-dir"] or "/etc/cni/net.d")
        except OSError:
            return False
        return any(name.endswith((".conf", ".conflist", ".json")) for name in names)


def amount_of(threshold: str, whole: int) -> float:
    """Return a threshold's amount of the whole, of which it may be a percentage."""
    if threshold.endswith("%"):
        return whole * parse_percentage(threshold) / 100
    return float(parse_quantity(threshold))


def disk_bytes(path: str) -> int:
    """Return the size of the file system that a folder is on, or 0."""
    while path and not os.path.isdir(path):
        path = os.path.dirname(path.rstrip("/"))
    try:
        found = os.statvfs(path or "/")
    except OSError:
        return 0
    return found.f_blocks * found.f_frsize


def huge_pages() -> dict[int, int]:
    """Return how many huge pages of each size in bytes the machine has."""
    try:
        names = os.listdir(HUGE_PAGES)
    except OSError:
        return {}
    found = {}
    for name in sorted(names):
        kibibytes = name.partition("-")[2][:-2]
        number = text_of(f"{HUGE_PAGES}/{name}/nr_hugepages").strip()
        if kibibytes.isdigit():
            found[int(kibibytes) * 1024] = int(number or 0)
    return found


def size_name(size: int) -> str:
    """Return a size of huge pages as resources are named by it."""
    return f"{size >> 30}Gi" if size >= 1 << 30 else f"{size >> 20}Mi"


def changed(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether a status changed in more than its heartbeats (nodeStatusHasChanged)."""

    def comparable(status: dict[str, Any]) -> dict[str, Any]:
        conditions = [
            {name: value for name, value in one.items() if name != "lastHeartbeatTime"}
            for one in status.get("conditions") or ()
        ]
        conditions.sort(key=lambda one: str(one.get("type")))
        return {**{name: before.get(name) for name in now}, **status, "conditions": conditions}

    return comparable(before) != comparable({**before, **now})
