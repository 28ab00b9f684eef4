"""Settings of a kubelet: one name and one meaning, however a node states them.

Flags win over the drop-in files of ``--config-dir``, these over the file of ``--config``, and that
over the version's defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.kinds import (
    CONFIG_SINCE,
    EMPTY,
    SettingError,
    canonical_name,
    flatten_settings,
    kinds,
    names_by_path,
)
from pytest_kubecluster.spec.typed_values import (
    Value,
    check_value,
    meaning,
    means_default,
    read_value,
    typed,
)
from pytest_kubecluster.spec.version import KubeVersion

Document = Mapping[str, Any]
DropIn = tuple[str, Document]
"""A drop-in file of the KubeletConfiguration: its path and its content."""

FLAG_DEFAULTS = {
    "anonymous-auth": "true",
    "authentication-token-webhook": "false",
    "authorization-mode": "AlwaysAllow",
    "read-only-port": "10255",
}
"""The defaults of a kubelet without a configuration file, where those with a file differ."""

DEFAULT = "default"
"""Where a setting comes from that nothing on the node states."""

CONFIGURATION = "--config"
"""Where a setting comes from that the configuration file states, if its path is not given."""

_DROP_IN_SUFFIX = ".conf"
_DROP_INS_SINCE = 28


@dataclass(frozen=True)
class Setting:
    """One setting of a kubelet: its canonical name, its typed value, and where it is stated."""

    name: str
    value: Value
    said_in: str = DEFAULT


def parse_setting(version: KubeVersion, name: str, value: object, said_in: str = "") -> Setting:
    """Return a setting with a typed value, checked against what is known of the version.

    ``value`` is as a flag writes it, or as YAML, TOML or Python has it. Raises SettingError naming
    the setting, with the type, range or choices it takes.
    """
    canonical = canonical_name(version, name)
    kind = kinds(version.minor_version)[canonical]
    try:
        found = typed(kind, value)
        check_value(version, kind, found)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingError(f"{name}: {error}") from None
    return Setting(canonical, found, said_in)


def same_value(version: KubeVersion, name: str, one: object, other: object) -> bool:
    """Return whether two values of a setting mean the same to this version's kubelet.

    None stands for a setting that is not there. A value that cannot be read is compared as text.
    """
    if one is None or other is None:
        return one is other
    with suppress(SettingError):
        kind = kinds(version.minor_version)[canonical_name(version, name)]
        return meaning(version, kind, one) == meaning(version, kind, other)
    return one == other


def effective_settings(
    version: KubeVersion,
    flags: Mapping[str, str],
    configuration: Document | None,
    drop_ins: Sequence[DropIn] = (),
    *,
    configuration_path: str = CONFIGURATION,
) -> Mapping[str, Setting]:
    """Return the settings a kubelet runs with, by canonical name, and where each is stated.

    ``configuration`` is the content of the file of ``--config``, None without one; ``drop_ins``
    those of ``--config-dir``. The merge is the kubelet's (mergeKubeletConfigurations and
    kubeletConfigFlagPrecedence in cmd/kubelet/app/server.go): drop-in files with the suffix
    ``.conf`` in the order of their names, maps merged, lists replaced, null takes a field away;
    flags replace what files say, but feature gates of files and flags are joined.
    """
    minor = version.minor_version
    known = kinds(minor)
    settings = dict(_defaults(minor, version.minor, configuration is not None or bool(drop_ins)))
    if version.minor >= CONFIG_SINCE:
        for name, (value, places) in _stated(version, configuration, drop_ins, configuration_path):
            kind = known.get(name)
            if kind and means_default(kind, value) and name in settings:
                continue
            settings[name] = Setting(name, read_value(kind, value), ", ".join(places))
        _derive(settings)
    for flag, text in flags.items():
        name = normal_name(flag)
        with suppress(SettingError):
            name = canonical_name(version, flag)
        said_in = f"--{normal_name(flag)}"
        value = read_value(known.get(name), text)
        before = settings.get(name)
        if name == "featureGates" and before and before.value and isinstance(value, Mapping):
            value = {**before.value, **value}
            said_in = f"{before.said_in}, {said_in}"
        settings[name] = Setting(name, value, said_in)
    return settings


def _derive(settings: dict[str, Setting]) -> None:
    """Set the defaults that follow from other fields: SetDefaults_KubeletConfiguration."""
    pulls, serial = "maxParallelImagePulls", "serializeImagePulls"
    report, update = "nodeStatusReportFrequency", "nodeStatusUpdateFrequency"
    number = settings[pulls].value if pulls in settings else None
    if serial in settings and settings[serial].said_in == DEFAULT and isinstance(number, int):
        settings[serial] = Setting(serial, number <= 1)
    stated = update in settings and settings[update].said_in != DEFAULT
    if stated and report in settings and settings[report].said_in == DEFAULT:
        settings[report] = Setting(report, settings[update].value)


def configuration_settings(
    version: KubeVersion, document: Document, said_in: str
) -> Mapping[str, Setting]:
    """Return what a KubeletConfiguration or an answer of /configz states, by canonical name.

    Fields that this version does not know keep their dotted path as a name.
    """
    known = kinds(version.minor_version)
    paths = names_by_path(version.minor_version)
    found = {paths.get(path, path): value for path, value in _flat(document, version)}
    return {
        name: Setting(name, read_value(known.get(name), value), said_in)
        for name, value in found.items()
    }


def _defaults(minor: str, number: int, with_file: bool) -> Iterator[tuple[str, Setting]]:
    for name, kind in kinds(minor).items():
        value = kind.default
        if number >= CONFIG_SINCE and not with_file and kind.flag in FLAG_DEFAULTS:
            # applyLegacyDefaults: without a file, the flags' insecure defaults hold.
            value = read_value(kind, FLAG_DEFAULTS[kind.flag])
        if value is None and kind.path:
            value = EMPTY.get(kind.type)
        if value is not None:
            yield name, Setting(name, value)


def _stated(
    version: KubeVersion,
    configuration: Document | None,
    drop_ins: Sequence[DropIn],
    configuration_path: str,
) -> Iterator[tuple[str, tuple[Value, list[str]]]]:
    """Yield what the configuration files state: values by path, and the files that state them."""
    merged: dict[str, tuple[Value, list[str]]] = {}
    files = [] if configuration is None else [(configuration_path, configuration)]
    if version.minor >= _DROP_INS_SINCE:
        named = [d for d in drop_ins if PurePosixPath(d[0]).suffix == _DROP_IN_SUFFIX]
        files += sorted(named, key=lambda drop_in: PurePosixPath(drop_in[0]).parts)
    for place, document in files:
        for path, value in _flat(document, version):
            before, places = merged.get(path, (None, []))
            if value is None:
                merged.pop(path, None)
            elif isinstance(value, Mapping) and isinstance(before, Mapping):
                merged[path] = (_merged(before, value), [*places, place])
            else:
                merged[path] = (value, [place])
    yield from merged.items()


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings as a JSON merge patch does (RFC 7386)."""
    result = dict(one)
    for key, value in other.items():
        before = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(before, Mapping):
            result[key] = _merged(before, value)
        else:
            result[key] = value
    return result


def _flat(document: Document, version: KubeVersion) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a KubeletConfiguration by dotted path."""
    for path, value in flatten_settings(version, document):
        if path not in ("apiVersion", "kind"):
            yield path, value
