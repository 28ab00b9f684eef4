"""Settings with a fixed set of values that a kubelet checks where it uses them, while it starts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure
from hollow_common.facts import since
from hollow_common.go import quote, text_of
from hollow_common.machine import has_cgroup_v2
from hollow_common.quantity import parse_quantity

from hollow_kubelet.feature_gates import is_enabled
from hollow_kubelet.resources import check_shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TLS_VERSIONS = ("", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13")
HTTP2_SUITES = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
)
TLS_SUITES = {
    *HTTP2_SUITES,
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
}
TLS_CURVES = (23, 24, 25, 29, 4587, 4588, 4589)
NAMESPACED_SYSCTLS = (
    "kernel.shm*", "kernel.msg*", "kernel.sem", "fs.mqueue.*", "net.*",
)  # fmt: skip
SYSCTL = r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*[./]?\*?"


def check_tls(values: Mapping[str, Any]) -> None:
    """Check TLS settings: InitializeTLS in cmd/kubelet/app/server.go."""
    suites = values.get("tlsCipherSuites") or []
    for suite in suites:
        if suite not in TLS_SUITES:
            raise Failure(f"Cipher suite {suite} not supported or doesn't exist")
    curves = values.get("tlsCurvePreferences") or []
    for place, curve in enumerate(curves):
        name = f"curve preference {curve}"
        if not 0 < curve < 65536:
            raise Failure(f"{name} is out of range (must be 1-65535)")
        if curve in curves[:place]:
            raise Failure(f"duplicate {name}")
        if curve not in TLS_CURVES:
            raise Failure(f"{name} is not supported by the current Go version")
    lowest = values.get("tlsMinVersion") or ""
    if lowest not in TLS_VERSIONS:
        raise Failure(f"unknown tls version {quote(lowest)}")


def http2_problem(values: Mapping[str, Any]) -> str:
    """Return why HTTP/2 cannot be served: golang.org/x/net/http2 ConfigureServer."""
    suites = values.get("tlsCipherSuites") or []
    modern = values.get("tlsMinVersion") == "VersionTLS13"
    if not suites or modern or set(suites) & set(HTTP2_SUITES):
        return ""
    return (
        "http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher "
        f"(need at least one of {' or '.join(HTTP2_SUITES)})"
    )


def check_choices(values: Mapping[str, Any]) -> None:
    """Check the policies, sizes and sysctls of a configuration, in a kubelet's order."""
    check_sysctls(values.get("allowedUnsafeSysctls") or [])
    check_policies(values)
    strategy = values.get("configMapAndSecretChangeDetectionStrategy", "Watch")
    if strategy not in ("Get", "Cache", "Watch"):
        raise Failure(
            f"failed to create kubelet: unknown configmap and secret manager mode: {strategy}"
        )
    try:
        check_shares(values.get("qosReserved") or {}, parsed=since(25))
    except Failure as error:
        failed = "--qos-reserved value failed to parse: " if since(25) else ""
        raise Failure(f"{failed}{error}") from None
    limited = values.get("memorySwap.swapBehavior") == "LimitedSwap" and since(30)
    gates = values.get("featureGates") or {}
    if limited and is_enabled("NodeSwap", gates) and not has_cgroup_v2():
        problem = "swap feature is enabled and LimitedSwap but it is only supported with cgroupv2"
        raise Failure(problem)
    size = values.get("containerLogMaxSize")
    if size is not None:
        check_log_size(size)


def check_log_size(size: str) -> None:
    """Check containerLogMaxSize: pkg/kubelet/logs/container_log_manager.go."""
    start = "failed to initialize container log manager: failed to parse container log max size"
    try:
        amount = parse_quantity(size)
    except Failure as error:
        raise Failure(f"failed to create kubelet: {start} {quote(size)}: {error}") from None
    if not amount.is_integer():
        raise Failure(f"failed to create kubelet: {start} {quote(size)}: invalid max log size")


def check_policies(values: Mapping[str, Any]) -> None:
    """Check the policies of the CPU and memory managers: pkg/kubelet/cm."""
    check_cpus(values)
    policy = values.get("cpuManagerPolicy", "none")
    if policy not in ("none", "static"):
        raise Failure(f'unknown policy: "{policy}"' if since(13) else "unknown policy")
    if policy == "static" and not values.get("reservedSystemCPUs"):
        given = [values.get(path) or {} for path in ("kubeReserved", "systemReserved")]
        if not any("cpu" in one for one in given):
            problem = "unable to determine reserved CPU resources for static policy"
            raise Failure(f"[cpumanager] {problem}")
        if sum(parse_quantity(one.get("cpu", "0")) for one in given) <= 0:
            raise Failure(
                "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to "
                "be greater than zero"
            )
    policy = values.get("memoryManagerPolicy", "None")
    if policy not in ("None", "Static"):
        raise Failure(f"unknown policy: {quote(policy)}")


def check_cpus(values: Mapping[str, Any]) -> None:
    """Check CPUs of this machine and options of the policy: cmd/kubelet/app, pkg/kubelet/cm."""
    reserved = values.get("reservedSystemCPUs") or ""
    online = text_of("/sys/devices/system/cpu/online").strip()
    if reserved and online and not cpus_of(reserved) <= cpus_of(online):
        raise Failure(f"reserved-cpus: {reserved} is not a subset of online-cpus: {online}")
    options = values.get("cpuManagerPolicyOptions") or {}
    if options and values.get("cpuManagerPolicy", "none") == "none" and since(23):
        shown = " ".join(f"{name}:{options[name]}" for name in sorted(options))
        problem = f"None policy: received unsupported options=map[{shown}]"
        raise Failure(f"new none policy error: {problem}")


def cpus_of(text: str) -> set[int]:
    """Return the CPUs of a list such as 0-3,7."""
    pairs = (part.partition("-") for part in text.split(","))
    return {one for low, _, high in pairs for one in range(int(low), int(high or low) + 1)}


def check_sysctls(patterns: Iterable[str]) -> None:
    """Check allowedUnsafeSysctls: pkg/kubelet/sysctl/allowlist.go."""
    for pattern in patterns:
        if len(pattern) > 253 or not re.fullmatch(SYSCTL, pattern):
            raise Failure(
                f"failed to create kubelet: sysctl {quote(pattern)} must have at most 253 "
                f"characters and match regex {SYSCTL}"
            )
        name = pattern.replace("/", ".").rstrip("*")
        if not any(
            name.startswith(known.rstrip("*")) if known.endswith("*") else name == known
            for known in NAMESPACED_SYSCTLS
        ):
            what = "sysctls" if since(23) or pattern.endswith("*") else "sysctl"
            shown = quote(name if since(23) else pattern)
            problem = f"the {what} {shown} are not known to be namespaced"
            raise Failure(f"failed to create kubelet: {problem}")
