"""Everything a spec states of one node. What it does not state cannot differ."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace

from pytest_kubecluster.spec.kinds import canonical_name, kinds
from pytest_kubecluster.spec.model import FileSpec, KubeletSpec, NodeSpec
from pytest_kubecluster.spec.parts import (
    FileStatement,
    HostStatement,
    IdentityStatement,
    IPAddress,
    Taint,
    UnitStatement,
)
from pytest_kubecluster.spec.settings import Setting, configuration_settings, parse_setting
from pytest_kubecluster.spec.typed_values import means_default
from pytest_kubecluster.spec.version import KubeVersion

__all__ = [
    "FileStatement",
    "HostStatement",
    "IdentityStatement",
    "Statements",
    "UnitStatement",
    "statements_of",
]


@dataclass(frozen=True)
class Statements:
    """What a spec states of one node; everything else is left to the invariants.

    ``labels`` are stated one by one, so that a node may have others, unless ``complete``.
    ``taints`` and ``addresses`` (of ``--node-ip``) are stated as a whole: an empty tuple states
    that there are none. None stands for a thing that is not stated.
    """

    version: KubeVersion | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """By canonical name. ``said_in`` is where the spec states it."""
    absent_settings: Mapping[str, str] = field(default_factory=dict)
    """Settings that neither a flag nor a file may state: where the spec forbids them, by name."""
    complete: bool = False
    """Whether the node may set nothing but ``settings``, labels, taints and addresses."""
    labels: Mapping[str, str] | None = None
    taints: tuple[Taint, ...] | None = None
    addresses: tuple[IPAddress, ...] | None = None
    files: tuple[FileStatement, ...] = ()
    unit: UnitStatement = UnitStatement()
    identity: IdentityStatement = IdentityStatement()
    server: str | None = None
    """The URL of the API server in the kubeconfig."""
    hostname: str | None = None
    """The name the kubelet registers its node with, by --hostname-override."""
    host: HostStatement = HostStatement()


def statements_of(
    spec: NodeSpec | KubeletSpec, rendered: Mapping[str, bytes] | None = None
) -> Statements:
    """Return what a spec states of its node.

    A bundled layout states everything that is rendered; ``rendered`` has the bytes by path, where
    they are known. The layout ``found`` states what the user stated, and the version.
    """
    kubelet = spec.kubelet if isinstance(spec, NodeSpec) else spec
    if kubelet.bundled:
        return _bundled(kubelet, rendered or {})
    return _found(kubelet)


NODE_USER = "system:node:"
"""What the user name of a node's own identity begins with; the node's name follows."""

SPEC = "the spec"
"""Where something is stated if the place is not known."""

_APART = ("node-labels", "register-with-taints", "registerWithTaints", "node-ip")
"""Settings that have a statement of their own."""


def _bundled(kubelet: KubeletSpec, rendered: Mapping[str, bytes]) -> Statements:
    version = kubelet.version
    settings: dict[str, Setting] = {}
    if document := kubelet.configuration:
        known = kinds(version.minor_version)
        said = configuration_settings(version, document, kubelet.config_path)
        for name, setting in said.items():
            if name not in known or not means_default(known[name], setting.value):
                settings[name] = setting
    for flag, text in kubelet.flags.items():
        setting = parse_setting(version, flag, text, kubelet.unit_path)
        settings[setting.name] = setting
    return Statements(
        version=version,
        settings={name: one for name, one in settings.items() if name not in _APART},
        complete=True,
        labels=kubelet.node_labels,
        taints=tuple(map(Taint.parse, kubelet.node_taints)),
        addresses=(kubelet.node_ips or ()) if "node-ip" in kubelet.settings else (),
        files=_files(kubelet, rendered),
        unit=_unit(kubelet, drop_ins=(), enabled=True),
        identity=_identity(kubelet),
        server=kubelet.api_server or None,
        hostname=kubelet.hostname or None,
        host=HostStatement(
            resolver=kubelet.host.resolver is not False,
            no_failed_units=kubelet.host.no_failed_units is not False,
        ),
    )


def _identity(kubelet: KubeletSpec) -> IdentityStatement:
    """Return who a node of a bundled layout is: where it has a user of its own, that follows it."""
    stated = replace(kubelet.identity, kubeconfig=kubelet.kubeconfig)
    if kubelet.hostname and (stated.user or "").startswith(NODE_USER):
        return replace(stated, user=f"{NODE_USER}{kubelet.hostname.strip().lower()}")
    return stated


def _found(kubelet: KubeletSpec) -> Statements:
    version = kubelet.version
    stated: list[tuple[str, object]] = [*kubelet.stated_flags.items()]
    absent = [name for name, value in kubelet.extra_flags if value is None]
    for name, value in kubelet.extra_settings:
        absent += [name] if value is None else []
        stated += [] if value is None else [(name, value)]
    apart = ("hostname-override", *(("kubeconfig",) if kubelet.kubeconfig else ()))
    fields = [name for name in (*_APART, *apart) if name not in dict(kubelet.extra_flags)]
    settings = {
        setting.name: setting
        for name, value in stated
        if name not in fields
        for setting in [parse_setting(version, name, value, kubelet.place(name) or SPEC)]
    }
    if kubelet.cluster_dns == () and canonical_name(version, "cluster-dns") not in settings:
        absent.append("cluster-dns")
    return Statements(
        version=version,
        settings=settings,
        absent_settings={
            canonical_name(version, name): kubelet.place(name) or SPEC for name in absent
        },
        labels={label.key: label.value for label in kubelet.labels},
        taints=kubelet.taints,
        addresses=kubelet.node_ips,
        files=(*_modes(kubelet), *kubelet.own_files),
        unit=replace(
            _unit(kubelet, drop_ins=None, enabled=None), restart_seconds=kubelet.restart_seconds
        ),
        identity=replace(kubelet.identity, kubeconfig=kubelet.kubeconfig or None),
        server=kubelet.api_server or None,
        hostname=kubelet.hostname or None,
        host=kubelet.host,
    )


def _files(kubelet: KubeletSpec, rendered: Mapping[str, bytes]) -> tuple[FileStatement, ...]:
    """Return the rendered files, and over them what the user states of the same or other paths."""
    files = {file.path: _rendered(file, rendered) for file in kubelet.files}
    for own in kubelet.own_files:
        before = files.get(own.path)
        if before and not own.absent:
            stated = {
                one.name: value
                for one in fields(own)
                if (value := getattr(own, one.name)) not in (None, False, "")
            }
            if own.digest or own.content is not None:
                before = replace(before, digest=None, content=None)
            files[own.path] = replace(before, **stated)
        else:
            files[own.path] = own
    return tuple(files.values())


def _modes(kubelet: KubeletSpec) -> Iterator[FileStatement]:
    """Yield the modes that are stated of files by the names that rendered files have."""
    own = {file.path for file in kubelet.own_files}
    modes = dict(kubelet.modes)
    for file in kubelet.files:
        if file.name in modes and file.path not in own:
            yield FileStatement(file.path, mode=file.mode, said_in=kubelet.place("modes"))


def _unit(
    kubelet: KubeletSpec, *, drop_ins: tuple[str, ...] | None, enabled: bool | None
) -> UnitStatement:
    return UnitStatement(
        kubelet.unit,
        kubelet.unit_path or None,
        drop_ins if kubelet.unit_drop_ins is None else kubelet.unit_drop_ins,
        kubelet.unit_environment_files,
        kubelet.unit_text or None,
        enabled,
    )


def _rendered(file: FileSpec, rendered: Mapping[str, bytes]) -> FileStatement:
    if file.used_up:
        return FileStatement(file.path, absent=True, said_in="TLS bootstrap")
    content = rendered.get(file.path)
    return FileStatement(
        file.path,
        file.owner,
        file.group,
        file.mode,
        digest=None if content is None else hashlib.sha256(content).hexdigest(),
        content=None if file.secret else content,
    )
