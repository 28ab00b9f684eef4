from __future__ import annotations

import pytest
from hollow_apiserver.failures import RequestFailure
from hollow_apiserver.selectors import field_selector, label_selector

THING = {
    "metadata": {"name": "a", "namespace": "n", "labels": {"x": "1", "k8s.io/role": ""}},
    "spec": {"unschedulable": True, "nodeName": "node1"},
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True), ("x", True), ("y", False), ("!y", True), ("! x", False), ("x=1", True),
        ("x==1", True), ("x!=1", False), ("y!=1", True), ("x in (1,2)", True), ("x in (2)", False),
        ("x notin (2, 3)", True), ("y notin (1)", True), ("x=1,!y", True), ("x=1, y", False),
        ("k8s.io/role=", True), ("k8s.io/role", True),
    ],
)  # fmt: skip
def test_labels(text: str, fits: bool) -> None:
    assert label_selector(text)(THING) is fits


@pytest.mark.parametrize(
    ("text", "plural", "fits"),
    [
        ("", "nodes", True), ("metadata.name=a", "nodes", True), ("metadata.name!=a", "nodes", False),
        ("spec.unschedulable=true", "nodes", True), ("spec.nodeName==node1", "pods", True),
        ("metadata.namespace=n,spec.nodeName=other", "pods", False), ("status.phase=", "pods", True),
    ],
)  # fmt: skip
def test_fields(text: str, plural: str, fits: bool) -> None:
    assert field_selector(text, plural)(THING) is fits


def test_selectors_that_are_refused() -> None:
    with pytest.raises(RequestFailure, match="unable to parse requirement"):
        label_selector("x in")
    with pytest.raises(RequestFailure, match="invalid selector"):
        field_selector("x", "nodes")
    with pytest.raises(RequestFailure, match=r"field label not supported: spec.nodeName"):
        field_selector("spec.nodeName=a", "nodes")
