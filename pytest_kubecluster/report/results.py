"""The results of tests with many kubelet versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_kubecluster.spec.version import KubeVersion

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """The result of one test with one version; ``node`` is empty for a test without a node."""

    check: str
    node: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Column:
    """The results of a version. ``problem`` is why there are none: its kubelet does not run."""

    version: KubeVersion
    results: list[Result] = field(default_factory=list)
    problem: str = ""
    changing: float = 0.0
    """Seconds to change the kubelet of the nodes to this version."""
    checking: float = 0.0
    """Seconds that the tests took."""

    @property
    def failed(self) -> bool:
        """Whether the kubelet did not start, or a test failed."""
        return bool(self.problem) or any(result.outcome == "failed" for result in self.results)

    def number_of(self, outcome: Outcome) -> int:
        """Return how many tests have that outcome."""
        return sum(result.outcome == outcome for result in self.results)


@dataclass(frozen=True)
class Matrix:
    """The results of all versions, with hollow or real kubelets."""

    columns: tuple[Column, ...]
    kubelet: str
    topology: str

    @property
    def failed(self) -> bool:
        """Whether any version failed."""
        return any(column.failed for column in self.columns)

    @property
    def checks(self) -> list[str]:
        """The names of all tests, in the order in which they ran."""
        names = (result.check for column in self.columns for result in column.results)
        return list(dict.fromkeys(names))
