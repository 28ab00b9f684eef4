"""The layout of existing machines and of a user's own playbook: only what the user states."""

from __future__ import annotations

from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.version import KubeVersion


def found_kubelet(version: KubeVersion) -> KubeletSpec:
    """Return a kubelet of which nothing but its version is stated."""
    return KubeletSpec(
        node_ips=None,
        labels=(),
        taints=None,
        version=version,
        cluster_dns=None,
        cluster_domain="",
        anonymous_auth=None,
        allow_privileged=None,
        unit_path="",
        kubeconfig="",
        client_ca_file="",
        ca_key_file="",
        cni_conf_dir="",
        network_plugin="",
        lock_file="",
        manifests="",
        config_path="",
        layout="found",
    )
