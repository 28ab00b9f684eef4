"""What values a setting may have in a version: choices, ranges, forms."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from pytest_kubecluster.spec import catalog, rules
from pytest_kubecluster.spec.values import (
    cpu_set,
    parse_duration,
    parse_quantity,
    shown,
    split_pairs,
)

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "authorization-mode": ("AlwaysAllow", "Webhook"),
    "cgroup-driver": ("cgroupfs", "systemd"),
    "cpu-manager-policy": ("none", "static"),
    "hairpin-mode": ("promiscuous-bridge", "hairpin-veth", "none"),
    "logging-format": ("text", "json"),
    "memory-manager-policy": ("None", "Static"),
    "tls-min-version": ("VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"),
    "topology-manager-policy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topology-manager-scope": ("container", "pod"),
    "configMapAndSecretChangeDetectionStrategy": ("Get", "Cache", "Watch"),
}
"""What texts may be, by flag or path: where the kubelet checks them while it starts."""

_AS_TEXT = ("register-with-taints", "vmodule")
"""Settings whose objects are read as their flag writes them."""

_EMPTY_ALLOWED = frozenset({"cgroup-driver", "hairpin-mode", "logging-format", "tls-min-version"})
"""Settings whose empty text is the default."""

_SUITES = frozenset(
    f"TLS_{name}"
    for name in (
        *("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"),
        *(
            f"{exchange}_WITH_{cipher}"
            for exchange in ("ECDHE_ECDSA", "ECDHE_RSA", "RSA")
            for cipher in (
                *("AES_128_CBC_SHA", "AES_128_CBC_SHA256", "AES_128_GCM_SHA256"),
                *("AES_256_CBC_SHA", "AES_256_GCM_SHA384", "RC4_128_SHA", "3DES_EDE_CBC_SHA"),
                *("CHACHA20_POLY1305", "CHACHA20_POLY1305_SHA256"),
            )
        ),
    )
) - {
    "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_CHACHA20_POLY1305",
    "TLS_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
"""The suites of Go's crypto/tls: k8s.io/component-base/cli/flag/ciphersuites_flag.go."""

_RESERVABLE = ("cpu", "memory", "storage", "ephemeral-storage", "pid")
_LEVELS = ("none", "pods", "system-reserved", "kube-reserved")
_COMPRESSIBLE_SINCE = 32
_CURVES = (23, 24, 25, 29, 4587, 4588, 4589)
"""The curves of Go's crypto/tls, by the numbers of IANA."""
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_SCHEMES = ("dns", "unix", "unix-abstract")
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_QUALIFIED = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?{_WORD}")
_SYSCTLS = ("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.", "net.")
_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*[./]?\*?")


def check_value(minor: str, flag: str | None, path: str | None, kind: str, value: Any) -> None:
    """Raise ValueError, with the choices or the range, for a value that the kubelet refuses.

    ``value`` is of the type ``kind``, as the catalogue names it.
    """
    name = flag or path or ""
    field = catalog.fields(minor).get(path) if path else None
    if field is not None and field.zero_is_default and _is_zero(field.type, value):
        return  # the kubelet takes it for the default
    choices = _CHOICES.get(name)
    if choices and value not in choices and not (value == "" and name in _EMPTY_ALLOWED):
        raise ValueError(f"invalid choice {value!r} (choose from {', '.join(choices)})")
    if check := _CHECKS.get(name):
        check(minor, value)
    if field is None or path is None:
        return
    if field.shape is not None and flag not in _AS_TEXT:
        _check_shape(field.shape, value)
    with suppress(ValueError):
        value = rules.comparable(path, kind, value)
    for rule in rules.broken_by(minor, path, value):
        raise ValueError(_refusal(minor, path, kind, value, rule))


def _is_zero(kind: str, value: Any) -> bool:
    if kind in ("duration", "nanoseconds") and value:
        return parse_duration(str(value)) == 0
    return value in ("", 0) and not isinstance(value, bool)


def describe(minor: str, flag: str | None, path: str | None, kind: str) -> str:
    """Return what values a setting may have: ``0 to 100``, ``none or static``; or nothing."""
    name = flag or path or ""
    if name in _CHOICES:
        return " or ".join(_CHOICES[name])
    if name in ("enforce-node-allocatable",):
        return f"some of {', '.join(_levels(minor))}"
    if name in ("eviction-hard", "eviction-soft"):
        return f"signals: {', '.join(catalog.eviction_signals(minor))}"
    if name in ("kube-reserved", "system-reserved"):
        return f"quantities of {', '.join(_RESERVABLE)}"
    found = [_allowed(rule[0], kind) for rule in rules.rules_about(minor, path)] if path else []
    texts = [" or ".join(one) if isinstance(one, tuple) else one for one in found]
    return ", ".join(dict.fromkeys(filter(None, texts)))


def _refusal(minor: str, path: str, kind: str, value: Any, rule: rules.Rule) -> str:
    allowed = _allowed(rule[0], kind)
    if not allowed:
        return rules.message_of(minor, rule, {path: value})
    if isinstance(allowed, tuple):
        return f"invalid choice {value!r} (choose from {', '.join(allowed)})"
    said = rules.duration_text(value) if kind == "duration" else shown(value)
    return f"invalid value {said} (must be {allowed})"


def _allowed(condition: Any, kind: str) -> str | tuple[str, ...]:
    """Return the range or the choices that a rule's condition leaves; empty if it is neither."""
    match condition:
        case ["&&", ["gate", _], rest] | ["&&", ["!=", ["field", _], None], rest]:
            return _allowed(rest, kind)
        case ["&&", ["!=", ["field", _], 0], ["!", ["in range", _, first, last]]]:
            span = _span(first, last, 1, kind)
            return f"0 to {last}" if first == 1 and kind != "duration" else f"0 or {span}"
        case ["!", ["in range", inner, first, last]]:
            return _span(first, last, _factor(inner), kind)
        case ["!", ["one of", _, *choices]]:
            return tuple(str(one) or '""' for one in choices)
        case ["<", inner, low]:
            return f"{_number(low * _factor(inner), kind)} or more"
        case ["<=", inner, low]:
            return f"more than {_number(low * _factor(inner), kind)}"
        case ["||", ["<=", _, low], [">", _, high]]:
            return f"more than {_number(low, kind)}, up to {_number(high, kind)}"
        case ["||", ["<", _, 0], ["&&", [">", _, 0], ["<", _, low]]]:
            return f"0s, or {_number(low, kind)} or more"
    return ""


def _factor(inner: Any) -> int:
    """Return by what a rule divides the value before it compares it."""
    return int(inner[2]) if inner[0] == "/" else 1


def _span(first: Any, last: Any, factor: int, kind: str) -> str:
    return f"{_number(first * factor, kind)} to {_number(last * factor, kind)}"


def _number(value: Any, kind: str) -> str:
    return rules.duration_text(value) if kind == "duration" else str(value)


def _check_shape(shape: Any, value: Any, where: str = "") -> None:
    """Raise ValueError for a field of an object that there is not, or of another type."""
    prefix = f"{where}: " if where else ""
    if isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{prefix}invalid value {shown(value)} (must be a list)")
        for number, item in enumerate(value):
            _check_shape(shape[0], item, f"{where}[{number}]")
    elif isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(
                f"{prefix}invalid value {shown(value)} (must be a table of {', '.join(shape)})"
            )
        _check_each(value, shape, "field")
        for name, item in value.items():
            if item is not None:
                _check_shape(shape[name], item, f"{where}.{name}".lstrip("."))
    elif not _has_type(shape, value):
        raise ValueError(f"{prefix}invalid value {shown(value)} (must be of type {shape})")


def _has_type(kind: str, value: Any) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind in ("int", "int32", "int64", "uint32"):
        low, high = (0, 2**32) if kind == "uint32" else (-(2**63), 2**63)
        low, high = (-(2**31), 2**31) if kind == "int32" else (low, high)
        return isinstance(value, int) and not isinstance(value, bool) and low <= value < high
    if kind == "string":
        return isinstance(value, str)
    return True


# --- settings with rules of their own --------------------------------------------------------


def _check_each(items: Iterable[str], known: Iterable[str], what: str) -> None:
    for item in items:
        if item not in known:
            near = difflib.get_close_matches(str(item), list(known), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"unknown {what} {item!r}{hint} (choose from {', '.join(known)})")


def _suites(_: str, value: Any) -> None:
    for suite in value:
        if suite not in _SUITES:
            near = difflib.get_close_matches(suite, sorted(_SUITES), 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"unknown cipher suite {suite!r}{hint}")


def _number_of(minor: str) -> int:
    return int(minor.partition(".")[2])


def _levels(minor: str) -> tuple[str, ...]:
    if _number_of(minor) < _COMPRESSIBLE_SINCE:
        return _LEVELS
    return (*_LEVELS, "system-reserved-compressible", "kube-reserved-compressible")


def _enforcement(minor: str, value: Any) -> None:
    given = [level for level in value if level]
    _check_each(given, _levels(minor), "level")
    if "none" in given and len(given) > 1:
        raise ValueError("'none' cannot be combined with other levels")
    if _number_of(minor) >= 31 and len(given) > len(set(given)):
        raise ValueError(f"invalid value {shown(value)} (must have no level twice)")


def _pairs(value: Any) -> Mapping[str, str]:
    return dict(split_pairs(value)) if isinstance(value, str) else value


def _thresholds(minor: str, value: Any) -> None:
    for signal, amount in _pairs(value).items():
        _check_each([signal], catalog.eviction_signals(minor), "eviction signal")
        if amount.endswith("%"):
            _percentage(signal, amount)
        elif _quantity(signal, amount) <= 0:
            raise ValueError(f"{signal}: invalid value {amount!r} (must be more than 0)")


def _reclaims(minor: str, value: Any) -> None:
    for signal, amount in _pairs(value).items():
        _check_each([signal], catalog.eviction_signals(minor), "eviction signal")
        if amount.endswith("%"):
            if _percentage(signal, amount) == 0:
                raise ValueError(f"{signal}: invalid value {amount!r} (must be more than 0%)")
        elif _quantity(signal, amount) < 0:
            raise ValueError(f"{signal}: invalid value {amount!r} (must be 0 or more)")


def _grace_periods(minor: str, value: Any) -> None:
    for signal, period in _pairs(value).items():
        _check_each([signal], catalog.eviction_signals(minor), "eviction signal")
        try:
            negative = parse_duration(period) < 0
        except ValueError:
            raise ValueError(
                f"{signal}: invalid value {period!r} (must be a duration such as '1m30s')"
            ) from None
        if negative:
            raise ValueError(f"{signal}: invalid value {period!r} (must be 0s or more)")


def _percentage(name: str, text: str) -> float:
    try:
        share = float(text[:-1])
    except ValueError:
        share = -1
    if not 0 <= share <= 100:
        raise ValueError(f"{name}: invalid value {text!r} (must be 0% to 100%)")
    return share


def _quantity(name: str, text: Any) -> Any:
    try:
        return parse_quantity(str(text))
    except ValueError:
        raise ValueError(
            f"{name}: invalid value {text!r} (must be a quantity such as '100Mi')"
        ) from None


def _reservations(_: str, value: Any) -> None:
    given = _pairs(value)
    _check_each(given, _RESERVABLE, "resource")
    for name, amount in given.items():
        if _quantity(name, amount) < 0:
            raise ValueError(f"{name}: invalid value {amount!r} (must be 0 or more)")


def _shares(_: str, value: Any) -> None:
    for name, share in _pairs(value).items():
        _check_each([name], ("memory",), "resource")
        if not re.fullmatch(r"\+?\d+%", share) or int(share[:-1]) > 100:
            raise ValueError(f"{name}: invalid value {share!r} (must be 0% to 100%)")


def _log_size(_: str, value: Any) -> None:
    if value and _quantity("size", value).denominator != 1:
        raise ValueError(f"invalid value {value!r} (must be a whole number of bytes)")


def _cpus(_: str, value: Any) -> None:
    try:
        empty = value != "" and not cpu_set(value)
    except ValueError:
        empty = True
    if empty or re.search(r"[^\d,-]", value):
        raise ValueError(f"invalid value {value!r} (must be a list of CPUs such as '0-3,7')")


def _sysctls(_: str, value: Any) -> None:
    for pattern in value:
        if len(pattern) > 253 or not _SYSCTL.fullmatch(pattern):
            raise ValueError(
                f"invalid sysctl {pattern!r} (must be one such as 'net.core.somaxconn')"
            )
        name = pattern.replace("/", ".").rstrip("*")
        if not name.startswith(_SYSCTLS):
            raise ValueError(
                f"sysctl {pattern!r} is not namespaced "
                "(choose from kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.*, net.*)"
            )


def _hidden_metrics(minor: str, value: Any) -> None:
    previous = f"1.{_number_of(minor) - 1}"
    if value not in ("", previous):
        raise ValueError(f"invalid choice {value!r} (choose from {previous})")


def _user_namespaces(_: str, value: Any) -> None:
    number = value.get("idsPerPod") if isinstance(value, Mapping) else None
    if isinstance(number, int) and (number % 65536 or not 0 < number < 2**32):
        raise ValueError(
            f"idsPerPod: invalid value {number} (must be a multiple of 65536 below {2**32})"
        )


def _taints(_: str, value: Any) -> None:
    for taint in value:
        pair, _, effect = str(taint).rpartition(":")
        key, _, text = pair.partition("=")
        if not _QUALIFIED.fullmatch(key) or len(key.rpartition("/")[0]) > 253:
            raise ValueError(f"invalid taint {taint!r} (its key must be a qualified name)")
        if not re.fullmatch(rf"(?:{_WORD})?", text):
            raise ValueError(f"invalid taint {taint!r} (its value must be that of a label)")
        if effect and effect not in _EFFECTS:
            raise ValueError(f"invalid taint {taint!r} (choose from {', '.join(_EFFECTS)})")


def _reserved_memory(_: str, value: Any) -> None:
    for reservation in value:
        for name, amount in (reservation.get("limits") or {}).items():
            if name != "memory" and not name.startswith("hugepages-"):
                raise ValueError(f"unknown resource {name!r} (choose from memory, hugepages-SIZE)")
            if _quantity(name, amount) == 0:
                raise ValueError(f"{name}: invalid value {amount!r} (must not be 0)")


def _vmodule(_: str, value: Any) -> None:
    for item in value:
        pattern, equals, level = str(item).rpartition("=")
        if not pattern or not equals or "=" in pattern or not level.isdecimal():
            raise ValueError(f"invalid pattern {item!r} (must be such as 'kubelet*=4')")


def _verbosity(_: str, value: Any) -> None:
    if isinstance(value, int) and not 0 <= value < 2**31:
        raise ValueError(f"invalid value {value} (must be 0 to {2**31 - 1})")


def _sync_frequency(_: str, value: Any) -> None:
    if parse_duration(str(value)) < 0:
        raise ValueError(f"invalid value {value!r} (must be more than 0s)")


def _flush_frequency(minor: str, value: Any) -> None:
    if _number_of(minor) >= 35 and parse_duration(str(value)) <= 0:
        raise ValueError(f"invalid value {value!r} (must be more than 0s)")


def _curves(_: str, value: Any) -> None:
    for curve in value:
        if curve not in _CURVES:
            raise ValueError(f"unknown curve {curve} (choose from {', '.join(map(str, _CURVES))})")
    if len(value) > len(set(value)):
        raise ValueError(f"invalid value {shown(value)} (must have no curve twice)")


def _tracing(_: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        return
    rate, endpoint = value.get("samplingRatePerMillion"), value.get("endpoint")
    if isinstance(endpoint, str) and "//" in endpoint:
        scheme = endpoint.partition(":")[0]
        if scheme not in _SCHEMES:
            raise ValueError(
                f"endpoint: invalid value {endpoint!r} (choose from {', '.join(_SCHEMES)})"
            )
    if isinstance(rate, int) and not 0 <= rate <= 10**6:
        raise ValueError(f"samplingRatePerMillion: invalid value {rate} (must be 0 to 1000000)")


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "allowed-unsafe-sysctls": _sysctls,
    "container-log-max-size": _log_size,
    "enforce-node-allocatable": _enforcement,
    "eviction-hard": _thresholds,
    "eviction-minimum-reclaim": _reclaims,
    "eviction-soft": _thresholds,
    "eviction-soft-grace-period": _grace_periods,
    "kube-reserved": _reservations,
    "log-flush-frequency": _flush_frequency,
    "qos-reserved": _shares,
    "register-with-taints": _taints,
    "reserved-cpus": _cpus,
    "reserved-memory": _reserved_memory,
    "showHiddenMetricsForVersion": _hidden_metrics,
    "sync-frequency": _sync_frequency,
    "system-reserved": _reservations,
    "tls-cipher-suites": _suites,
    "tlsCurvePreferences": _curves,
    "tracing": _tracing,
    "userNamespaces": _user_namespaces,
    "v": _verbosity,
    "vmodule": _vmodule,
}
"""Checks by flag or path, called with the minor and the typed value."""
