"""What the server says of itself: versions, groups and resources."""

from __future__ import annotations

import sys
from typing import Any

from hollow_common.facts import FACTS, since, version
from hollow_common.machine import architecture

from hollow_apiserver.kinds import ALL, KINDS, REVIEWS, Kind, Review, group_version, groups

SUBVERBS = {
    "approval": ("get", "patch", "update"), "binding": ("create",), "eviction": ("create",),
    "finalize": ("update",), "log": ("get",),
    "proxy": ("create", "delete", "get", "patch", "update"), "status": ("get", "patch", "update"),
}  # fmt: skip
SUBKINDS = {
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1beta1", "Eviction"),
    "proxy": ("", "", "NodeProxyOptions"),
}


def version_info() -> dict[str, str]:
    """Return what /version answers; it tells that the server is hollow."""
    major, minor, _ = FACTS["git_version"].lstrip("v").split(".", 2)
    return {
        "major": major,
        "minor": minor + "+",
        "gitVersion": version(),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": f"python{sys.version_info[0]}.{sys.version_info[1]}",
        "platform": f"linux/{architecture()}",
    }


def api_versions(address: str) -> dict[str, Any]:
    """Return what /api answers."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def api_group(name: str, versions: list[str]) -> dict[str, Any]:
    """Return a group's entry."""
    found = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def api_groups() -> dict[str, Any]:
    """Return what /apis answers."""
    found = [api_group(name, versions) for name, versions in groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def one_group(name: str) -> dict[str, Any] | None:
    """Return what /apis/GROUP answers, or None if there is no such group."""
    versions = groups().get(name)
    if not versions:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **api_group(name, versions)}


def resources(group: str, wanted: str) -> dict[str, Any] | None:
    """Return what /apis/GROUP/VERSION answers, or None if there is no such version."""
    found: list[dict[str, Any]] = []
    for one in (*KINDS, *REVIEWS):
        if one.group == group and wanted in one.versions:
            found += entries(one)
    if not found:
        return None
    listed: dict[str, Any] = {"kind": "APIResourceList"}
    if group:
        listed["apiVersion"] = "v1"
    return {**listed, "groupVersion": group_version(group, wanted), "resources": found}


def entries(kind: Kind | Review) -> list[dict[str, Any]]:
    """Return the entries of a kind and its subresources."""
    entry: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.kind.lower() if since(27) else "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
    }
    if isinstance(kind, Review):
        return [{**entry, "verbs": ["create"]}]
    entry["verbs"] = list(ALL)
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    found = [entry]
    for name in kind.subresources:
        group, of_version, other = SUBKINDS.get(name, ("", "", kind.kind))
        more = {"group": group} if group else {}
        more |= {"version": of_version} if of_version and group else {}
        found.append(
            {
                "name": f"{kind.plural}/{name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                **more,
                "kind": other,
                "verbs": list(SUBVERBS[name]),
            }
        )
    return found
