"""A hollow API server in this process, and what tests ask it."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

from hollow_apiserver.etcd import Etcd
from hollow_apiserver.options import FlagSet
from hollow_apiserver.program import build, prepare
from hollow_common.facts import FACTS
from hollow_common.tls import Client

from tests.unit.hollow_apiserver.fake_etcd import FakeEtcd

ADMIN = Client("kubernetes-admin", ("system:masters",))
NODE1 = Client("system:node:node1", ("system:nodes",))
NODE2 = Client("system:node:node2", ("system:nodes",))
JANE = Client("jane")
NOBODY = Client()
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
TOKEN = "abcdef.0123456789abcdef"
SECRETS = "/api/v1/namespaces/kube-system/secrets"
SIGNING = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


def usual_flags(minor: int) -> list[str]:
    """Return the flags of a server of a minor that admits and authorizes as on a master."""
    plugins = "enable-admission-plugins" if minor >= 10 else "admission-control"
    tokens = "enable" if minor >= 8 else "experimental"
    return [
        "--authorization-mode=Node,RBAC",
        f"--{plugins}=NodeRestriction",
        f"--{tokens}-bootstrap-token-auth",
        "--advertise-address=192.0.2.1",
    ]


class Got(NamedTuple):
    """An answer."""

    status: int
    body: Any


class Cluster:
    """The API of one cluster."""

    def __init__(self, etcd: FakeEtcd, *words: str) -> None:
        self.etcd = etcd
        flags = FlagSet()
        flags.parse([*usual_flags(FACTS["minor"]), f"--etcd-servers={etcd.url}", *words])
        self.server = build(flags, Etcd(flags["etcd-servers"], None))
        prepare(flags, self.server)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: Client = ADMIN,
        kind: str = "application/json",
        accept: str = "application/json",
        token: str = "",
        **headers: str,
    ) -> Got:
        sent = Message()
        sent["Accept"] = accept
        if body is not None:
            sent["Content-Type"] = kind
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        data = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        answer = self.server.answer(method, path, sent, data, who, token)
        if answer.stream:
            return Got(answer.status, answer.stream)
        try:
            return Got(answer.status, json.loads(answer.body))
        except ValueError:
            return Got(answer.status, answer.body)

    def get(self, path: str, who: Client = ADMIN, **more: Any) -> Got:
        return self.ask("GET", path, who=who, **more)

    def post(self, path: str, body: Any, who: Client = ADMIN, **more: Any) -> Got:
        return self.ask("POST", path, body, who, **more)

    def patch(self, path: str, body: Any, kind: str = MERGE, who: Client = ADMIN) -> Got:
        return self.ask("PATCH", path, body, who, kind)

    def watch(self, path: str, who: Client = ADMIN, **more: Any) -> Iterator[dict[str, Any]]:
        got = self.ask("GET", path, who=who, **more)
        assert got.status == 200, got.body
        return (json.loads(line) for line in got.body(lambda: False))


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": name, **({"labels": labels} if labels else {})},
        "spec": spec,
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.11"}],
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"kubeletVersion": "v1.20.2", "osImage": "Debian", "kernelVersion": "6.1",
                         "containerRuntimeVersion": "hollow://"},
        },
    }  # fmt: skip


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": data}


def signing_request(folder: Path, subject: str, extra: str = "") -> bytes:
    """A certificate signing request, made by openssl."""
    words = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
             "-nodes", "-keyout", str(folder / "key"), "-subj", subject]  # fmt: skip
    words += ["-addext", f"subjectAltName={extra}"] if extra else []
    return subprocess.run(words, capture_output=True, check=True).stdout


def token_secret(**changes: str) -> dict[str, object]:
    data = {
        "token-id": "abcdef", "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true",
        "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token", **changes,
    }  # fmt: skip
    return {
        "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


def soon(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
