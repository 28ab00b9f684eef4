from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hollow_kubelet.api_server import ApiError
from hollow_kubelet.mirror_pods import MirrorPods

from tests.unit.kubelet.hollow.support import Play


class Api:
    """An API server that keeps pods."""

    def __init__(self) -> None:
        self.pods: dict[str, Any] = {}
        self.problem: ApiError | None = None

    def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        if "/nodes/" in path:
            return {"metadata": {"uid": "u"}}
        if self.problem:
            raise self.problem
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.pods:
                raise ApiError("exists", 409)
            self.pods[path] = body
        if path not in self.pods:
            raise ApiError("not found", 404)
        return self.pods.pop(path) if method == "DELETE" else self.pods[path]


class Pods:
    def __init__(self) -> None:
        self.there: list[Any] = []

    def items(self) -> list[Any] | None:
        return self.there or None


class Node:
    name = "node1"
    registered = True


def pod(digest: str) -> dict[str, Any]:
    annotations = {"kubernetes.io/config.hash": digest, "kubernetes.io/config.source": "file"}
    metadata = {
        "name": "web-node1",
        "namespace": "default",
        "uid": digest,
        "annotations": annotations,
    }
    return {"metadata": metadata, "spec": {"nodeName": "node1", "containers": []}, "status": {}}


PATH = "/api/v1/namespaces/default/pods/web-node1"


def mirrors() -> tuple[Any, Any, MirrorPods]:
    api, pods = Api(), Pods()
    node: Any = Node()
    source: Any = pods
    return api, pods, MirrorPods(source, node)


def test_a_static_pod_is_mirrored_as_long_as_it_is_there(play: Play) -> None:
    play(20)
    api, pods, mirror = mirrors()
    pods.there = [pod("a")]
    mirror.sync(api)
    metadata = api.pods[PATH]["metadata"]
    assert metadata["annotations"]["kubernetes.io/config.mirror"] == "a"
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "u", "controller": True}
    ]
    assert "uid" not in metadata
    pods.there = [pod("b")]
    mirror.sync(api)
    assert api.pods[PATH]["metadata"]["annotations"]["kubernetes.io/config.mirror"] == "b"
    pods.there = []
    mirror.sync(api)
    assert api.pods == {}


def test_a_mirror_of_an_earlier_start_is_kept_or_replaced(play: Play) -> None:
    play(16)
    api, pods, mirror = mirrors()
    pods.there = [pod("a")]
    mirror.sync(api)
    assert "ownerReferences" not in api.pods[PATH]["metadata"]
    mirror.made = {}
    mirror.sync(api)
    assert list(mirror.made.values()) == ["a"]
    mirror.made, pods.there = {}, [pod("b")]
    mirror.sync(api)
    mirror.sync(api)
    assert api.pods[PATH]["metadata"]["annotations"]["kubernetes.io/config.mirror"] == "b"


def test_a_failure_is_logged_and_tried_again(play: Play, log_lines: Callable[[], str]) -> None:
    play(20)
    api, pods, mirror = mirrors()
    pods.there = [pod("a")]
    api.problem = ApiError("refused")
    mirror.sync(api)
    assert "Failed creating a mirror pod for web-node1_default: refused" in log_lines()
    api.problem = None
    mirror.sync(api)
    assert PATH in api.pods
