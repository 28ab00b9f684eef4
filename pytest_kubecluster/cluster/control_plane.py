"""A cluster's control plane: what masters get, and the wait for API servers and nodes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, Thread
from typing import Any

from pytest_kubecluster.artifacts.bootstrap import BINDINGS, SECRETS, bindings
from pytest_kubecluster.artifacts.control_plane import (
    PlacedFile,
    control_plane_files,
)
from pytest_kubecluster.artifacts.pki import Pki
from pytest_kubecluster.cluster.api_servers import ApiServers, clock_problem
from pytest_kubecluster.cluster.config import Settings
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.kubelet.control_plane import HOLLOW
from pytest_kubecluster.kubelet.hollow_apiserver import render_hollow_apiserver
from pytest_kubecluster.layouts.kubeadm import CERTIFICATE
from pytest_kubecluster.nodes.api_server import ApiError, ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject
from pytest_kubecluster.spec.control_plane import loss_note, signs_certificates
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.spec.parts import Taint
from pytest_kubecluster.spec.translate import ROLE
from pytest_kubecluster.util.parallel import each_in_parallel
from pytest_kubecluster.util.poll import poll
from pytest_kubecluster.util.progress import Progress, count

_SERVER_SECONDS = 60.0
_NODE_SECONDS = 60.0
_NODES = "/api/v1/nodes"
_PAUSE = 0.2
_ADMISSION_SECONDS = 20.0
_TENTHS = "300"
_FINISH = """\
for _ in $(seq "$2"); do
    [ ! -s "$1" ] || exec rm -f "$3"
    sleep 0.1
done
exit 1
"""
"""Removes a bootstrap kubeconfig as soon as there is a certificate, as ``kubeadm join`` does."""


def files_of_masters(
    spec: ClusterSpec, settings: Settings, pki: Pki
) -> Mapping[str, Sequence[PlacedFile]]:
    """Return the files of the control plane by master; none where the cluster has none."""
    plane = spec.control_plane
    if plane is None:
        return {}
    binaries = settings.control_plane_binaries
    commands = binaries.commands if binaries else HOLLOW
    programs = []
    if plane.hollow:
        content = render_hollow_apiserver(plane.version)
        programs = [PlacedFile(HOLLOW["kube-apiserver"], content, 0o755)]
    return {
        node.name: [*control_plane_files(spec, node, pki, commands), *programs]
        for node in spec.masters
    }


def place_programs(settings: Settings, folder: Path) -> None:
    """Copy real programs into the folder that nodes see, where they are not there."""
    binaries = settings.control_plane_binaries
    for name, file in binaries.files if binaries else ():
        placed = folder / name
        if not placed.exists() or placed.stat().st_mtime_ns != file.stat().st_mtime_ns:
            fresh = placed.with_name(f".{name}")
            shutil.copy2(file, fresh)
            fresh.replace(placed)


@dataclass(frozen=True)
class ControlPlane:
    """The control plane of a cluster that is up: its API servers, asked by an administrator."""

    spec: ClusterSpec
    pki: Pki
    kubeconfig: Path
    nodes: Sequence[Node]
    progress: Progress

    @cached_property
    def _server(self) -> ApiServer:
        """The API server that kubelets use."""
        return ApiServer(self.kubeconfig, ours=True)

    def wait_for_api_servers(self, deadline: float) -> None:
        """Wait until every master's API server answers. Raises KubeClusterError with why not."""
        masters = [node for node in self.nodes if node.spec.is_master]
        servers = ApiServers(self.spec, self.pki, self.kubeconfig, masters)
        servers.wait(self._seconds(_SERVER_SECONDS, deadline))

    def admit(self) -> None:
        """Let nodes join: create the access that a kubelet without a certificate needs.

        Raises KubeClusterError while the API server cannot create it.
        """
        server = self._server
        if signs_certificates(self.spec):
            for binding in bindings():
                _ensure(server, BINDINGS, binding)
        if any(node.spec.kubelet.bootstrap_kubeconfig for node in self.nodes):
            _ensure(server, SECRETS, self.pki.bootstrap_token().document())

    @contextmanager
    def admitting(self) -> Iterator[None]:
        """Admit nodes as soon as an API server answers, in the meantime."""
        ended = Event()

        def admit() -> None:
            while not ended.is_set():
                with suppress(KubeClusterError):
                    self.admit()
                    return
                ended.wait(_PAUSE)

        thread = Thread(target=admit, daemon=True)
        thread.start()
        try:
            yield
            thread.join(_ADMISSION_SECONDS)
        finally:
            ended.set()

    def finish_joining(self) -> None:
        """Take from joined nodes what they joined with, and forget the token once all have."""
        joining = [node for node in self.nodes if node.spec.kubelet.bootstrap_kubeconfig]
        usable = [node for node in joining if not node.access.problem]

        def finish(node: Node) -> bool:
            words = ["sh", "-c", _FINISH, "finish", CERTIFICATE, _TENTHS]
            done = node.run(*words, node.spec.kubelet.bootstrap_kubeconfig)
            return bool(done.rc == 0)

        joined = each_in_parallel(finish, usable, limit=max(1, len(usable)))
        if joining and len(usable) == len(joining) and all(joined):
            with suppress(KubeClusterError):  # it expires
                self._server.delete(self.pki.bootstrap_token().path)

    def wait_for_nodes(self, deadline: float) -> str:
        """Mark the nodes as an operator does, wait until all are Ready, and say how many are.

        A node that is not Ready in time is warned of: the tests that judge its Node object fail.
        """
        server = self._server
        usable = {node.name: node for node in self.nodes if not node.access.problem}
        wanted = [node.spec for node in usable.values()]
        marked: set[str] = set()
        ready: dict[str, bool] = {}

        def all_ready() -> bool:
            objects = map(NodeObject.parse, server.get(_NODES)["items"])
            registered = {one.name: one for one in objects}
            ready.update({name: one.ready for name, one in registered.items()})
            for node in wanted:
                if (name := node_name(node)) in registered and name not in marked:
                    mark(server, node, registered[name])
                    marked.add(name)
            return all(ready.get(node_name(node)) for node in wanted)

        def ready_in_time() -> bool:
            # While etcd elects a leader, a request may fail.
            with suppress(KubeClusterError):
                return all_ready()
            return False

        poll(ready_in_time, self._seconds(_NODE_SECONDS, deadline), every=0.2)
        for node in wanted:
            if not ready.get(node_name(node)):
                state = "is not Ready" if node_name(node) in ready else "has not registered"
                clock = clock_problem(usable[node.name])
                why = f": {clock}" if clock else ""
                self.progress.warn(f"{node.name} {state} at the API server {server.url}{why}")
        up = sum(bool(ready.get(node_name(node))) for node in wanted)
        note = loss_note(self.spec)
        return f"{up} of {count(len(wanted), 'node')} Ready{f'; {note}' if note else ''}"

    def _seconds(self, most: float, deadline: float) -> float:
        factor = max((node.access.timeout_factor for node in self.nodes), default=1.0)
        return max(1.0, min(most * factor, deadline - time.monotonic()))


def _ensure(server: ApiServer, collection: str, document: Mapping[str, Any]) -> None:
    """Create an object, or change the one of the same name into it."""
    try:
        server.create(collection, document)
    except ApiError as error:
        if not error.exists:
            raise
        server.patch(f"{collection}/{document['metadata']['name']}", document)


def node_name(node: NodeSpec) -> str:
    """Return the name of a node's Node object."""
    return node.kubelet.hostname or node.name


def mark(server: ApiServer, node: NodeSpec, seen: NodeObject) -> None:
    """Set the labels and taints that the node's kubelet does not set itself, as an operator does.

    Raises KubeClusterError, also if the object has changed since it was ``seen``.
    """
    if change := marks(node, seen):
        server.patch(f"{_NODES}/{node_name(node)}", change)


def marks(node: NodeSpec, seen: NodeObject) -> dict[str, Any]:
    """Return a merge patch with the labels and taints that a Node object lacks; empty without any.

    Those of a role that the node had before, of another version or layout, are taken away.
    """
    kubelet = node.kubelet
    labels: dict[str, str | None] = dict(kubelet.labels_for_the_api)
    taints = (*map(Taint.parse, kubelet.node_taints), *kubelet.api_taints)
    stale_taints: set[Taint] = set()
    if kubelet.bundled:
        wanted = kubelet.node_labels.keys() | labels.keys()
        labels |= {key: None for key in seen.labels if key.startswith(ROLE) and key not in wanted}
        stale_taints = {
            one for one in seen.taints if one.key.startswith(ROLE) and one not in taints
        }
    metadata: dict[str, Any] = {"labels": labels} if labels else {}
    missing = [taint for taint in kubelet.api_taints if taint not in seen.taints]
    if not missing and not stale_taints:
        return {"metadata": metadata} if metadata else {}
    there = zip(seen.taints, (seen.document.get("spec") or {}).get("taints") or (), strict=True)
    kept = [document for taint, document in there if taint not in stale_taints]
    new = [{"key": one.key, "value": one.value, "effect": one.effect} for one in missing]
    # The list is replaced as a whole, and controllers change it, too.
    metadata["resourceVersion"] = seen.document["metadata"]["resourceVersion"]
    return {"metadata": metadata, "spec": {"taints": [*kept, *new]}}
