"""Find kube-proxy: its command line, its configuration and its kubeconfig."""

from __future__ import annotations

import os
from typing import Any

from . import documents
from .options import Options
from .process import Process, root_of
from .system import ownership

_KUBECONFIGS = (
    "/etc/kubernetes/proxy.conf",
    "/etc/kubernetes/kube-proxy.kubeconfig",
    "/etc/kubernetes/kube-proxy.conf",
    "/etc/kubernetes/ssl/kubecfg-kube-proxy.yaml",
    "/var/lib/kube-proxy/kubeconfig",
    "/var/lib/kube-proxy/kubeconfig.conf",
)
"""Where installers write it, for a kube-proxy that does not run: kube-bench's cfg/config.yaml."""


def describe(every: list[Process]) -> dict[str, Any]:
    """Return what is known of the node's kube-proxy; an empty command line if none runs."""
    running = next((one for one in every if is_proxy(one.argv)), None)
    if running is None:
        path = next((path for path in _KUBECONFIGS if os.path.isfile(path)), "")
        return {"argv": [], "contained": False, "kubeconfig": _kubeconfig(path)}
    root = root_of(running.pid)
    try:
        folder = os.readlink(f"/proc/{running.pid}/cwd")
    except OSError:
        folder = "/"
    options = Options(list(running.argv), folder, {})
    found: dict[str, Any] = {"argv": list(running.argv), "contained": bool(root)}
    if path := options.path("config"):
        found["configuration"] = documents.described(path, root)
        options.add([found["configuration"].get("document", {})])
    path = options.path("kubeconfig", "clientConnection.kubeconfig")
    return {**found, "kubeconfig": _kubeconfig(path, root)}


def is_proxy(argv: tuple[str, ...]) -> bool:
    """Return whether a command line is kube-proxy's, or that of a hyperkube that is one."""
    name = os.path.basename(argv[0]) if argv else ""
    of_hyperkube = name == "hyperkube" and bool({"proxy", "kube-proxy"} & set(argv[1:2]))
    return name == "kube-proxy" or of_hyperkube


def _kubeconfig(path: str, root: str = "") -> dict[str, Any] | None:
    return {"path": path, "file": ownership(path, root)} if path else None
