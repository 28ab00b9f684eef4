"""The layout of the article, to the letter: what its role writes, and where."""

from __future__ import annotations

from ipaddress import IPv4Address

from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.parts import Label, Taint
from pytest_kubecluster.spec.topology import Machine
from pytest_kubecluster.spec.translate import ROLE
from pytest_kubecluster.spec.version import KubeVersion


def classic_kubelet(machine: Machine, version: KubeVersion) -> KubeletSpec:
    """Return the article's kubelet on a machine, in the terms of a version."""
    role = f"{ROLE}{machine.role}"
    return KubeletSpec(
        version,
        "classic",
        node_ips=(machine.address,),
        labels=(Label(role),),
        taints=(Taint(role),) if machine.role == "master" else (),
        cluster_dns=(IPv4Address("10.3.0.10"),),
        cluster_domain="cluster.local",
        anonymous_auth=False,
        allow_privileged=True,
        unit_path="/etc/systemd/system/kubelet.service",
        kubeconfig="/etc/kubernetes/kubeconfig",
        client_ca_file="/etc/kubernetes/ca.crt",
        ca_key_file="/etc/kubernetes/ca.key",
        cni_conf_dir="/etc/kubernetes/cni/net.d",
        network_plugin="cni",
        lock_file="/var/run/lock/kubelet.lock",
        manifests="/etc/kubernetes/manifests",
        config_path="/etc/kubernetes/kubelet.yaml",
        restart_seconds=10,
    )
