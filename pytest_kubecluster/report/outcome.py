"""What comes of the tests of a run, gathered while they run."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_kubecluster.nodes.diagnostics import NodeFacts
from pytest_kubecluster.report.results import Result


@dataclass
class Outcome:
    """The results so far, and what else the report says of a run."""

    command: str = ""
    results: list[Result] = field(default_factory=list)
    facts: dict[str, NodeFacts] = field(default_factory=dict)
    """By the name that results refer to."""
    interrupted: str = ""
    """What a Ctrl-C or a signal interrupted."""
    error: str = ""
    """Why the cluster cannot be used."""
