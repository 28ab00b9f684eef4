"""Evidence: what etcd and the API server on each master answer."""

from __future__ import annotations

import pytest

from pytest_kubecluster.nodes import joining
from pytest_kubecluster.nodes.control_plane import Master, kept_by, masters_of
from pytest_kubecluster.nodes.node import Node
from pytest_kubecluster.nodes.verdict import difference_table
from pytest_kubecluster.spec.control_plane import SURVIVES_A_LOSS


def test_api_server_answers(kube_master: Node) -> None:
    (master,) = masters_of([kube_master])
    assert master.server.text("/healthz") == "ok"


def test_etcd_member_is_healthy(kube_master: Node) -> None:
    (master,) = masters_of([kube_master])
    assert master.etcd() == "healthy"


def test_bootstrap_tokens_expire(kube_master: Node) -> None:
    (master,) = masters_of([kube_master])
    differences = list(joining.tokens_expire(master.server))
    assert not differences, "\n".join(difference_table(differences))


@pytest.mark.kube_disruptive
def test_cluster_survives_the_loss_of_each_master(kube_masters: tuple[Node, ...]) -> None:
    if len(kube_masters) < SURVIVES_A_LOSS:
        pytest.skip(f"etcd of {len(kube_masters)} masters survives the loss of none")
    masters = masters_of(kube_masters)
    for lost in masters:
        others = [one for one in masters if one is not lost]
        with kept_by(others[0]) as kept:
            assert_survives(lost, others, kept)


def assert_survives(lost: Master, others: list[Master], kept: str) -> None:
    """Kill a master's control plane, use the others meanwhile, and bring it back."""
    lost.kill()
    try:
        for one in others:
            assert one.reads(kept), f"{lost.name} is down: {one.name} does not have the object"
        assert others[0].writes(kept, lost.name), (
            f"{lost.name} is down: {others[0].name} cannot write"
        )
    finally:
        lost.start()
    assert lost.becomes_healthy(), f"{lost.name} came back: its etcd member is {lost.etcd()}"
    assert lost.reads(kept, lost.name), f"{lost.name} came back without what was written meanwhile"
