from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines import preflight
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.factory import check_tools
from pytest_kubecluster.machines.preflight import (
    command_output,
    disk_problems,
    free_inotify_instances,
    inotify_problems,
    memory_problems,
    tool_problems,
)


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the limit of inotify instances, which is 128."""
    path = tmp_path / "max_user_instances"
    path.write_text("128\n")
    monkeypatch.setattr(preflight, "_INOTIFY_LIMIT", path)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return path


@pytest.mark.usefixtures("limit")
def test_inotify_instances_in_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "free_inotify_instances", lambda wanted: min(wanted, 30))
    assert list(inotify_problems(4, 7)) == []
    assert list(inotify_problems(5, 7)) == [
        "5 nodes need about 35 inotify instances, and 30 of 128 are free, which is enough for 4; "
        "raise the limit: sysctl -w fs.inotify.max_user_instances=168"
    ]


@pytest.mark.usefixtures("limit")
def test_only_root_can_tell_how_many_inotify_instances_are_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight, "free_inotify_instances", lambda wanted: 0)
    assert list(inotify_problems(18, 7)) == []
    (problem,) = inotify_problems(19, 7)
    assert "128 of 128 are free, which is enough for 18;" in problem


def test_host_without_inotify_limit(limit: Path) -> None:
    limit.unlink()
    assert list(inotify_problems(10_000, 7)) == []


def test_free_inotify_instances_are_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert free_inotify_instances(2) in (0, 1, 2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_real_nodes_need_more_inotify_instances(
    limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_inotify_instances", lambda wanted: min(wanted, 100))
    monkeypatch.setattr(preflight, "memory_problems", lambda nodes, megabytes: ())
    assert list(inotify_problems(10, 7)) == []
    assert any("130 inotify" in p for p in ContainerMachines.room_problems(10, real=True))


def test_memory() -> None:
    assert list(memory_problems(1, 1)) == []
    (problem,) = memory_problems(1000, 1 << 30)
    assert problem.startswith("1000 nodes need about")


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_FREE_DISK_MEGABYTES", 1 << 40)
    (problem,) = disk_problems([tmp_path / "not" / "there"])
    assert problem.startswith(f"the disk of {tmp_path} has")


def test_missing_tool_is_named_with_its_package() -> None:
    (problem,) = tool_problems({"no-such-tool": "its-package"})
    assert problem == (
        "no-such-tool is not on the PATH; install it with: apt-get install its-package"
    )


def test_command_that_cannot_be_run_has_an_output_all_the_same() -> None:
    assert "no-such-command cannot be started" in command_output(["no-such-command"])
    assert command_output(["sh", "-c", "echo a; echo b >&2; exit 1"]) == "a\nb"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("20.10.24", None),
        ("19.03.1", "Docker 20.10 or newer is needed"),
        ("Cannot connect to the Docker daemon", "Docker does not answer (Cannot connect"),
        ("", "Docker does not answer (no answer)"),
    ],
)
def test_docker_that_cannot_be_used(
    answer: str, problem: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pytest_kubecluster.machines.docker.machines.command_output", lambda argv: answer
    )
    problems = list(ContainerMachines.service_problems())
    assert [said[: len(problem or "")] for said in problems] == ([problem] if problem else [])


@pytest.mark.parametrize("kind", ["docker", "libvirt", "virtualbox", "vagrantfile", "inventory"])
def test_tools_of_every_kind_are_checked(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubeClusterError, match="ssh is not on the PATH"):
        check_tools(kind)
