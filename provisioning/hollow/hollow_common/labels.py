"""Labels: their syntax, and which of them --node-labels may set."""

from __future__ import annotations

import re

from hollow_common.errors import Refusal
from hollow_common.facts import since
from hollow_common.log import log

NAME_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
DNS_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
QUALIFIED_NAME_ADVICE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{NAME_PART}')"
)
SUBDOMAIN_ADVICE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def label_value_advice() -> str:
    """Return the rule for a label's value."""
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
        "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
        f"'my_value',  or '12345', regex used for validation is '({NAME_PART})?')"
    )


def label_value_problems(value: str) -> list[str]:
    """Return the problems with a label's value: k8s.io/apimachinery/pkg/util/validation."""
    problems = []
    if len(value) > 63:
        few = "bytes" if since(34) else "characters"
        problems.append(f"must be no more than 63 {few if since(10) else 'characters'}")
    if not re.fullmatch(f"({NAME_PART})?", value):
        problems.append(label_value_advice())
    return problems


def qualified_name_problems(key: str) -> list[str]:
    """Return the problems with a label's or a taint's key."""
    parts = key.split("/")
    if len(parts) > 2:
        kind = "valid label key" if since(35) else "qualified name"
        return [
            f"a {kind} {QUALIFIED_NAME_ADVICE} with an optional DNS subdomain prefix "
            "and '/' (e.g. 'example.com/MyName')"
        ]
    problems = []
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        elif not re.fullmatch(DNS_SUBDOMAIN, parts[0]) or len(parts[0]) > 253:
            problems.append(f"prefix part {SUBDOMAIN_ADVICE}")
    if not parts[-1]:
        problems.append("name part must be non-empty")
    elif len(parts[-1]) > 63:
        problems.append("name part must be no more than 63 characters")
    if not re.fullmatch(NAME_PART, parts[-1]):
        problems.append(f"name part {QUALIFIED_NAME_ADVICE}")
    return problems


KUBELET_LABELS = (
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
)  # fmt: skip
LABELS_TO_1_16 = (
    "failure-domain.kubernetes.io/region", "failure-domain.kubernetes.io/zone",
    "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/instance-type",
    "kubernetes.io/os",
)  # fmt: skip
LABELS_FROM_1_17 = (
    "kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os",
    "node.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)  # fmt: skip
LABEL_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")


def check_labels(labels: dict[str, str]) -> None:
    """Refuse labels that --node-labels may not set: ValidateKubeletFlags, from 1.13 on."""
    if not since(13):
        return
    allowed = (*KUBELET_LABELS, *(LABELS_FROM_1_17 if since(17) else LABELS_TO_1_16))
    unknown = sorted(
        key
        for key in labels
        if in_domain(key.rpartition("/")[0], ("kubernetes.io", "k8s.io"))
        and not in_domain(key.rpartition("/")[0], LABEL_NAMESPACES)
        and key not in allowed
    )
    problem = "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: "
    rule = (
        "--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix "
        f"({', '.join(LABEL_NAMESPACES)}) or be in the specifically allowed set "
        f"({', '.join(allowed)})"
    )
    problem += f"[{' '.join(unknown)}]"
    if unknown and since(16):
        raise Refusal("flags", f"{problem}\n{rule}")
    if unknown:
        log("W", "options.go:251", problem)
        log("W", "options.go:252", f"in {'1.16' if since(14) else '1.15'}, {rule}")
    if since(25):
        check_label_syntax(labels)


def in_domain(prefix: str, domains: tuple[str, ...]) -> bool:
    """Return whether a label's prefix is one of the domains or below one."""
    return any(f".{prefix}".endswith(f".{domain}") for domain in domains)


def check_label_syntax(labels: dict[str, str]) -> None:
    """Refuse labels that the API would not accept."""
    problems = [(key, qualified_name_problems(key)) for key in labels]
    problems += [(value, label_value_problems(value)) for value in labels.values()]
    found = [f"'{text}' - {', '.join(advice)}" for text, advice in problems if advice]
    if found:
        raise Refusal("flags", f"invalid node labels: {'; '.join(found)}")
