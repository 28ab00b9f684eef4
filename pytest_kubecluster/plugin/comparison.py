"""Explain ``node.kubelet == spec``: a table, thing by thing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_kubecluster.plugin.session import ClusterSession

_LINES, _CHARACTERS = 7, 600
"""What pytest shows of an explanation without -vv."""


def explain(session: ClusterSession, op: str, left: object, right: object) -> list[str] | None:
    """Return the explanation of a comparison that failed; None if it is none of a kubelet.

    pytest would cut a long table: it goes below the failure, as a section of its own.
    """
    if op != "==" or "pytest_kubecluster.spec.model" not in sys.modules:
        return None  # neither side can be a spec
    from pytest_kubecluster.spec.model import KubeletSpec

    spec, other = (left, right) if isinstance(left, KubeletSpec) else (right, left)
    if not isinstance(spec, KubeletSpec):
        return None
    from pytest_kubecluster.nodes.kubelet import Kubelet
    from pytest_kubecluster.nodes.verdict import difference_table

    if not isinstance(other, Kubelet):
        return None
    differences = other.differences(spec)
    noun = "difference" if len(differences) == 1 else "differences"
    headline = f"the kubelet does not match its spec: {len(differences)} {noun}"
    table = difference_table(differences, places=False)
    session.compared = differences
    session.compared_table = [f"{other.spec.name}:", *difference_table(differences)]
    if len(table) < _LINES and sum(map(len, table)) < _CHARACTERS - len(headline):
        return [headline, *table]
    return [f"{headline}, listed below"]
