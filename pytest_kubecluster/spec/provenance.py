"""A spec as text: what each node will be, and which source set it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.kinds import kinds, normal_setting
from pytest_kubecluster.spec.model import ClusterSpec, NodeSpec
from pytest_kubecluster.spec.statements import statements_of
from pytest_kubecluster.spec.translate import field_at
from pytest_kubecluster.spec.values import thawed


def describe(spec: ClusterSpec) -> dict[str, Any]:
    """Return a cluster as plain values: what ``kubecluster spec --json`` prints."""
    return {
        "version": str(spec.version),
        **({"network": str(spec.network)} if spec.network else {}),
        "api_server": spec.api_server,
        "nodes": {node.name: _node(node) for node in spec},
    }


def _node(node: NodeSpec) -> dict[str, Any]:
    kubelet = node.kubelet
    return {
        "role": node.role,
        "address": str(node.address),
        "version": str(kubelet.version),
        "program": kubelet.launcher.program,
        "runtime": kubelet.runtime,
        "flags": dict(kubelet.flags),
        "config": kubelet.configuration,
        "files": {file.path: f"{file.mode:04o}" for file in kubelet.files},
        "changes": [str(change) for change in kubelet.changes],
        **({"states": _statements(node)} if not kubelet.bundled else {}),
    }


def _statements(node: NodeSpec) -> dict[str, Any]:
    """Return what the user states of a node, without what is not stated."""
    stated = statements_of(node)
    values: dict[str, Any] = {
        "settings": {name: thawed(one.value) for name, one in stated.settings.items()},
        "unset": list(stated.absent_settings) or None,
        "labels": dict(stated.labels or {}),
        "taints": None if stated.taints is None else list(map(str, stated.taints)),
        "node_ip": None if stated.addresses is None else list(map(str, stated.addresses)),
        "api_server": stated.server,
        "hostname": stated.hostname,
        "files": [_plain(file) for file in stated.files] or None,
        "unit": _plain(stated.unit),
        "identity": _plain(stated.identity),
        "host": _plain(stated.host),
    }
    return {name: value for name, value in values.items() if value not in (None, {}, "")}


def _plain(statement: Any) -> dict[str, Any]:
    """Return what a dataclass states, as plain values."""
    found = {one.name: getattr(statement, one.name) for one in fields(statement)}
    if found.get("mode") is not None:
        found["mode"] = f"{found['mode']:04o}"
    if found.get("content") is not None:
        found["content"] = found["content"].decode(errors="replace")
    skipped = ("said_in", "absent" if found.get("absent") is False else "")
    return {
        name: thawed(value)
        for name, value in found.items()
        if value is not None and name not in skipped
    }


def explain_flag(steps: Iterable[tuple[str, ClusterSpec]], name: str, flag: str) -> Iterator[str]:
    """Yield where the value of a node's flag comes from: each step that changed it, and the end.

    Raises UnknownNameError for an unknown node.
    """
    flag = normal_name(flag)
    cluster = None
    before: str | None = None
    for who, cluster in steps:
        value = cluster[name].kubelet.settings.get(flag)
        if value != before:
            yield f"{'(not set)' if value is None else value}, set by {who}"
            before = value
    assert cluster is not None
    kubelet = cluster[name].kubelet
    for change in kubelet.changes:
        if re.match(rf"--{flag}\b(?!-)", change.what):
            yield str(change)
    yield _place(cluster[name], flag)


def explain_value(
    steps: Iterable[tuple[str, ClusterSpec]], name: str, setting: str
) -> Iterator[str]:
    """Yield where a node's value of a setting comes from, given by flag or configuration path.

    Raises KeyError for an unknown node.
    """
    every = list(steps)
    version = every[-1][1][name].kubelet.version
    kind = kinds(version.minor_version).get(normal_setting(version, setting))
    if kind is None or kind.flag is not None or kind.path is None:
        yield from explain_flag(every, name, setting if kind is None else kind.flag or kind.name)
        return
    before = None
    for who, cluster in every:
        kubelet = cluster[name].kubelet
        value = field_at(kubelet.configuration, kind.path)
        if kubelet.layout == "found":
            value = dict(kubelet.extra_settings).get(kind.path)
        if value != before:
            yield f"{'(not set)' if value is None else thawed(value)}, set by {who}"
            before = value
    if before is None:
        yield f"nothing sets {kind.path}; the kubelet's default applies"
    else:
        path = every[-1][1][name].kubelet.config_path
        yield f"it is in {path}" if path else "a configuration file must set it"


def _place(node: NodeSpec, flag: str) -> str:
    """Return where the node's kubelet finds the value of a flag."""
    kubelet = node.kubelet
    if flag in kubelet.flags and not kubelet.bundled:
        return "the node may set it by a flag or by a configuration file"
    if flag in kubelet.flags:
        return f"it is on the command line in {kubelet.unit_path or kubelet.unit}"
    if flag in kubelet.config:
        return f"it is in {kubelet.config_path}"
    if flag not in catalog.flags(kubelet.version.minor_version):
        return f"kubelet {kubelet.version.number} does not have --{flag}"
    return f"nothing sets --{flag}; the kubelet's default applies"
