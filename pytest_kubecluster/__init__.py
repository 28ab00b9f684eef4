"""Boot Kubernetes nodes from pytest and check every kubelet against its spec.

The names below are the public API. They are imported on first use, so that a test run that needs
no cluster does not pay for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_kubecluster.errors import KubeClusterError, NetworkTakenError
    from pytest_kubecluster.layouts.cluster import with_layout
    from pytest_kubecluster.nodes.node import Node
    from pytest_kubecluster.spec.model import ClusterSpec, KubeletSpec, NodeSpec, SpecError
    from pytest_kubecluster.spec.parts import (
        FileStatement,
        HostStatement,
        IdentityStatement,
        Label,
        Taint,
    )
    from pytest_kubecluster.spec.version import KubeVersion

__all__ = [
    "ClusterSpec",
    "FileStatement",
    "HostStatement",
    "IdentityStatement",
    "KubeClusterError",
    "KubeVersion",
    "KubeletSpec",
    "Label",
    "NetworkTakenError",
    "Node",
    "NodeSpec",
    "SpecError",
    "Taint",
    "with_layout",
]

_HOMES = {
    "ClusterSpec": "spec.model",
    "FileStatement": "spec.parts",
    "HostStatement": "spec.parts",
    "IdentityStatement": "spec.parts",
    "KubeClusterError": "errors",
    "KubeVersion": "spec.version",
    "KubeletSpec": "spec.model",
    "Label": "spec.parts",
    "NetworkTakenError": "errors",
    "Node": "nodes.node",
    "NodeSpec": "spec.model",
    "SpecError": "spec.model",
    "Taint": "spec.parts",
    "with_layout": "layouts.cluster",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
