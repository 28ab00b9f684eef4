from __future__ import annotations

from pathlib import Path

import pytest

from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.machines.docker import machines as docker
from pytest_kubecluster.machines.docker.machines import CREATE_ARGS, ContainerMachines


class Docker:
    """A Docker that knows containers and networks by name, and removes them."""

    def __init__(self, *, containers: list[str], networks: list[str]) -> None:
        self.there = {"container": containers, "network": networks}
        self.endpoints: list[str] = []
        self.stuck = ""
        """The kind that it does not remove."""

    def __call__(self, *words: str, check: bool = True) -> list[str]:
        kind, verb = words[0], words[1]
        if verb == "ls":
            return list(self.there[kind])
        if verb == "inspect":
            return list(self.endpoints)
        if verb == "disconnect":
            self.endpoints.remove(words[-1])
        if verb == "rm" and kind != self.stuck and not (kind == "network" and self.endpoints):
            self.there[kind].remove(words[-1])
        return []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_REMOVE_SECONDS", "_NETWORK_SECONDS"):
        monkeypatch.setattr(docker, name, 0.1)
    monkeypatch.setattr(docker, "_RETRY_SECONDS", 0.01)


def test_containers_are_removed_before_their_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Docker(containers=["a-master01", "a-worker01"], networks=["kubecluster-a"])
    monkeypatch.setattr(docker, "_docker", daemon)
    ContainerMachines("a", tmp_path).destroy()
    assert daemon.there == {"container": [], "network": []}


def test_endpoint_of_a_container_that_is_gone_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Docker(containers=[], networks=["kubecluster-a"])
    daemon.endpoints = ["a-master01"]
    monkeypatch.setattr(docker, "_docker", daemon)
    ContainerMachines("a", tmp_path).destroy()
    assert daemon.there["network"] == []


@pytest.mark.parametrize(
    ("stuck", "message"),
    [
        ("container", r"remove the container a-master01\n  find it with: docker container ls --f"),
        ("network", r"remove the network kubecluster-a\n.*restart Docker.*kubecluster gc"),
    ],
)
def test_what_docker_does_not_remove_is_named_with_the_way_out(
    stuck: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Docker(containers=["a-master01"], networks=["kubecluster-a"])
    daemon.stuck = stuck
    monkeypatch.setattr(docker, "_docker", daemon)
    with pytest.raises(KubeClusterError, match=message):
        ContainerMachines("a", tmp_path).destroy()


def test_nodes_get_no_device_and_no_privilege_that_other_containers_do_not_have() -> None:
    assert {"--privileged", "--device", "--device-cgroup-rule"}.isdisjoint(CREATE_ARGS)
    assert "systempaths=unconfined" not in CREATE_ARGS
    # One network, given when the container is created.
    assert "--publish" not in CREATE_ARGS
