"""The pods of --pod-manifest-path: pkg/kubelet/config/file.go and file_linux.go."""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from hollow_common.errors import Failure
from hollow_common.go import GO_TYPES, SECOND, quote, read_file, timestamp
from hollow_common.log import log
from hollow_common.yaml_reader import YamlError, load_yaml_or_json

from hollow_kubelet.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_ISDIR,
    IN_MODIFY,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    Inotify,
)


class StaticPods:
    """The pods of --pod-manifest-path: pkg/kubelet/config/file.go and file_linux.go."""

    def __init__(self, path: str, period: int, node: str) -> None:
        self.path = path
        self.period = period
        self.node = node
        self.pods: dict[str, Any] = {}

    def items(self) -> list[Any] | None:
        """Return the pods, or None without any, as an empty list of Go's has it."""
        return [pod for _, pod in sorted(self.pods.items())] or None

    def follow(self) -> None:
        """Read the path now and after every change, forever."""
        while True:
            try:
                self.watch()
            except Failure as error:
                log("E", "file.go:72", f"unable to read config path {quote(self.path)}: {error}")
            time.sleep(self.period / SECOND)

    def watch(self) -> None:
        """Read the path and follow its changes until it is removed."""
        if not os.path.exists(self.path):
            self.pods = {}
            raise Failure("path does not exist, ignoring")
        created = IN_CREATE | IN_MOVED_TO
        mask = created | IN_MODIFY | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF
        where = ""
        try:
            inotify = Inotify()
            where = f" for path {quote(self.path)}"
            inotify.add(self.path, mask)
        except Failure as error:
            raise Failure(f"unable to create inotify{where}: {error}") from None
        try:
            self.pods = self.read_all()
            while True:
                self.react(*inotify.next())
        finally:
            inotify.close()

    def read_all(self) -> dict[str, Any]:
        """Return the readable pods in the path, a folder or a single file."""
        if os.path.isfile(self.path):
            return {self.path: self.read(self.path)}
        pods = {}
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            if name.startswith(".") or not os.path.isfile(path):
                continue
            try:
                pods[path] = self.read(path)
            except Failure as error:
                problem = f"Can't process config file {quote(path)}: {error}"
                log("I", "file.go:150", problem, level=1)
        return pods

    def react(self, mask: int, path: str) -> None:
        """React to an event in the path."""
        if os.path.basename(path).startswith(".") or mask & IN_ISDIR:
            return
        if mask & IN_DELETE_SELF:
            raise Failure("error while processing event: the watched path is deleted")
        if mask & (IN_DELETE | IN_MOVED_FROM):
            self.pods.pop(path, None)
            return
        try:
            self.pods[path] = self.read(path)
        except Failure as error:
            log("E", "file_linux.go:114", f"can't process config file {quote(path)}: {error}")

    def read(self, path: str) -> dict[str, Any]:
        """Return the pod in a file with what the kubelet adds."""
        data = read_file(path)
        try:
            manifest = load_yaml_or_json(data).value
            kind_problem = wrong_kind(manifest)
            if kind_problem:
                raise Failure(kind_problem)
        except (Failure, YamlError) as error:
            raise Failure(
                f"{path}: couldn't parse as pod({error}), please check config file.\n"
            ) from None
        problems = pod_problems(manifest)
        if problems:
            raise Failure(f"invalid pod: [{', '.join(problems)}]")
        digest = hashlib.sha256(f"host:{self.node}file:{path}".encode() + data).hexdigest()[:32]
        try:
            return static_pod(manifest, self.node, digest)
        except (AttributeError, TypeError, ValueError):
            problem = "json: cannot unmarshal a value into a field of another type"
            raise Failure(
                f"{path}: couldn't parse as pod({problem}), please check config file.\n"
            ) from None


def wrong_kind(manifest: Any) -> str:
    """Return why a document is not a pod."""
    if not isinstance(manifest, dict):
        found = GO_TYPES.get(type(manifest), "number")
        return f"couldn't get version/kind; json parse error: cannot unmarshal {found}"
    kind, version = manifest.get("kind"), manifest.get("apiVersion")
    if not kind or not isinstance(kind, str):
        return "Object 'Kind' is missing"
    if (kind, version) != ("Pod", "v1"):
        return f'no kind "{kind}" is registered for version "{version or ""}"'
    return ""


def pod_problems(manifest: dict[str, Any]) -> list[str]:
    """Return the first problems that validation finds in a pod."""
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    problems = []
    if not isinstance(metadata, dict) or not metadata.get("name"):
        problems.append("metadata.name: Required value: name or generateName is required")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    if not isinstance(containers, list) or not containers:
        return [*problems, "spec.containers: Required value"]
    for index, container in enumerate(containers):
        for field in ("name", "image"):
            if not isinstance(container, dict) or not container.get(field):
                problems.append(f"spec.containers[{index}].{field}: Required value")
    return problems


def static_pod(manifest: dict[str, Any], node: str, digest: str) -> dict[str, Any]:
    """Return a manifest's pod with what the kubelet adds (config/common.go) and API defaults."""
    given, spec = manifest["metadata"], manifest["spec"]
    name, namespace = f"{given['name']}-{node}", given.get("namespace") or "default"
    annotations = {
        **(given.get("annotations") or {}),
        "kubernetes.io/config.hash": digest,
        "kubernetes.io/config.seen": timestamp(),
        "kubernetes.io/config.source": "file",
    }
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
    }
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    return {
        "metadata": {
            **given,
            "name": name,
            "namespace": namespace,
            "selfLink": f"/api/v1/namespaces/{namespace}/pods/{name}",
            "uid": digest,
            "creationTimestamp": None,
            "annotations": annotations,
        },
        "spec": {
            **defaults,
            **spec,
            "containers": [container_with_defaults(one) for one in spec["containers"]],
            "nodeName": node,
            "tolerations": [
                *(spec.get("tolerations") or []),
                {"operator": "Exists", "effect": "NoExecute"},
            ],
        },
        "status": {
            "phase": "Pending",
            "conditions": [{**scheduled, "lastTransitionTime": timestamp()}],
        },
    }


def container_with_defaults(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container with the defaults of the API."""
    _, colon, tag = container["image"].rpartition("/")[2].partition(":")
    latest = not colon or tag == "latest"
    return {
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always" if latest else "IfNotPresent",
        **container,
    }
