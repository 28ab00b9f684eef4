from __future__ import annotations

import copy
import pickle

import pytest

from pytest_kubecluster.layouts.cluster import cluster_spec
from pytest_kubecluster.spec.flags import Flags
from pytest_kubecluster.spec.names import Named, UnknownNameError


def test_unknown_flag_is_answered_with_similar_ones_and_all() -> None:
    flags = Flags({"cluster-domain": "cluster.local", "v": "2"})
    with pytest.raises(KeyError) as caught:
        flags["clusterdomain"]
    assert str(caught.value) == (
        "there is no flag or setting 'clusterdomain'; similar: cluster-domain\n"
        "  there are: cluster-domain, v"
    )
    assert flags.get("clusterdomain") is None
    assert "clusterdomain" not in flags


def test_unknown_label_of_a_spec() -> None:
    labels = cluster_spec()["master01"].kubelet.node_labels
    with pytest.raises(UnknownNameError, match=r"there is no label 'zone'.*\n  there are: "):
        labels["zone"]


def test_nothing_at_all_is_said_where_nothing_is() -> None:
    with pytest.raises(UnknownNameError, match="'v'; there are none at all"):
        Flags()["v"]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_names_survive_a_copy(again: object) -> None:
    assert callable(again)
    named = again(Named("label", {"zone": "a"}))
    assert named == {"zone": "a"}
    with pytest.raises(UnknownNameError) as caught:
        named["zones"]
    assert str(again(caught.value)) == str(caught.value)
