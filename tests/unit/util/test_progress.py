from __future__ import annotations

import io

import pytest

from pytest_kubecluster.util.progress import Event, Progress


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def progress(events: list[Event]) -> Progress:
    return Progress(io.StringIO(), on_event=events.append)


def test_events_of_a_phase(progress: Progress, events: list[Event]) -> None:
    with progress.phase("boot", "booting") as phase:
        with progress.on_node("boot", "master01"):
            pass
        phase.detail = "booted"
    progress.say("hello")
    seconds = [event.pop("seconds") for event in events if "seconds" in event]
    assert all(isinstance(one, float) for one in seconds)
    assert events == [
        {"event": "phase", "phase": "boot", "status": "started"},
        {"event": "node", "phase": "boot", "node": "master01", "verdict": "ok"},
        {"event": "phase", "phase": "boot", "status": "done", "detail": "booted"},
        {"event": "message", "text": "hello"},
    ]


def test_what_fails_is_failed(progress: Progress, events: list[Event]) -> None:
    phases, node = progress.phase("boot", "booting"), progress.on_node("boot", "master01")
    with pytest.raises(ValueError, match="no"), phases, node:
        raise ValueError("no")
    assert [(one.phase, one.node, one.outcome) for one in progress.spans] == [
        ("boot", "master01", "failed")
    ]
    (phase,) = progress.phases
    assert (phase.failed, phase.detail) == (True, "failed")
    assert events[-1]["status"] == "failed"


def test_interrupt_names_what_it_interrupted(progress: Progress) -> None:
    def interrupted() -> None:
        with progress.phase("provision", "running the playbook"):
            progress.step("kubelet : Copy the unit")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert progress.phases[0].detail == "interrupted: kubelet : Copy the unit"
    assert isinstance(progress.stream, io.StringIO)
    assert "interrupted: kubelet : Copy the unit" in progress.stream.getvalue()


def test_quiet_progress_still_reports_events(events: list[Event]) -> None:
    stream = io.StringIO()
    with Progress(stream, quiet=True, on_event=events.append).phase("boot", "booting"):
        pass
    assert (stream.getvalue(), len(events)) == ("", 2)
