"""The checks of flags and configuration before anything is started."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hollow_common.errors import Failure, Refusal
from hollow_common.facts import FACTS, since
from hollow_common.go import aggregate, format_duration, quote
from hollow_common.labels import check_labels, label_value_problems, qualified_name_problems
from hollow_common.machine import has_cgroup_v2
from hollow_common.quantity import parse_quantity
from hollow_common.taints import TAINT_EFFECTS

from hollow_kubelet.feature_gates import is_enabled
from hollow_kubelet.flags import FlagSet
from hollow_kubelet.rules import broken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
    check_gated_folders(flags)
    check_labels(flags["node-labels"])


def check_gated_folders(flags: FlagSet) -> None:
    """Refuse folders of configurations whose feature gate is off, from 1.8 on."""
    gates = flags["feature-gates"]
    for flag, gate in (
        ("dynamic-config-dir", "DynamicKubeletConfig"),
        ("init-config-dir", "KubeletConfigFile"),
    ):
        if flags.changed(flag) and not is_enabled(gate, gates if isinstance(gates, dict) else {}):
            problem = f"the {gate} feature gate must be enabled in order to use the --{flag} flag"
            raise Refusal("flags", problem)


HAIRPIN_MODES = ("promiscuous-bridge", "hairpin-veth", "none")


def field_name(path: str, name: str, flag: str) -> str:
    """Return a field as validation names it: from 1.20 on as it is written in the file."""
    return f"{path if since(20) else name} (--{flag})"


def configuration_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems that ValidateKubeletConfiguration finds, from 1.8 on."""
    found: list[str] = []
    for rule in FACTS["rules"]:
        found += PARTS[rule](values) if isinstance(rule, str) else [broken(rule, values)]
    return [problem for problem in found if problem]


def enforcement_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with the levels on which reservations are enforced."""
    invalid = "invalid configuration:" if since(10) else "Invalid configuration:"
    flag = "enforce-node-allocatable"
    enforced = field_name("enforceNodeAllocatable", "EnforceNodeAllocatable", flag)
    qos = field_name("cgroupsPerQOS", "CgroupsPerQOS", "cgroups-per-qos")
    levels = ["pods", "system-reserved", "kube-reserved"]
    if since(32):
        levels[2:2] = ["system-reserved-compressible"]
        levels.append("kube-reserved-compressible")
    given = values.get("enforceNodeAllocatable") or []
    found = both_forms(given) if since(32) else []
    for place, level in enumerate(given):
        if level in given[:place] and since(31):
            found.append(f"{invalid} duplicated enforcements {quote(level)} in {enforced}")
            continue
        if level == "none" and since(10):
            if len(given) > 1:
                word = quote(level) if since(31) else f"'{level}'"
                rule = f"may not contain additional enforcements when {word} is specified"
                found.append(f"{invalid} {enforced} {rule}")
            continue
        if level not in levels:
            found.append(unknown_level(level, levels, invalid, enforced))
            continue
        found += cgroup_needed(values, level, invalid, enforced)
        if since(31) and not values.get("cgroupsPerQOS"):
            rule = f"must be set to true when {quote(level)} contained in {enforced}"
            found.append(f"{invalid} {qos} {rule}")
    return found


def both_forms(given: list[str]) -> list[str]:
    """Return the problem with a level that is given in both of its forms."""
    return [
        f"invalid configuration: both {quote(level)} and {quote(level + '-compressible')} cannot "
        "be specified together in enforceNodeAllocatable (--enforce-node-allocatable)"
        for level in ("system-reserved", "kube-reserved")
        if level in given and f"{level}-compressible" in given
    ]


def unknown_level(level: str, levels: list[str], invalid: str, enforced: str) -> str:
    """Return the message about an unknown level."""
    # 1.10 to 1.15 name the first option twice, and never the last.
    none = [levels[0] if not since(16) else "none"] if since(10) else []
    quoted = [quote(one) for one in levels + none]
    comma = "," if since(10) and not since(32) else ""
    options = f"{', '.join(quoted[:-1])}{comma} or {quoted[-1]}"
    if since(10):
        return (
            f"{invalid} option {quote(level)} specified for {enforced}. Valid options are {options}"
        )
    return (
        f"Invalid option {quote(level)} specified for {enforced} setting. "
        f"Valid options are {options}"
    )


def cgroup_needed(values: Mapping[str, Any], level: str, invalid: str, enforced: str) -> list[str]:
    """Require the cgroup in which a reservation is enforced, from 1.16 on."""
    what = level.rpartition("-compressible")[0] or level
    path = "systemReservedCgroup" if what.startswith("system") else "kubeReservedCgroup"
    if not since(16) or what == "pods" or values.get(path):
        return []
    if since(32):
        either = f"{quote(what)} or {quote(what + '-compressible')} included"
    else:
        word = quote(what) if since(31) else f"'{what}'" if since(20) else what
        either = f"{word} contained"
    field = f"{path} (--{what}-cgroup)"
    return [f"{invalid} {field} must be specified when {either} in {enforced}"]


def system_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems on this machine: validation_linux.go."""
    if since(31) and not has_cgroup_v2():
        support = "is unsupported and will be removed in a future release"
        if values.get("failCgroupV1"):
            return [
                "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support "
                + (support if since(35) else "is in maintenance mode")
            ]
        if values.get("singleProcessOOMKill") is False:
            rule = "must not be explicitly set to false when using cgroup v1"
            return [f"invalid configuration: singleProcessOOMKill {rule}"]
    number = (values.get("userNamespaces") or {}).get("idsPerPod")
    if number is None:
        return []
    place = "invalid configuration: userNamespaces.idsPerPod must"
    if number < IDS_PER_POD:
        return [f"{place} not be less than {IDS_PER_POD}"]
    if number % IDS_PER_POD:
        return [f"{place} be a multiple of {IDS_PER_POD}"]
    return [f"{place} not be more than {2**32 - 1}"] if number >= 2**32 else []


IDS_PER_POD = 65536


def taint_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with registerWithTaints."""
    found = []
    for taint in values.get("registerWithTaints") or ():
        key, value, effect = (taint.get(name) or "" for name in ("key", "value", "effect"))
        bad_value = label_value_problems(value)
        if qualified_name_problems(key) or bad_value or effect not in ("", *TAINT_EFFECTS):
            found.append(f"invalid taint: {{{key} {value} {effect} <nil>}}")
        if taint.get("timeAdded"):
            found.append("invalid configuration: taint.TimeAdded is not nil")
    return found


def reserved_memory_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with reservedMemory: validation_reserved_memory.go."""
    found, seen = [], set()
    for reservation in values.get("reservedMemory") or ():
        node = reservation.get("numaNode") or 0
        for name, amount in (reservation.get("limits") or {}).items():
            where = f"for NUMA node {node} and resource {quote(name)}"
            if name != "memory" and not name.startswith("hugepages-"):
                found.append(
                    f"invalid configuration: the limit type {quote(name)} for NUMA node {node} is "
                    "not supported, only [memory hugepages-<HugePageSize>] is accepted"
                )
            if parse_quantity(str(amount)) == 0:
                found.append(f"invalid configuration: reserved memory may not be zero {where}")
            if (node, name) in seen:
                problem = "the reserved memory has a duplicate value"
                found.append(f"invalid configuration: {problem} {where}")
            seen.add((node, name))
    return found


def cpu_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with the list in reservedSystemCPUs."""
    given = values.get("reservedSystemCPUs") or ""
    if not given:
        return []
    for part in given.split(","):
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if found and int(found[1]) <= int(found[2] or found[1]):
            continue
        name = "reservedSystemCPUs (--reserved-cpus)" if since(20) else "--reserved-cpus"
        bad = re.sub(r"\d+-?", "", part, count=1) or part
        problem = f"strconv.Atoi: parsing {quote(bad)}: invalid syntax"
        start = "invalid configuration: " if since(20) else ""
        return [f"{start}unable to parse {name} {given}, error: {problem}"]
    return []


def check_logging(values: Mapping[str, Any]) -> None:
    """Refuse logging that cannot be initialized, which is before all else is validated."""
    if problems := logging_problems(values):
        raise Failure(aggregate(problems))


def logging_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with logging: k8s.io/component-base/logs."""
    found = []
    frequency, form = values.get("logging.flushFrequency"), values.get("logging.format")
    if since(35) and frequency is not None and frequency <= 0:
        shown = quote(format_duration(frequency))
        found.append(f"logging.flushFrequency: Invalid value: {shown}: Must be greater than zero")
    if form not in (None, "text", "json"):
        known = f"logging.format: Invalid value: {quote(form)}: Unsupported log format"
        found.append(known if since(22) else f"unsupported log format: {form}")
    if (values.get("logging.verbosity") or 0) > 2**31 - 1:
        number = values["logging.verbosity"]
        found.append(f"logging.verbosity: Invalid value: {number}: Must be <= {2**31 - 1}")
    if not is_enabled("LoggingAlphaOptions", values.get("featureGates") or {}):
        off = "Forbidden: Feature LoggingAlphaOptions is disabled"
        for kind in ("text", "json"):
            options = f"logging.options.{kind}"
            if values.get(f"{options}.splitStream"):
                found.append(f"{options}.splitStream: {off}")
            size = values.get(f"{options}.infoBufferSize")
            if size and parse_quantity(str(size)):
                found.append(f"{options}.infoBufferSize: {off}")
    patterns = values.get("logging.vmodule") or ()
    if patterns and form not in (None, "", "text"):
        found.append("logging.vmodule: Forbidden: Only supported for text log format")
    for place, item in enumerate(patterns):
        name = item.get("filePattern") or ""
        where = f"logging.vmodule[{place}]"
        if not name:
            found.append(f"{where}: Required value: File pattern must not be empty")
        if re.search("[=,]", name):
            rule = "File pattern must not contain equal sign or comma"
            found.append(f"{where}: Invalid value: {quote(name)}: {rule}")
    return found


def tracing_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with tracing: k8s.io/component-base/tracing."""
    found, tracing = [], values.get("tracing") or {}
    rate, endpoint = tracing.get("samplingRatePerMillion"), tracing.get("endpoint")
    where = "tracing.samplingRatePerMillion: Invalid value:"
    if rate is not None and rate < 0:
        found.append(f"{where} {rate}: sampling rate must be positive")
    if rate is not None and rate > 10**6:
        rule = "sampling rate per million must be less than or equal to one million"
        found.append(f"{where} {rate}: {rule}")
    if endpoint is not None:
        url = endpoint if "//" in endpoint else f"dns://{endpoint}"
        scheme = url.partition(":")[0]
        if scheme not in ("dns", "unix", "unix-abstract"):
            found.append(
                f"tracing.endpoint: Invalid value: {quote(url)}: unsupported scheme: {scheme}.  "
                "Options are none, dns, unix, or unix-abstract.  See "
                "https://github.com/grpc/grpc/blob/master/doc/naming.md"
            )
    return found


def metrics_problems(values: Mapping[str, Any]) -> list[str]:
    """Return the problems with showHiddenMetricsForVersion."""
    shown = values.get("showHiddenMetricsForVersion") or ""
    if shown in ("", f"1.{FACTS['minor'] - 1}"):
        return []
    return [
        "--show-hidden-metrics-for-version must be omitted or have the value "
        f"'1.{FACTS['minor'] - 1}'. Only the previous minor version is allowed"
    ]


PARTS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "enforceNodeAllocatable": enforcement_problems,
    "logging": logging_problems,
    "operating system": system_problems,
    "registerWithTaints": taint_problems,
    "reservedMemory": reserved_memory_problems,
    "reservedSystemCPUs": cpu_problems,
    "showHiddenMetricsForVersion": metrics_problems,
    "tracing": tracing_problems,
}
"""The parts of a configuration that have rules of their own, as the facts name them."""


def check_configuration(flags: FlagSet, values: Mapping[str, Any]) -> None:
    """Validate the configuration before anything is started."""
    if since(8):
        problems = configuration_problems(values)
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
