"""The layout of existing machines and of a user's own playbook: only what the user states."""

from __future__ import annotations

from pytest_kubecluster.spec.model import KubeletSpec
from pytest_kubecluster.spec.version import KubeVersion


def found_kubelet(version: KubeVersion) -> KubeletSpec:
    """Return a kubelet of which nothing but its version is stated."""
    return KubeletSpec(version, "found")
