"""Clusters whose nodes have a layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from ipaddress import IPv4Network
from typing import Any

from pytest_kubecluster.layouts import hardened, kubeadm
from pytest_kubecluster.layouts.classic import classic_kubelet
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.layouts.hardened import hardened_kubelet
from pytest_kubecluster.layouts.kubeadm import kubeadm_kubelet
from pytest_kubecluster.spec.defaults import (
    BUNDLED_LAYOUTS,
    DEFAULT_NETWORK,
    DEFAULT_VERSION,
    LayoutName,
)
from pytest_kubecluster.spec.launcher import launcher_for
from pytest_kubecluster.spec.model import ClusterSpec, ControlPlaneSpec, KubeletSpec, NodeSpec
from pytest_kubecluster.spec.parts import NO_ADDRESS
from pytest_kubecluster.spec.topology import Machine, article_machines
from pytest_kubecluster.spec.translate import Change
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion

OLDEST_OF: Mapping[LayoutName, int] = {
    "classic": OLDEST,
    "kubeadm": kubeadm.OLDEST,
    "hardened": hardened.OLDEST,
    "found": OLDEST,
}
"""The first minor that each layout has."""


def cluster_spec(
    masters: int = 3,
    workers: int = 1,
    network: IPv4Network = DEFAULT_NETWORK,
    version: KubeVersion = DEFAULT_VERSION,
    *,
    layout: LayoutName = "classic",
    cgroup_v1: bool = False,
    swap: bool = False,
) -> ClusterSpec:
    """Describe the article's cluster, of any size and layout.

    ``masters`` and ``workers`` are counts; master01 has host 101 of ``network`` and worker01 host
    201, as in the article, unless the network is too small for that: then nodes fill it from its
    start. ``cgroup_v1`` and ``swap`` allow the kubelets to run on a host that has these. Raises
    SpecError where that is impossible.
    """
    machines = article_machines(masters, workers, network)
    return spec_of(machines, network, version, layout=layout, cgroup_v1=cgroup_v1, swap=swap)


def spec_of(
    machines: Sequence[Machine],
    network: IPv4Network | None,
    version: KubeVersion,
    *,
    layout: LayoutName = "classic",
    cgroup_v1: bool = False,
    swap: bool = False,
) -> ClusterSpec:
    """Describe the cluster whose nodes are ``machines``, masters first, all of one layout.

    The other parameters are those of ``cluster_spec``.
    """
    nodes: list[NodeSpec] = []
    for machine in sorted(machines, key=lambda machine: machine.role):
        first = machine.role == "master" and not nodes
        kubelet = default_kubelet(layout, machine, machine.version or version, first=first)
        kubelet = replace(kubelet, cgroup_v1=cgroup_v1, swap=swap)
        nodes.append(NodeSpec(machine.name, machine.role, machine.address, kubelet))
    spec = ClusterSpec(tuple(nodes), network, version, launcher_for(version).image_url)
    # kubeadm's API server is that of the master of kubeadm init, on its own port.
    return replace(spec, **_KUBEADM_API_SERVER) if layout == "kubeadm" else spec


def with_layout(spec: ClusterSpec, layout: LayoutName) -> ClusterSpec:
    """Return the same machines and version in another layout, for the hook that changes the spec.

    Whatever else was changed before is as the layout has it: call this first. Raises SpecError for
    a version that the layout does not have.
    """
    machines = [Machine(node.name, node.role, node.address) for node in spec]
    kubelet = spec.nodes[0].kubelet
    other = spec_of(
        machines,
        spec.network,
        spec.version,
        layout=layout,
        cgroup_v1=kubelet.cgroup_v1,
        swap=kubelet.swap,
    )
    return with_control_plane(
        replace(other, api_server_url=spec.api_server_url), spec.control_plane
    )


_BOOTSTRAP: Mapping[LayoutName, str] = {
    "kubeadm": kubeadm.BOOTSTRAP,
    "hardened": hardened.BOOTSTRAP,
}


_BOOTSTRAP_SINCE = 11
"""In 1.10 the kubelet keeps its first certificate where it rotates none (seen with 1.10.5)."""
_JOINS = Change(
    "--bootstrap-kubeconfig set",
    "the node joins with a token, and asks for its certificate",
    "Kubernetes docs: TLS bootstrapping",
)


def with_control_plane(spec: ClusterSpec, plane: ControlPlaneSpec | None) -> ClusterSpec:
    """Return a cluster whose masters run a control plane, or none.

    Nodes whose layout has a certificate that the kubelet rotates then get it by TLS bootstrap: in
    ``kubeadm`` those that join, in ``hardened`` all, as no API server needs a kubelet here.
    """
    spec = replace(spec, control_plane=plane)
    if plane is None or not plane.tls_bootstrap:
        return spec
    return spec.with_kubelets(_bootstrapped)


def _bootstrapped(kubelet: KubeletSpec) -> KubeletSpec:
    rotated = any(file.rotated for file in kubelet.files)
    if not rotated or kubelet.version.minor < _BOOTSTRAP_SINCE:
        return kubelet
    # kubeadm's unit has the flag in any case.
    changes = () if kubelet.base else (_JOINS,)
    return replace(
        kubelet,
        bootstrap_kubeconfig=_BOOTSTRAP[kubelet.layout],
        more_changes=(*kubelet.more_changes, *changes),
    )


_KUBEADM_API_SERVER: Mapping[str, Any] = {"api_server_port": 6443, "api_server_master": 1}


def default_kubelet(
    layout: LayoutName, machine: Machine, version: KubeVersion, *, first: bool = False
) -> KubeletSpec:
    """Return the kubelet of a layout on a machine; ``first`` is the cluster's first master.

    Raises SpecError for a version that the layout does not have.
    """
    if layout == "kubeadm":
        return kubeadm_kubelet(machine, version, first=first)
    if layout == "hardened":
        return hardened_kubelet(machine, version)
    return found_kubelet(version) if layout == "found" else classic_kubelet(machine, version)


def completed(node: NodeSpec) -> NodeSpec:
    """Return a node with what its spec does not state filled in from the classic layout.

    Playbooks of users get files that are rendered from it.
    """
    kubelet = node.kubelet
    if kubelet.bundled:
        return node
    classic = classic_kubelet(Machine(node.name, node.role, node.address), kubelet.version)
    stated = {
        one.name: value
        for one in fields(KubeletSpec)
        if (value := getattr(kubelet, one.name)) not in (None, "", ())
    }
    for name in ("taints", "node_ips", "cluster_dns"):
        # An empty tuple is none at all, and not what is left to the layout.
        if (value := getattr(kubelet, name)) is not None:
            stated[name] = value
    return replace(node, kubelet=replace(classic, **{**stated, "layout": "classic"}))


def foreign_paths(kubelet: KubeletSpec) -> tuple[str, ...]:
    """Return the files that the bundled layouts of any version have, and this kubelet has not.

    On a machine that had another layout or version they would still count.
    """
    own = {_merged(file.path) for file in kubelet.files}
    return tuple(path for path in _all_paths() if path not in own)


@cache
def _all_paths() -> tuple[str, ...]:
    machine = Machine("any", "worker", NO_ADDRESS)
    kubelets = [
        default_kubelet(layout, machine, KubeVersion(1, minor, 0))
        for layout in BUNDLED_LAYOUTS
        for minor in range(OLDEST_OF[layout], NEWEST + 1)
    ]
    found = {_merged(file.path) for kubelet in kubelets for file in kubelet.files}
    found |= set(_BOOTSTRAP.values())
    return tuple(sorted(found))


def _merged(path: str) -> str:
    """Return a path with /lib as what it is today, a link to /usr/lib."""
    return f"/usr{path}" if path.startswith("/lib/") else path
