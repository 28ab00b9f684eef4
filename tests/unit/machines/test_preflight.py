from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines import packages, preflight
from pytest_kubecluster.machines.docker.machines import ContainerMachines
from pytest_kubecluster.machines.factory import check_tools, host_requirements
from pytest_kubecluster.machines.packages import way_to_install
from pytest_kubecluster.machines.preflight import (
    command_output,
    disk_requirements,
    free_inotify_instances,
    inotify_requirements,
    memory_requirement,
    problems,
    tool_requirements,
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
    assert problems(inotify_requirements(4, 7)) == []
    assert problems(inotify_requirements(5, 7)) == [
        "5 nodes need about 35 inotify instances, and 30 of 128 are free, which is enough for 4; "
        "raise the limit: sysctl -w fs.inotify.max_user_instances=168"
    ]


@pytest.mark.usefixtures("limit")
def test_only_root_can_tell_how_many_inotify_instances_are_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(preflight, "free_inotify_instances", lambda wanted: 0)
    assert problems(inotify_requirements(18, 7)) == []
    (problem,) = problems(inotify_requirements(19, 7))
    assert "128 of 128 are free, which is enough for 18;" in problem


def test_host_without_inotify_limit(limit: Path) -> None:
    limit.unlink()
    assert problems(inotify_requirements(10_000, 7)) == []


def test_free_inotify_instances_are_given_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert free_inotify_instances(2) in (0, 1, 2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_real_nodes_need_more_inotify_instances(
    limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_inotify_instances", lambda wanted: min(wanted, 100))
    assert problems(inotify_requirements(10, 7)) == []
    found = problems(ContainerMachines.room_requirements(10, real=True))
    assert any("130 inotify" in problem for problem in found)


def test_memory() -> None:
    assert problems([memory_requirement(1, 1)]) == []
    (problem,) = problems([memory_requirement(1000, 1 << 30)])
    assert problem.startswith("1000 nodes need about")


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_FREE_DISK_MEGABYTES", 1 << 40)
    (problem,) = problems(disk_requirements([tmp_path / "not" / "there"]))
    assert problem.startswith(f"the disk of {tmp_path} has")


def test_missing_tool_is_named_with_its_package() -> None:
    (problem,) = problems(tool_requirements({"no-such-tool": "its-package"}))
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
    found = problems(ContainerMachines.service_requirements())
    assert [said[: len(problem or "")] for said in found] == ([problem] if problem else [])


@pytest.mark.parametrize("kind", ["docker", "libvirt", "virtualbox", "vagrantfile", "inventory"])
def test_tools_of_every_kind_are_checked(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KubeClusterError, match="ssh is not on the PATH"):
        check_tools(kind)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt with package lists, whose apt-cache prints the file ``policy``."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "archive_main_Packages.lz4").touch()
    monkeypatch.setattr(packages, "_LISTS", tmp_path / "lists")
    for name, script in (("apt-get", ""), ("apt-cache", f"cat {tmp_path}/policy")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "way"),
    [
        ("vagrant:\n  Installed: (none)\n  Candidate: 2.3.4\n", "install it with: apt-get install"),
        (
            "vagrant:\n  Installed: (none)\n  Candidate: (none)\n",
            "archive has none; install it from H",
        ),
        (
            "",
            "this system's archive has none; install it from HashiCorp's:\nwget -qO- https://apt.r",
        ),
    ],
)
def test_vagrant_is_hashicorps_where_the_archive_has_none(policy: str, way: str, apt: Path) -> None:
    (apt / "policy").write_text(policy)
    assert way in way_to_install("vagrant")
    assert way_to_install("docker.io") == "install it with: apt-get install docker.io"


def test_package_lists_come_first(apt: Path) -> None:
    (apt / "lists" / "archive_main_Packages.lz4").unlink()
    assert "apt-get update && apt-get install vagrant" in way_to_install("vagrant")


def test_other_systems_are_sent_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "https://developer.hashicorp.com/vagrant/install" in way_to_install("vagrant")
    assert "the package docker.io, or its like" in way_to_install("docker.io")


def test_requirements_are_told_whether_they_are_met_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {one.name: one for one in host_requirements("docker", cluster_spec(), real=False)}
    wanted = {"Python", "ansible-core", "vagrant", "docker", "ssh", "kernel", "memory", "disk"}
    assert wanted <= found.keys()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {one.name: one for one in host_requirements("docker", cluster_spec(), real=False)}
    assert found["vagrant"].problem == "vagrant is not on the PATH"
    assert found["kernel"].met
    # It is not asked for without a client.
    assert "Docker daemon" not in found
