"""Settings of a kubelet: one name and one meaning, however a node states them.

A setting's name is its path in the KubeletConfiguration (``authentication.anonymous.enabled``)
where that version reads it from a file, and the name of its flag (``node-ip``) where only the
command line can state it. Flags win over the drop-in files of ``--config-dir``, these over the file
of ``--config``, and that over the version's defaults.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any

from pytest_kubecluster.spec import catalog, limits
from pytest_kubecluster.spec.flags import normal_name
from pytest_kubecluster.spec.values import (
    address_meaning,
    cpu_set,
    frozen,
    parse_bool,
    parse_duration,
    parse_quantity,
    shown,
    split_list,
    split_pairs,
    taint_text,
)
from pytest_kubecluster.spec.version import KNOWN, KubeVersion

Value = Any
"""A boolean, a number, text, a tuple of values, or a mapping of names to values."""

Document = Mapping[str, Any]
DropIn = tuple[str, Document]
"""A drop-in file of the KubeletConfiguration: its path and its content."""

CONFIG_SINCE = 10
"""The first minor whose kubelet reads a KubeletConfiguration and deprecates most flags."""

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

SET_BY_FLAG_ALONE = ("logging.verbosity", "logging.vmodule", "seccompDefault")
"""Fields that /configz shows as the file has them: their flags set something else directly."""

_DROP_IN_SUFFIX = ".conf"
_DROP_INS_SINCE = 28


class SettingError(ValueError):
    """A setting that this version does not have, or a value that it cannot have."""


@dataclass(frozen=True)
class Setting:
    """One setting of a kubelet: its canonical name, its typed value, and where it is stated."""

    name: str
    value: Value
    said_in: str = DEFAULT


@dataclass(frozen=True)
class Kind:
    """What is known of a setting in one version.

    ``type`` is the catalogue's, of the configuration field where there is one.
    """

    name: str
    type: str
    flag: str | None
    path: str | None
    default: Value = None
    omitted_when_zero: bool = False
    """Whether the defaults replace a zero of the configuration file (not a Go pointer)."""


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


def flag_text(kind: Kind, value: Value) -> str:
    """Return a typed value as the command line writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        evictions = kind.flag in ("eviction-hard", "eviction-soft")
        sign = "<" if evictions else ":" if kind.flag == "manifest-url-header" else "="
        return ",".join(f"{key}{sign}{flag_text(kind, item)}" for key, item in value.items())
    if kind.flag == "reserved-memory":
        return ";".join(
            f"{one['numaNode']}:{','.join(f'{k}={v}' for k, v in one['limits'].items())}"
            for one in value
        )
    if isinstance(value, (tuple, list)):
        return ",".join(flag_text(kind, item) for item in value)
    return str(value)


def parse_setting(version: KubeVersion, name: str, value: object, said_in: str = "") -> Setting:
    """Return a setting with a typed value, checked against what is known of the version.

    ``value`` is as a flag writes it, or as YAML, TOML or Python has it. Raises SettingError naming
    the setting, with the type, range or choices it takes.
    """
    canonical = canonical_name(version, name)
    kind = kinds(version.minor_version)[canonical]
    try:
        typed = _typed(kind, value)
        _check(version, kind, typed)
    except (ValueError, TypeError, OverflowError) as error:
        raise SettingError(f"{name}: {error}") from None
    return Setting(canonical, typed, said_in)


def means_default(kind: Kind, value: object) -> bool:
    """Return whether a value in a configuration file is a zero that stands for the default."""
    return kind.omitted_when_zero and _is_zero(kind, value)


def configz_shows(version: KubeVersion, name: str) -> bool:
    """Return whether /configz shows a setting as the kubelet runs with it; empty ones it omits."""
    with suppress(SettingError):
        return bool(kind_of(version, name).path) and name not in SET_BY_FLAG_ALONE
    return False


def is_empty(value: Value) -> bool:
    """Return whether JSON may omit a value: a zero, an empty text, list or map, or false."""
    if isinstance(value, str):
        with suppress(ValueError):
            return not value or parse_duration(value) == 0
        return False
    return not value


def same_value(version: KubeVersion, name: str, one: object, other: object) -> bool:
    """Return whether two values of a setting mean the same to this version's kubelet.

    None stands for a setting that is not there. A value that cannot be read is compared as text.
    """
    if one is None or other is None:
        return one is other
    with suppress(SettingError):
        kind = kinds(version.minor_version)[canonical_name(version, name)]
        return _meaning(version, kind, one) == _meaning(version, kind, other)
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
            settings[name] = Setting(name, _read(kind, value), ", ".join(places))
        _derive(settings)
    for flag, text in flags.items():
        name = normal_name(flag)
        with suppress(SettingError):
            name = canonical_name(version, flag)
        said_in = f"--{normal_name(flag)}"
        value = _read(known.get(name), text)
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
    paths = _paths(version.minor_version)
    found = {paths.get(path, path): value for path, value in _flat(document, version)}
    return {
        name: Setting(name, _read(known.get(name), value), said_in) for name, value in found.items()
    }


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
def _paths(minor: str) -> Mapping[str, str]:
    """Return the canonical names of settings by their paths in the configuration."""
    return {kind.path: name for name, kind in kinds(minor).items() if kind.path}


def _defaults(minor: str, number: int, with_file: bool) -> Iterator[tuple[str, Setting]]:
    for name, kind in kinds(minor).items():
        value = kind.default
        if number >= CONFIG_SINCE and not with_file and kind.flag in FLAG_DEFAULTS:
            # applyLegacyDefaults: without a file, the flags' insecure defaults hold.
            value = _read(kind, FLAG_DEFAULTS[kind.flag])
        if value is None and kind.path:
            value = _EMPTY.get(kind.type)
        if value is not None:
            yield name, Setting(name, value)


_EMPTY: Mapping[str, Value] = {
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


@cache
def _parents(minor: str) -> frozenset[str]:
    """Return the paths of the configuration's structures, which are not settings themselves."""
    known = catalog.fields(minor)
    paths = {path[:i] for path in known for i, letter in enumerate(path) if letter == "."}
    return frozenset(paths - set(known))


def _is_zero(kind: Kind, value: object) -> bool:
    if kind.type in ("duration", "nanoseconds") and isinstance(value, str):
        with suppress(ValueError):
            return parse_duration(value) == 0
    return value is None or (not isinstance(value, bool) and value in (0, ""))


def _default(kind: Kind, value: object) -> Value:
    if value in (None, "") or (value == "[]" and kind.type != "string"):
        return _EMPTY.get(kind.type)
    if kind.type == "stringSlice" and isinstance(value, str):
        value = value.removeprefix("[").removesuffix("]")  # pflag shows a list's default so
    return _read(kind, value)


def _read(kind: Kind | None, value: object) -> Value:
    """Return a value typed if it can be read, and else as it is."""
    if kind is not None:
        with suppress(ValueError, TypeError, OverflowError):
            return _typed(kind, value)
    return frozen(value)


# --- values by type --------------------------------------------------------------------------

_INTEGERS = {
    "int": (-(2**63), 2**63 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint": (0, 2**64 - 1),
    "uint32": (0, 2**32 - 1),
    "Level": (-(2**31), 2**31 - 1),
}
_NOT_NEGATIVE = range(2**31)
_PORT = range(65536)
_PERCENT = range(101)
_BIT = range(32)
_RANGES: Mapping[str, range] = {
    "cadvisor-port": _PORT,
    "event-burst": _NOT_NEGATIVE,
    "event-qps": _NOT_NEGATIVE,
    "healthz-port": _PORT,
    "image-gc-high-threshold": _PERCENT,
    "image-gc-low-threshold": _PERCENT,
    "iptables-drop-bit": _BIT,
    "iptables-masquerade-bit": _BIT,
    "kube-api-burst": _NOT_NEGATIVE,
    "kube-api-qps": _NOT_NEGATIVE,
    "max-open-files": range(2**63),
    "max-pods": _NOT_NEGATIVE,
    "oom-score-adj": range(-1000, 1001),
    "pods-per-core": _NOT_NEGATIVE,
    "port": range(1, 65536),
    "read-only-port": _PORT,
    "registry-burst": _NOT_NEGATIVE,
    "registry-qps": _NOT_NEGATIVE,
}
"""What numbers may be, by flag: ValidateKubeletConfiguration in pkg/kubelet/apis/config."""

_QUANTITIES = (
    "container-log-max-size",
    "eviction-hard",
    "eviction-soft",
    "eviction-minimum-reclaim",
    "kube-reserved",
    "system-reserved",
    "qos-reserved",
)
_DURATIONS = ("eviction-soft-grace-period",)
_WITHOUT_ORDER = (
    "allowed-unsafe-sysctls",
    "enforce-node-allocatable",
    "tls-cipher-suites",
    "preloadedImagesVerificationAllowlist",
    "reserved-memory",
    "shutdownGracePeriodByPodPriority",
)
"""Lists that the kubelet takes as sets. The resolver asks DNS servers in their order, the first
of two node addresses is the primary one; a Go server ignores the order of its cipher suites."""
_ADDRESSES = ("address", "healthz-bind-address", "node-ip", "cluster-dns")
_SOCKETS = ("container-runtime-endpoint", "image-service-endpoint")


def _typed(kind: Kind, value: object) -> Value:
    """Return a value as the setting's type has it. Raises ValueError."""
    if value is None:
        raise ValueError("a value is missing")
    if kind.flag == "register-with-taints":
        return tuple(taint_text(one) for one in _items(value))
    if kind.flag == "reserved-memory":
        return _reserved_memory(value)
    if kind.flag == "vmodule":
        return _vmodule(value)
    return _TYPED.get(kind.type, _any)(kind, value)


def _any(_: Kind, value: object) -> Value:
    return _without_nulls(frozen(value))


def _without_nulls(value: Value) -> Value:
    """Return a value without null fields: to Go they are fields that are not there."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return tuple(map(_without_nulls, value)) if isinstance(value, tuple) else value


def _string(_: Kind, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"invalid value {value!r} (must be text)")
    return str(value)


def _bool(_: Kind, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        with suppress(ValueError):
            return parse_bool(value)
    raise ValueError(f"invalid value {shown(value)} (must be true or false)")


def _integer(kind: Kind, value: object) -> int:
    low, high = _INTEGERS[kind.type]
    allowed = _RANGES.get(kind.flag or kind.name)
    if allowed is not None:
        low, high = allowed[0], allowed[-1]
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and len(value) <= 64:
        with suppress(ValueError):
            number = int(value, 0)
    if number == 0 and kind.omitted_when_zero:
        return 0
    if number is None or not low <= number <= high:
        raise ValueError(f"invalid value {shown(value)} (must be a number from {low} to {high})")
    return number


def _float(_: Kind, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    with suppress(ValueError):
        if isinstance(value, str):
            return float(value)
    raise ValueError(f"invalid value {shown(value)} (must be a number)")


def _duration(kind: Kind, value: object) -> str:
    if isinstance(value, str):
        with suppress(ValueError):
            parse_duration(value)
            return value
    # TimeOrMetaDuration in k8s.io/component-base/logs: a number of nanoseconds, or text.
    if (
        kind.flag == "log-flush-frequency"
        and isinstance(value, int)
        and not isinstance(value, bool)
    ):
        return f"{value}ns"
    raise ValueError(f"invalid value {shown(value)} (must be a duration such as '10s' or '1m30s')")


def _quantity(_: Kind, value: object) -> str:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        with suppress(ValueError):
            parse_quantity(str(value))
            return str(value)
    raise ValueError(f"invalid value {shown(value)} (must be a quantity such as '100Mi')")


def _items(value: object) -> tuple[object, ...]:
    if isinstance(value, str):
        return split_list(value)
    if isinstance(value, (list, tuple)):
        return tuple(value)
    raise ValueError(f"invalid value {shown(value)} (must be a list)")


def _list(kind: Kind, value: object) -> tuple[str, ...]:
    return tuple(_string(kind, item) for item in _items(value))


def _numbers(_: Kind, value: object) -> tuple[int, ...]:
    numbers = tuple(n for n in _items(value) if isinstance(n, int) and not isinstance(n, bool))
    if len(numbers) != len(_items(value)):
        raise ValueError(f"invalid value {shown(value)} (must be a list of numbers)")
    return numbers


def _pairs(value: object) -> Mapping[Any, object]:
    if isinstance(value, str):
        return dict(split_pairs(value))
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"invalid value {shown(value)} (must be a table)")


def _map(kind: Kind, value: object) -> dict[str, str]:
    return {
        str(key): str(item).lower() if isinstance(item, bool) else _string(kind, item)
        for key, item in _pairs(value).items()
    }


def _gates(kind: Kind, value: object) -> dict[str, bool]:
    return {str(key): _bool(kind, item) for key, item in _pairs(value).items()}


def _headers(kind: Kind, value: object) -> dict[str, tuple[str, ...]]:
    if isinstance(value, str):
        headers: dict[str, tuple[str, ...]] = {}
        for pair in filter(None, value.split(",")):
            key, _, item = pair.partition(":")
            headers[key] = (*headers.get(key, ()), item)
        return headers
    return {str(key): _list(kind, item) for key, item in _pairs(value).items()}


def _reserved_memory(value: object) -> tuple[Mapping[str, Any], ...]:
    """Read ``0:memory=1Gi,hugepages-1Gi=2Gi;1:memory=2Gi``, or the list of the configuration."""
    if not isinstance(value, str):
        if not all(isinstance(item, Mapping) for item in _items(value)):
            raise ValueError(
                f"invalid value {shown(value)} (must be a list of numaNode and limits)"
            )
        return tuple(item for item in _items(value) if isinstance(item, Mapping))
    parts = [part.partition(":") for part in value.split(";") if part]
    if not all(node.strip().isdecimal() for node, _, _ in parts):
        raise ValueError(
            f"invalid value {shown(value)} (must be such as '0:memory=1Gi;1:memory=2Gi')"
        )
    return tuple(
        {"numaNode": int(node), "limits": dict(split_pairs(limits, "="))}
        for node, _, limits in parts
    )


def _vmodule(value: object) -> tuple[str, ...]:
    return tuple(
        f"{item.get('filePattern')}={item.get('verbosity')}"
        if isinstance(item, Mapping)
        else str(item)
        for item in _items(value)
    )


_TYPED: Mapping[str, Callable[[Kind, object], Value]] = {
    "string": _string,
    "ip": _string,
    "bool": _bool,
    **dict.fromkeys(_INTEGERS, _integer),
    "float64": _float,
    "duration": _duration,
    "nanoseconds": _duration,
    "quantity": _quantity,
    "stringSlice": _list,
    "[]string": _list,
    "[]int32": _numbers,
    "mapStringString": _map,
    "map[string]string": _map,
    "mapStringBool": _gates,
    "map[string]bool": _gates,
    "map[string][]string": _headers,
    "colonSeparatedMultimapStringString": _headers,
}


def _check(version: KubeVersion, kind: Kind, value: Value) -> None:
    """Raise ValueError for a value of the right type that the kubelet does not accept."""
    name = kind.flag or kind.name
    limits.check_value(version.minor_version, kind.flag, kind.path, kind.type, value)
    if name == "feature-gates":
        # Until 1.8 the flag's type is text.
        _check_gates(version, _gates(kind, value) if isinstance(value, str) else value)
    if name in _ADDRESSES:
        for address in split_list(value) if isinstance(value, str) else value:
            try:
                ip_address(address)
            except ValueError:
                raise ValueError(f"invalid IP address {address!r}") from None


def _check_gates(version: KubeVersion, gates: Mapping[str, bool]) -> None:
    known = catalog.feature_gates(version.minor_version)
    for gate, on in gates.items():
        if gate in ("AllAlpha", "AllBeta"):
            continue
        if gate not in known:
            near = difflib.get_close_matches(gate, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"kubelet {version.number} has no feature gate {gate}{hint}")
        if "locked" in known[gate] and _gate_default(known[gate]) is not on:
            state = str(_gate_default(known[gate])).lower()
            raise ValueError(f"kubelet {version.number} locks the feature gate {gate} to {state}")


def _gate_default(gate: str) -> bool:
    """Return whether a gate is on by default, from the catalogue's ``beta true locked``."""
    return "true" in gate.split()


def _meaning(version: KubeVersion, kind: Kind, value: object) -> object:
    """Return what a value means, in a form that equal values share."""
    typed = _read(kind, value)
    name = kind.flag or kind.name
    if kind.type in ("duration", "nanoseconds"):
        return _or_text(parse_duration, typed)
    if kind.type == "quantity" or name in _QUANTITIES or name in _DURATIONS:
        read = parse_duration if name in _DURATIONS else _amount
        if isinstance(typed, Mapping):
            return {key: _or_text(read, item) for key, item in typed.items()}
        if isinstance(typed, str) and kind.type not in ("string", "quantity"):
            return {key: _or_text(read, item) for key, item in split_pairs(typed)}
        return _or_text(read, typed)
    if name == "feature-gates" and isinstance(typed, Mapping):
        known = catalog.feature_gates(version.minor_version)
        return {
            gate: on
            for gate, on in typed.items()
            if gate not in known or _gate_default(known[gate]) is not on
        }
    if name in _ADDRESSES:
        texts = split_list(typed) if isinstance(typed, str) else typed
        return tuple(address_meaning(str(text)) for text in texts)
    if name in _SOCKETS and isinstance(typed, str):
        return typed if "://" in typed or not typed else f"unix://{typed}"
    if name == "reserved-cpus" and isinstance(typed, str):
        return _or_text(cpu_set, typed)
    if name == "register-with-taints" and isinstance(typed, tuple):
        return frozenset(typed)
    if name in _WITHOUT_ORDER and isinstance(typed, tuple):
        return sorted(_comparable(item) for item in typed)
    return typed


def _comparable(item: object) -> str:
    """Return a text that lists' items of the same meaning share."""
    if isinstance(item, Mapping):
        return repr(sorted((str(key), _comparable(value)) for key, value in item.items()))
    return repr(_or_text(_amount, item)) if isinstance(item, str) else repr(item)


def _amount(text: str) -> object:
    """Return a quantity's value or, for ``10%``, the share it is."""
    if text.endswith("%"):
        return ("%", parse_quantity(text[:-1]))
    return parse_quantity(text)


def _or_text(read: Callable[[str], object], value: object) -> object:
    with suppress(ValueError):
        return read(str(value))
    return value
