from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hollow_kubelet import lease
from hollow_kubelet.api_server import ApiError
from hollow_kubelet.lease import Lease

from tests.unit.kubelet.hollow.support import Play


class Api:
    """An API server that keeps one lease."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.there: dict[str, Any] | None = None
        self.failures: list[ApiError] = []

    def request(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        self.asked.append((method, path))
        if "/nodes/" in path:
            return {"metadata": {"uid": "u"}}
        if self.failures:
            raise self.failures.pop(0)
        if method == "GET" and self.there is None:
            raise ApiError("not found", 404)
        if method != "GET":
            self.there = body
        return self.there


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(lease.time, "sleep", lambda _: None)  # type: ignore[attr-defined]
    return Api()


@pytest.mark.parametrize(
    ("number", "version"), [(14, "v1beta1"), (16, "v1beta1"), (17, "v1"), (36, "v1")]
)
def test_a_lease_is_created_and_renewed(play: Play, api: Any, number: int, version: str) -> None:
    play(number)
    mine = Lease("node1", 40)
    mine.sync(api)
    assert api.there["apiVersion"] == f"coordination.k8s.io/{version}"
    assert api.there["spec"]["holderIdentity"] == "node1"
    assert api.there["spec"]["leaseDurationSeconds"] == 40
    owner = {"apiVersion": "v1", "kind": "Node", "name": "node1", "uid": "u"}
    assert api.there["metadata"]["ownerReferences"] == [owner]
    first = api.there["spec"]["renewTime"]
    assert len(first) == len("2026-11-25T16:00:00.000000Z")
    api.asked.clear()
    mine.sync(api)
    path = f"/apis/coordination.k8s.io/{version}/namespaces/kube-node-lease/leases/node1"
    assert api.asked == [("PUT", path)], "without reading it again"
    assert api.there["spec"]["renewTime"] > first


def test_a_lease_that_is_there_is_renewed(play: Play, api: Any) -> None:
    play(20)
    api.there = {"metadata": {"name": "node1", "resourceVersion": "7"}, "spec": {}}
    Lease("node1", 40).sync(api)
    assert api.there["metadata"]["resourceVersion"] == "7"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (20, "failed to ensure node lease exists, will retry in 200ms, error: refused"),
        (21, '"Failed to ensure lease exists, will retry" err="refused" interval="200ms"'),
    ],
)
def test_an_api_server_that_does_not_answer(
    play: Play, api: Any, log_lines: Callable[[], str], number: int, words: str
) -> None:
    play(number)
    api.failures = [ApiError("refused"), ApiError("refused")]
    Lease("node1", 40).sync(api)
    assert words in log_lines()
    assert api.there


def test_a_conflict_reads_the_lease_again(
    play: Play, api: Any, log_lines: Callable[[], str]
) -> None:
    play(20)
    mine = Lease("node1", 40)
    mine.sync(api)
    api.failures = [ApiError("conflict", 409)]
    mine.sync(api)
    assert "failed to update node lease, error: conflict" in log_lines()
    assert mine.latest is not None
