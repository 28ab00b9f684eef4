"""Clusters whose nodes have a layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from ipaddress import IPv4Network

from pytest_kubecluster.layouts.classic import classic_kubelet
from pytest_kubecluster.layouts.found import found_kubelet
from pytest_kubecluster.spec.defaults import DEFAULT_NETWORK, DEFAULT_VERSION
from pytest_kubecluster.spec.launcher import launcher_for
from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, LayoutName, NodeSpec
from pytest_kubecluster.spec.topology import Machine, article_machines
from pytest_kubecluster.spec.version import KubeVersion

LAYOUTS: Mapping[LayoutName, Callable[[Machine, KubeVersion], KubeletSpec]] = {
    "classic": classic_kubelet,
    "found": lambda _, version: found_kubelet(version),
}
"""The default spec of a node's kubelet, by layout."""


def cluster_spec(
    masters: int = 3,
    workers: int = 1,
    network: IPv4Network = DEFAULT_NETWORK,
    version: KubeVersion = DEFAULT_VERSION,
    *,
    cgroup_v1: bool = False,
    swap: bool = False,
) -> ClusterSpec:
    """Describe the article's cluster, of any size.

    ``masters`` and ``workers`` are counts; master01 has host 101 of ``network`` and worker01 host
    201, as in the article, unless the network is too small for that: then nodes fill it from its
    start. ``cgroup_v1`` and ``swap`` allow the kubelets to run on a host that has these. Raises
    SpecError where that is impossible.
    """
    machines = article_machines(masters, workers, network)
    return spec_of(machines, network, version, cgroup_v1=cgroup_v1, swap=swap)


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
    nodes = []
    for machine in sorted(machines, key=lambda machine: machine.role):
        kubelet = replace(LAYOUTS[layout](machine, version), cgroup_v1=cgroup_v1, swap=swap)
        nodes.append(NodeSpec(machine.name, machine.role, machine.address, kubelet))
    return ClusterSpec(tuple(nodes), network, version, launcher_for(version).image_url)


def completed(node: NodeSpec) -> NodeSpec:
    """Return a node with what its spec does not state filled in from the classic layout.

    Playbooks of users get files that are rendered from it.
    """
    kubelet = node.kubelet
    if kubelet.layout == "classic":
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
