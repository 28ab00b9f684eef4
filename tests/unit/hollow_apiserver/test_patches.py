from __future__ import annotations

from typing import Any

import pytest
from hollow_apiserver.failures import RequestFailure
from hollow_apiserver.patches import apply_patch

from tests.unit.hollow_apiserver.support import JSON_PATCH, MERGE, STRATEGIC

NODE: dict[str, Any] = {
    "metadata": {"labels": {"a": "1"}, "finalizers": ["x"]},
    "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True"},
            {"type": "DiskPressure", "status": "False"},
        ],
        "addresses": [{"type": "InternalIP", "address": "1"}],
    },
}


def test_a_merge_patch_replaces_lists_and_removes_what_is_null() -> None:
    patch = {"metadata": {"labels": {"a": None, "b": "2"}}, "status": {"conditions": []}}
    result = apply_patch(MERGE, NODE, patch)
    assert result["metadata"]["labels"] == {"b": "2"}
    assert result["status"]["conditions"] == []
    assert result["spec"] == NODE["spec"]


def test_a_strategic_patch_merges_lists_by_their_keys() -> None:
    patch = {
        "metadata": {"finalizers": ["y"], "labels": {"b": "2"}},
        "spec": {"taints": [{"key": "b", "effect": "NoExecute"}]},
        "status": {
            "$setElementOrder/conditions": [{"type": "DiskPressure"}, {"type": "Ready"}],
            "conditions": [{"type": "Ready", "status": "False"}],
            "addresses": [
                {"type": "Hostname", "address": "n"},
                {"type": "InternalIP", "$patch": "delete"},
            ],
        },
    }
    result = apply_patch(STRATEGIC, NODE, patch)
    assert result["metadata"] == {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]}
    assert result["spec"]["taints"] == [{"key": "b", "effect": "NoExecute"}], "replaced"
    assert [(one["type"], one["status"]) for one in result["status"]["conditions"]] == [
        ("DiskPressure", "False"), ("Ready", "False"),
    ]  # fmt: skip
    assert result["status"]["addresses"] == [{"type": "Hostname", "address": "n"}]


def test_directives_of_a_strategic_patch() -> None:
    assert apply_patch(STRATEGIC, NODE, {"spec": {"$patch": "replace", "x": 1}})["spec"] == {"x": 1}
    assert apply_patch(STRATEGIC, NODE, {"spec": {"$patch": "delete"}})["spec"] == {}
    kept = apply_patch(STRATEGIC, NODE, {"metadata": {"$retainKeys": ["labels"]}})
    assert kept["metadata"] == {"labels": {"a": "1"}}
    less = apply_patch(
        STRATEGIC, NODE, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x"]}}
    )
    assert less["metadata"]["finalizers"] == []
    replaced = [{"$patch": "replace"}, {"type": "Ready", "status": "x"}]
    result = apply_patch(STRATEGIC, NODE, {"status": {"conditions": replaced}})
    assert result["status"]["conditions"] == [{"type": "Ready", "status": "x"}]


@pytest.mark.parametrize(
    ("operation", "found"),
    [
        ({"op": "add", "path": "/metadata/labels/b~1c", "value": "2"}, {"a": "1", "b/c": "2"}),
        ({"op": "replace", "path": "/metadata/labels/a", "value": "2"}, {"a": "2"}),
        ({"op": "remove", "path": "/metadata/labels/a"}, {}),
        (
            {"op": "copy", "from": "/metadata/labels/a", "path": "/metadata/labels/b"},
            {"a": "1", "b": "1"},
        ),
        ({"op": "move", "from": "/metadata/labels/a", "path": "/metadata/labels/b"}, {"b": "1"}),
        ({"op": "test", "path": "/metadata/labels/a", "value": "1"}, {"a": "1"}),
    ],
)
def test_operations_of_a_json_patch(operation: dict[str, Any], found: dict[str, str]) -> None:
    assert apply_patch(JSON_PATCH, NODE, [operation])["metadata"]["labels"] == found
    assert NODE["metadata"]["labels"] == {"a": "1"}


def test_a_json_patch_of_a_list() -> None:
    operations = [
        {"op": "add", "path": "/spec/taints/-", "value": {"key": "b"}},
        {"op": "remove", "path": "/spec/taints/0"},
    ]
    assert apply_patch(JSON_PATCH, NODE, operations)["spec"]["taints"] == [{"key": "b"}]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/metadata/labels/zz"},
        {"op": "test", "path": "/metadata/labels/a", "value": "2"},
        {"op": "add", "path": "/spec/taints/7", "value": 1},
        {"op": "magic", "path": "/spec"},
        {"path": "/spec"},
        "x",
    ],
)
def test_operations_that_do_not_fit(operation: Any) -> None:
    with pytest.raises(RequestFailure) as caught:
        apply_patch(JSON_PATCH, NODE, [operation])
    assert caught.value.code == 422


def test_patches_of_the_wrong_shape() -> None:
    for kind, patch in ((JSON_PATCH, {}), (MERGE, []), (STRATEGIC, [])):
        with pytest.raises(RequestFailure) as caught:
            apply_patch(kind, NODE, patch)
        assert caught.value.code == 400
    with pytest.raises(RequestFailure, match="does not contain declared merge key: type"):
        apply_patch(STRATEGIC, NODE, {"status": {"conditions": [{"status": "x"}]}})
