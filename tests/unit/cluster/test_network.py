from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from pytest_kubecluster.cluster import network as module
from pytest_kubecluster.cluster.network import check_network, free_network
from pytest_kubecluster.errors import NetworkTakenError

FIRST = IPv4Network("10.17.5.0/24")
SECOND = IPv4Network("10.17.6.0/24")
THIRD = IPv4Network("10.17.7.0/24")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[IPv4Network, str]]:
    taken: list[tuple[IPv4Network, str]] = []

    def networks() -> Iterator[tuple[IPv4Network, str]]:
        return iter(taken)

    monkeypatch.setattr(module, "_taken_networks", networks)
    return taken


def test_first_network_is_used_if_it_is_free(taken: list[tuple[IPv4Network, str]]) -> None:
    assert free_network(FIRST) == FIRST


def test_taken_networks_are_skipped(taken: list[tuple[IPv4Network, str]]) -> None:
    taken += [(FIRST, "cluster a"), (IPv4Network("10.17.6.128/25"), "interface br-1")]
    assert free_network(FIRST) == THIRD


def test_network_that_was_refused_is_skipped_although_nothing_overlaps_it(
    taken: list[tuple[IPv4Network, str]],
) -> None:
    assert free_network(FIRST, [FIRST]) == SECOND
    taken.append((SECOND, "cluster a"))
    assert free_network(FIRST, [FIRST]) == THIRD


def test_first_network_is_returned_if_none_is_free(taken: list[tuple[IPv4Network, str]]) -> None:
    taken.append((IPv4Network("10.0.0.0/8"), "interface tun0"))
    assert free_network(FIRST) == FIRST
    with pytest.raises(NetworkTakenError, match=r"overlaps 10\.0\.0\.0/8 of interface tun0"):
        check_network(FIRST)
