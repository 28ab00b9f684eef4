"""The labels that a kubelet may set on its own node: a warning from 1.13 on, an error from 1.16.

From ValidateKubeletFlags in cmd/kubelet/app/options and well_known_labels.go at each minor.
"""

from __future__ import annotations

from collections.abc import Iterable

REFUSED_SINCE = 16

_NAMESPACES = ("kubernetes.io", "k8s.io")
_ALLOWED_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")
_ALWAYS_ALLOWED = frozenset(
    {
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
    }
)
_ALLOWED_UNTIL_16 = frozenset(
    {
        "failure-domain.kubernetes.io/region",
        "failure-domain.kubernetes.io/zone",
        "kubernetes.io/instance-type",
    }
)
_ALLOWED_SINCE_17 = frozenset(
    {
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    }
)


def refused_labels(keys: Iterable[str], minor: int) -> list[str]:
    """Return the label keys for which a kubelet of 1.``minor`` does not start."""
    if minor < REFUSED_SINCE:
        return []
    allowed = _ALWAYS_ALLOWED | (_ALLOWED_UNTIL_16 if minor == REFUSED_SINCE else _ALLOWED_SINCE_17)
    return sorted({key for key in keys if key not in allowed and not _may_set(key)})


def _may_set(key: str) -> bool:
    prefix = key.rpartition("/")[0]
    return not _is_below(prefix, _NAMESPACES) or _is_below(prefix, _ALLOWED_PREFIXES)


def _is_below(prefix: str, domains: Iterable[str]) -> bool:
    return any(prefix == domain or prefix.endswith(f".{domain}") for domain in domains)
