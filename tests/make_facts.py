"""Makes pytest_kubecluster/spec/data/kubelet.json from the collected facts and real kubelets' help.

    python tests/make_facts.py kubelet-flags.json 1.7=help-1.7.txt > kubelet.json

The facts list the flags of each minor. ``hyperkube kubelet --help`` of a minor gives each flag's
type and default, the flags that its hyperkube adds, and its feature gates. What help does not show
(hidden, deprecated and newer flags) is in the tables below, read from the sources of the same
releases. A help text must come from a binary built with cgo: without it cAdvisor's flags are
missing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HELP_LINE = re.compile(
    r"^  (?:-\w, |    )--(?P<name>[\w-]+)(?: (?P<type>[^\s\[]+|\[\]\S+))?(?:\[=\w+\])? {2,}"
    r"(?P<text>.*)$",
    re.MULTILINE,
)
DEFAULT = re.compile(r" \(default (?P<default>.*)\)$")
GATE = re.compile(r"^(\w+)=true\|false \(", re.MULTILINE)

# pflag's help calls int64 and float64 flags int and float, and a string what its text backquotes.
PFLAG_TYPES = {"": "bool", "/": "string", "float": "float64"}
INT64 = {"max-open-files"}

# Flags that the help of 1.7 does not show: cmd/kubelet/app/options, cmd/hyperkube/hyperkube.go and the
# defaults in pkg/apis/componentconfig/v1alpha1/defaults.go at v1.7.5.
UNSHOWN_1_7 = {
    "api-servers": ("stringSlice", "[]"),
    "docker-exec-handler": ("string", "native"),
    "experimental-dockershim": ("bool", "false"),
    "experimental-dockershim-root-directory": ("string", "/var/lib/dockershim"),
    "low-diskspace-threshold-mb": ("int32", "0"),
    "make-symlinks": ("bool", "false"),
    "master-service-namespace": ("string", "default"),
    "maximum-dead-containers": ("int32", "-1"),
    "maximum-dead-containers-per-container": ("int32", "1"),
    "minimum-container-ttl-duration": ("duration", "0s"),
    "network-plugin-dir": ("string", ""),
    "non-masquerade-cidr": ("string", "10.0.0.0/8"),
    "outofdisk-transition-frequency": ("duration", "5m0s"),
    "register-schedulable": ("bool", "true"),
    "rkt-stage1-image": ("string", ""),
}
HYPERKUBE_HIDDEN = {"make-symlinks"}

# Accepted by a real 1.20.8, with this warning, and by the sources of 1.21; missing in the facts.
SEEN = {"redirect-container-streaming": ("1.20", "1.21")}
SEEN_WARNING = (
    "Container streaming redirection has been removed from the kubelet as of v1.20, and "
    "this flag will be removed in v1.22. For more details, see "
    "http://git.k8s.io/enhancements/keps/sig-node/20191205-container-streaming-requests.md"
)

# Types of flags added after 1.7; a flag in neither table is a string.
NEWER_TYPES = {
    "bool": """
        add-dir-header docker-tls enable-cadvisor-json-endpoints experimental-logging-sanitization
        fail-cgroupv1 fail-swap-on kernel-memcg-notification local-storage-capacity-isolation
        log-json-split-stream log-text-split-stream one-output redirect-container-streaming
        rotate-certificates rotate-server-certificates seccomp-default skip-headers
        skip-log-headers
    """,
    "duration": "cpu-cfs-quota-period cpu-manager-reconcile-period",
    "int32": "container-log-max-files node-status-max-images",
    "int64": "pod-max-pids",
    "mapStringString": """
        cpu-manager-policy-options qos-reserved topology-manager-policy-options
    """,
    "quantity": "log-json-info-buffer-size log-text-info-buffer-size",
    "reservedMemory": "reserved-memory",
    "stringSlice": "allowed-unsafe-sysctls tls-cipher-suites",
    "uint": "log-file-max-size",
}


def main(facts_path: str, *helps: str) -> None:
    """Print the data file; ``helps`` are written MINOR=PATH."""
    collected = json.loads(Path(facts_path).read_text())
    facts: dict[str, Any] = collected["versions"]
    notable: dict[str, Any] = collected["flags"]
    texts = {
        minor: Path(path).read_text() for minor, path in (text.split("=", 1) for text in helps)
    }
    minors = sorted(facts, key=number)
    for name, seen in SEEN.items():
        for minor in seen:
            facts[minor]["flags"].append(name)
            facts[minor]["deprecated"][name] = SEEN_WARNING
    known = {minor: set(facts[minor]["flags"]) for minor in minors}
    hyperkube: set[str] = set()
    types = {name: kind for kind, names in NEWER_TYPES.items() for name in names.split()}
    defaults: dict[str, dict[str, str]] = {}
    for minor, text in texts.items():
        shown = read_help(text)
        if minor == "1.7":
            shown |= UNSHOWN_1_7
        for name, (kind, default) in shown.items():
            types[name] = kind
            defaults.setdefault(name, {})[minor] = default
            if name not in known[minor]:
                hyperkube.add(name)
                known[minor].add(name)
    for name in hyperkube:  # linked into every hyperkube until 1.10 made it a cobra command
        for minor in ("1.8", "1.9"):
            known[minor].add(name)

    flags: dict[str, Any] = {}
    for name in sorted(set().union(*known.values())):
        having = [minor for minor in minors if name in known[minor]]
        flag: dict[str, Any] = {"type": types.get(name, "string"), "in": ranges(having)}
        if name in defaults:
            flag["default"] = marks(defaults[name])
        warnings = {minor: facts[minor]["deprecated"].get(name) for minor in having}
        if any(warnings.values()):
            flag["deprecated"] = marks(
                {minor: text.removeprefix("marked: ") for minor, text in warnings.items() if text}
            )
        about = notable.get(name, {})
        field, _, via = (about.get("config_field") or "").partition(" (via ")
        instead = via.rstrip(")") or about.get("replacement")
        if field and name.startswith("experimental-"):
            # The field belongs to the flag that replaced it.
            instead = instead or f"the KubeletConfiguration field {field}"
        elif field:
            flag["field"] = [number(about["config_field_since"]), field]
        if instead:
            flag["instead"] = re.sub("^none", "nothing", instead)
        if any(name in facts[minor].get("hidden", ()) for minor in having):
            flag["hidden"] = True
        if name in hyperkube:
            flag["origin"] = "hyperkube"
            if name in HYPERKUBE_HIDDEN:
                flag["hidden"] = True
        elif name not in facts[having[0]]["by_group"]["kubelet"]:
            flag["origin"] = "library"
        flags[name] = flag
    gates = {minor: sorted(GATE.findall(text)) for minor, text in texts.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(flag)}" for name, flag in flags.items())
    print(
        f'{{"minors": {json.dumps(minors)},\n "gates": {json.dumps(gates)},\n'
        f' "flags": {{\n{lines}\n }}}}'
    )


def read_help(text: str) -> dict[str, tuple[str, str]]:
    """Return each shown flag's type, as pflag names it, and its default."""
    shown = {}
    for line in HELP_LINE.finditer(text):
        name, kind = line["name"], line["type"] or ""
        kind = "int64" if name in INT64 else PFLAG_TYPES.get(kind, kind)
        default = DEFAULT.search(line["text"])
        shown[name] = kind, read_default(kind, default["default"] if default else None)
    return shown


def read_default(kind: str, shown: str | None) -> str:
    """Return a default as pflag's String writes it; the help leaves out a zero and adds quotes."""
    if shown is None:
        zeros = {"bool": "false", "version": "false", "duration": "0s", "stringSlice": "[]"}
        numeric = kind.startswith(("int", "float")) or kind in ("Level", "severity")
        return zeros.get(kind, "0" if numeric else "")
    return shown.strip('"') if kind == "string" else shown


def number(minor: str) -> int:
    """Return 7 for 1.7."""
    return int(minor.partition(".")[2])


def ranges(minors: Iterable[str]) -> list[list[int]]:
    """Fold 1.7, 1.8, 1.9, 1.12 into [[7, 9], [12, 12]]."""
    folded: list[list[int]] = []
    for one in map(number, minors):
        if folded and folded[-1][1] == one - 1:
            folded[-1][1] = one
        else:
            folded.append([one, one])
    return folded


def marks(values: Mapping[str, str]) -> list[list[Any]]:
    """Fold what holds per minor into [first, last, value]."""
    return [
        [first, last, value]
        for value in dict.fromkeys(values.values())
        for first, last in ranges(minor for minor in values if values[minor] == value)
    ]


if __name__ == "__main__":
    main(*sys.argv[1:])
