"""What is meant, said so that a version's kubelet understands it: flags, and a file for --config.

What a node shall be is written in the words of the seed's kubelet, 1.7.5, and resolves there to
the seed's command line to the letter. Each other version says some of it differently, or not at
all; every such difference is a Change, with its reason and where that can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import TRUE, Flags
from pytest_kubecluster.spec.launcher import LAST_DOCKERSHIM
from pytest_kubecluster.spec.node_labels import RULED_SINCE, refused_labels
from pytest_kubecluster.spec.settings import (
    CONFIG_SINCE,
    FLAG_DEFAULTS,
    Kind,
    SettingError,
    flag_text,
)
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
"""Where /configz has flags before there was a file for them: 1.7 to 1.9, as seen on real ones."""
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
    """One thing that a version says otherwise than the seed's kubelet."""

    what: str
    """The flag, and what becomes of it."""
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
        """All that the kubelet is told, wherever it is told: by flag name."""
        told = dict(self.config)
        told.update(self.flags)
        told.pop("config", None)
        return Flags(told)


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
    """Return what to tell a kubelet of ``version``.

    ``intended`` are the seed's flags, in its order; ``own`` are a user's flags, which stay as they
    are, or remove one of the seed's where their value is None. ``cgroup_v1`` and ``swap`` say what
    the host has that newer kubelets must be told to put up with. Facts: kubelet 1.7 to 1.36.
    """
    known = catalog.flags(version.minor_version)
    changes: list[Change] = []
    told: dict[str, str] = {}
    for name, value in intended.items():
        if name in own:
            continue
        if name in known:
            told[name] = _reworded(name, value, version.minor, changes)
        else:
            changes.append(_gone(name))
    told = {name: value for name, value in told.items() if value}
    for name, value, change in _needed(version.minor, cgroup_v1, swap):
        if name not in own:
            told[name] = value
            changes.append(change)
    has_file = version.minor >= CONFIG_SINCE and "config" not in own
    fields: dict[str, Any] = {}
    for kind, value in settings:
        if kind.flag:
            told.pop(kind.flag, None)
        if value is None:
            continue
        if has_file and kind.path:
            fields[kind.path] = value
        elif kind.flag:
            told[kind.flag] = flag_text(kind, value)
        else:
            raise SettingError(f"{kind.name}: only a configuration file can set it")
    config: dict[str, str] = {}
    if has_file:
        config, change = _moved(told, own, known)
        changes.append(change)
        for kind, value in settings:
            if kind.flag:
                config.pop(kind.flag, None)
                if kind.path in fields:
                    config[kind.flag] = flag_text(kind, value)
    flags = {name: value for name, value in told.items() if name not in config}
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
    """Return what a KubeletConfiguration, or an answer of /configz, says: values by flag name.

    Fields that no flag of the spec has are left out.
    """
    said = {name: field_at(document, path) for name, path in configz_fields(version).items()}
    return {name: flag_value(name, value) for name, value in said.items() if value is not None}


def configz_fields(version: KubeVersion) -> dict[str, str]:
    """Return where /configz has the settings of a spec: dotted paths by flag name."""
    if version.minor < CONFIG_SINCE:
        return _CONFIGZ | (_CONFIGZ_UNTIL_8 if version.minor <= 8 else {})
    known = catalog.flags(version.minor_version).values()
    return {flag.name: flag.field for flag in known if flag.field}


def field_at(document: Mapping[str, Any], path: str) -> Any:
    """Return what a document has at a dotted path, or None."""
    value: Any = document
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _reworded(name: str, value: str, minor: int, changes: list[Change]) -> str:
    """Return a flag's value in the words of a minor; an empty one takes the flag away."""
    if name == "node-labels" and minor >= RULED_SINCE:
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


def _needed(minor: int, cgroup_v1: bool, swap: bool) -> Iterator[tuple[str, str, Change]]:
    """Yield what a minor must be told beside what the seed says."""
    if minor > LAST_DOCKERSHIM:
        reason = "there is no Docker runtime any more; containerd must be named until 1.26"
        change = Change("--container-runtime-endpoint set", reason, "KEP-2221")
        yield "container-runtime-endpoint", CONTAINERD, change
    if swap and "fail-swap-on" in catalog.flags(f"1.{minor}"):
        reason = "the host has swap on, with which kubelets from 1.8 on do not start"
        yield "fail-swap-on", "false", Change("--fail-swap-on=false", reason, "CHANGELOG-1.8")
    if cgroup_v1 and minor >= 35:
        reason = "the host has cgroup v1, with which kubelets from 1.35 on do not start"
        yield "fail-cgroupv1", "false", Change("--fail-cgroupv1=false", reason, "KEP-5573")


def _moved(
    told: Mapping[str, str], own: Mapping[str, str | None], known: Mapping[str, catalog.Flag]
) -> tuple[dict[str, str], Change]:
    """Return what goes into the configuration file, and that it does."""
    kept = {
        name: value
        for name, value in FLAG_DEFAULTS.items()
        if name not in told and own.get(name) is None
    }
    moved = {name: value for name, value in told.items() if known[name].field}
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
