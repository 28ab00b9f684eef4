"""Several members, of which some do not answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hollow_apiserver.etcd import Etcd, EtcdFailure, after
from hollow_common.errors import Failure

from tests.unit.hollow_apiserver.fake_etcd import FakeEtcd
from tests.unit.kubelet.hollow.support import free_port


@pytest.fixture
def client(etcd: FakeEtcd) -> Iterator[Etcd]:
    found = Etcd([f"http://127.0.0.1:{free_port()}", etcd.url], None)
    yield found
    found.close()


def test_members_are_asked_in_turn(client: Etcd) -> None:
    revision = client.write("/a", b"1", 0)
    assert revision is not None
    assert client.last_good == 1, "the next request begins with the one that answered"
    assert client.range("/a").entries[0].value == b"1"


def test_writes_are_for_a_known_revision(client: Etcd) -> None:
    first = client.write("/a", b"1", 0)
    assert first
    assert client.write("/a", b"2", 0) is None
    second = client.write("/a", b"2", first)
    assert second
    assert client.delete("/a", first) is None
    assert client.delete("/a", second)
    assert client.range("/a").entries == []


def test_a_connection_that_was_closed_is_opened_again(client: Etcd, etcd: FakeEtcd) -> None:
    client.write("/a", b"1", 0)
    for _, connection in client.idle:
        connection.sock.shutdown(2)
    assert client.range("/a").entries[0].value == b"1"


def test_no_member_answers(etcd: FakeEtcd) -> None:
    etcd.down = True
    client = Etcd([etcd.url], None)
    with pytest.raises(EtcdFailure, match=r"^127\.0\.0\.1:\d+: "):
        client.range("/a")
    client.close()


def test_a_url_without_a_host() -> None:
    with pytest.raises(Failure, match=r"^--etcd-servers: "):
        Etcd(["https://"], None)


def test_the_end_of_a_prefix() -> None:
    assert after("/registry/pods/") == "/registry/pods0"
