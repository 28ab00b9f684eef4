"""The checks of flags and configuration before anything is started."""

from __future__ import annotations

import os

from hollow_kubelet.errors import Failure, Refusal
from hollow_kubelet.facts import FACTS, since
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.go import aggregate, quote
from hollow_kubelet.labels import check_labels


def check_flags(flags: FlagSet) -> None:
    """Check what ValidateKubeletFlags does (cmd/kubelet/app/options/options.go)."""
    if since(24) and not since(27):
        runtime = flags["container-runtime"]
        if runtime != "remote":
            problem = f"unsupported CRI runtime: {quote(runtime)}"
            raise Refusal("flags", f'{problem}, only "remote" is currently supported')
        if since(26) and not flags["container-runtime-endpoint"]:
            problem = "the container runtime endpoint address was not specified or empty"
            raise Refusal("flags", f"{problem}, use --container-runtime-endpoint to set")
    check_labels(flags["node-labels"])


PORTS = range(1, 65536)
LIMITS: dict[str, tuple[str, range, str]] = {
    "cadvisor-port": ("CAdvisorPort", range(65536), "must be between 0 and 65535, inclusive"),
    "event-burst": ("EventBurst", range(2**31), "must not be a negative number"),
    "event-qps": ("EventRecordQPS", range(2**31), "must not be a negative number"),
    "healthz-port": ("HealthzPort", range(65536), "must be between 1 and 65535, inclusive"),
    "image-gc-high-threshold": (
        "ImageGCHighThresholdPercent", range(101), "must be between 0 and 100, inclusive",
    ),
    "image-gc-low-threshold": (
        "ImageGCLowThresholdPercent", range(101), "must be between 0 and 100, inclusive",
    ),
    "iptables-drop-bit": ("IPTablesDropBit", range(32), "must be between 0 and 31, inclusive"),
    "iptables-masquerade-bit": (
        "IPTablesMasqueradeBit", range(32), "must be between 0 and 31, inclusive",
    ),
    "kube-api-burst": ("KubeAPIBurst", range(2**31), "must not be a negative number"),
    "kube-api-qps": ("KubeAPIQPS", range(2**31), "must not be a negative number"),
    "max-open-files": ("MaxOpenFiles", range(2**63), "must not be a negative number"),
    "max-pods": ("MaxPods", range(2**31), "must not be a negative number"),
    "oom-score-adj": (
        "OOMScoreAdj", range(-1000, 1001), "must be between -1000 and 1000, inclusive",
    ),
    "pods-per-core": ("PodsPerCore", range(2**31), "must not be a negative number"),
    "port": ("Port", PORTS, "must be between 1 and 65535, inclusive"),
    "read-only-port": ("ReadOnlyPort", range(65536), "must be between 0 and 65535, inclusive"),
    "registry-burst": ("RegistryBurst", range(2**31), "must not be a negative number"),
    "registry-qps": ("RegistryPullQPS", range(2**31), "must not be a negative number"),
}  # fmt: skip
"""What ValidateKubeletConfiguration says of the numbers, in its order."""


def field_name(flag: str, name: str) -> str:
    """Return a field as validation names it: from 1.20 on as it is written in the file."""
    paths = (path for path, (_, _, _, bound) in FACTS["fields"].items() if bound == flag)
    shown = next(paths, name) if since(20) else name
    return f"{shown} (--{flag})"


def configuration_problems(flags: FlagSet) -> list[str]:
    """Return what ValidateKubeletConfiguration finds; 1.7 has less to say (check_configuration)."""
    found = []
    levels = flags["enforce-node-allocatable"]
    invalid = "invalid configuration:" if since(10) else "Invalid configuration:"
    enforced = field_name("enforce-node-allocatable", "EnforceNodeAllocatable")
    qos = field_name("cgroups-per-qos", "CgroupsPerQOS")
    if not flags["cgroups-per-qos"] and levels and not since(31):
        how = "is set to true" if since(20) else "feature is turned on"
        start = f"{invalid} " if since(10) else ""
        found.append(f"{start}{enforced} is not supported unless {qos} {how}")
    if flags["system-cgroups"] and not flags["cgroup-root"]:
        system = field_name("system-cgroups", "SystemCgroups")
        root = field_name("cgroup-root", "CgroupRoot")
        found.append(f"{invalid} {system} was specified and {root} was not specified")
    for flag, (name, allowed, rule) in LIMITS.items():
        if flag in flags.flags and flags[flag] not in allowed:
            found.append(f"{invalid} {field_name(flag, name)} {flags[flag]} {rule}")
    found += enforcement_problems(flags, invalid, enforced, qos)
    if since(32) and flags["runonce"]:
        problem = "Runonce mode has been deprecated and should not be set"
        found.append(f"{invalid} runOnce (--runOnce) true, {problem}")
    if since(27) and not flags["container-runtime-endpoint"]:
        found.append(f"{invalid} the containerRuntimeEndpoint was not specified or empty")
    if flags["hairpin-mode"] not in HAIRPIN_MODES and since(10):
        found.append(
            f"{invalid} option {quote(flags['hairpin-mode'])} specified for "
            f"{field_name('hairpin-mode', 'HairpinMode')}. "
            'Valid options are "none", "hairpin-veth" or "promiscuous-bridge"'
        )
    return found + [problem for problem in [cgroup_problem(flags)] if problem]


def enforcement_problems(flags: FlagSet, invalid: str, enforced: str, qos: str) -> list[str]:
    """Return what is wrong with --enforce-node-allocatable from 1.8 on."""
    found = []
    levels = ["pods", "system-reserved", "kube-reserved"]
    if since(32):
        levels[2:2] = ["system-reserved-compressible"]
        levels.append("kube-reserved-compressible")
    given = flags["enforce-node-allocatable"]
    for level in given:
        if level == "none" and since(10):
            if len(given) > 1:
                word = quote(level) if since(31) else f"'{level}'"
                rule = f"may not contain additional enforcements when {word} is specified"
                found.append(f"{invalid} {enforced} {rule}")
            continue
        if level not in levels:
            # 1.10 to 1.15 name the first option twice, and never the last.
            none = [levels[0] if not since(16) else "none"] if since(10) else []
            quoted = [quote(one) for one in levels + none]
            comma = "," if since(10) and not since(32) else ""
            options = f"{', '.join(quoted[:-1])}{comma} or {quoted[-1]}"
            found.append(
                f"{invalid} option {quote(level)} specified for {enforced}. "
                f"Valid options are {options}"
                if since(10)
                else f"Invalid option {quote(level)} specified for {enforced} setting. "
                f"Valid options are {options}"
            )
            continue
        found += cgroup_needed(flags, level, invalid, enforced)
        if since(31) and not flags["cgroups-per-qos"]:
            rule = f"must be set to true when {quote(level)} contained in {enforced}"
            found.append(f"{invalid} {qos} {rule}")
    return found


def cgroup_needed(flags: FlagSet, level: str, invalid: str, enforced: str) -> list[str]:
    """Insist on the cgroup that a reservation is enforced in, from 1.16 on."""
    what = level.rpartition("-compressible")[0] or level
    if not since(16) or what == "pods" or flags[f"{what}-cgroup"]:
        return []
    field = f"{'system' if what.startswith('system') else 'kube'}ReservedCgroup (--{what}-cgroup)"
    if since(32):
        either = f"{quote(what)} or {quote(what + '-compressible')} included"
    else:
        word = quote(what) if since(31) else f"'{what}'" if since(20) else what
        either = f"{word} contained"
    return [f"{invalid} {field} must be specified when {either} in {enforced}"]


HAIRPIN_MODES = ("promiscuous-bridge", "hairpin-veth", "none")


def cgroup_problem(flags: FlagSet) -> str:
    """Return what is wrong with the host's cgroups: validation_linux.go, from 1.35 on an error."""
    if not since(31) or os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return ""
    if flags["fail-cgroupv1"] and since(35):
        return (
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is "
            "unsupported and will be removed in a future release"
        )
    if flags["fail-cgroupv1"]:
        return (
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is in "
            "maintenance mode"
        )
    return ""


def check_configuration(flags: FlagSet) -> None:
    """Check what validation does before anything is started."""
    if since(8):
        problems = configuration_problems(flags)
        if problems:
            raise Failure(aggregate(problems))
        return
    levels = flags["enforce-node-allocatable"]
    if not flags["cgroups-per-qos"] and levels:
        raise Failure(
            "Node Allocatable enforcement is not supported "
            "unless Cgroups Per QOS feature is turned on"
        )
    if flags["system-cgroups"] and not flags["cgroup-root"]:
        raise Failure(
            "invalid configuration: system container was specified and cgroup root was not "
            "specified"
        )
    for level in levels:
        if level not in ("pods", "system-reserved", "kube-reserved"):
            raise Failure(
                f"invalid option {quote(level)} specified for EnforceNodeAllocatable setting. "
                'Valid options are "pods", "system-reserved" or "kube-reserved"'
            )
