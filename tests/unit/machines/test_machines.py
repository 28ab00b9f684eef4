from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_kubecluster.machines.base import VANISHED, Vagrant
from pytest_kubecluster.util.process import Commands


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


def test_progress_that_overwrites_itself_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vagrant = tmp_path / "vagrant"
    vagrant.write_text(
        "#!/bin/sh\nprintf '\\033[KProgress: 1%%\\033[KProgress: 2%%\\033[KDone\\n'\n"
    )
    vagrant.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    said: list[str] = []
    Vagrant(tmp_path, Commands(tmp_path), env=os.environ, timeout=20, on_line=said.append).boot()
    assert said == ["Done"]
