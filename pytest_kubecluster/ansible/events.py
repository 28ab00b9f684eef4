"""The events that a run of Ansible leaves: which task did what on which node, and for how long."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ENDS = {
    "runner_on_ok": "ok",
    "runner_on_failed": "failed",
    "runner_on_skipped": "skipped",
    "runner_on_unreachable": "failed",
}
"""The events with which a task ends on a node, and what each means."""


@dataclass(frozen=True)
class TaskRun:
    """A task on one node; ``started`` is in seconds since the epoch."""

    node: str
    task: str
    started: float
    seconds: float
    outcome: str
    """``ok``, ``changed``, ``skipped`` or ``failed``."""


def events(artifacts: Path, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of these kinds, in order, that a run left in ``artifacts``."""
    paths = (artifacts / "job_events").glob("*.json")
    numbered = sorted(
        (int(number), path) for path in paths if (number := path.name.partition("-")[0]).isdigit()
    )
    for _, path in numbered:
        event = json.loads(path.read_text())
        if event["event"] in kinds:
            yield event["event"], event["event_data"]


def changed_tasks(artifacts: Path) -> dict[str, int]:
    """Return how many tasks changed something, by node."""
    stats = list(events(artifacts, "playbook_on_stats"))
    return {node: count for _, event in stats for node, count in event["changed"].items()}


def names_of_changed_tasks(artifacts: Path) -> dict[str, list[str]]:
    """Return the names of the tasks that changed something, by node."""
    names: dict[str, list[str]] = {}
    for run in task_runs(artifacts):
        if run.outcome == "changed":
            names.setdefault(run.node, []).append(run.task)
    return names


def task_runs(artifacts: Path) -> Iterator[TaskRun]:
    """Yield every task on every node."""
    for kind, event in events(artifacts, *ENDS):
        outcome = ENDS[kind]
        if outcome == "ok" and event.get("res", {}).get("changed"):
            outcome = "changed"
        if outcome == "failed" and event.get("ignore_errors"):
            outcome = "ok"
        if event.get("start"):
            started = datetime.fromisoformat(event["start"]).replace(tzinfo=timezone.utc)
            seconds = float(event.get("duration") or 0.0)
            yield TaskRun(event["host"], event["task"], started.timestamp(), seconds, outcome)
