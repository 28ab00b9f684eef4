"""API servers that do not come up, and what is said of them."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.artifacts.pki import Pki, ensure_pki
from pytest_kubecluster.cluster import api_servers, control_plane
from pytest_kubecluster.cluster.api_servers import ApiServers, clock_problem
from pytest_kubecluster.cluster.control_plane import ControlPlane
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.api_server import ApiServer
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.spec.model import ControlPlaneSpec
from pytest_kubecluster.spec.version import KubeVersion
from pytest_kubecluster.util.progress import Progress

VERSION = KubeVersion.parse("1.30.0")
TAKEN = "listen tcp 10.17.5.101:2379: bind: address already in use"
HOLDER = 'LISTEN 0 5 0.0.0.0:2379 0.0.0.0:* users:(("python3",pid=77,fd=3))\n'


class Masters:
    """What the masters of a test answer, instead of machines."""

    def __init__(self) -> None:
        self.restarts: dict[str, Callable[[], int]] = {}
        self.stopped: set[str] = set()
        self.journal: dict[str, str] = {}
        self.healthy: set[str] = set()
        self.ahead = 0
        self.commands: list[tuple[str, ...]] = []

    def run(self, node: Node, *command: str, **_: Any) -> Any:
        self.commands.append(command)
        text = ""
        if command[:2] == ("systemctl", "show"):
            text = "\n".join(self._unit(node, unit) for unit in ("etcd", "kube-apiserver"))
        elif command[0] == "journalctl":
            text = self.journal.get(command[2], "")
        elif command[0] == "date":
            text = str(int(time.time()) + self.ahead)
        elif command[0] == "ss":
            text = HOLDER
        return type("Result", (), {"rc": 0, "stdout": text, "stderr": ""})()

    def _unit(self, node: Node, unit: str) -> str:
        restarts = self.restarts.get(f"{node.name} {unit}", int)()
        active = "inactive" if f"{node.name} {unit}" in self.stopped else "activating"
        return (
            f"Id={unit}.service\nActiveState={active}\nSubState=auto-restart\nResult=exit-code\n"
            f"ExecMainStatus=1\nNRestarts={restarts}\n"
        )

    def text(self, server: ApiServer, path: str) -> str:
        if server.context in self.healthy:
            return "ok"
        raise KubeClusterError(f"the API server of {server.context} does not answer")


@pytest.fixture
def masters(monkeypatch: pytest.MonkeyPatch) -> Masters:
    fake = Masters()
    monkeypatch.setattr(Node, "run", lambda node, *words, **more: fake.run(node, *words, **more))
    monkeypatch.setattr(ApiServer, "text", lambda server, path: fake.text(server, path))
    monkeypatch.setattr(api_servers, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(api_servers, "etcd_state", lambda node, pki: "healthy")
    return fake


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"))


def servers(pki: Pki, masters: int = 1) -> ApiServers:
    spec = replace(cluster_spec(masters, version=VERSION), control_plane=ControlPlaneSpec(VERSION))
    nodes = [Node.of(spec, node.name, Access("", "")) for node in spec.masters]
    return ApiServers(spec, pki, Path("kubeconfig"), nodes)


def counting() -> Callable[[], int]:
    """Return a count that grows, from what happened before the wait on."""
    seen = iter(range(40, 100))
    return lambda: next(seen)


def failure(pki: Pki, masters: int = 1, seconds: float = 60) -> str:
    started = time.monotonic()
    with pytest.raises(KubeClusterError) as caught:
        servers(pki, masters).wait(seconds)
    assert time.monotonic() - started < 20
    return str(caught.value)


def test_servers_that_answer(masters: Masters, pki: Pki) -> None:
    masters.healthy |= {"master01", "master02", "master03"}
    servers(pki, 3).wait(5)
    assert masters.commands == []


def test_program_that_is_started_over_and_over(masters: Masters, pki: Pki) -> None:
    masters.restarts["master02 kube-apiserver"] = counting()
    masters.journal["kube-apiserver"] = "Error: unknown flag: --x\nUsage:\n      --y string\n"
    masters.healthy |= {"master01", "master03"}
    text = failure(pki, 3)
    assert text.startswith(
        "master02: kube-apiserver ended 5 times (result exit-code, exit status 1)"
    )
    assert "Error: unknown flag: --x" in text
    assert "--y string" not in text
    assert "the last lines of etcd on master02" in text


def test_restarts_before_the_wait_do_not_count(masters: Masters, pki: Pki) -> None:
    masters.restarts["master01 kube-apiserver"] = lambda: 40
    text = failure(pki, seconds=1)
    assert text.startswith("master01: the API server of master01 does not answer")


def test_program_that_is_stopped(masters: Masters, pki: Pki) -> None:
    masters.stopped.add("master01 etcd")
    assert failure(pki).startswith("master01: etcd does not run")


def test_port_that_is_taken(masters: Masters, pki: Pki) -> None:
    masters.restarts["master01 etcd"] = counting()
    masters.journal["etcd"] = f"{TAKEN}\n"
    text = failure(pki)
    assert text.startswith("master01: etcd ended 5 times")
    assert "port 2379 is taken on master01 by python3, process 77" in text


def test_etcd_without_a_quorum(masters: Masters, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"master01": "it has no leader", "master02": "no answer", "master03": "no answer"}
    monkeypatch.setattr(api_servers, "etcd_state", lambda node, pki: states[node.name])
    text = failure(pki, 3, seconds=1)
    assert "etcd has no quorum: 0 of 3 members healthy, 2 needed" in text
    for name, state in states.items():
        assert f"    {name}: {state}" in text


@pytest.mark.parametrize(("ahead", "where"), [(7200, "ahead of"), (-7200, "behind")])
def test_clock_that_is_off(masters: Masters, pki: Pki, ahead: int, where: str) -> None:
    masters.ahead = ahead
    assert f"the clock of master01 is 120 minutes {where} this host's" in failure(pki, seconds=1)


def test_clock_that_is_right(masters: Masters, pki: Pki) -> None:
    masters.ahead = 3
    assert clock_problem(servers(pki).masters[0]) == ""


def test_journal_with_a_key(masters: Masters, pki: Pki) -> None:
    masters.stopped.add("master01 etcd")
    masters.journal["etcd"] = "--token=abcdef.0123456789abcdef was given\n"
    assert "0123456789abcdef" not in failure(pki)


def test_clock_of_a_node_that_is_not_ready(
    masters: Masters, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = servers(pki)
    monkeypatch.setattr(control_plane, "_NODE_SECONDS", 1)
    monkeypatch.setattr(ApiServer, "get", lambda server, path: {"items": []})
    monkeypatch.setattr(ApiServer, "url", "https://10.17.5.101:443")
    masters.ahead = -7200
    shown = io.StringIO()
    plane = ControlPlane(found.spec, pki, found.kubeconfig, found.masters, Progress(shown))
    assert plane.wait_for_nodes(time.monotonic() + 60) == "0 of 1 node Ready"
    assert (
        "master01 has not registered at the API server https://10.17.5.101:443: the clock of "
        "master01 is 120 minutes behind this host's"
    ) in shown.getvalue()
