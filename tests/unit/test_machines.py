from __future__ import annotations

import pytest

from pytest_kubecluster.machines import VANISHED


@pytest.mark.parametrize(
    ("said", "vanished"),
    [
        ("Stderr: Error response from daemon: network kubecluster-p1-46304c not found", True),
        ("Error response from daemon: No such container: 4f1f", True),
        ("Error: No such network: 0b2c", True),
        ("Stderr: Error: No such object: 5a56ed4771c1", True),
        ("no such box", False),
        ("Error: command docker not found", False),
    ],
)
def test_what_another_run_removes_meanwhile_is_known_by_dockers_words(
    said: str, vanished: bool
) -> None:
    assert bool(VANISHED.search(said)) is vanished
