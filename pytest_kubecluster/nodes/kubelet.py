"""The kubelet of a node: an observation that can be compared with a spec."""

from __future__ import annotations

from pytest_kubecluster.nodes.observation import Observation
from pytest_kubecluster.nodes.verdict import Difference, compare
from pytest_kubecluster.spec.model import KubeletSpec


class Kubelet(Observation):
    """A kubelet as it was seen in one look; it equals the KubeletSpec that it satisfies."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KubeletSpec):
            return NotImplemented
        return not self.differences(other)

    def differences(self, spec: KubeletSpec) -> list[Difference]:
        """Return the node's differences from the invariants and from what ``spec`` states."""
        return compare(self, spec)
