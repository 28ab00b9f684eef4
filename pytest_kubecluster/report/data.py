"""A run as one value: everything that its page, its JSON and its summary show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_kubecluster.nodes.diagnostics import NodeFacts
from pytest_kubecluster.nodes.verdict.difference import Difference
from pytest_kubecluster.report.results import Result
from pytest_kubecluster.util.progress import Span

FORMAT = 1


@dataclass(frozen=True)
class About:
    """What was run, on what."""

    cluster: str
    """The topology in words: ``3 masters, 1 worker``."""
    version: str
    """The number of the kubelet's version."""
    hyperkube: str
    """The tag of the hyperkube image."""
    kubelet: str
    """``hollow``, ``real``, or ``found`` on existing machines."""
    provider: str
    layout: str
    network: str = ""
    control_plane: str = ""
    """What makes the API server answer; empty without a control plane."""
    plugin: str = ""
    """The version of pytest-kubecluster."""
    command: str = ""
    started: float = 0.0
    """Seconds since the epoch."""
    seconds: float = 0.0
    failed: bool = False
    interrupted: str = ""
    """What a Ctrl-C or a signal interrupted."""
    error: str = ""
    """Why the cluster could not be used."""
    kept: str = ""
    """The name of the cluster if it is kept."""


@dataclass(frozen=True)
class PhaseOfRun:
    """A part of the run; ``started`` is in seconds since the epoch."""

    name: str
    started: float
    seconds: float
    detail: str = ""
    failed: bool = False


@dataclass(frozen=True)
class NodeOfRun:
    """A node as the spec has it."""

    name: str
    role: str
    address: str
    version: str = ""
    api_server: str = ""
    labels: tuple[str, ...] = ()
    taints: tuple[str, ...] = ()
    problem: str = ""
    """Why the node could not be used."""
    facts: str = ""
    """Where the facts of the last look are in the report."""
    registered: Mapping[str, str] = field(default_factory=dict)
    """What the API server says of the node, by name."""


@dataclass(frozen=True)
class CertificateSeen:
    """A certificate that was seen, with the nodes that have it. Times are since the epoch."""

    fingerprint: str
    subject: str
    issuer: str
    first: float
    last: float
    ca: bool = False
    signed_by: str = ""
    """The fingerprint of the certificate that signed it; empty if that was not seen."""
    usages: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """The alternative names of the subject."""
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The nodes that have it, by what for."""


@dataclass(frozen=True)
class ChangeOfVersion:
    """What is configured otherwise than in the article's version, and on which nodes."""

    what: str
    reason: str
    source: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CisRow:
    """A check of the CIS benchmark on one node."""

    node: str
    benchmark: str
    id: str
    check: str
    title: str
    manual: bool
    status: str
    """``pass``, ``fail``, ``warn``, ``n/a``, ``waived`` or ``waiver not needed``."""
    reason: str = ""
    """Why it does not apply, or is waived."""
    differences: tuple[Difference, ...] = ()
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that is known of a run."""

    about: About
    nodes: tuple[NodeOfRun, ...] = ()
    results: tuple[Result, ...] = ()
    facts: Mapping[str, NodeFacts] = field(default_factory=dict)
    """What looks at nodes showed, by a name that results and nodes refer to."""
    phases: tuple[PhaseOfRun, ...] = ()
    spans: tuple[Span, ...] = ()
    certificates: tuple[CertificateSeen, ...] = ()
    changes: tuple[ChangeOfVersion, ...] = ()
    cis: tuple[CisRow, ...] = ()
    """The CIS checks of the nodes that were looked at, whether or not tests judged them."""
    format: int = FORMAT

    def number_of(self, outcome: str) -> int:
        """Return how many tests have that outcome."""
        return sum(result.outcome == outcome for result in self.results)
