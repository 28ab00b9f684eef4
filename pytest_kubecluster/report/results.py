"""The results of tests, of one run and of many kubelet versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pytest_kubecluster.nodes.diagnostics import NodeFacts
from pytest_kubecluster.nodes.verdict.difference import Difference
from pytest_kubecluster.spec.defaults import BUNDLED_LAYOUTS, LayoutName
from pytest_kubecluster.spec.translate import Change
from pytest_kubecluster.spec.version import KubeVersion

Outcome = Literal["passed", "failed", "skipped"]

OWN = "own"
"""The group of tests that are not the bundled suite's."""
GROUPS = {
    "files": "Files on disk",
    "kubeconfig": "Kubeconfig and certificates",
    "service": "systemd",
    "process": "Process and settings",
    "ports": "The kubelet's ports",
    "api": "Node object in the API server",
    "control_plane": "Control plane",
    "recovery": "After a disturbance",
    "cis": "CIS Benchmark",
    OWN: "Your own tests",
}
"""The groups of checks in the order in which they are shown, and their titles."""


_CAUSES = ("service", "process", "files", "kubeconfig", "ports", "api", "control_plane", OWN)
"""What is looked at first to find out why a node is not as it must be."""


def by_cause(result: Result) -> int:
    """Return a key that sorts failures: what explains others comes before these."""
    return _CAUSES.index(result.group) if result.group in _CAUSES else len(_CAUSES)


def title(group: str) -> str:
    """Return the title of a group; one that is not known is its name."""
    return GROUPS.get(group) or group.replace("_", " ")


@dataclass(frozen=True)
class Result:
    """The result of one test with one version; ``node`` is empty for a test without a node."""

    check: str
    node: str
    outcome: Outcome
    reason: str = ""
    """Why it was skipped, or the message of its failure."""
    seconds: float = 0.0
    group: str = OWN
    """The evidence that a check of the bundled suite rests on, or OWN."""
    file: str = ""
    """The path of a test's file, as pytest shows it."""
    expects: str = ""
    """What the check expects, in a sentence."""
    started: float = 0.0
    """Seconds since the epoch."""
    worker: str = ""
    """The worker of pytest-xdist that ran it."""
    differences: tuple[Difference, ...] = ()
    text: str = ""
    """The traceback of a failure that is no list of differences."""
    facts: tuple[str, ...] = ()
    """Where the facts of its nodes are in the report."""


@dataclass
class Column:
    """The results of a version in a layout.

    ``problem`` is why there are none: its kubelet does not run.
    """

    version: KubeVersion
    results: tuple[Result, ...] = ()
    problem: str = ""
    changing: float = 0.0
    """Seconds to change the kubelet of the nodes to this version."""
    checking: float = 0.0
    """Seconds that the tests took."""
    facts: Mapping[str, NodeFacts] = field(default_factory=dict)
    """What looks at nodes showed, by the names that results refer to."""
    changes: tuple[Change, ...] = ()
    """What this version is configured with instead of the article's."""
    layout: LayoutName = BUNDLED_LAYOUTS[0]
    name: str = ""
    """What the column is called, if not by its version and layout."""

    @property
    def title(self) -> str:
        """What the column is called."""
        return self.name or self.number

    @property
    def number(self) -> str:
        """The version, with its layout unless that is the default: ``1.30.0 kubeadm``."""
        return f"{self.version.number}{self._suffix}"

    @property
    def tag(self) -> str:
        """The version's tag, with its layout unless that is the default: ``v1.30.0 kubeadm``."""
        return f"{self.version.tag}{self._suffix}"

    @property
    def _suffix(self) -> str:
        return "" if self.layout == BUNDLED_LAYOUTS[0] else f" {self.layout}"

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
