"""The hollow kubelet of a version: the program, packed with that version's facts."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from pytest_kubecluster.kubelet.archive import pack
from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.settings import FLAG_DEFAULTS
from pytest_kubecluster.spec.version import KubeVersion

NEW_DEFAULTS: dict[str, dict[int, str]] = {
    "allow-privileged": {11: "true"},
    "cadvisor-port": {11: "0"},
    "cert-dir": {8: "/var/lib/kubelet/pki"},
    "cloud-provider": {9: ""},
    "cni-bin-dir": {12: "/opt/cni/bin"},
    "cni-cache-dir": {16: "/var/lib/cni/cache"},
    "cni-conf-dir": {12: "/etc/cni/net.d"},
    "container-runtime": {24: "remote"},
    "container-runtime-endpoint": {24: "", 27: "unix:///run/containerd/containerd.sock"},
    "docker-disable-shared-pid": {8: "true"},
    "enable-cadvisor-json-endpoints": {15: "true", 18: "false"},
    "eviction-hard": {26: ""},
    "experimental-fail-swap-on": {8: "true"},
    "kubeconfig": {10: ""},
    "node-status-max-images": {11: "50"},
    "pod-infra-container-image": {
        10: "k8s.gcr.io/pause-amd64:3.1", 13: "k8s.gcr.io/pause:3.1", 18: "k8s.gcr.io/pause:3.2",
        21: "k8s.gcr.io/pause:3.4.1", 22: "k8s.gcr.io/pause:3.5", 23: "k8s.gcr.io/pause:3.6",
        24: "k8s.gcr.io/pause:3.7", 25: "registry.k8s.io/pause:3.8",
        26: "registry.k8s.io/pause:3.9", 31: "registry.k8s.io/pause:3.10",
    },
}  # fmt: skip
"""Defaults that are not those of a file and changed after 1.7, by the minor that brought them."""

ZEROS = {"bool": "false", "version": "false", "duration": "0s", "stringSlice": "[]"}
NUMBERS = ("Level", "float64", "int", "int32", "int64", "quantity", "severity", "uint")


def render_hollow(version: KubeVersion) -> bytes:
    """Return the hollow kubelet of ``version``: an executable file for Python 3.9 or newer.

    It is to be installed as ``hyperkube`` up to 1.16, and as ``kubelet`` from then on.
    """
    return pack("hollow_kubelet", hollow_facts(version))


def hollow_facts(version: KubeVersion) -> dict[str, Any]:
    """Return what the hollow kubelet of ``version`` knows of that version."""
    minor = version.minor_version
    number = int(minor.partition(".")[2])
    fields, kinds = catalog.fields(minor), catalog.kinds(minor)
    bound = {field.flag: field for field in fields.values() if field.flag}
    return {
        "git_version": version.git_version,
        "minor": number,
        # name: type, default, warning, hidden, origin
        "flags": {
            name: _flag(flag, kinds.get(name, flag.type), bound.get(name), number)
            for name, flag in catalog.flags(minor).items()
        },
        "gates": dict(catalog.feature_gates(minor)),
        # path: type, shown while empty, default, flag, zero means the default, shape
        "fields": {path: list(astuple(field)) for path, field in fields.items()},
        "rules": catalog.rules(minor),
        "signals": catalog.eviction_signals(minor),
    }


def _flag(flag: catalog.Flag, kind: str, field: catalog.Field | None, number: int) -> list[Any]:
    changes = NEW_DEFAULTS.get(flag.name, {}).items()
    default = flag.default
    if default is None:
        default = next((text for since, text in reversed(changes) if since <= number), None)
    if default is None and field:
        default = FLAG_DEFAULTS.get(flag.name, _as_text(kind, field.default))
    if default is None:
        oldest = catalog.flags(catalog.MINORS[0]).get(flag.name)
        default = oldest.default if oldest else None
    if default is None:
        default = ZEROS.get(kind, "0" if kind in NUMBERS else "")
    return [kind, default, flag.deprecated, flag.hidden, flag.origin]


def _as_text(kind: str, value: Any) -> str | None:
    """Write a field's default as its flag's default."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{','.join(value)}]"
    if isinstance(value, dict):
        mark = "<" if kind.endswith("<") else "="
        return ",".join(f"{name}{mark}{content}" for name, content in sorted(value.items()))
    return None if value is None else str(value)
