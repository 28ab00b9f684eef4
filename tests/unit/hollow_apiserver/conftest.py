from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hollow_common import facts

from pytest_kubecluster.kubelet.hollow_apiserver import hollow_apiserver_facts
from pytest_kubecluster.spec.version import KubeVersion
from tests.unit.hollow_apiserver.fake_etcd import FakeEtcd
from tests.unit.hollow_apiserver.support import Cluster

Boot = Callable[..., Cluster]


@pytest.fixture(autouse=True)
def minor() -> Iterator[Callable[[int], None]]:
    """Makes the program in this process behave as a minor, 1.20 unless a test says otherwise."""
    before = dict(facts.FACTS)

    def play(number: int) -> None:
        facts.play(hollow_apiserver_facts(KubeVersion.parse(f"v1.{number}.2")))

    play(20)
    yield play
    facts.play(before)


@pytest.fixture
def etcd() -> Iterator[FakeEtcd]:
    fake = FakeEtcd()
    yield fake
    fake.stop()


@pytest.fixture
def boot(etcd: FakeEtcd, minor: Callable[[int], None]) -> Iterator[Boot]:
    """Starts a server of a minor."""

    started: list[Cluster] = []

    def start(number: int = 20, *words: str) -> Cluster:
        minor(number)
        started.append(Cluster(etcd, *words))
        return started[-1]

    yield start
    for cluster in started:
        cluster.server.etcd.close()


@pytest.fixture
def cluster(boot: Boot) -> Cluster:
    return boot()
