"""A node without a machine: its files below a folder, seen as the agent would see them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.nodes.agent import look, system
from pytest_kubecluster.nodes.agent.options import Options
from pytest_kubecluster.nodes.kubelet import Kubelet
from pytest_kubecluster.spec.launcher import HOST_PROGRAM
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.spec.version import KubeVersion

PID = 4711
ACCOUNT = {
    "Id": "kubelet.service",
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "DropInPaths": "",
    "NeedDaemonReload": "no",
    "MainPID": str(PID),
    "NRestarts": "0",
    "Result": "success",
    "ExecMainStatus": "0",
    "ExecMainStartTimestampMonotonic": "2000000",
    "WantedBy": "multi-user.target",
}


@dataclass
class FakeNode:
    """A node below ``root``, and what else the agent would see of it."""

    spec: NodeSpec
    root: Path
    argv: list[str]
    rendered: dict[str, bytes]
    unit_files: dict[str, str]
    """Paths by kind of file."""
    account: dict[str, str]
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    def write(self, path: str, content: str | bytes, mode: int = 0o600) -> None:
        """Write a file of the node."""
        here = self.root / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        here.write_bytes(content.encode() if isinstance(content, str) else content)
        here.chmod(mode)

    def read(self, path: str) -> str:
        """Return the text of a file of the node."""
        return (self.root / path.lstrip("/")).read_text()

    def seen(self) -> dict[str, Any]:
        """Return what the agent's look would."""
        root = str(self.root)
        options = Options(self.argv, "/", {})
        files = look.configuration(options, root)
        options.add([one["document"] for one in files if "document" in one])
        client_ca = options.path("client-ca-file", "authentication.x509.clientCAFile")
        path = options.path("lock-file")
        program = {"owner": "root", "group": "root", "mode": 0o755, "kind": "file"}
        kubelet = {
            "pid": PID,
            "main": True,
            "argv": self.argv,
            "root": "",
            "program": HOST_PROGRAM,
            "program_file": program,
            "replaced": "",
        }
        folder = {**program, "kind": "directory"}
        seen: dict[str, Any] = {
            "time": time.time(),
            "monotonic": 100.0,
            "hostname": self.spec.name,
            "unit": self.account,
            "resolved": {"ActiveState": "active", "ActiveEnterTimestampMonotonic": "1000000"},
            "resolv_conf": "nameserver 10.0.0.2\n",
            "triggers": {},
            "verify": {"status": 0, "output": ""},
            "failed_units": [],
            "journal": ["Started"],
            "addresses": ["127.0.0.1", "::1", str(self.spec.address)],
            "kubelet": kubelet,
            "kubelets": [{"pid": PID, "argv": self.argv[:3]}],
            "unit_processes": [self.argv[:2]],
            "version": {"text": f"v{self.spec.kubelet.version.number}", "source": "/metrics"},
            "unit_files": {
                path: {"kind_of_file": kind, **(self.describe(path) or {"missing": True})}
                for path, kind in self.unit_files.items()
            },
            "files": {
                **{one.path: self.describe(one.path) for one in self.spec.kubelet.files},
                **{one.path: self.describe(one.path) for one in self.spec.kubelet.own_files},
                **dict.fromkeys(self.folders, folder),
            },
            "configuration": files,
            "kubeconfig": as_root(look.used_kubeconfig(options, root, [])),
            "client_ca": as_root(look.ca_certificates(client_ca, root)),
            "lock_file": {"path": path, "file": {**program, "mode": 0o600}} if path else None,
            "static_pods": {"path": "/etc/kubernetes/manifests", "file": folder, "names": []},
            "ports": {"healthz": 10248, "kubelet": 10250},
            "holders": {"10248": {"pid": PID, "argv": ["kubelet"]}},
            "answers": {
                "healthz": {"status": 200, "body": "ok", "port": 10248},
                "anonymous": {"status": 401, "body": "Unauthorized", "port": 10250},
                "own_healthz": {"status": 200, "body": "ok", "port": 10250},
                "own_pods": {"status": 200, "body": '{"kind": "PodList"}', "port": 10250},
                "own_configz": {"status": 200, "body": self.configz(), "port": 10250},
                **self.answers,
            },
            "problems": {},
        }
        return {**seen, **self.more}

    @property
    def folders(self) -> list[str]:
        """The folders that the article's unit makes."""
        kubelet = self.spec.kubelet
        folder = str(PurePosixPath(kubelet.kubeconfig).parent)
        return [path for path in (folder, kubelet.manifests, kubelet.cni_conf_dir) if path]

    def describe(self, path: str) -> dict[str, Any] | None:
        """Return a file as root's, whoever runs the tests."""
        secret = path.endswith((".key", "kubeconfig"))
        seen: dict[str, Any] | None = as_root(
            system.describe(path, secret=secret, root=str(self.root))
        )
        return seen

    def configz(self) -> str:
        """Return the answer of /configz: the content of the files."""
        document: dict[str, Any] = self.spec.kubelet.configuration
        return json.dumps({"kubeletconfig": document})

    def look(self) -> Kubelet:
        """Return the observation of this node."""
        return Kubelet.parse(self.seen(), self.spec, self.rendered)


def as_root(seen: Any) -> Any:
    """Return files as root's."""
    if isinstance(seen, Mapping):
        found = {key: as_root(value) for key, value in seen.items()}
        return {**found, "owner": "root", "group": "root"} if "owner" in found else found
    return seen


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


def classic_node(cluster: ClusterSpec, name: str, root: Path, pki: Pki) -> FakeNode:
    """Return a node of the bundled layout that is as it must be."""
    spec = cluster[name]
    content = render_node(cluster, spec, pki)
    files = {file.path: content[file.name] for file in spec.kubelet.files}
    unit = spec.kubelet.unit_path
    argv = [HOST_PROGRAM, *spec.kubelet.flags.words()]
    account = {**ACCOUNT, "FragmentPath": unit}
    if spec.kubelet.limits_addresses:
        account["IPAddressDeny"] = "::/0 0.0.0.0/0"
    node = FakeNode(spec, root, argv, files, {unit: "unit"}, account)
    for file in spec.kubelet.files:
        node.write(file.path, files[file.path], file.mode)
    return node


@pytest.fixture
def classic(tmp_path: Path, pki: Pki) -> Callable[..., FakeNode]:
    """Return a node of the bundled layout that is as it must be."""

    def make(
        version: str = "1.30.4",
        role: str = "master",
        change: Callable[[ClusterSpec], ClusterSpec] = lambda cluster: cluster,
    ) -> FakeNode:
        cluster = change(cluster_spec(1, 1, version=KubeVersion.parse(version)))
        return classic_node(cluster, f"{role}01", tmp_path / "root", pki)

    return make
