"""Makes pytest_kubecluster/data/kubelet.json from the collected facts.

    python tests/make_facts.py kubelet-flags.json help-1.7.txt help-1.10.txt > kubelet.json

The facts say which minor knows which flag; the help texts of real kubelets say each flag's type;
what no help text shows (hidden, deprecated or newer flags) has its type in the table below, read
from the same sources as the facts.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HELP_LINE = re.compile(r"^\s+(?:-\w, |    )--([\w-]+)(?: ([^\s]+))?\s{2,}", re.MULTILINE)

HYPERKUBE_ONLY = {
    # Other servers' libraries, linked into the hyperkube of 1.7 to 1.9 (seen in its --help).
    "allow-verification-with-non-compliant-keys": "bool",
    "default-not-ready-toleration-seconds": "int",
    "default-unreachable-toleration-seconds": "int",
    "ir-data-source": "string",
    "ir-dbname": "string",
    "ir-hawkular": "string",
    "ir-influxdb-host": "string",
    "ir-namespace-only": "bool",
    "ir-password": "string",
    "ir-percentile": "int",
    "ir-user": "string",
    "loglevel": "int",
}

TYPES = {
    "bool": """
        add-dir-header docker-only docker-tls enable-cadvisor-json-endpoints
        enable-load-reader experimental-dockershim experimental-logging-sanitization
        fail-cgroupv1 fail-swap-on experimental-fail-swap-on help
        kernel-memcg-notification local-storage-capacity-isolation
        log-cadvisor-usage log-json-split-stream log-text-split-stream one-output
        redirect-container-streaming register-schedulable rotate-certificates
        rotate-server-certificates seccomp-default skip-headers skip-log-headers
        storage-driver-secure allow-privileged keep-terminated-pod-volumes require-kubeconfig
    """,
    "int32": """
        low-diskspace-threshold-mb maximum-dead-containers maximum-dead-containers-per-container
        node-status-max-images pods-per-core container-log-max-files
    """,
    "int": "application-metrics-count-limit",
    "int64": "pod-max-pids",
    "uint": "log-file-max-size",
    "quantity": "log-json-info-buffer-size log-text-info-buffer-size",
    "duration": """
        cpu-cfs-quota-period cpu-manager-reconcile-period global-housekeeping-interval
        housekeeping-interval minimum-container-ttl-duration outofdisk-transition-frequency
        storage-driver-buffer-duration
    """,
    "stringSlice": "allowed-unsafe-sysctls api-servers tls-cipher-suites",
    "mapStringString": """
        cpu-manager-policy-options qos-reserved topology-manager-policy-options
    """,
    "reservedMemory": "reserved-memory",
}
TYPE_OF = {name: kind for kind, names in TYPES.items() for name in names.split()}


def main(facts_path: str, *help_paths: str) -> None:
    """Print the data file."""
    facts = json.loads(Path(facts_path).read_text())["versions"]
    types: dict[str, str] = {}
    for path in help_paths:
        for name, kind in HELP_LINE.findall(Path(path).read_text()):
            # The help calls a type what stands in backquotes in its text, such as `/`.
            types[name] = "string" if kind == "/" else kind.partition("[")[0] or kind or "bool"
    types.update(TYPE_OF)
    minors = sorted(facts, key=lambda minor: int(minor.split(".")[1]))
    numbers = [int(minor.split(".")[1]) for minor in minors]
    names = sorted({name for minor in minors for name in facts[minor]["flags"]})
    flags: dict[str, Any] = {}
    for name in names:
        known = [n for n, minor in zip(numbers, minors, strict=True) if has(facts[minor], name)]
        flags[name] = {"type": types.get(name, "string"), "in": ranges(known)}
        messages = {n: facts[f"1.{n}"]["deprecated"].get(name) for n in known}
        marks = [
            [first, last, message.removeprefix("marked: ")]
            for message in dict.fromkeys(m for m in messages.values() if m)
            for first, last in ranges([n for n in known if messages[n] == message])
        ]
        if marks:
            flags[name]["deprecated"] = marks
    for name, kind in HYPERKUBE_ONLY.items():
        flags[name] = {"type": kind, "in": [[7, 9]], "hyperkube": True}
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(flag)}" for name, flag in sorted(flags.items())
    )
    print(f'{{"minors": {json.dumps(minors)},\n "flags": {{\n{lines}\n }}}}')


def has(minor: dict[str, Any], name: str) -> bool:
    """Say whether the minor's kubelet knows the flag."""
    return name in minor["flags"]


def ranges(numbers: list[int]) -> list[list[int]]:
    """Fold 7, 8, 9, 12 into [[7, 9], [12, 12]]."""
    folded: list[list[int]] = []
    for number in numbers:
        if folded and folded[-1][1] == number - 1:
            folded[-1][1] = number
        else:
            folded.append([number, number])
    return folded


if __name__ == "__main__":
    main(*sys.argv[1:])
