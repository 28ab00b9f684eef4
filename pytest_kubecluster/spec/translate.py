"""Translate a spec into the terms of one version: flags, and a file for --config.

A spec is written in the terms of the article's kubelet, 1.7.5, and resolves there to the article's
command line to the letter. Every other version expresses some of it differently, or not at all;
each such difference is a Change, with its reason and its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import TRUE, Flags
from pytest_kubecluster.spec.kinds import CONFIG_SINCE, SettingError
from pytest_kubecluster.spec.launcher import LAST_DOCKERSHIM
from pytest_kubecluster.spec.node_labels import REFUSED_SINCE, refused_labels
from pytest_kubecluster.spec.settings import FLAG_DEFAULTS
from pytest_kubecluster.spec.typed_values import Kind, flag_text
from pytest_kubecluster.spec.values import thawed
from pytest_kubecluster.spec.version import KubeVersion

CONTAINERD = "unix:///run/containerd/containerd.sock"

ROLE = "node-role.kubernetes.io/"
_MASTER, _CONTROL_PLANE = ROLE + "master", ROLE + "control-plane"
_BOTH_TAINTS, _NEW_TAINT = 24, 25

_CONFIGZ = {
    "allow-privileged": "allowPrivileged",
    "anonymous-auth": "authentication.anonymous.enabled",
    "client-ca-file": "authentication.x509.clientCAFile",
    "cluster-dns": "clusterDNS",
    "cluster-domain": "clusterDomain",
    "pod-manifest-path": "podManifestPath",
}
"""Where /configz has flags in 1.7 to 1.9, which read no file; as seen on real kubelets."""
_CONFIGZ_UNTIL_8 = {
    "exit-on-lock-contention": "exitOnLockContention",
    "lock-file": "lockFilePath",
    "node-labels": "nodeLabels",
    "register-with-taints": "registerWithTaints",
}

_GONE = {
    "require-kubeconfig": (
        "--kubeconfig alone says that there is an API server",
        "CHANGELOG-1.10, kubernetes#58367",
    ),
    "allow-privileged": (
        "any pod may ask for it, and admission in the API server decides",
        "CHANGELOG-1.15, kubernetes#77820",
    ),
    "network-plugin": (
        "dockershim is gone, and the container runtime sets up pod networks",
        "KEP-2221, kubernetes#106907",
    ),
    "cni-conf-dir": (
        "the container runtime reads it; its own configuration names the folder",
        "KEP-2221, kubernetes#106907",
    ),
}


@dataclass(frozen=True)
class Change:
    """A difference between the configuration of a version and that of the article's kubelet."""

    what: str
    """The flag, and what happens to it."""
    reason: str
    source: str

    def __str__(self) -> str:
        return f"{self.what}: {self.reason} ({self.source})"


@dataclass(frozen=True)
class Resolution:
    """The command line of a version's kubelet, and the content of its configuration file.

    ``config`` has the fields of a KubeletConfiguration by their dotted names, as flags write their
    values; it is empty where everything is said by flags.
    """

    flags: Flags
    config: Flags
    changes: tuple[Change, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the configuration file that the user sets, by path."""

    @property
    def settings(self) -> Flags:
        """What flags and file set, by flag name."""
        chosen = dict(self.config)
        chosen.update(self.flags)
        chosen.pop("config", None)
        return Flags(chosen)


def resolve(
    intended: Mapping[str, str],
    version: KubeVersion,
    own: Mapping[str, str | None],
    *,
    config_path: str,
    settings: Sequence[tuple[Kind, Any]] = (),
    cgroup_v1: bool = False,
    swap: bool = False,
) -> Resolution:
    """Return the flags and the configuration of a kubelet of ``version``.

    ``intended`` are the article's flags, in its order. ``own`` are a user's flags, which stay as
    they are, or remove one of the article's where their value is None. ``settings`` are a user's
    settings, with None for one that must not be set. ``cgroup_v1`` and ``swap`` are features of
    the host that newer kubelets have to be allowed to run on. Facts: kubelet 1.7 to 1.36.
    """
    known = catalog.flags(version.minor_version)
    changes: list[Change] = []
    chosen: dict[str, str] = {}
    for name, value in intended.items():
        if name in own:
            continue
        if name in known:
            chosen[name] = _translated(name, value, version.minor, changes)
        else:
            changes.append(_gone(name))
    chosen = {name: value for name, value in chosen.items() if value}
    for name, value, change in _required(version.minor, cgroup_v1, swap):
        if name not in own:
            chosen[name] = value
            changes.append(change)
    has_file = version.minor >= CONFIG_SINCE and "config" not in own
    fields: dict[str, Any] = {}
    for kind, value in settings:
        if kind.flag:
            chosen.pop(kind.flag, None)
        if value is None:
            continue
        if has_file and kind.path:
            fields[kind.path] = value
        elif kind.flag:
            chosen[kind.flag] = flag_text(kind, value)
        else:
            raise SettingError(f"{kind.name}: only a configuration file can set it")
    config: dict[str, str] = {}
    if has_file:
        stated = {kind.flag: "" for kind, _ in settings if kind.flag and kind.path}
        config, change = _configured(chosen, {**own, **stated}, known)
        changes.append(change)
        for kind, value in settings:
            if kind.flag:
                config.pop(kind.flag, None)
                if kind.path in fields:
                    config[kind.flag] = flag_text(kind, value)
    flags = {name: value for name, value in chosen.items() if name not in config}
    if config:
        flags = {"config": config_path, **flags}
    return Resolution(Flags(flags).changed(own), Flags(config), tuple(changes), fields)


def configuration(
    config: Mapping[str, str], version: KubeVersion, fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the KubeletConfiguration that holds ``config``, flag values by flag name.

    ``fields`` are more of its fields, by path.
    """
    document: dict[str, Any] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
    }
    known = catalog.flags(version.minor_version)
    values = {
        str(known[name].field): _field_value(known[name], text)
        for name, text in config.items()
        if known[name].field
    }
    for path, value in {**values, **(fields or {})}.items():
        *parents, last = path.split(".")
        place = document
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = _field(path, value)
    return document


def settings_of(document: Mapping[str, Any], version: KubeVersion) -> dict[str, str]:
    """Return the values of a KubeletConfiguration or an answer of /configz, by flag name.

    Fields that no flag of the spec has are left out.
    """
    said = {name: field_at(document, path) for name, path in configz_fields(version).items()}
    return {name: flag_value(name, value) for name, value in said.items() if value is not None}


def configz_fields(version: KubeVersion) -> dict[str, str]:
    """Return the dotted paths at which /configz has the settings of a spec, by flag name."""
    if version.minor < CONFIG_SINCE:
        return _CONFIGZ | (_CONFIGZ_UNTIL_8 if version.minor <= 8 else {})
    known = catalog.flags(version.minor_version).values()
    return {flag.name: flag.field for flag in known if flag.field}


def field_at(document: Mapping[str, Any], path: str) -> Any:
    """Return the value at a dotted path of a document, or None."""
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _translated(name: str, value: str, minor: int, changes: list[Change]) -> str:
    """Return a flag's value in the terms of a minor version; an empty one removes the flag."""
    if name == "node-labels" and minor >= REFUSED_SINCE:
        pairs = value.split(",") if value else []
        keys = [pair.partition("=")[0] for pair in pairs]
        roles = {key for key in refused_labels(keys, minor) if key.startswith(ROLE)}
        kept = [pair for pair, key in zip(pairs, keys, strict=True) if key not in roles]
        if len(kept) < len(pairs):
            changes.append(
                Change(
                    f"--node-labels: {', '.join(sorted(roles))} left out",
                    "refused from 1.16; only the API can set it: kubectl label node",
                    "CHANGELOG-1.13 and 1.16, kubernetes#85073",
                )
            )
        return ",".join(kept)
    if name == "register-with-taints" and minor >= _BOTH_TAINTS and _MASTER in value:
        taints = value.split(",")
        renamed = [taint.replace(_MASTER, _CONTROL_PLANE, 1) for taint in taints]
        both = minor < _NEW_TAINT
        changes.append(
            Change(
                f"--register-with-taints: {_CONTROL_PLANE}" + (" too" if both else ""),
                "as kubeadm: both keys in 1.24, this one alone from 1.25",
                "KEP-2067, kubernetes#107533 and #110095",
            )
        )
        return ",".join(dict.fromkeys([*taints, *renamed] if both else renamed))
    return value


def _gone(name: str) -> Change:
    reason, source = _GONE[name]
    history = catalog.history(name)
    since = history.removed if history else None
    return Change(f"--{name} dropped", f"unknown from {since}; {reason}", source)


def _required(minor: int, cgroup_v1: bool, swap: bool) -> Iterator[tuple[str, str, Change]]:
    """Yield the settings that a minor version requires beside the article's."""
    if minor > LAST_DOCKERSHIM:
        reason = "there is no Docker runtime any more; containerd must be named until 1.26"
        change = Change("--container-runtime-endpoint set", reason, "KEP-2221")
        yield "container-runtime-endpoint", CONTAINERD, change
    yield from host_settings(minor, cgroup_v1, swap)


def host_settings(minor: int, cgroup_v1: bool, swap: bool) -> Iterator[tuple[str, str, Change]]:
    """Yield what a minor version requires on a host with cgroup v1 or swap, and why."""
    if swap and "fail-swap-on" in catalog.flags(f"1.{minor}"):
        reason = "the host has swap on, with which kubelets from 1.8 on do not start"
        yield "fail-swap-on", "false", Change("--fail-swap-on=false", reason, "CHANGELOG-1.8")
    if cgroup_v1 and minor >= 35:
        reason = "the host has cgroup v1, with which kubelets from 1.35 on do not start"
        yield "fail-cgroupv1", "false", Change("--fail-cgroupv1=false", reason, "KEP-5573")


def _configured(
    chosen: Mapping[str, str], own: Mapping[str, str | None], known: Mapping[str, catalog.Flag]
) -> tuple[dict[str, str], Change]:
    """Return the content of the configuration file, and the change that this is."""
    kept = {
        name: value
        for name, value in FLAG_DEFAULTS.items()
        if name not in chosen and own.get(name) is None
    }
    moved = {name: value for name, value in chosen.items() if known[name].field}
    change = Change(
        f"--config: a KubeletConfiguration has {', '.join(f'--{name}' for name in moved)}",
        "these flags are deprecated from 1.10 on; what a file would change beside them "
        f"({', '.join(kept)}) is set to what it was",
        "cmd/kubelet/app/options: AddKubeletConfigFlags and applyLegacyDefaults",
    )
    return {**moved, **kept}, change


def _field(path: str, value: Any) -> Any:
    if path == "registerWithTaints" and value and isinstance(value[0], str):
        return [_taint(item) for item in value]
    return thawed(value)


def _field_value(flag: catalog.Flag, text: str) -> Any:
    if flag.name == "register-with-taints":
        return [_taint(item) for item in text.split(",") if item]
    if flag.type == "bool":
        return text in TRUE
    if flag.type.startswith(("int", "uint")):
        return int(text)
    if flag.type == "stringSlice":
        return text.split(",") if text else []
    return text


def flag_value(name: str, value: Any) -> str:
    """Return a configuration's value as the command line of flag ``name`` writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if name == "register-with-taints" and isinstance(value, list):
        return ",".join(f"{t.get('key')}={t.get('value', '')}:{t.get('effect')}" for t in value)
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, Mapping):
        return ",".join(f"{key}={flag_value(name, item)}" for key, item in value.items())
    return str(value)


def _taint(text: str) -> dict[str, str]:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}
