"""The checks that a kubelet makes while it starts."""

from __future__ import annotations

from hollow_common.errors import Failure, Fatal
from hollow_common.facts import since
from hollow_common.go import format_duration, is_ip, quote, text_of
from hollow_common.log import log

from hollow_kubelet.flags import FlagSet
from hollow_kubelet.resources import check_soft_evictions
from hollow_kubelet.validation import HAIRPIN_MODES


def check_cloud(flags: FlagSet) -> None:
    """Refuse a cloud provider that is not compiled in."""
    name = flags["cloud-provider"]
    known = ("", "external", *(() if since(9) else ("auto-detect",)))
    if name in known:
        return
    if since(32):
        raise Failure(
            "failed to create kubelet: "
            f"cloud provider {quote(name)} was specified, but built-in cloud providers are "
            "disabled. Please set --cloud-provider=external and migrate to an external cloud "
            "provider"
        )
    raise Failure(f"unknown cloud provider {quote(name)}")


def check_swap(flags: FlagSet) -> None:
    """Refuse to run with swap: pkg/kubelet/cm/container_manager_linux.go."""
    lines = text_of("/proc/swaps").strip().splitlines()
    if not flags["fail-swap-on"] or len(lines) < 2:
        return
    running = "running" if since(16) else "Running"
    problem = f"{running} with swap on is not supported, please disable swap"
    if since(31):
        raise Failure(f"{problem} or set --fail-swap-on flag to false")
    shown = f"[{' '.join(lines)}]"
    raise Failure(f"{problem}! or set --fail-swap-on flag to false. /proc/swaps contained: {shown}")


def check_sources(flags: FlagSet) -> None:
    """Check where privileged pods may come from: pkg/kubelet/types/pod_update.go."""
    for flag in ("host-network-sources", "host-pid-sources", "host-ipc-sources"):
        for source in flags[flag]:
            if source not in ("*", "file", "http", "api", ""):
                raise Failure(f"unknown pod source {quote(source)}")


def check_runtime(flags: FlagSet) -> None:
    """Refuse a container runtime that this version does not support."""
    runtimes = ("docker", "remote") if since(11) else ("docker", "rkt", "remote")
    if flags["container-runtime"] not in runtimes:
        raise Failure(f"unsupported CRI runtime: {quote(flags['container-runtime'])}")


def check_kubelet(flags: FlagSet) -> None:
    """Check what NewMainKubelet does (pkg/kubelet/kubelet.go), in its order."""
    if not flags["root-dir"]:
        raise Failure('invalid root directory ""')
    if flags["sync-frequency"] <= 0:
        raise Failure(f"invalid sync frequency {flags['sync-frequency']}")
    if flags["make-iptables-util-chains"]:
        for name in ("masquerade", "drop"):
            if not 0 <= flags[f"iptables-{name}-bit"] <= 31:
                raise Failure(f"iptables-{name}-bit is not valid. Must be within [0, 31]")
        if flags["iptables-masquerade-bit"] == flags["iptables-drop-bit"]:
            raise Failure("iptables-masquerade-bit and iptables-drop-bit must be different")
    oldest = flags["minimum-container-ttl-duration"]
    if oldest < 0:
        raise Failure(f"invalid minimum garbage collection age: {format_duration(oldest)}")
    header = flags["manifest-url-header"]
    if isinstance(header, str) and header and header.count(":") != 1:
        raise Failure(
            f"manifest-url-header must have a single ':' key-value separator, got {quote(header)}"
        )
    check_soft_evictions(flags)
    for address in flags["cluster-dns"]:
        if not is_ip(address):
            log("W", "kubelet.go:434", f"Invalid clusterDNS ip '{quote(address)}'")
    if flags["hairpin-mode"] not in HAIRPIN_MODES:
        mode = quote(flags["hairpin-mode"])
        raise Fatal("kubelet.go:506", f"Invalid hairpin mode: unknown value: {mode}")
    plugin = flags["network-plugin"]
    if plugin not in ("", "cni", "kubenet"):
        raise Failure(f"Network plugin {quote(plugin)} not found.")
    check_runtime(flags)
    driver = flags["cgroup-driver"]
    docker = flags["container-runtime"] == "docker" and not since(24)
    if docker and driver not in ("cgroupfs", "systemd"):
        problem = f"kubelet cgroup driver: {quote(driver)} is different from docker cgroup driver"
        raise Failure(f'misconfiguration: {problem}: "cgroupfs"')
    thresholds = {}
    for level in ("High", "Low"):
        threshold = flags[f"image-gc-{level.lower()}-threshold"]
        if not 0 <= threshold <= 100:
            raise Failure(
                "failed to initialize image manager: "
                f"invalid {level}ThresholdPercent {threshold}, must be in range [0-100]"
            )
        thresholds[level] = threshold
    if thresholds["Low"] > thresholds["High"]:
        raise Failure(
            "failed to initialize image manager: "
            f"LowThresholdPercent {thresholds['Low']} can not be higher than "
            f"HighThresholdPercent {thresholds['High']}"
        )


def check_runtime_endpoint(flags: FlagSet) -> None:
    """Require a runtime's endpoint; 1.24 and 1.25 check nothing else."""
    if since(24) and not since(26) and not flags["container-runtime-endpoint"]:
        raise Failure(
            "unable to determine runtime API version: rpc error: code = Unavailable desc = "
            'connection error: desc = "transport: Error while dialing dial unix: missing address"'
        )
