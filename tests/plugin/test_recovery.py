"""The recovery checks of the bundled suite: their order, and what they wait for."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import cast
from unittest.mock import Mock

import pytest

from pytest_kubecluster.conformance import test_recovery_api as recovery
from pytest_kubecluster.conformance.conftest import knows_its_clients
from pytest_kubecluster.errors import KubeClusterError
from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.machines.access import Access
from pytest_kubecluster.nodes.api_view import ApiView
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.node_object import NodeObject

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=timezone.utc)
OPTIONS = "--kube-cluster --kube-control-plane=hollow --kube-masters=1 --kube-workers=1"


def test_what_follows_a_disturbance_comes_before_the_next_one() -> None:
    argv = [sys.executable, "-m", "pytest", "--co", "-q", *OPTIONS.split()]
    argv += ["--pyargs", "pytest_kubecluster.conformance", "-p", "no:cacheprovider"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"test_recovery(_api)?\.py::test_(\d)_\w+\[(\w+)\]", output)
    steps = [step for _, step, _ in found]
    assert steps == sorted(steps)
    after_kill = [(api, node) for api, step, node in found if step == "2"]
    assert after_kill == [(api, node) for node in ("master01", "worker01") for api in ("", "_api")]


class Restarting:
    """A node whose API server is down at first."""

    name = "master01"
    spec = cluster_spec()["master01"]
    access = Access("", "")

    def __init__(self, *views: ApiView | KubeClusterError) -> None:
        self.views = list(views)

    def look_through_api(self) -> ApiView:
        view = self.views.pop(0) if len(self.views) > 1 else self.views[0]
        if isinstance(view, KubeClusterError):
            raise view
        return view


def view(seconds: int, status: str = "True") -> ApiView:
    ready = {"type": "Ready", "status": status}
    seen = NodeObject.parse({"metadata": {"name": "master01"}, "status": {"conditions": [ready]}})
    heartbeat = NOW + timedelta(seconds=seconds)
    return ApiView("master01", "https://server", seen, heartbeat, "a lease", NOW)


DOWN = KubeClusterError("the API server https://server does not answer: no answer within 10 s")


def wait(*views: ApiView | KubeClusterError) -> Restarting:
    node = Restarting(*views)
    recovery.wait_until_heard_from(cast(Node, node))
    return node


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)


def test_api_server_that_is_down_after_the_reboot_is_waited_for() -> None:
    assert wait(DOWN, DOWN, view(-3), DOWN, view(-3), view(1, "Unknown"), view(1)).views


def test_api_server_that_stays_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_SERVER_SECONDS", 0.0)
    with pytest.raises(AssertionError, match=r"was not looked at within 0 s: .*does not answer"):
        wait(DOWN)


def test_node_that_is_not_heard_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "monitor_grace", lambda version: timedelta())
    with pytest.raises(AssertionError, match=r"Ready=True; the last heartbeat, .* is in a lease"):
        wait(view(-3))


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ("ok", True),
        ("not asked: it is off", True),
        ("Forbidden (user=system:node:worker01)", True),
        ("Authorization error (user=system:node:worker01, verb=get, resource=nodes)", False),
        ("TimeoutError: The read operation timed out", False),
    ],
)
def test_authorizer_without_an_api_server_is_waited_for(body: str, known: bool) -> None:
    node = Mock()
    node.refresh.return_value.own.body = body
    assert knows_its_clients(node) is known
