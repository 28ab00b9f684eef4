"""Which combinations of settings a version's kubelet refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pytest_kubecluster.spec import catalog, rules
from pytest_kubecluster.spec.kinds import kinds
from pytest_kubecluster.spec.settings import Setting
from pytest_kubecluster.spec.values import parse_quantity, split_pairs
from pytest_kubecluster.spec.version import KubeVersion

Refusal = tuple[str, tuple[str, ...]]
"""Why a configuration is refused, and the settings that it is about, by configuration path."""

_HTTP2_SUITES = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
)

_LOG_GATE = "LoggingAlphaOptions"
_NO_THRESHOLD = ("0%", "100%")
"""What is no threshold, from 1.10 on."""


def refusals(
    version: KubeVersion, settings: Mapping[str, Setting], *, complete: bool
) -> Iterator[Refusal]:
    """Yield why the kubelet refuses these settings, given by canonical name.

    Unless ``complete``, the node may have others, so that only what these contradict among
    themselves is refused. What is wrong with one setting alone is found by ``parse_setting``.
    """
    known = kinds(version.minor_version)
    values: dict[str, Any] = {}
    for name, setting in settings.items():
        kind = known.get(name)
        if kind is not None:
            with suppress(ValueError):
                path = kind.path or name
                values[path] = rules.comparable(path, kind.type, setting.value)
    yield from rules.broken_rules(version.minor_version, values, complete=complete)
    for check in _CHECKS:
        yield from check(version.minor, values, complete)


def _soft_evictions(_: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect a grace period of each soft threshold: pkg/kubelet/eviction/helpers.go."""
    soft, periods = "evictionSoft", "evictionSoftGracePeriod"
    if periods not in values and not complete:
        return
    for signal, amount in _pairs(values.get(soft)).items():
        if amount not in _NO_THRESHOLD and signal not in _pairs(values.get(periods)):
            yield f"{soft} has {signal}, and {periods} has not", (soft, periods)


def _static_policy(_: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect reserved CPUs for the static CPU manager: pkg/kubelet/cm/cpumanager."""
    policy, cpus = "cpuManagerPolicy", "reservedSystemCPUs"
    if not complete or values.get(policy) != "static" or values.get(cpus):
        return
    reserved = [
        _pairs(values.get(name)).get("cpu", "0") for name in ("kubeReserved", "systemReserved")
    ]
    with suppress(ValueError):
        if sum(map(parse_quantity, reserved)) <= 0:
            message = f"{policy} static requires CPUs in kubeReserved, systemReserved or {cpus}"
            yield message, (policy, "kubeReserved", "systemReserved", cpus)


def _enforced_cgroups(minor: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect the cgroup of each reservation that is enforced: validation.go, from 1.16 on."""
    levels = values.get("enforceNodeAllocatable")
    if minor < 16 or not complete or not isinstance(levels, tuple):
        return
    for what, cgroup in (
        ("system-reserved", "systemReservedCgroup"),
        ("kube-reserved", "kubeReservedCgroup"),
    ):
        if any(level.startswith(what) for level in levels) and not values.get(cgroup):
            message = f"{cgroup} must be set where enforceNodeAllocatable has {what}"
            yield message, ("enforceNodeAllocatable", cgroup)
    if minor >= 31 and values.get("cgroupsPerQOS") is False and set(levels) - {"none"}:
        message = f"cgroupsPerQOS must be true where enforceNodeAllocatable has {levels[0]}"
        yield message, ("cgroupsPerQOS", "enforceNodeAllocatable")


def _http2(_: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect a cipher suite that HTTP/2 requires: golang.org/x/net/http2 ConfigureServer."""
    suites, lowest = values.get("tlsCipherSuites"), "tlsMinVersion"
    if not suites or values.get(lowest) == "VersionTLS13" or set(suites) & set(_HTTP2_SUITES):
        return
    if complete or lowest in values:
        message = f"tlsCipherSuites lacks one that HTTP/2 requires: {' or '.join(_HTTP2_SUITES)}"
        yield message, ("tlsCipherSuites", lowest)


def _image_thresholds(minor: int, values: rules.Values, _: bool) -> Iterator[Refusal]:
    """Expect what is a rule from 1.12 on: until then the image manager checks it."""
    low, high = "imageGCLowThresholdPercent", "imageGCHighThresholdPercent"
    if minor < 12 and low in values and high in values and values[low] > values[high]:
        yield f"{low} {values[low]} must not be above {high} {values[high]}", (low, high)


def _policy_options(minor: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect no options of the CPU manager's policy none: pkg/kubelet/cm/cpumanager, from 1.23."""
    policy, options = "cpuManagerPolicy", "cpuManagerPolicyOptions"
    known = complete or policy in values
    if minor >= 23 and known and values.get(options) and values.get(policy) in (None, "", "none"):
        yield f"{options} require another {policy} than none", (policy, options)


def _log_options(minor: int, values: rules.Values, complete: bool) -> Iterator[Refusal]:
    """Expect the feature gate of the log's alpha options: k8s.io/component-base/logs/api/v1."""
    gates = values.get("featureGates") or {}
    stated = [gates[name] for name in (_LOG_GATE, "AllAlpha") if name in gates]
    if _LOG_GATE not in catalog.feature_gates(f"1.{minor}") or not (stated or complete):
        return
    for kind in ("text", "json") if not any(stated[:1]) else ():
        split, size = (
            f"logging.options.{kind}.splitStream",
            f"logging.options.{kind}.infoBufferSize",
        )
        for path, used in ((split, values.get(split)), (size, _amount(values.get(size)))):
            if used:
                yield f"{path} requires feature gate {_LOG_GATE}", (path, "featureGates")


def _amount(text: Any) -> Any:
    with suppress(ValueError):
        return parse_quantity(str(text or 0))
    return 0


_CHECKS = (
    _soft_evictions,
    _static_policy,
    _policy_options,
    _enforced_cgroups,
    _http2,
    _image_thresholds,
    _log_options,
)


def _pairs(value: Any) -> Mapping[str, str]:
    if isinstance(value, str):
        return dict(split_pairs(value))
    return value if isinstance(value, Mapping) else {}
