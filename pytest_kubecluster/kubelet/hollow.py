"""The hollow kubelet of a version: one executable archive of the program and that version's facts.

The archive is made as zipapp makes one, but with a fixed time for its entries, so that the same
input gives the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import astuple
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.settings import FLAG_DEFAULTS
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.resources import provisioning

SHEBANG = b"#!/usr/bin/env python3\n"
_PROGRAM = "hollow_kubelet"
_YAML = ("error", "events", "parser", "reader", "scanner", "tokens")
"""The modules of PyYAML that read YAML; nothing else of it is packed."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)

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
    facts = json.dumps(hollow_facts(version)).encode()
    packed = io.BytesIO(SHEBANG)
    packed.seek(0, io.SEEK_END)
    with zipfile.ZipFile(packed, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (*_modules(), (f"{_PROGRAM}/facts.json", facts)):
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@cache
def _modules() -> tuple[tuple[str, bytes], ...]:
    """Return the program's modules and those of the installed PyYAML, by name in the archive."""
    return (*_own_modules(), *_yaml_modules())


def _own_modules() -> Iterator[tuple[str, bytes]]:
    folder = provisioning() / "hollow"
    for path in sorted((folder / _PROGRAM).glob("*.py")):
        # What runs an archive is at its top.
        top = path.name == "__main__.py"
        yield path.name if top else str(path.relative_to(folder)), path.read_bytes()


def _yaml_modules() -> Iterator[tuple[str, bytes]]:
    # PyYAML's own __init__ would import its writing half.
    yield "yaml/__init__.py", b""
    installed = metadata.distribution("PyYAML")
    for name in _YAML:
        yield f"yaml/{name}.py", Path(str(installed.locate_file(f"yaml/{name}.py"))).read_bytes()
    for path in installed.files or ():
        if path.name == "LICENSE":
            yield "yaml/LICENSE", path.read_binary()


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
