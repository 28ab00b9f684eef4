"""What the agent's wait makes of systemd's account, without systemd."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kubecluster.nodes.agent import system
from pytest_kubecluster.nodes.agent import wait as module

RUNS = {"ActiveState": "active", "SubState": "running"}
FAILED = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}


def restarting(started: int) -> dict[str, str]:
    return {
        "ActiveState": "activating",
        "SubState": "auto-restart",
        "Result": "exit-code",
        "ExecMainStartTimestampMonotonic": str(started),
    }


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What systemd shows, one look after the other; the last stays."""
    states: list[dict[str, str]] = []

    def show(*_: Any) -> list[dict[str, str]]:
        return [states.pop(0) if len(states) > 1 else states[0]]

    monkeypatch.setattr(system, "show", show)
    monkeypatch.setattr(module, "is_healthy", lambda state: state is RUNS)
    monkeypatch.setattr(module, "_last_words", lambda unit: [])
    monkeypatch.setattr(module, "_POLL_SECONDS", 0)
    return states


def test_kubelet_that_was_killed_is_waited_for(told: list[dict[str, str]]) -> None:
    told += [restarting(1), restarting(1), {"ActiveState": "active"}, RUNS]
    assert module.wait("kubelet.service", 5, 1)["healthy"]


@pytest.mark.parametrize(
    ("states", "restarts"),
    [
        ([restarting(1), RUNS], 0),
        ([restarting(1), {"ActiveState": "active"}, restarting(2), RUNS], 1),
        ([FAILED, RUNS], 1),
    ],
)
def test_kubelet_that_died_for_good_is_not(
    states: list[dict[str, str]], restarts: int, told: list[dict[str, str]]
) -> None:
    told += states
    waited = module.wait("kubelet.service", 5, restarts)
    assert not waited["healthy"]
    assert "failed to start (result exit-code" in waited["reason"]


def test_any_number_of_deaths(told: list[dict[str, str]]) -> None:
    told += [FAILED, restarting(1), restarting(2), restarting(3), RUNS]
    assert module.wait("kubelet.service", 5, None)["healthy"]
