"""The static pods as the API server shows them: pkg/kubelet/pod/mirror_client.go."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hollow_common.facts import since
from hollow_common.log import log

from hollow_kubelet.api_server import ApiError

if TYPE_CHECKING:
    from hollow_kubelet.api_server import ApiServer
    from hollow_kubelet.node import Node
    from hollow_kubelet.static_pods import StaticPods

MIRROR, HASH = "kubernetes.io/config.mirror", "kubernetes.io/config.hash"
PERIOD = 2.0


class MirrorPods:
    """Keeps a pod in the API for each static pod of the node, as long as that is there."""

    def __init__(self, pods: StaticPods, node: Node) -> None:
        self.pods = pods
        self.node = node
        self.made: dict[tuple[str, str], str] = {}

    def follow(self, api: ApiServer) -> None:
        """Create and delete mirror pods, forever; they need the Node object."""
        while True:
            if self.node.registered:
                self.sync(api)
            time.sleep(PERIOD)

    def sync(self, api: ApiServer) -> None:
        """Create what is missing, and delete what has no static pod any more."""
        wanted = {}
        for pod in self.pods.items() or ():
            metadata = pod["metadata"]
            wanted[metadata["namespace"], metadata["name"]] = pod
        for key, pod in wanted.items():
            digest = pod["metadata"]["annotations"][HASH]
            if self.made.get(key) == digest:
                continue
            if key in self.made:
                self.delete(api, *key)
            self.create(api, key, pod, digest)
        for key in [one for one in self.made if one not in wanted]:
            self.delete(api, *key)

    def create(
        self, api: ApiServer, key: tuple[str, str], pod: dict[str, Any], digest: str
    ) -> None:
        """Create the mirror of a static pod, or take the one that is there."""
        path = f"/api/v1/namespaces/{key[0]}/pods"
        try:
            api.request("POST", path, self.mirror(api, pod, digest))
        except ApiError as error:
            if error.code != 409:
                problem = f"Failed creating a mirror pod for {key[1]}_{key[0]}: {error}"
                log("E", "kubelet.go:1506", problem)
                return
            if self.is_outdated(api, f"{path}/{key[1]}", digest):
                self.delete(api, *key)
                return
        self.made[key] = digest

    @staticmethod
    def is_outdated(api: ApiServer, path: str, digest: str) -> bool:
        """Whether the pod that is there is the mirror of another static pod."""
        try:
            there = api.request("GET", path)
        except ApiError:
            return False
        annotations = there.get("metadata", {}).get("annotations") or {}
        return bool(annotations.get(MIRROR) != digest)

    def delete(self, api: ApiServer, namespace: str, name: str) -> None:
        """Delete a mirror pod."""
        try:
            api.request(
                "DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0}
            )
        except ApiError as error:
            if error.code != 404:
                problem = f"Failed deleting a mirror pod {name}_{namespace}: {error}"
                log("E", "mirror_client.go:88", problem)
                return
        self.made.pop((namespace, name), None)

    def mirror(self, api: ApiServer, pod: dict[str, Any], digest: str) -> dict[str, Any]:
        """Return the mirror of a static pod, from 1.17 on owned by the Node object."""
        given = pod["metadata"]
        kept = ("name", "namespace", "labels")
        metadata = {name: given[name] for name in kept if given.get(name)}
        metadata["annotations"] = {**given["annotations"], MIRROR: digest}
        if since(17):
            node = api.request("GET", f"/api/v1/nodes/{self.node.name}?resourceVersion=0")
            owner = {"apiVersion": "v1", "kind": "Node", "name": self.node.name}
            owner |= {"uid": node.get("metadata", {}).get("uid", ""), "controller": True}
            metadata["ownerReferences"] = [owner]
        spec = {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": pod["spec"]}
        return {**spec, "status": {}}
