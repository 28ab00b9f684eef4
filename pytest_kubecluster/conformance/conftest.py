"""Disturb nodes and keep what became of them: once per node, on all nodes at the same time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import service
from pytest_kubecluster.plugin.session import SESSION
from pytest_kubecluster.util.poll import poll

Outcome = Mapping[str, Any]

_MARGIN_SECONDS = 20
"""What a kubelet may need on top of RestartSec to be back, healthy, on a busy machine."""


def disturb(node: Node, how: str, margin: float = _MARGIN_SECONDS) -> Outcome:
    """Kill the kubelet or contend for its lock, and wait on the node until it is back."""
    seconds = restart_seconds(node) + margin * node.access.timeout_factor
    lock_file = node.kubelet.lock_path
    request = {"how": how, "lock_file": lock_file, "seconds": seconds}
    outcome: Outcome = node.ask("disturb", request, timeout=3.0 * seconds)
    return outcome


def restart_seconds(node: Node) -> float:
    """Return RestartSec of the unit: the spec's where it states one, or else systemd's."""
    stated = node.spec.kubelet.restart_seconds
    return (service.restart_seconds(node.kubelet) or 0) if stated is None else stated


def reboot(node: Node) -> Outcome:
    """Reboot the node and look at it as soon as its kubelet is healthy."""
    before = node.kubelet.unit["ExecMainStartTimestampMonotonic"]
    node.reboot()
    # It may be started before its container runtime is up, and again after RestartSec.
    node.wait_until_healthy(_MARGIN_SECONDS + restart_seconds(node), restarts=None)
    # Its API server may have been rebooted, too, and have no answer for its authorizer yet.
    poll(lambda: knows_its_clients(node), _MARGIN_SECONDS * node.access.timeout_factor, every=0.5)
    return {"before": before, "view": node.kubelet}


def knows_its_clients(node: Node) -> bool:
    """Look at a node; return whether its kubelet could ask the API server who its clients are."""
    answer = node.refresh().own
    return not (answer.body.startswith(("TimeoutError", "Authorization error")))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what asks an API server or the control plane where there is none."""
    session = config.stash[SESSION]
    if collection_path.name in ("test_api.py", "test_recovery_api.py"):
        return None if session.asks_an_api_server else True
    if collection_path.name == "test_control_plane.py":
        return None if session.has_control_plane else True
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order what follows a disturbance before the next one, which all nodes suffer together."""
    places = [place for place, item in enumerate(items) if _step(item)]
    ordered = sorted((items[place] for place in places), key=_step)
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _step(item: pytest.Item) -> int:
    """Return the number in the name of a recovery check; 0 for all others."""
    found = re.match(r"test_(\d)_", item.name)
    ours = item.path.parent == Path(__file__).parent and item.path.stem.startswith("test_recovery")
    return int(found[1]) if found and ours else 0


@pytest.fixture(scope="session")
def on_all_nodes(
    request: pytest.FixtureRequest, kube_nodes: tuple[Node, ...]
) -> Callable[[Node, Callable[[Node], Outcome], str], Outcome]:
    """Return what an action did to a node, having done it to all chosen nodes at the same time.

    It is done again for a test that runs again.

    Each takes ten seconds and more, most of them RestartSec's. A worker of pytest-xdist sees only
    some of the items, so it acts on one node at a time.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    asked: set[tuple[str, str]] = set()
    alone = hasattr(request.config, "workerinput")

    def outcome(node: Node, action: Callable[[Node], Outcome], test: str) -> Outcome:
        name = action.__name__
        done = outcomes.setdefault(name, {})
        again = (name, test) in asked  # a plugin runs the test again
        asked.add((name, test))
        if again or node.name not in done:
            chosen = [node] if alone or again else _chosen(request.session, kube_nodes)
            with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
                waiting = {one.name: pool.submit(action, one) for one in chosen}
            done.update(waiting)
        result: Outcome = done[node.name].result()
        return result

    return outcome


def _chosen(session: pytest.Session, nodes: tuple[Node, ...]) -> list[Node]:
    """Return the nodes that this run disturbs: those of the disruptive items it collected."""
    names = {
        item.callspec.params.get("kube_node")
        for item in session.items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.get_closest_marker("kube_disruptive")
    }
    return [node for node in nodes if node.name in names]


@pytest.fixture
def after_contention(request: pytest.FixtureRequest, kube_node: Node, on_all_nodes: Any) -> Outcome:
    """What happened to the kubelet after another process opened its lock file."""

    seen = kube_node.kubelet
    if not seen.lock_path:
        pytest.skip(f"{kube_node.name}: the kubelet has no --lock-file")
    if seen.settings.get("exit-on-lock-contention") != "true":
        pytest.skip(f"{kube_node.name}: the kubelet does not run with --exit-on-lock-contention")

    def contention(node: Node) -> Outcome:
        return disturb(node, "open-lock")

    outcome: Outcome = on_all_nodes(kube_node, contention, request.node.nodeid)
    return outcome


@pytest.fixture
def after_kill(request: pytest.FixtureRequest, kube_node: Node, on_all_nodes: Any) -> Outcome:
    """What became of the kubelet after a kill -9."""

    def kill(node: Node) -> Outcome:
        return disturb(node, "kill")

    outcome: Outcome = on_all_nodes(kube_node, kill, request.node.nodeid)
    return outcome


@pytest.fixture
def after_reboot(request: pytest.FixtureRequest, kube_node: Node, on_all_nodes: Any) -> Outcome:
    """What became of the node after a reboot."""
    outcome: Outcome = on_all_nodes(kube_node, reboot, request.node.nodeid)
    return outcome
