"""The node's lease, from 1.14 on: k8s.io/component-helpers/apimachinery/lease/controller.go."""

from __future__ import annotations

import time
from typing import Any

from hollow_common.facts import since
from hollow_common.go import SECOND, format_duration
from hollow_common.log import log, structured

from hollow_kubelet.api_server import ApiError, ApiServer

NAMESPACE = "kube-node-lease"
RENEWALS = 0.25
"""How much of the lease's duration passes between two renewals."""
UPDATES = 5
LONGEST_PAUSE = 7.0


class Lease:
    """Keeps the lease of a node fresh."""

    def __init__(self, node: str, seconds: int) -> None:
        self.node = node
        self.seconds = seconds
        version = "v1" if since(17) else "v1beta1"
        self.kind = f"coordination.k8s.io/{version}"
        self.leases = f"/apis/{self.kind}/namespaces/{NAMESPACE}/leases"
        self.latest: dict[str, Any] | None = None

    def follow(self, api: ApiServer) -> None:
        """Renew the lease, forever."""
        while True:
            self.sync(api)
            time.sleep(self.seconds * RENEWALS)

    def sync(self, api: ApiServer) -> None:
        """Renew the lease, creating it if need be."""
        if self.latest is None:
            self.latest = self.ensure(api)
        for _ in range(UPDATES):
            try:
                renewed = self.renewed(api, self.latest)
                self.latest = api.request("PUT", f"{self.leases}/{self.node}", renewed)
                return
            except ApiError as error:
                complain("failed to update node lease", "Failed to update lease", error)
                if error.code == 409:
                    self.latest = self.ensure(api)
                    continue
        self.latest = None

    def ensure(self, api: ApiServer) -> dict[str, Any]:
        """Return the lease, creating it if need be; try until it is there."""
        pause = 0.2
        while True:
            try:
                try:
                    found: dict[str, Any] = api.request("GET", f"{self.leases}/{self.node}")
                except ApiError as error:
                    if error.code != 404:
                        raise
                    found = api.request("POST", self.leases, self.renewed(api, None))
                return found
            except ApiError as error:
                shown = format_duration(round(pause * SECOND))
                if since(21):
                    words = structured("Failed to ensure lease exists, will retry",
                                       err=str(error), interval=shown)  # fmt: skip
                else:
                    words = f"failed to ensure node lease exists, will retry in {shown}, "
                    words += f"error: {error}"
                log("E", "controller.go:136", words)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def renewed(self, api: ApiServer, before: dict[str, Any] | None) -> dict[str, Any]:
        """Return the lease with the time of now, owned by the Node object if that is there."""
        lease = dict(before or {"metadata": {"name": self.node, "namespace": NAMESPACE}})
        lease |= {"kind": "Lease", "apiVersion": self.kind}
        now = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        spec = {"holderIdentity": self.node, "leaseDurationSeconds": self.seconds}
        lease["spec"] = {
            **spec, **(lease.get("spec") or {}), "renewTime": f"{moment}.{int(now % 1 * 1e6):06}Z"
        }  # fmt: skip
        if not lease["metadata"].get("ownerReferences"):
            lease["metadata"] = {**lease["metadata"], **self.owner(api)}
        return lease

    def owner(self, api: ApiServer) -> dict[str, Any]:
        """Return the metadata that make the Node object the owner of the lease."""
        try:
            node = api.request("GET", f"/api/v1/nodes/{self.node}?resourceVersion=0")
        except ApiError as error:
            problem = f"failed to get node {self.node!r} when trying to set owner ref to the node"
            log("E", "controller.go:171", f"{problem} lease: {error}".replace("'", '"', 2))
            return {}
        uid = node.get("metadata", {}).get("uid", "")
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": uid}
        return {"ownerReferences": [owner]}


def complain(words: str, message: str, error: ApiError) -> None:
    """Log a failure in the style of the version."""
    text = structured(message, err=str(error)) if since(21) else f"{words}, error: {error}"
    log("E", "controller.go:178", text)
