"""What the controller manager does for nodes: pkg/controller/nodelifecycle.

A node that falls silent becomes Unknown; its conditions become taints; expired tokens are removed.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.go import timestamp
from hollow_common.log import log

from hollow_apiserver.authentication import decoded, expired
from hollow_apiserver.etcd import Compacted, EtcdFailure
from hollow_apiserver.failures import RequestFailure
from hollow_apiserver.kinds import stored
from hollow_apiserver.objects import prepare_new
from hollow_apiserver.seeds import ITSELF

if TYPE_CHECKING:
    from hollow_apiserver.storage import Storage

    Thing = dict[str, Any]

PERIOD = 1.0
NAME = "hollow-controller"
HOLD_SECONDS = 15
COMPACTION_SECONDS = 300.0
SILENT = "NodeStatusUnknown", "Kubelet stopped posting node status."
NEVER = "NodeStatusNeverUpdated", "Kubelet never posted node status."
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
BY_CONDITION = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OURS = {*BY_CONDITION.values(), UNSCHEDULABLE}


def grace_seconds() -> float:
    """Return the default of --node-monitor-grace-period: 50 s from 1.32 on."""
    return 50.0 if since(32) else 40.0


class Lifecycle:
    """Looks after the nodes; of several servers, one does it at a time."""

    def __init__(self, storage: Storage, grace: float = 0.0) -> None:
        """Let a node be silent for ``grace`` seconds, or for the version's default."""
        self.storage = storage
        self.grace = grace or grace_seconds()
        self.identity = str(uuid.uuid4())
        self.heard: dict[str, tuple[Any, float]] = {}
        self.known: set[str] = set()
        self.leading = False
        self.renewal = 0.0
        self.other: tuple[str, float] = ("", 0.0)
        self.revision = 0
        self.compaction = 0.0

    def follow(self) -> None:
        """Look after the nodes, forever."""
        while True:
            try:
                if self.leads():
                    self.look()
                    self.compact()
            except (Compacted, EtcdFailure, RequestFailure) as error:
                log("E", "node_lifecycle_controller.go:597", f"cannot look after nodes: {error}")
            time.sleep(PERIOD)

    def leads(self) -> bool:
        """Whether this server is the one, as client-go/tools/leaderelection decides it."""
        now = time.monotonic()
        if self.leading and now < self.renewal:
            return True
        kind = stored("endpoints")
        mark = "control-plane.alpha.kubernetes.io/leader"
        record = f"{self.identity} {timestamp()}"
        body = {"kind": "Endpoints", "apiVersion": "v1"}
        body["metadata"] = {"name": NAME, "annotations": {mark: record}}  # type: ignore[assignment]
        there = self.storage.find(kind, "kube-system", NAME)
        if there is None:
            made = prepare_new(kind, body, "kube-system", "", ITSELF)
            self.storage.create(kind, "kube-system", made)
            return self.lead(now)
        found = str((there["metadata"].get("annotations") or {}).get(mark, ""))
        if not found.startswith(self.identity):
            if found != self.other[0]:
                self.other = found, now
            if now < self.other[1] + HOLD_SECONDS:
                self.leading = False
                return False

        def renewed(thing: Thing) -> Thing:
            if thing["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
                raise RequestFailure(409, "Conflict", "another server was faster")
            return {**thing, "metadata": {**thing["metadata"], "annotations": {mark: record}}}

        self.storage.update(kind, "kube-system", NAME, renewed)
        return self.lead(now)

    def lead(self, now: float) -> bool:
        """Be the one for some seconds."""
        if not self.leading:
            self.heard = {}
        self.leading, self.renewal = True, now + HOLD_SECONDS / 3
        return True

    def look(self) -> None:
        """Look at every node and token once."""
        nodes = self.storage.list(stored("nodes"))
        leases = {}
        if since(14):
            listed = self.storage.list(stored("leases", "coordination.k8s.io"), "kube-node-lease")
            leases = {one["metadata"]["name"]: one.get("spec", {}) for one in listed}
        for node in nodes:
            name = node["metadata"]["name"]
            if name not in self.known:
                self.known.add(name)
                self.record(node, "RegisteredNode",
                            f"Node {name} event: Registered Node {name} in Controller")  # fmt: skip
            self.look_at(node, leases.get(name, {}).get("renewTime"))
        for name in self.known - {node["metadata"]["name"] for node in nodes}:
            self.known.discard(name)
            self.heard.pop(name, None)
        self.remove_tokens()

    def look_at(self, node: Thing, renewed: Any) -> None:
        """Mark a node that is silent, and make taints of its conditions."""
        name = node["metadata"]["name"]
        status = node.get("status") or {}
        conditions = status.get("conditions") or []
        ready: Thing = next((one for one in conditions if one.get("type") == "Ready"), {})
        sign = renewed, ready.get("lastHeartbeatTime"), ready.get("status")
        now = time.monotonic()
        if self.heard.get(name, (None, 0.0))[0] != sign:
            self.heard[name] = sign, now
        silent = now > self.heard[name][1] + self.grace
        marked = silent_conditions(conditions) if silent else conditions
        taints = with_taints(node, marked) if since(12) else node["spec"].get("taints")
        if marked == conditions and taints == node["spec"].get("taints"):
            return
        log("I", "node_lifecycle_controller.go:1094", f"node {name} changes: silent {silent}")

        def change(thing: Thing) -> Thing:
            if thing["metadata"]["resourceVersion"] != node["metadata"]["resourceVersion"]:
                return thing  # the next look decides
            spec = {key: value for key, value in thing["spec"].items() if key != "taints"}
            spec |= {"taints": taints} if taints else {}
            return {**thing, "spec": spec, "status": {**status, "conditions": marked}}

        self.storage.update(stored("nodes"), "", name, change)
        if marked != conditions and ready.get("status") == "True":
            self.record(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        if marked != conditions:
            self.heard[name] = (renewed, ready.get("lastHeartbeatTime"), "Unknown"), now - 1e6

    def record(self, node: Thing, reason: str, message: str) -> None:
        """Record an event about a node."""
        metadata = node["metadata"]
        now = timestamp()
        event = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{metadata['name']}.{time.time_ns():x}"},
            "involvedObject": {"kind": "Node", "name": metadata["name"], "uid": metadata["uid"]},
            "reason": reason,
            "message": message,
            "source": {"component": "node-controller"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Normal",
        }
        made = prepare_new(stored("events"), event, "default", "", ITSELF)
        self.storage.create(stored("events"), "default", made, 3600)

    def compact(self) -> None:
        """Forget old states of objects: storage/etcd3/compact.go, every five minutes."""
        now = time.monotonic()
        if now < self.compaction:
            return
        self.compaction = now + COMPACTION_SECONDS
        if self.revision:
            self.storage.etcd.compact(self.revision)
        self.revision = self.storage.etcd.range("/", limit=1, keys_only=True).revision

    def remove_tokens(self) -> None:
        """Remove bootstrap tokens that expired: pkg/controller/bootstrap/tokencleaner.go."""
        kind = stored("secrets")
        for secret in self.storage.list(kind, "kube-system"):
            if secret.get("type") == "bootstrap.kubernetes.io/token" and expired(
                decoded(secret).get("expiration", "")
            ):
                self.storage.delete(kind, "kube-system", secret["metadata"]["name"])


def silent_conditions(conditions: list[Thing]) -> list[Thing]:
    """Return the conditions of a node that is silent."""
    kinds = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"]
    found = []
    for one in conditions:
        if one.get("type") in (*kinds, "OutOfDisk") and one.get("status") != "Unknown":
            reason, message = SILENT
            one = {**one, "status": "Unknown", "reason": reason, "message": message}
            one["lastTransitionTime"] = timestamp()
        found.append(one)
    there = {one.get("type") for one in conditions}
    reason, message = NEVER
    now = timestamp()
    return found + [
        {
            "type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        }
        for kind in kinds
        if kind not in there
    ]  # fmt: skip


def with_taints(node: Thing, conditions: list[Thing]) -> list[Thing] | None:
    """Return a node's taints with those that its conditions and its spec make.

    One that is there keeps its place and its time.
    """
    spec = node.get("spec") or {}
    before = spec.get("taints") or []
    states = [(str(one.get("type")), str(one.get("status"))) for one in conditions]
    wanted = [(BY_CONDITION[state], "NoSchedule") for state in states if state in BY_CONDITION]
    wanted += [(UNSCHEDULABLE, "NoSchedule")] if spec.get("unschedulable") else []
    if since(13):
        wanted += [(key, "NoExecute") for key, _ in wanted if key in (NOT_READY, UNREACHABLE)]
    kept = [
        taint
        for taint in before
        if taint.get("key") not in OURS or (taint["key"], taint.get("effect")) in wanted
    ]
    there = {(taint.get("key"), taint.get("effect")) for taint in kept}
    added = [
        {"key": key, "effect": effect, "timeAdded": timestamp()}
        for key, effect in wanted
        if (key, effect) not in there
    ]
    return (kept + added) or None
