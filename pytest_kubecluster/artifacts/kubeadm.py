"""The files of a node in the layout of kubeadm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_kubecluster.artifacts.bootstrap import joined_kubeconfig, kubeconfig_of
from pytest_kubecluster.artifacts.certificates import KeyPair
from pytest_kubecluster.artifacts.go_yaml import go_yaml
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.util.encoding import base64_text

Template = Callable[..., bytes]
"""Renders a template of this package by its name."""

_QUOTED_SINCE = 15
_IN_FRONT = ("bootstrap-kubeconfig", "kubeconfig", "config")


def kubeadm_files(
    cluster: ClusterSpec, node: NodeSpec, ca: bytes, identity: KeyPair, template: Template
) -> dict[str, bytes]:
    """Return the contents of a node's files by name; ``identity`` is its client certificate."""
    kubelet, minor = node.kubelet, node.kubelet.version.minor

    def words(*names: str) -> str:
        return " ".join(f"--{name}={kubelet.flags[name]}" for name in names)

    values = {"kubelet": kubelet, "minor": minor, "words": words}
    arguments = words(*(name for name in kubelet.flags if name not in _IN_FRONT))
    quoted = f'"{arguments}"' if minor >= _QUOTED_SINCE else arguments
    socket = kubelet.configuration.get("containerRuntimeEndpoint", "")
    return {
        "kubelet.service": template("kubeadm/kubelet.service", **values),
        "10-kubeadm.conf": template("kubeadm/10-kubeadm.conf", **values),
        "kubeadm-flags.env": f"KUBELET_KUBEADM_ARGS={quoted}\n".encode(),
        "kubelet.env": b"KUBELET_EXTRA_ARGS=\n",
        "kubelet.yaml": go_yaml(kubelet.configuration),
        "instance-config.yaml": f'containerRuntimeEndpoint: "{socket}"\n'.encode(),
        "kubeconfig": go_yaml(_kubeconfig(cluster, node, ca, identity)),
        "kubelet-client.pem": identity.combined,
    }


def _kubeconfig(
    cluster: ClusterSpec, node: NodeSpec, ca: bytes, identity: KeyPair
) -> dict[str, Any]:
    """Return what ``kubeadm init`` writes on the first master, and the kubelet on a joined node."""
    if any(file.rotated for file in node.kubelet.files):
        return joined_kubeconfig(cluster, node, ca)
    user = f"system:node:{node.name.lower()}"
    credentials = {
        "client-certificate-data": base64_text(identity.cert),
        "client-key-data": base64_text(identity.key),
    }
    context = {"cluster": "kubernetes", "user": user}
    return kubeconfig_of(cluster, node, ca, context, f"{user}@kubernetes", credentials)
