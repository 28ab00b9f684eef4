"""Writes tests/golden: what a master and a worker of each minor get. Review the changes with git diff.

python -m tests.make_golden
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from pytest_kubecluster.artifacts.certificates import Authority, KeyPair, Request
from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.artifacts.render import render_node
from pytest_kubecluster.layouts import hardened, kubeadm
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.ssh_key import SshKey
from pytest_kubecluster.machines.vm.libvirt import libvirt_plan
from pytest_kubecluster.machines.vm.virtualbox import virtualbox_plan
from pytest_kubecluster.nodes.cis import FAIL, WARN, findings
from pytest_kubecluster.spec.benchmarks import benchmark_for, benchmarks
from pytest_kubecluster.spec.catalog import MINORS
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, DEFAULT_VERSION, LayoutName
from pytest_kubecluster.spec.model import ClusterSpec
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.nodes.conftest import classic_node

GOLDEN = Path(__file__).parent / "golden"
ARTICLE_NETWORK = IPv4Network("172.17.5.0/24")
NODES = {"master": "master01", "worker": "worker01"}
FIRST: Mapping[LayoutName, int] = {"kubeadm": kubeadm.OLDEST, "hardened": hardened.OLDEST}
KEY = SshKey(Path("/state/ssh/id_ed25519"), "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA kubecluster")
PLANS: Mapping[str, Callable[[ClusterSpec, str, SshKey], dict[str, Any]]] = {
    "libvirt": lambda *of: {
        "provider": "libvirt",
        **libvirt_plan(*of, kvm=True, kernel=True, megabytes=2048),
    },
    "libvirt-emulated": lambda *of: {
        "provider": "libvirt",
        **libvirt_plan(*of, kvm=False, kernel=True, megabytes=512),
    },
    "libvirt-box": lambda *of: {
        "provider": "libvirt",
        **libvirt_plan(*of, kvm=True, kernel=False, megabytes=512),
    },
    "virtualbox": lambda *of: {
        "provider": "virtualbox",
        **virtualbox_plan(*of, ignition=None, megabytes=512),
    },
    "virtualbox-flatcar": lambda *of: {
        "provider": "virtualbox",
        **virtualbox_plan(*of, ignition=Path("/state/vagrant/ignition.json"), megabytes=2048),
    },
}


class NoPki(Pki):
    """Keys that are empty, so that they are the same in every run."""

    def issued(self, name: str, request: Request, authority: Authority | None = None) -> KeyPair:
        return KeyPair(b"", b"")


NO_PKI = NoPki(Path(), b"", b"", b"", b"")


def spec_of(minor: str, layout: LayoutName = "classic") -> ClusterSpec:
    """Return the article's cluster with a kubelet of ``minor``; for 1.7, with the article's own."""
    version = KubeVersion.parse(minor)
    if minor == DEFAULT_VERSION.minor_version:
        version = DEFAULT_VERSION
    return cluster_spec(network=ARTICLE_NETWORK, version=version, layout=layout)


def golden_files(minor: str) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each golden file of a minor."""
    spec = spec_of(minor)
    for role, node in NODES.items():
        rendered = render_node(spec, spec[node], NO_PKI)
        yield GOLDEN / minor / f"{role}.service", rendered["kubelet.service"]
        if "kubelet.yaml" in rendered:
            yield GOLDEN / minor / f"{role}.yaml", rendered["kubelet.yaml"]


def layout_files(minor: str) -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each golden file of a minor in the other layouts."""
    for layout in layouts_of(minor):
        spec = spec_of(minor, layout)
        for node in ("master01", "master02", "worker01"):
            for name, content in render_node(spec, spec[node], NO_PKI).items():
                # The others differ from the first master in their addresses alone.
                if content and (node == "master01" or name == "kubeconfig"):
                    yield GOLDEN / minor / layout / node / name, content


def layouts_of(minor: str) -> Iterator[LayoutName]:
    """Yield the layouts beside the article's that have a minor."""
    yield from (
        layout for layout, first in FIRST.items() if KubeVersion.parse(minor).minor >= first
    )


def golden_plans() -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of the bundled Vagrantfile's input for virtual machines."""
    spec = cluster_spec(1, 1)
    for name, plan in PLANS.items():
        made = {
            "boot_timeout": 1800,
            "box": "kubecluster-demo",
            **plan(spec, "kubecluster-demo", KEY),
        }
        yield GOLDEN / "plans" / f"{name}.json", f"{json.dumps(made, indent=1)}\n".encode()


def golden_cis() -> Iterator[tuple[Path, bytes]]:
    """Yield path and content of each layout's list of the CIS checks that do not pass."""
    with tempfile.TemporaryDirectory() as folder:
        pki = ensure_pki(Path(folder) / "pki")
        for layout in BUNDLED_LAYOUTS:
            lines = []
            for name, version in _judged(layout):
                cluster = cluster_spec(1, 1, version=version, layout=layout)
                node = classic_node(cluster, "worker01", Path(folder) / layout / name, pki)
                lines.append(name)
                lines += [
                    f"  {one.check.id} {one.check.name}: {one.status}"
                    for one in findings(node.look())
                    if one.status in (FAIL, WARN)
                ]
            yield GOLDEN / "cis" / f"{layout}.txt", "\n".join([*lines, ""]).encode()


def _judged(layout: LayoutName) -> Iterator[tuple[str, KubeVersion]]:
    """Yield the benchmarks for kubelets that a layout has, and the first such version."""
    for name, benchmark in benchmarks().items():
        version = KubeVersion(1, max(benchmark.first, FIRST.get(layout, 0)), 0)
        if benchmark_for(version).name == name:
            yield name, version


if __name__ == "__main__":
    for minor in MINORS:
        for path, content in (*golden_files(minor), *layout_files(minor)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path, content in (*golden_plans(), *golden_cis()):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
