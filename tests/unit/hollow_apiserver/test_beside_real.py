"""The hollow API server beside real ones, request by request.

It needs KUBE_REAL_KUBELETS, a folder with kube-apiserver-vVERSION, or hyperkube-vVERSION up to
1.9, and an etcd on the PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from pytest_kubecluster.kubelet.hollow_apiserver import render_hollow_apiserver
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.hollow_apiserver.support import JSON_PATCH, MERGE, STRATEGIC
from tests.unit.kubelet.hollow.support import (
    REAL_KUBELETS,
    SECONDS,
    Pair,
    client_context,
    eventually,
    free_port,
    write_authority,
    write_pair,
)

FOLDER = Path(REAL_KUBELETS or "/nonexistent")
ETCD = shutil.which("etcd")
REAL = [*FOLDER.glob("kube-apiserver-v*"), *FOLDER.glob("hyperkube-v1.[6-9].*")]
pytestmark = pytest.mark.skipif(
    not REAL or not ETCD, reason="KUBE_REAL_KUBELETS has no real API servers, or there is no etcd"
)

NODE = {
    "kind": "Node",
    "apiVersion": "v1",
    "metadata": {"name": "node1", "labels": {"a": "b"}},
    "spec": {},
    "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.2"}]},
}
MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"x": "1"}}
MAPS = "/api/v1/namespaces/default/configmaps"
NODES = "/api/v1/nodes"
SAR = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
POD = {
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "node1"},
}


class Ask(NamedTuple):
    """A request: of a user, with a body of a media type."""

    method: str
    path: str
    user: str = "admin"
    body: Any = None
    kind: str = "application/json"


RESOURCES = {"verb": "get", "resource": "nodes"}
REQUESTS = [
    Ask("GET", "/healthz", ""), Ask("GET", "/nope/x", "jane"), Ask("GET", "/api/v1/foos"), Ask("GET", "/apis/nope/v1/x"),
    Ask("GET", NODES), Ask("GET", f"{NODES}/nope"), Ask("GET", NODES, "jane"), Ask("GET", NODES, ""),
    Ask("GET", "/metrics", "jane"), Ask("GET", "/api/v1/namespaces/a/secrets/b", "jane"),
    Ask("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "jane"),
    Ask("GET", "/api/v1/namespaces/default/pods/x/log", "jane"), Ask("GET", f"{NODES}/node1/proxy/pods", "jane"),
    Ask("GET", "/api/v1/namespaces/kube-system"),
    Ask("POST", NODES, "node2", NODE), Ask("POST", NODES, "admin", NODE), Ask("POST", NODES, "node1", NODE),
    Ask("GET", f"{NODES}/node1", "node2"), Ask("GET", NODES, "node2"), Ask("DELETE", f"{NODES}/node1", "node2"),
    Ask("PATCH", f"{NODES}/node1", "node1", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}, MERGE),
    Ask("PATCH", f"{NODES}/node1", "node1", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": ""}}}, MERGE),
    Ask("PATCH", f"{NODES}/node1/status", "node2", {"status": {"conditions": []}}, STRATEGIC),
    Ask("PATCH", f"{NODES}/node1", "admin", [{"op": "remove", "path": "/metadata/labels/zz"}], JSON_PATCH),
    Ask("PATCH", f"{NODES}/node1", "admin", [{"op": "test", "path": "/metadata/labels/a", "value": "2"}], JSON_PATCH),
    Ask("PATCH", f"{NODES}/node1", "admin", {"spec": {"taints": [{"key": "a b", "effect": "x"}]}}, MERGE),
    Ask("PUT", NODES, "admin", NODE), Ask("POST", f"{NODES}/node1", "admin", NODE),
    Ask("POST", MAPS, "admin", MAP), Ask("POST", MAPS, "admin", MAP), Ask("GET", f"{MAPS}/a"),
    Ask("PUT", f"{MAPS}/a", "admin", {**MAP, "data": {"x": "2"}}),
    Ask("PUT", f"{MAPS}/a", "admin", {**MAP, "metadata": {"name": "a", "resourceVersion": "1"}}),
    Ask("PUT", f"{MAPS}/a", "admin", {**MAP, "metadata": {"name": "b"}}),
    Ask("PATCH", f"{MAPS}/a", "admin", {"data": {"x": None, "y": "1"}}, MERGE),
    Ask("POST", MAPS, "admin", {**MAP, "metadata": {}}), Ask("POST", MAPS, "admin", {**MAP, "metadata": {"name": "A_b"}}),
    Ask("POST", MAPS, "admin", {**MAP, "metadata": {"name": "z", "namespace": "q"}}),
    Ask("POST", MAPS, "admin", {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}),
    Ask("POST", MAPS, "admin", "{"), Ask("POST", MAPS, "admin", "[]"),
    Ask("POST", MAPS, "admin", {**MAP, "metadata": {"name": "x", "resourceVersion": "5"}}),
    Ask("POST", "/api/v1/namespaces/nope/configmaps", "admin", MAP), Ask("POST", "/api/v1/configmaps", "admin", MAP),
    Ask("DELETE", f"{MAPS}/nope"), Ask("DELETE", f"{MAPS}/a", "admin", {"preconditions": {"uid": "x"}}),
    Ask("GET", f"{MAPS}?labelSelector=a+b"), Ask("GET", f"{MAPS}?fieldSelector=foo=bar"),
    Ask("GET", f"{MAPS}?watch=1&resourceVersion=x"), Ask("DELETE", f"{MAPS}/a"),
    Ask("DELETE", "/api/v1/namespaces/default"), Ask("POST", "/api/v1/namespaces", "admin", {"metadata": {"name": "mine"}}),
    Ask("POST", "/api/v1/namespaces/mine/secrets", "admin", {"metadata": {"name": "s"}, "stringData": {"a": "b"}}),
    Ask("POST", "/api/v1/namespaces/mine/pods", "node1", POD), Ask("GET", f"{SECRETS}/x", "node1"),
    Ask("GET", SECRETS, "node1"), Ask("GET", "/api/v1/secrets", "node1"),
    Ask("POST", SAR, "admin", {"spec": {"user": "jane", "groups": ["system:masters"], "resourceAttributes": RESOURCES}}),
    Ask("POST", SAR, "admin", {"spec": {"user": "jane", "resourceAttributes": RESOURCES}}),
    Ask("POST", SAR, "jane", {"spec": {"user": "jane", "resourceAttributes": RESOURCES}}),
    Ask("POST", SELF, "jane", {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/api"}}}),
    Ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", "jane", {"spec": {"token": "x"}}),
    Ask("GET", f"{NODES}/nope/proxy/pods"), Ask("DELETE", f"{NODES}/node1"),
    Ask("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", "node2"),
]  # fmt: skip
CHANGING = ("uid", "resourceVersion", "selfLink", "creationTimestamp", "managedFields")


class Server(NamedTuple):
    """A server of a version, and the certificates of its users."""

    port: int
    users: dict[str, Pair]

    def answer(self, ask: Ask) -> Any:
        pair = self.users.get(ask.user)
        context = client_context(pair)
        connection = HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=context)
        body = ask.body if isinstance(ask.body, (str, type(None))) else json.dumps(ask.body)
        headers = {"Accept": "application/json", **({"Content-Type": ask.kind} if body else {})}
        connection.request(ask.method, ask.path, body, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        try:
            return response.status, comparable(json.loads(text))
        except ValueError:
            return response.status, text


def comparable(value: Any) -> Any:
    """An answer without what differs from one moment to the next."""
    if isinstance(value, dict):
        kept = {name: comparable(one) for name, one in value.items() if name not in CHANGING}
        return {name: one for name, one in kept.items() if one not in (None, [])}
    if isinstance(value, list):
        return [
            comparable(one) for one in value
            if not isinstance(one, dict) or one.get("key") != "node.kubernetes.io/not-ready"
        ]  # fmt: skip
    if isinstance(value, str):
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UID", value)
    return value


@pytest.fixture(scope="module", params=REAL, ids=lambda path: path.name)
def servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """A real server and a hollow one of its version, each with an etcd of its own."""
    binary: Path = request.param
    folder = tmp_path_factory.mktemp("servers")
    version = KubeVersion.parse("v" + binary.name.partition("-v")[2].replace("_", "+"))
    authority = trustme.CA()
    ca = write_authority(folder, "ca", authority)
    serving = write_pair(folder, "serving", authority.issue_cert("127.0.0.1"))
    users = {
        name: write_pair(
            folder, name, authority.issue_cert("x", common_name=common, organization_name=group)
        )
        for name, common, group in (
            ("admin", "admin", "system:masters"), ("jane", "jane", "people"),
            ("node1", "system:node:node1", "system:nodes"),
            ("node2", "system:node:node2", "system:nodes"),
        )
    }  # fmt: skip
    key, public = folder / "sa.key", folder / "sa.pub"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True, capture_output=True
    )
    hollow = folder / "hollow"
    hollow.write_bytes(render_hollow_apiserver(version))
    old = binary.name.startswith("hyperkube")
    if old:  # it looks at the name it is called by
        (folder / "hyperkube").symlink_to(binary)
    real = [str(folder / "hyperkube"), "apiserver", "--insecure-port=0"] if old else [str(binary)]
    plugins = "--admission-control" if old else "--enable-admission-plugins"
    more = [] if old else ["--service-account-issuer=https://kubernetes", "--disable-admission-plugins=ServiceAccount",
                           f"--service-account-signing-key-file={key}"]  # fmt: skip
    processes: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], name: str, *words: str) -> Server:
        etcd, peer, port = (free_port() for _ in range(3))
        url, peers = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
        with (folder / f"{name}.log").open("wb") as log:
            processes.append(
                subprocess.Popen(
                    [str(ETCD), f"--data-dir={folder / name}-etcd", f"--listen-client-urls={url}",
                     f"--advertise-client-urls={url}", f"--listen-peer-urls={peers}",
                     f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}"],
                    stdout=log, stderr=log,
                )
            )  # fmt: skip
            processes.append(
                subprocess.Popen(
                    [*command, f"--etcd-servers={url}", f"--secure-port={port}", f"--client-ca-file={ca.crt}",
                     f"--tls-cert-file={serving.crt}", f"--tls-private-key-file={serving.key}",
                     "--bind-address=127.0.0.1", "--advertise-address=192.0.2.2",
                     "--service-cluster-ip-range=10.3.0.0/24", "--authorization-mode=Node,RBAC",
                     f"--service-account-key-file={public}", f"{plugins}=NamespaceLifecycle,NodeRestriction",
                     *words],
                    stdout=log, stderr=log, cwd=folder, env={**os.environ, "HOME": str(folder)},
                )
            )  # fmt: skip
        server = Server(port, users)
        process = processes[-1]

        def ready() -> bool:
            assert process.poll() is None, (folder / f"{name}.log").read_text()[-2000:]
            try:
                healthy = server.answer(Ask("GET", "/healthz"))[0] == 200
                # The real one is healthy before its namespaces are there.
                made = server.answer(Ask("GET", "/api/v1/namespaces/kube-system"))[0] == 200
                return bool(healthy and made)
            except OSError:
                return False

        eventually(f"{name} to be ready", ready, 60)
        return server

    try:
        yield start(real, "real", *more), start([sys.executable, str(hollow)], "hollow")
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_answers_are_those_of_the_real_server(servers: tuple[Server, Server]) -> None:
    real, hollow = servers
    answers = [(ask, real.answer(ask), hollow.answer(ask)) for ask in REQUESTS]
    different = [
        f"{ask.user} {ask.method} {ask.path}\n  real   {wanted}\n  hollow {found}"
        for ask, wanted, found in answers
        if wanted != found
    ]
    assert not different, "\n".join(different)
