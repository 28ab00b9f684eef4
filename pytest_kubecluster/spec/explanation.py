"""What is known of a setting or a feature gate, from version to version, as text."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from pytest_kubecluster.spec import catalog, limits
from pytest_kubecluster.spec.kinds import (
    CONFIG_SINCE,
    SettingError,
    canonical_name,
    kind_of,
    unknown_setting,
)
from pytest_kubecluster.spec.settings import FLAG_DEFAULTS
from pytest_kubecluster.spec.typed_values import Kind
from pytest_kubecluster.spec.values import thawed
from pytest_kubecluster.spec.version import NEWEST, OLDEST, KubeVersion

_TYPES = {
    "bool": "a boolean",
    "duration": "a duration such as 10s or 1m30s",
    "nanoseconds": "a duration such as 10s or 1m30s",
    "float64": "a number",
    "ip": "an IP address",
    "quantity": "a quantity such as 100Mi",
    "string": "text",
    "[]string": "a list of texts",
    "[]int32": "a list of numbers",
    "stringSlice": "a list of texts",
    "map[string]string": "a table of texts",
    "map[string]bool": "a table of booleans",
    "map[string][]string": "a table of lists of texts",
    "mapStringString": "a table of texts",
    "mapStringBool": "a table of booleans",
    "any": "objects",
}


def explain_setting(version: KubeVersion, name: str) -> Iterator[str]:
    """Yield lines about a setting, given by flag or by configuration path, or a feature gate.

    Raises SettingError for one that the version does not have.
    """
    gate = name.removeprefix("featureGates.")
    if any(gate in catalog.feature_gates(minor) for minor in catalog.MINORS):
        yield from _gate(version, gate)
        return
    try:
        kind = kind_of(version, canonical_name(version, name))
    except SettingError:
        raise SettingError(_unknown(version, name)) from None
    minor = version.minor_version
    in_file = kind.path if version.minor >= CONFIG_SINCE else None
    yield f"{in_file or f'--{kind.flag}'} of kubelet {version.number}"
    rows = {
        "type": _type(minor, kind),
        "values": limits.describe(minor, kind.flag, kind.path, kind.type),
        "default": _default(version, kind),
        "flag": _flag(version, kind),
        "configuration field": _field(in_file),
    }
    for title, text in rows.items():
        if text:
            yield f"  {title + ':':21}{text}"


def _unknown(version: KubeVersion, name: str) -> str:
    parents = [
        path for path in catalog.fields(version.minor_version) if path.startswith(f"{name}.")
    ]
    if parents:
        return f"{name} has fields of its own: {', '.join(parents)}"
    text = unknown_setting(version, name)
    if "did you mean" in text:
        return text
    fields = {path.lower(): path for path in catalog.fields(version.minor_version)}
    near = difflib.get_close_matches(name.lower(), fields, 1)
    return f"{text}; did you mean {fields[near[0]]}?" if near else text


def _type(minor: str, kind: Kind) -> str:
    field = catalog.fields(minor).get(kind.path or "")
    text = _TYPES.get(kind.type, f"a whole number ({kind.type})")
    if field is not None and field.shape is not None:
        shape = field.shape[0] if isinstance(field.shape, list) else field.shape
        fields = ", ".join(f"{name} ({type_name})" for name, type_name in shape.items())
        text = (
            f"{'a list of objects' if isinstance(field.shape, list) else 'an object'} of {fields}"
        )
    return text


def _default(version: KubeVersion, kind: Kind) -> str:
    text = "none" if kind.default is None else _plain(kind.default)
    if version.minor >= CONFIG_SINCE and kind.flag in FLAG_DEFAULTS:
        text += f"; without a configuration file {FLAG_DEFAULTS[kind.flag]}"
    if kind.omitted_when_zero:
        text += "; an explicit zero in the configuration file means this default"
    return text


def _plain(value: Any) -> str:
    text = yaml.safe_dump(thawed(value), default_flow_style=True, width=1000).strip()
    return '""' if value == "" else text.removesuffix("\n...").strip()


def _flag(version: KubeVersion, kind: Kind) -> str:
    if kind.flag is None:
        return "none: only a configuration file can set it"
    text = f"--{kind.flag}{_span(lambda minor: kind.flag in catalog.flags(minor), OLDEST)}"
    flag = catalog.flags(version.minor_version).get(kind.flag)
    if flag is None:
        return f"{text}; not in {version.minor_version}"
    return text + (", deprecated" if flag.deprecated else "")


def _field(path: str | None) -> str:
    if path is None:
        return ""
    return path + _span(lambda minor: path in catalog.fields(minor), CONFIG_SINCE)


def _gate(version: KubeVersion, gate: str) -> Iterator[str]:
    """Yield how a feature gate stands in each version."""
    now = catalog.feature_gates(version.minor_version).get(gate)
    yield f"feature gate {gate}: " + (
        _stage(now) if now else f"kubelet {version.number} does not have it"
    )
    first, last, stage = 0, 0, ""
    for number in range(OLDEST, NEWEST + 2):
        text = ""
        if number <= NEWEST:
            text = catalog.feature_gates(f"1.{number}").get(gate, "")
        if text != stage:
            if stage:
                span = f"1.{first}" if first == last else f"1.{first} to 1.{last}"
                yield f"  {span + ':':21}{_stage(stage)}"
            first, stage = number, text
        last = number


def _stage(text: str) -> str:
    """Return a gate's stage in words: ``beta, on by default``."""
    stage, *rest = text.split()
    name = {"ga": "GA"}.get(stage, stage)
    on = "on" if "true" in rest else "off"
    return f"{name}, {f'always {on}' if 'locked' in rest else f'{on} by default'}"


def _span(has: Callable[[str], bool], oldest: int) -> str:
    """Return since when and until when something is there, where that is not always."""
    numbers = [number for number in range(oldest, NEWEST + 1) if has(f"1.{number}")]
    if not numbers:
        return ""
    since = f", since 1.{numbers[0]}" if numbers[0] > oldest else ""
    return since + (f", removed in 1.{numbers[-1] + 1}" if numbers[-1] < NEWEST else "")
