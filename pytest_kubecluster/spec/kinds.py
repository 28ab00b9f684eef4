"""The settings that each version has, by flag name and by configuration path.

A setting's name is its path in the KubeletConfiguration (``authentication.anonymous.enabled``)
where that version reads it from a file, and the name of its flag (``node-ip``) where only the
command line can state it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

from pytest_kubecluster.spec import catalog
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.typed_values import Kind, Value, flag_text, read_value
from pytest_kubecluster.spec.values import frozen
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

CONFIG_SINCE = 10
"""The first minor whose kubelet reads a KubeletConfiguration and deprecates most flags."""

SET_BY_FLAG_ALONE = ("logging.verbosity", "logging.vmodule", "seccompDefault")
"""Fields that /configz shows as the file has them: their flags set something else directly."""


class SettingError(ValueError):
    """A setting that this version does not have, or a value that it cannot have."""


@cache
def kinds(minor: str) -> Mapping[str, Kind]:
    """Return the settings of the kubelet of ``minor``, by canonical name."""
    flags, fields = catalog.flags(minor), catalog.fields(minor)
    number = int(minor.partition(".")[2])
    found: dict[str, Kind] = {}
    bound: dict[str, str] = {}
    for path, field in fields.items():
        if number < CONFIG_SINCE:
            if field.flag and field.flag in flags:
                bound[field.flag] = path
            continue
        default = frozen(field.default)
        zero = field.zero_is_default
        found[path] = Kind(path, field.type, field.flag, path, default, zero)
        if field.flag:
            bound[field.flag] = path
    for name, flag in flags.items():
        if bound.get(name) not in found:
            default = flag.default
            if default is None and name in bound:
                default = fields[bound[name]].default
            kind = Kind(name, flag.type, name, bound.get(name))
            found[name] = Kind(name, flag.type, name, bound.get(name), _default(kind, default))
    return found


def canonical_name(version: KubeVersion, name: str) -> str:
    """Return the canonical name of a setting given by flag or by configuration path.

    Raises SettingError for one that this version does not have, naming since when, until when or
    what is near.
    """
    known = kinds(version.minor_version)
    if name in known:
        return name
    flag = normal_name(name)
    for candidate in (flag, *(n for n, k in known.items() if flag == k.flag or name == k.path)):
        if candidate in known:
            return candidate
    raise SettingError(unknown_setting(version, name))


def normal_setting(version: KubeVersion, name: str) -> str:
    """Return the canonical name of a setting, or of an unknown one its name as a flag."""
    try:
        return canonical_name(version, name)
    except ValueError:
        return normal_name(name)


def flatten_settings(
    version: KubeVersion, settings: Mapping[str, Any]
) -> Iterator[tuple[str, Any]]:
    """Yield settings by flag name or dotted path; nested mappings are configuration paths."""
    parents = _parents(version.minor_version)

    def walk(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, item in value.items():
            path = f"{prefix}{key}"
            if isinstance(item, Mapping) and path in parents:
                yield from walk(f"{path}.", item)
            else:
                yield path, item

    yield from walk("", settings)


def kind_of(version: KubeVersion, name: str) -> Kind:
    """Return what is known of a setting, given by flag or path. Raises SettingError."""
    return kinds(version.minor_version)[canonical_name(version, name)]


def configz_shows(version: KubeVersion, name: str) -> bool:
    """Return whether /configz shows a setting as the kubelet runs with it; empty ones it omits."""
    with suppress(SettingError):
        return bool(kind_of(version, name).path) and name not in SET_BY_FLAG_ALONE
    return False


def unknown_setting(version: KubeVersion, name: str) -> str:
    """Describe a setting that this version does not have: since, until, or what is near."""
    if "." in name or (name != name.lower() and "-" not in name):
        return _unknown_field(version, name)
    flag = normal_name(name)
    text = f"kubelet {version.number} has no flag --{flag}"
    history = catalog.history(flag)
    if history is None:
        near = difflib.get_close_matches(flag, catalog.flags(version.minor_version), 1)
        return text + (f"; did you mean --{near[0]}?" if near else f", nor has any from {KNOWN}")
    if history.since and version < KubeVersion.parse(history.since):
        return f"{text}; it was added in {history.since}"
    instead = f"; instead: {history.instead}" if history.instead else ""
    return f"{text}; it was removed in {history.removed}{instead}"


def _unknown_field(version: KubeVersion, path: str) -> str:
    text = f"kubelet {version.number} has no configuration field {path}"
    minors = [minor for minor in catalog.MINORS if path in catalog.fields(minor)]
    if not minors:
        near = difflib.get_close_matches(path, catalog.fields(version.minor_version), 1)
        return text + (f"; did you mean {near[0]}?" if near else f", nor has any from {KNOWN}")
    if version < KubeVersion.parse(minors[0]):
        return f"{text}; it was added in {minors[0]}"
    last = KubeVersion.parse(minors[-1])
    if version.minor > last.minor:
        return f"{text}; it was removed in {last.major}.{last.minor + 1}"
    return text


@cache
def names_by_path(minor: str) -> Mapping[str, str]:
    """Return the canonical names of settings by their paths in the configuration."""
    return {kind.path: name for name, kind in kinds(minor).items() if kind.path}


EMPTY: Mapping[str, Value] = {
    "[]string": (),
    "stringSlice": (),
    "[]int32": (),
    "[]api.Taint": (),
    "map[string]string": {},
    "map[string]bool": {},
    "map[string][]string": {},
    "mapStringString": {},
    "mapStringBool": {},
}
"""Lists and maps that nothing states are empty."""


@cache
def _parents(minor: str) -> frozenset[str]:
    """Return the paths of the configuration's structures, which are not settings themselves."""
    known = catalog.fields(minor)
    paths = {path[:i] for path in known for i, letter in enumerate(path) if letter == "."}
    return frozenset(paths - set(known))


def _default(kind: Kind, value: object) -> Value:
    if value in (None, "") or (value == "[]" and kind.type != "string"):
        return EMPTY.get(kind.type)
    if kind.type == "stringSlice" and isinstance(value, str):
        value = value.removeprefix("[").removesuffix("]")  # pflag shows a list's default so
    return read_value(kind, value)


def flag_of(version: KubeVersion, name: str) -> str | None:
    """Return the flag of a setting, or None if only a configuration file can state it."""
    try:
        return kind_of(version, name).flag
    except SettingError:
        return None


def setting_name(version: KubeVersion, name: str) -> str:
    """Return what people call a setting: its flag, or its path in the configuration."""
    flag = flag_of(version, name)
    return f"--{flag}" if flag else name


def setting_text(version: KubeVersion, name: str, value: Any) -> str:
    """Return a setting's value as its flag writes it, or as YAML would in one line."""
    try:
        return flag_text(kind_of(version, name), value)
    except SettingError:
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
