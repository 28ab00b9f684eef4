"""The Node object: its registration and its status."""

from __future__ import annotations

import math
import os
import socket
import time
from typing import Any

from hollow_common.errors import Failure
from hollow_common.facts import since, version
from hollow_common.go import SECOND, is_ip, quote, timestamp
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

from hollow_kubelet.api_server import ApiError, ApiServer
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


class Node:
    """The machine as a Node object: pkg/kubelet/kubelet_node_status.go."""

    def __init__(self, flags: FlagSet) -> None:
        self.flags = flags
        self.name = (flags["hostname-override"] or os.uname().nodename).strip().lower()
        self.registered = False

    def follow(self, api: ApiServer) -> None:
        """Register with the API server and report to it, forever."""
        while True:
            if self.flags["register-node"]:
                self.register(api)
            self.report(api)
            time.sleep(self.flags["node-status-update-frequency"] / SECOND)

    def register(self, api: ApiServer) -> None:
        """Try to register until it works, waiting from 0.1 s on twice as long, at most 7 s."""
        if self.registered:
            return
        pause = 0.1
        while not self.registered:
            time.sleep(pause)
            pause = min(2 * pause, 7.0)
            node = self.initial()
            log("I", "kubelet_node_status.go:82", f"Attempting to register node {self.name}")
            try:
                self.registered = self.create(api, node)
            except ApiError as error:
                problem = f"Unable to register node {quote(self.name)} with API server: {error}"
                log("E", "kubelet_node_status.go:106", problem)
        log("I", "kubelet_node_status.go:85", f"Successfully registered node {self.name}")

    def create(self, api: ApiServer, node: dict[str, Any]) -> bool:
        """Create the Node object, or reuse the existing one if it is this machine's."""
        try:
            api.request("POST", "/api/v1/nodes", node)
            return True
        except ApiError as error:
            if error.code != 409:
                raise
        path = f"/api/v1/nodes/{self.name}"
        existing = api.request("GET", path)
        if since(11) or existing.get("spec", {}).get("externalID") == self.name:
            problem = f"Node {self.name} was previously registered"
            log("I", "kubelet_node_status.go:133", problem)
            return True
        api.request("DELETE", path)
        log("I", "kubelet_node_status.go:157", f"Deleted old node object {quote(self.name)}")
        return False

    def report(self, api: ApiServer) -> None:
        """Send the node's status, trying five times."""
        path = f"/api/v1/nodes/{self.name}"
        for attempt in range(5):
            try:
                self.patch_status(api, path, path if attempt else f"{path}?resourceVersion=0")
                return
            except ApiError as error:
                problem = f"Error updating node status, will retry: {error}"
                log("E", "kubelet_node_status.go:357", problem)
        problem = "Unable to update node status: update node status exceeds retry count"
        log("E", "kubelet_node_status.go:349", problem)

    def patch_status(self, api: ApiServer, path: str, source: str) -> None:
        """Replace the status of the Node object that is there."""
        try:
            node = api.request("GET", source)
        except ApiError as error:
            raise ApiError(f"error getting node {quote(self.name)}: {error}") from None
        status = self.status(node.get("status", {}).get("conditions", ()))
        api.request("PATCH", f"{path}/status", {"status": status}, "strategic-merge-patch+json")

    def initial(self) -> dict[str, Any]:
        """Return the Node object to register."""
        annotations = {}
        if self.flags["enable-controller-attach-detach"]:
            problem = "Setting node annotation to enable volume controller attach/detach"
            log("I", "kubelet_node_status.go:247", problem)
            annotations["volumes.kubernetes.io/controller-managed-attach-detach"] = "true"
        if self.flags["keep-terminated-pod-volumes"]:
            text = "Setting node annotation to keep pod volumes of terminated pods attached to"
            log("I", "kubelet_node_status.go:257", f"{text} the node")
            annotations["volumes.kubernetes.io/keep-terminated-pod-volumes"] = "true"
        status = self.status(())
        if "addresses" in status and is_ip(self.flags["node-ip"]):
            annotations["alpha.kubernetes.io/provided-node-ip"] = self.flags["node-ip"]
        taints = list(self.flags["register-with-taints"])
        if self.flags["cloud-provider"] == "external":
            key = "node.cloudprovider.kubernetes.io/uninitialized"
            taints.append({"key": key, "value": "true", "effect": "NoSchedule", "timeAdded": None})
        spec = {
            "externalID": "" if since(11) else self.name,
            "providerID": self.flags["provider-id"],
            "unschedulable": not self.flags["register-schedulable"],
            "taints": taints,
        }
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "labels": {
                    "beta.kubernetes.io/arch": architecture(),
                    "beta.kubernetes.io/os": "linux",
                    **({"kubernetes.io/arch": architecture()} if since(14) else {}),
                    **({"kubernetes.io/os": "linux"} if since(14) else {}),
                    "kubernetes.io/hostname": self.name,
                    **self.flags["node-labels"],
                },
                "annotations": annotations,
            },
            "spec": {field: value for field, value in spec.items() if value},
            "status": status,
        }

    def status(self, before: Any) -> dict[str, Any]:
        """Return the node's status; ``before`` are the conditions it had."""
        capacity, allocatable = self.resources()
        status = {
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": self.conditions(before),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.flags["port"]}},
            "nodeInfo": {
                "machineID": machine_id(),
                "systemUUID": machine_id(),
                "bootID": boot_id(),
                "kernelVersion": os.uname().release,
                "osImage": os_image(),
                "containerRuntimeVersion": "hollow://",
                "kubeletVersion": version(),
                "kubeProxyVersion": version(),
                "operatingSystem": "linux",
                "architecture": architecture(),
            },
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
        reserved = {"cpu": 0.0, "memory": 0.0}
        for flag in ("kube-reserved", "system-reserved"):
            for name, amount in self.flags[flag].items():
                reserved[name] = reserved.get(name, 0) + parse_quantity(amount)
        if not self.flags["experimental-allocatable-ignore-eviction"]:
            threshold = parse_evictions(self.flags["eviction-hard"]).get("memory.available", "0")
            percent = threshold.endswith("%")
            reserved["memory"] += (
                memory * parse_percentage(threshold) / 100 if percent else parse_quantity(threshold)
            )
        millis = max(0, cores * 1000 - math.ceil(reserved["cpu"] * 1000))
        free = max(0, memory - math.ceil(reserved["memory"]))
        capacity = {"cpu": str(cores), "memory": f"{memory // 1024}Ki", "pods": str(pods)}
        allocatable = {
            "cpu": str(millis // 1000) if millis % 1000 == 0 else f"{millis}m",
            "memory": f"{free // 1024}Ki",
            "pods": str(pods),
        }
        return capacity, allocatable

    def conditions(self, before: Any) -> list[dict[str, str]]:
        """Return the node's conditions; an unchanged one keeps its time of transition."""
        status, reason, message = "True", "KubeletReady", "kubelet is posting ready status"
        if not self.network_ready():
            status, reason = "False", "KubeletNotReady"
            message = f"runtime network not ready: {NETWORK_NOT_READY}"
        now = timestamp()
        changed = {(one["type"], one["status"]): one.get("lastTransitionTime") for one in before}
        absent = ("PIDPressure",) if not since(10) else ("OutOfDisk",) if since(16) else ()
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
        """Return whether the network plugin has the configuration it needs, if any."""
        if self.flags["network-plugin"] != "cni":
            return True
        try:
            names = os.listdir(self.flags["cni-conf-dir"] or "/etc/cni/net.d")
        except OSError:
            return False
        return any(name.endswith((".conf", ".conflist", ".json")) for name in names)
