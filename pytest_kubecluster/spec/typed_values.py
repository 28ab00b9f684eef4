"""The values of settings by type: read, checked, compared, and written as a flag has them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from pytest_kubecluster.spec import catalog, limits
from pytest_kubecluster.spec.values import (
    address_meaning,
    cpu_set,
    frozen,
    list_item,
    parse_bool,
    parse_duration,
    parse_quantity,
    shown,
    split_list,
    split_pairs,
    taint_text,
)
from pytest_kubecluster.spec.version import KubeVersion

Value = Any
"""A boolean, a number, text, a tuple of values, or a mapping of names to values."""


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


def flag_text(kind: Kind, value: Value) -> str:
    """Return a typed value as the command line writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        evictions = kind.flag in ("eviction-hard", "eviction-soft")
        if kind.flag == "manifest-url-header":
            lists = ((key, one if isinstance(one, tuple) else (one,)) for key, one in value.items())
            return ",".join(f"{key}:{text}" for key, texts in lists for text in texts)
        sign = "<" if evictions else "="
        return ",".join(f"{key}{sign}{flag_text(kind, item)}" for key, item in value.items())
    if kind.flag == "reserved-memory" and isinstance(value, (tuple, list)):
        return ";".join(_reserved_text(one) for one in value if isinstance(one, Mapping))
    if isinstance(value, (tuple, list)):
        items = (list_item(one) if isinstance(one, str) else flag_text(kind, one) for one in value)
        return ",".join(items)
    return str(value)


def _reserved_text(one: Mapping[str, Any]) -> str:
    limits = one.get("limits")
    pairs = limits.items() if isinstance(limits, Mapping) else ()
    amounts = (f"{name}={amount}" for name, amount in pairs)
    return f"{one.get('numaNode', 0)}:{','.join(amounts)}"


def means_default(kind: Kind, value: object) -> bool:
    """Return whether a value in a configuration file is a zero that stands for the default."""
    return kind.omitted_when_zero and _is_zero(kind, value)


def is_empty(value: Value) -> bool:
    """Return whether JSON may omit a value: a zero, an empty text, list or map, or false."""
    if isinstance(value, str):
        with suppress(ValueError):
            return not value or parse_duration(value) == 0
        return False
    return not value


def _is_zero(kind: Kind, value: object) -> bool:
    if kind.type in ("duration", "nanoseconds") and isinstance(value, str):
        with suppress(ValueError):
            return parse_duration(value) == 0
    return value is None or (not isinstance(value, bool) and value in (0, ""))


def read_value(kind: Kind | None, value: object) -> Value:
    """Return a value typed if it can be read, and else as it is."""
    if kind is not None:
        with suppress(ValueError, TypeError, OverflowError):
            return typed(kind, value)
    return frozen(value)


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


def typed(kind: Kind, value: object) -> Value:
    """Return a value as the setting's type has it. Raises ValueError."""
    if value is None:
        raise ValueError("a value is missing")
    if kind.flag == "register-with-taints":
        return tuple(taint_text(one) for one in _items(value))
    if kind.flag == "reserved-memory":
        return _reserved_memory(value)
    if kind.flag == "vmodule":
        return _vmodule(value)
    # A flag of a type of its own is text to us; a field may be any structure.
    return _TYPED.get(kind.type, _any if kind.path else _string)(kind, value)


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


def check_value(version: KubeVersion, kind: Kind, value: Value) -> None:
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


def meaning(version: KubeVersion, kind: Kind, value: object) -> object:
    """Return what a value means, in a form that equal values share."""
    typed = read_value(kind, value)
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
    if name in _ADDRESSES and isinstance(typed, (str, tuple)):
        with suppress(ValueError):
            texts = split_list(typed) if isinstance(typed, str) else typed
            return tuple(address_meaning(str(text)) for text in texts)
        return typed
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
