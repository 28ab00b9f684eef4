"""The Node object: its registration and its reports (pkg/kubelet/kubelet_node_status.go)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import SECOND, in_background, is_ip, quote
from hollow_common.log import log
from hollow_common.machine import architecture

from hollow_kubelet.api_server import ApiError, ApiServer
from hollow_kubelet.events import Events
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.lease import Lease
from hollow_kubelet.node_status import NodeStatus, changed

if TYPE_CHECKING:
    from collections.abc import Mapping

STRATEGIC = "strategic-merge-patch+json"
ATTACH = "volumes.kubernetes.io/controller-managed-attach-detach"
KEEP = "volumes.kubernetes.io/keep-terminated-pod-volumes"
PROVIDED_IP = "alpha.kubernetes.io/provided-node-ip"
DEFAULT_LABELS = (
    "kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch", "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
    "node.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)  # fmt: skip
"""The labels that a restarted kubelet sets again on its Node: updateDefaultLabels."""


class Node:
    """The machine as a Node object."""

    def __init__(self, flags: FlagSet, settings: Mapping[str, Any] | None = None) -> None:
        """Take the flags, and the fields of the configuration that have none."""
        self.flags = flags
        self.settings = settings or {}
        self.name = (flags["hostname-override"] or os.uname().nodename).strip().lower()
        self.registered = False
        self.reported = 0.0
        self.facts = NodeStatus(flags, self.name)
        self.events = Events(self.name)

    def follow(self, api: ApiServer) -> None:
        """Register with the API server and report to it, forever."""
        self.events.follow(api)
        self.events.record("Starting", "Starting kubelet.")
        if since(14):
            seconds = self.settings.get("nodeLeaseDurationSeconds") or 40
            in_background(Lease(self.name, seconds).follow, api)
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
            self.record(node["status"]["conditions"], ())
            return True
        except ApiError as error:
            if error.code != 409:
                raise
        path = f"/api/v1/nodes/{self.name}"
        existing = api.request("GET", path)
        if since(11) or existing.get("spec", {}).get("externalID") == self.name:
            problem = f"Node {self.name} was previously registered"
            log("I", "kubelet_node_status.go:133", problem)
            self.reconcile(api, path, node["metadata"], existing.get("metadata", {}))
            return True
        api.request("DELETE", path)
        log("I", "kubelet_node_status.go:157", f"Deleted old node object {quote(self.name)}")
        return False

    def reconcile(
        self, api: ApiServer, path: str, mine: dict[str, Any], there: dict[str, Any]
    ) -> None:
        """Set what an existing Node object has to have of this kubelet: its default labels.

        Until 1.7 it is the annotation about attaching volumes alone.
        """
        labels = {
            name: value
            for name, value in mine["labels"].items()
            if name in DEFAULT_LABELS and since(8)
            if (there.get("labels") or {}).get(name) != value
        }
        annotations = {}
        if mine["annotations"].get(ATTACH) != (there.get("annotations") or {}).get(ATTACH):
            annotations[ATTACH] = mine["annotations"].get(ATTACH)
            enabled = str(ATTACH in mine["annotations"]).lower()
            text = f"Controller attach-detach setting changed to {enabled}; updating existing Node"
            log("I", "kubelet_node_status.go:192", text)
        metadata = {"labels": labels, "annotations": annotations}
        patch = {"metadata": {name: value for name, value in metadata.items() if value}}
        if patch["metadata"]:
            api.request("PATCH", f"{path}/status", patch, STRATEGIC)

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
        """Replace the status of the Node object that is there.

        From 1.14 on, an unchanged one is sent again only after nodeStatusReportFrequency.
        """
        try:
            node = api.request("GET", source)
        except ApiError as error:
            raise ApiError(f"error getting node {quote(self.name)}: {error}") from None
        before = node.get("status", {})
        status = self.facts.status(before.get("conditions", ()))
        self.record(status["conditions"], before.get("conditions", ()))
        now = time.monotonic()
        pause = (self.settings.get("nodeStatusReportFrequency") or 60 * SECOND) / SECOND
        if since(14) and now < self.reported + pause and not changed(before, status):
            return
        api.request("PATCH", f"{path}/status", {"status": status}, STRATEGIC)
        self.reported = now

    def record(self, conditions: Any, before: Any) -> None:
        """Record the events of conditions that changed."""
        known = {one["type"]: one["status"] for one in before}
        for one in conditions:
            kind, state = one["type"], one["status"]
            if kind == "Ready" and known.get(kind, state) != state:
                self.events.record("NodeReady" if state == "True" else "NodeNotReady")
            elif kind != "Ready" and known.get(kind) != state:
                self.events.record(one["reason"].replace("Kubelet", "Node", 1))

    def initial(self) -> dict[str, Any]:
        """Return the Node object to register."""
        annotations = {}
        if self.flags["enable-controller-attach-detach"]:
            problem = "Setting node annotation to enable volume controller attach/detach"
            log("I", "kubelet_node_status.go:247", problem)
            annotations[ATTACH] = "true"
        if self.flags["keep-terminated-pod-volumes"]:
            text = "Setting node annotation to keep pod volumes of terminated pods attached to"
            log("I", "kubelet_node_status.go:257", f"{text} the node")
            annotations[KEEP] = "true"
        status = self.facts.status(())
        external = self.flags["cloud-provider"] == "external"
        told = "addresses" in status and is_ip(self.flags["node-ip"])
        if told and (external or not since(8)):
            annotations[PROVIDED_IP] = self.flags["node-ip"]
        spec = {
            "externalID": "" if since(11) else self.name,
            "providerID": self.flags["provider-id"],
            "unschedulable": not self.flags["register-schedulable"],
            "taints": self.taints(),
        }
        return {
            "kind": "Node",
            "apiVersion": "v1",
            "metadata": {
                "name": self.name,
                "labels": {**self.own_labels(), **self.flags["node-labels"]},
                "annotations": annotations,
            },
            "spec": {field: value for field, value in spec.items() if value},
            "status": status,
        }

    def own_labels(self) -> dict[str, str]:
        """Return the labels that the version sets by itself."""
        labels = {
            "beta.kubernetes.io/arch": architecture(),
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/hostname": self.name,
        }
        if since(14):
            labels |= {"kubernetes.io/arch": architecture(), "kubernetes.io/os": "linux"}
        return labels

    def taints(self) -> list[dict[str, Any]]:
        """Return the taints to register with."""
        taints = list(self.flags["register-with-taints"])
        if since(12) and not self.flags["register-schedulable"]:
            taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
        if self.flags["cloud-provider"] == "external":
            key = "node.cloudprovider.kubernetes.io/uninitialized"
            taints.append({"key": key, "value": "true", "effect": "NoSchedule", "timeAdded": None})
        return taints
