"""Events about the node: k8s.io/client-go/tools/record."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING

from hollow_common.go import in_background, timestamp
from hollow_common.log import log

from hollow_kubelet.api_server import ApiError

if TYPE_CHECKING:
    from hollow_kubelet.api_server import ApiServer

TRIES = 12
PAUSE = 10.0
KEPT = 100


class Events:
    """Sends events to the API server in the background; one that cannot be sent is dropped."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.waiting: queue.Queue[tuple[str, str, str]] = queue.Queue(KEPT)

    def record(self, reason: str, message: str = "", kind: str = "Normal") -> None:
        """Record an event; without a message it is the node's new state."""
        text = message or f"Node {self.node} status is now: {reason}"
        log("I", "server.go:365", f"Event occurred: {reason}: {text}", level=2)
        if not self.waiting.full():
            self.waiting.put((kind, reason, text))

    def follow(self, api: ApiServer) -> None:
        """Send what is recorded, forever, in a thread."""
        in_background(self.send_all, api)

    def send_all(self, api: ApiServer) -> None:
        """Send events, forever."""
        while True:
            event = self.event(*self.waiting.get())
            for _ in range(TRIES):
                try:
                    api.request("POST", "/api/v1/namespaces/default/events", event)
                    break
                except ApiError as error:
                    if error.code:
                        problem = f"Server rejected event: {error} (will not retry!)"
                        log("E", "event.go:193", problem)
                        break
                    time.sleep(PAUSE)

    def event(self, kind: str, reason: str, message: str) -> dict[str, object]:
        """Return an Event object; its UID is the node's name, as in the real kubelet."""
        now = timestamp()
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": f"{self.node}.{time.time_ns():x}",
                "namespace": "default",
            },
            "involvedObject": {"kind": "Node", "name": self.node, "uid": self.node},
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.node},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": kind,
            "reportingComponent": "kubelet",
            "reportingInstance": self.node,
        }
